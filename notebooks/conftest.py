"""Numbers in compared cells: another processor's last digits pass, a wrong value does not.

nbval compares the output of cells tagged `nbval-check-output` character by character. With one more tag such a
cell carries a tolerance: `tolerance:0.5` is a number in the unit of what is printed, `tolerance:L2b` that of a
claim of the card with the notebook's name. Then each number in its text may differ from the stored one by so much;
the words between them may not differ at all (how many spaces there are does not count).

A tagged cell that was collected and not compared (skipped, never executed before, lost to a dead kernel) fails the
session: silence is no agreement.
"""

import copy
import math
import re

import pytest

CHECKED = "nbval-check-output"
PREFIX = "tolerance:"
NUMBER = re.compile(r"(?<![\w.])[-+\u2212]?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?(?!\w)")
COMPARED = pytest.StashKey[dict[str, bool]]()


def pytest_collectstart(collector):
    """Warnings and progress bars are no results: what a cell writes to stderr is not compared."""
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += ("stderr",)


def pytest_collection_modifyitems(config, items):
    """Give tagged cells their tolerance, and note which there are."""
    cells = [item for item in items if hasattr(item, "cell") and CHECKED in _tags(item)]
    config.stash[COMPARED] = dict.fromkeys((item.nodeid for item in cells), False)
    for item in cells:
        item.compare_outputs = _comparison(item, _tolerance(item), item.compare_outputs)


def pytest_deselected(items):
    """A cell that was left out by request is not awaited."""
    for item in items:
        item.config.stash.get(COMPARED, {}).pop(item.nodeid, None)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    """Fail where a tagged cell was not compared."""
    if _lost(session.config) and not session.config.option.collectonly and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, config):
    """Say how many of the tagged cells were compared, and which were not."""
    if COMPARED not in config.stash or config.option.collectonly:
        return
    lost, total = _lost(config), len(config.stash[COMPARED])
    terminalreporter.write_line(f"{total - len(lost)} of {total} cells tagged {CHECKED} were compared")
    for name in lost:
        terminalreporter.write_line(f"NOT COMPARED {name}")


def _lost(config):
    return [name for name, compared in config.stash.get(COMPARED, {}).items() if not compared]


def _tags(item):
    return item.cell.metadata.get("tags", [])


def _comparison(item, alike, compare):
    """nbval's comparison, told of as made; numbers that are alike are shown to it as equal."""

    def compare_outputs(test, reference, *arguments, **options):
        item.config.stash[COMPARED][item.nodeid] = True
        if alike is not None:
            test, reference = levelled(test, reference, alike)
        return compare(test, reference, *arguments, **options)

    return compare_outputs


def _tolerance(item):
    """The function that says whether two numbers are alike by the cell's tag, or None without one."""
    asked = [tag.removeprefix(PREFIX) for tag in _tags(item) if tag.startswith(PREFIX)]
    if not asked:
        return None
    try:
        if len(asked) > 1:
            raise ValueError("a cell takes one tolerance")
        return tolerance(asked[0], item.path)
    except ValueError as error:
        raise pytest.UsageError(f"{item.nodeid}: tag {PREFIX}{asked[0]}: {error}") from None


def tolerance(text, notebook):
    """What `tolerance:<text>` means in a notebook: a function of the new and the stored number.

    A number is the most that the two may differ by. A claim gives its own: its margin (no finer than the paper's
    printed rounding), for a ratio the factor; half of the last printed digit for an exact claim or one with a bound;
    for an ordering the smallest margin of its comparisons. Raises ValueError, one line, where there is none.
    """
    try:
        most = float(text)
    except ValueError:
        return _of_claim(text, notebook)
    if not (math.isfinite(most) and most > 0):
        raise ValueError("must be a number above 0, or a claim of the card")
    return lambda a, b: _near(a, b, most)


def _of_claim(id, notebook):
    from redraw.workbook import load_card

    path = notebook.parent.parent / "params" / f"{notebook.stem}.yaml"
    if not path.is_file():
        raise ValueError(f"must be a number, since there is no card params/{path.name}")
    claim = load_card(path).claim(id)
    criterion, rounding = claim.criterion, claim.reference.rounding
    if claim.kind == "ratio" and criterion.margin is not None:
        return lambda a, b: a == b or (a * b > 0 and abs(math.log(a / b)) <= math.log(criterion.margin) + 1e-12)
    margins = [comparison.margin for comparison in criterion.all or () if comparison.margin > 0]
    most = min(margins, default=0.0) if criterion.all else max(criterion.margin or 0.0, rounding)
    if most <= 0:
        raise ValueError(f"claim {id} has neither a margin nor printed digits: give a number")
    return lambda a, b: _near(a, b, most)


def _near(a, b, most):
    return abs(a - b) <= most * (1 + 1e-9)


def levelled(test, reference, alike):
    """Both outputs with blanks made single, and each text of the new one replaced by the stored one it is alike to."""
    test, reference = copy.deepcopy(test), copy.deepcopy(reference)
    for output in (*test, *reference):
        for holder, key in _texts(output):
            holder[key] = _plain(holder[key])
    if [output["output_type"] for output in test] == [output["output_type"] for output in reference]:
        for new, stored in zip(test, reference, strict=True):
            kept = {key: holder[key] for holder, key in _texts(stored)}
            for holder, key in _texts(new):
                if key in kept and alike_texts(holder[key], kept[key], alike):
                    holder[key] = kept[key]
    return test, reference


def _texts(output):
    """(mapping, key) of each text of an output: what was printed, and what is shown as text/..."""
    if isinstance(output.get("text"), str):
        yield output, "text"
    for key, value in (output.get("data") or {}).items():
        if key.startswith("text/") and isinstance(value, str):
            yield output["data"], key


def _plain(text):
    return "\n".join(re.sub(r"[ \t]+", " ", line).strip() for line in text.splitlines())


def alike_texts(new, stored, alike):
    """Whether two texts have the same words in the same places and numbers that are alike.

    A number that is part of a name (`conv_2`, `L1a`, `3e`) is a word.
    """
    if NUMBER.split(new) != NUMBER.split(stored):
        return False
    pairs = zip(NUMBER.findall(new), NUMBER.findall(stored), strict=True)
    return all(a == b or alike(_value(a), _value(b)) for a, b in pairs)


def _value(text):
    return float(text.replace(",", "").replace("\u2212", "-"))
