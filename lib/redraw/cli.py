"""The `redraw` command. Numerical libraries load only when a request has been found right."""

import json
import os
import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from redraw.workbook import CardError, NotebookError, ParameterError, find_project

app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None, help=__doc__.splitlines()[0])
data_app = typer.Typer(no_args_is_help=True, help="Datasets: what there is, where it comes from, whether it is intact.")
app.add_typer(data_app, name="data")

DONE, FAILED, WRONG, BLOCKED, INTERRUPTED = 0, 1, 2, 3, 130
MARKS = {
    "reproduced": "[green]✓ reproduced[/]",
    "contradicted": "[red]✗ contradicted[/]",
    "inconclusive": "[yellow]? inconclusive[/]",
    "paper_error": "[magenta]! paper error[/]",
    "blocked": "[dim]■ blocked[/]",
    "not_tested": "[dim]– not tested[/]",
}

Json = Annotated[bool, typer.Option("--json", help="Machine-readable output on stdout.")]
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def main() -> None:
    """Entry point: runs a command and turns whatever goes wrong into one line and the exit code of the contract."""
    signal.signal(signal.SIGTERM, _interrupt)
    sys.exit(_exit_code())


def _interrupt(*_):
    raise KeyboardInterrupt


def _exit_code() -> int:
    from click.exceptions import Abort, ClickException, Exit

    try:
        code = app(standalone_mode=False)
        return code if isinstance(code, int) else DONE
    except Exit as leaving:
        return leaving.exit_code
    except (CardError, NotebookError, ParameterError) as error:
        return _complain(error, WRONG)
    except ClickException as error:
        return _complain(error.format_message(), WRONG)
    except (KeyboardInterrupt, Abort):
        return _complain("interrupted; finished trials are kept, the same command goes on from them", INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except Exception as error:
        return _complain(error, _judged(error))


def _judged(error: Exception) -> int:
    """The exit code of an error from the numerical side, whose classes are loaded by now."""
    from redraw.data import DataUnavailable, UnknownDataset

    if isinstance(error, UnknownDataset):
        return WRONG
    return BLOCKED if isinstance(error, DataUnavailable) else FAILED


def _complain(error: Exception | str, code: int) -> int:
    details = getattr(error, "details", "")
    if details and code == FAILED:
        print(details, file=sys.stderr)
    message = str(error) or type(error).__name__
    print(f"redraw: {message if code == BLOCKED else message.splitlines()[0]}", file=sys.stderr)
    return code


@app.command("list")
def list_studies(as_json: Json = False) -> None:
    """The studies, and where their claims stand."""
    from redraw.workbook import newest_versions

    project, rows = find_project(), []
    for name in project.studies():
        card = project.card(name)
        newest = next(iter(newest_versions(project.reports, name).values()), None)
        outcomes = [claim["outcome"] for claim in _results(newest)["claims"]] if newest else []
        rows.append({"study": name, "title": card.title, "claims": len(card.claims), "outcomes": outcomes})
        rows[-1]["newest"] = newest.name if newest else None
    if as_json:
        return _print_json(rows)
    table = Table("study", "title", "claims", "newest version", "verdicts")
    for row in rows:
        counts = [f"{row['outcomes'].count(o)} {o.replace('_', ' ')}" for o in MARKS if o in row["outcomes"]]
        table.add_row(row["study"], row["title"], str(row["claims"]), row["newest"] or "–", ", ".join(counts))
    out.print(table)


@app.command()
def show(study: str, as_json: Json = False) -> None:
    """A study's question, papers, parameters, presets and claims."""
    card = find_project().card(study)
    if as_json:
        return _print_json(card.model_dump(mode="json"))
    out.print(f"[bold]{card.title}[/]\n{card.question}\n")
    for paper in card.papers:
        where = f"arXiv {paper.arxiv}" if paper.arxiv else paper.doi or paper.url
        out.print(f"  {', '.join(paper.authors)} ({paper.year}). {paper.title}. {where}", soft_wrap=True)
    table = Table("parameter", "allowed", *card.presets, "what it is")
    for name, parameter in card.parameters.items():
        values = [str(preset.values[name]) for preset in card.presets.values()]
        unit = f" ({parameter.unit})" if parameter.unit else ""
        table.add_row(name, parameter.allowed, *values, parameter.help + unit)
    claims = Table("claim", "the paper says", "where", "decided by")
    for claim in card.claims:
        claims.add_row(claim.id, claim.statement, claim.place, ", ".join(claim.scope))
    out.print(table, claims)


@app.command()
def run(
    study: Annotated[str, typer.Argument(help="A study; see `redraw list`.")] = "",
    preset: Annotated[str, typer.Option(help="smoke, laptop or paper.")] = "laptop",
    parameter: Annotated[list[str], typer.Option("-p", metavar="NAME=VALUE", help="Override a parameter.")] = [],  # noqa: B006
    jobs: Annotated[int, typer.Option(min=1, help="Local processes (default: one a core).")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every study.")] = False,
    as_json: Json = False,
) -> int:
    """Run a study into a new version under reports/; the same inputs again do nothing."""
    project = find_project()
    if bool(study) == everything:
        raise ParameterError("study: name one, or give --all")
    overrides = dict(_assignment(text) for text in parameter)
    studies = project.studies() if everything else [study]
    for name in studies:  # refuse what is wrong in any of them before the first starts
        project.card(name).resolve(preset, overrides)
        project.notebook(name)
    from redraw.workbook import NotebookFailed, TrialError, run_study

    code, documents = DONE, []
    for name in studies:
        started = time.perf_counter()
        try:
            with _progress(name) as on_progress:
                done = run_study(
                    project, name, preset=preset, overrides=overrides, jobs=jobs, on_progress=on_progress, say=_say
                )
        except (TrialError, NotebookFailed) as error:
            code = _complain(error, FAILED)
            continue
        documents.append(_results(done.version))
        _say(f"{'published' if done.published else 'up to date:'} {_shown(done.version.path)}", started)
        if done.blocked:
            _say(done.blocked)
            code = max(code, BLOCKED) if code != FAILED else code
        if not as_json:
            out.print(_verdicts(done.verdicts))
    if as_json:
        _print_json(documents if everything else documents[0] if documents else None)
    elif documents:
        out.print(f"The board: {_shown(project.reports / 'index.html')}", soft_wrap=True)
    return code


@app.command()
def board(as_json: Json = False) -> None:
    """Every claim with its verdict, from the newest version of each study; rewrites reports/index.html."""
    from redraw.workbook import newest_versions
    from redraw.workbook._board import write_board

    project = find_project()
    cards = [project.card(name) for name in project.studies()]
    page = write_board(project.reports, cards)
    rows = []
    for card in cards:
        for version in list(newest_versions(project.reports, card.study).values())[:1]:
            rows += [{"study": card.study, "version": version.name, **c} for c in _results(version)["claims"]]
    if as_json:
        return _print_json(rows)
    table = Table("study", "claim", "verdict", "scope", "seeds", "the paper says")
    statements = {(card.study, claim.id): claim.statement for card in cards for claim in card.claims}
    for row in rows:
        seeds = str(row["strength"]["seeds"] or "")
        words = statements.get((row["study"], row["id"]), "(no longer in the card)")
        table.add_row(row["study"], row["id"], MARKS[row["outcome"]], row["scope"], seeds, words)
    out.print(table)
    out.print(f"The board: {_shown(page)}", soft_wrap=True)


@app.command()
def check(as_json: Json = False) -> int:
    """Cards, notebooks, reports and manifests: does everything still say what it said?"""
    from redraw.workbook import check_project

    findings = check_project(find_project())
    if as_json:
        _print_json([{"place": place, "problem": problem} for place, problem in findings])
    else:
        for place, problem in findings:
            out.print(f"{place}: {problem}", soft_wrap=True)
        out.print("all is as it should be" if not findings else f"{len(findings)} problems")
    return FAILED if findings else DONE


@app.command()
def new(study: str) -> None:
    """Write the three skeletons of a study: its card, its experiment and its notebook."""
    from redraw.workbook._new import write_skeletons

    for path in write_skeletons(find_project(), study):
        out.print(f"wrote {_shown(path)}")


@app.command()
def lab() -> None:
    """Open JupyterLab on notebooks/, on this machine only and with its token."""
    folder = find_project().root / "notebooks"
    arguments = [sys.executable, "-m", "jupyterlab", "--ip=127.0.0.1", f"--notebook-dir={folder}"]
    os.execv(sys.executable, arguments)


@data_app.command("list")
def data_list(as_json: Json = False) -> None:
    """The datasets, their sources and whether they are here."""
    from redraw import data

    entries = [data.describe(name) for name in data.names()]
    rows = [
        {
            "dataset": entry.name,
            "what": entry.description,
            "here": data.available(entry.name),
            "sources": [str(source) for source in entry.sources],
        }
        for entry in entries
    ]
    if as_json:
        return _print_json(rows)
    table = Table("dataset", "here", "what", "sources, in order")
    for row in rows:
        table.add_row(row["dataset"], "yes" if row["here"] else "no", row["what"], "\n".join(row["sources"]) or "none needed")
    out.print(table)


@data_app.command("fetch")
def data_fetch(names: list[str]) -> None:
    """Get datasets into the user's cache, each file verified by its SHA-256."""
    from redraw import data

    data.fetch(names)
    out.print(f"here and intact: {', '.join(names)}")


@data_app.command("verify")
def data_verify(as_json: Json = False) -> int:
    """Re-hash the files that are here."""
    from redraw import data

    states = data.verify()
    if as_json:
        _print_json([{**state._asdict(), "path": str(state.path)} for state in states])
    else:
        table = Table("dataset", "file", "state", "path")
        for state in states:
            table.add_row(state.name, state.file, state.state, str(state.path))
        out.print(table)
    return FAILED if any(state.state == "bad" for state in states) else DONE


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ParameterError(f"parameter {text!r}: must be NAME=VALUE")
    return name.strip(), value


def _results(version) -> dict:
    return json.loads((version.path / "results.json").read_text())


def _verdicts(claims: list[dict]) -> Table:
    table = Table("claim", "verdict", "scope", "measured", "criterion", "seeds needed")
    for claim in claims:
        measured = claim["measured"] if isinstance(claim["measured"], list) else [claim["measured"]]
        text = ", ".join(f"{value:.5g}" for value in measured if value is not None)
        needed = claim["strength"]["seeds_needed"]
        table.add_row(claim["id"], MARKS[claim["outcome"]], claim["scope"], text, claim["criterion"], str(needed or ""))
    return table


@contextmanager
def _progress(name: str):
    """A bar on a terminal, a line every ten seconds in a log; always on stderr."""
    if not err.is_terminal:
        last = 0.0

        def on_progress(progress):
            nonlocal last
            if progress.total and (time.monotonic() - last >= 10 or progress.done == progress.total):
                last = time.monotonic()
                left = f", about {progress.seconds:.0f} s left" if progress.seconds else ""
                _say(f"{name}: {progress.done} of {progress.total} trials ({progress.reused} reused){left}")

        yield on_progress
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = TextColumn(name), BarColumn(), MofNCompleteColumn(), TextColumn("trials{task.fields[note]}")
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task(name, total=None, note="")

        def on_progress(progress):
            left = f", {_duration(progress.seconds)} left" if progress.seconds else ""
            note = f" ({progress.reused} reused{left})"
            bar.update(task, total=progress.total, completed=progress.done, note=note)

        yield on_progress


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def _say(line: str, started: float | None = None) -> None:
    took = f" in {_duration(time.perf_counter() - started)}" if started is not None else ""
    err.print(f"redraw: {line}{took}", soft_wrap=True, markup=False)


def _shown(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _print_json(document) -> None:
    print(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
