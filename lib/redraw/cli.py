"""The `redraw` command. Numerical libraries load only when a request has been found right."""

import gc
import json
import os
import signal
import sys
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from redraw.workbook import CardError, NotebookError, ParameterError, find_project
from redraw.workbook._engines import engine_of, slurm_options
from redraw.workbook._notebooks import imported, kernel_at_hand
from redraw.workbook._project import default_jobs
from redraw.workbook._startup import importing, without_compiler, without_uri_grammar
from redraw.workbook._versions import find_records, find_version

ABOUT = "Runs the studies of training-science papers again and rules on their claims. Begin with `redraw list`."
app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None, help=ABOUT)
data_app = typer.Typer(no_args_is_help=True, help="Datasets: what there is, where it comes from, whether it is intact.")
app.add_typer(data_app, name="data")

UsageError = typer.BadParameter.__base__  # typer carries click inside, under names of its own
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


def _gone():
    """A reader that goes away, as in `redraw show STUDY | head`, is no error of ours."""
    raise BrokenPipeError


out.on_broken_pipe = _gone  # rich would leave with 1


def main() -> None:
    """Entry point: runs a command and turns whatever goes wrong into one line and the exit code of the contract."""
    without_uri_grammar()
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup
            signal.signal(number, _interrupt)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # a terminal without our marks is no reason to fail
    code = _exit_code()
    gc.freeze()  # or the interpreter goes over all that the libraries made, 1 s, before it ends
    sys.exit(code)


def _interrupt(*_):
    raise KeyboardInterrupt


def _exit_code() -> int:
    try:
        command = typer.main.get_command(app)  # called by hand, since app() would swallow Ctrl-C
        with command.make_context("redraw", sys.argv[1:]) as context:
            code = command.invoke(context)
        sys.stdout.flush()
        return code if isinstance(code, int) else DONE
    except typer.Exit as leaving:
        return leaving.exit_code
    except (CardError, NotebookError, ParameterError) as error:
        return _complain(error, WRONG)
    except UsageError as error:
        message = error.format_message()
        if not message.startswith("Usage:"):  # nothing was asked for, and the help says what can be
            return _complain(message.replace("Input should be", "must be"), WRONG)
        print(message, file=sys.stderr)
        return WRONG
    except (KeyboardInterrupt, typer.Abort) as error:
        kept = "".join(f"; {note}" for note in getattr(error, "__notes__", ()))
        return _complain(f"interrupted; finished trials stay, the same command goes on from them{kept}", INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except Exception as error:
        return _complain(error, _exit_code_of(error))


def _exit_code_of(error: Exception) -> int:
    """The exit code of an error from the numerical side, whose classes are loaded by now."""
    from redraw._cli_refine import NormsError
    from redraw._cli_scaling import FitError
    from redraw._cli_selection import SelectionRequestError
    from redraw.data import DataCorrupt, DataUnavailable, UnknownDataset

    own = FitError | NormsError | SelectionRequestError
    if isinstance(error, own | CardError | NotebookError | ParameterError | UnknownDataset | DataCorrupt):
        return WRONG
    return BLOCKED if isinstance(error, DataUnavailable) else FAILED


def _complain(error: Exception | str, code: int) -> int:
    """Say in one line what is wrong and where more is kept; missing data has a line for each source tried."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    if isinstance(error, Exception) and not type(error).__module__.startswith("redraw."):
        lines[0] = f"{type(error).__name__}: {lines[0]}"
    lines[0] += "".join(f"; {note}" for note in getattr(error, "__notes__", ()))
    print("redraw:", "\n".join(lines if code == BLOCKED else lines[:1]), file=sys.stderr)
    return code


@app.command("list")
def list_studies(as_json: Json = False) -> None:
    """The studies, and where their claims stand."""
    from redraw.workbook import newest_versions
    from redraw.workbook._standing import standings

    project, rows = find_project(), []
    for name in project.studies():
        card = project.card(name)
        newest = next(iter(newest_versions(project.reports, name).values()), None)
        outcomes = [ruling["outcome"] for _, ruling in standings(project.reports, card).values()]
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
    jobs: Annotated[int, typer.Option(min=1, help="Local processes (default: one a core; 1 for smoke).")] = None,
    deadline: Annotated[float, typer.Option(metavar="MINUTES", help="End the run after so long.")] = None,
    until: Annotated[bool, typer.Option("--until-decided", help="Add seeds until main claims are decided.")] = False,
    budget: Annotated[float, typer.Option("--budget-minutes", metavar="MINUTES", help="Add none beyond these.")] = None,
    source: Annotated[
        str, typer.Option("--from", metavar="VERSION", help="Do not compute the trials that a version recorded.")
    ] = None,
    engine: Annotated[
        str, typer.Option(help="What computes: processes (here), serial, dask, dask:ADDRESS or slurm.")
    ] = "processes",
    slurm: Annotated[
        list[str], typer.Option("--slurm", metavar="KEY=VALUE", help="What a job asks for: partition, time, mem ...")
    ] = [],  # noqa: B006
    script: Annotated[bool, typer.Option("--script", help="Print what sbatch would be given, and end.")] = False,
    batch: Annotated[
        bool, typer.Option("--batch-seeds/--no-batch-seeds", help="Train seeds side by side (default: on CUDA only).")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every study.")] = False,
    dry: Annotated[bool, typer.Option("--dry-run", help="Say what it would cost and decide; run nothing.")] = False,
    as_json: Json = False,
) -> int:
    """Run a study into a new version under reports/; the same inputs again do nothing."""
    project = find_project()
    if bool(study) == everything:
        raise ParameterError(f"study: name one of {', '.join(project.studies()) or 'none yet'}, or give --all")
    overrides = _assignments(parameter)
    if until != (budget is not None):
        raise ParameterError("budget-minutes: must be given with --until-decided, and only then")
    if until and not 0 < budget < 1e6:
        raise ParameterError(f"budget-minutes: must be a number of minutes above 0, got {budget:g}")
    if deadline is not None and not 0 < deadline < 1e6:
        raise ParameterError(f"deadline: must be a number of minutes above 0, got {deadline:g}")
    if source is not None and everything:
        raise ParameterError("from: names a version of one study, so it cannot be given with --all")
    if dry and until:
        raise ParameterError("dry-run: must be given without --until-decided, which fixes no number of trials before")
    default_jobs(preset)  # refuses a wrong REDRAW_JOBS
    studies = project.studies() if everything else [study]
    for name in studies:  # refuse what is wrong in any of them before the first starts
        project.card(name).resolve(preset, overrides)
        project.notebook(name)
        project.find_module(name)
    records = find_records(project, study, source) if source is not None else None
    if script:
        return _script(engine, slurm, batch, project, studies, preset, overrides, records)
    computing, jobs, has_cuda = engine_of(engine, jobs, slurm, _say)  # which starts nothing
    if dry:
        from redraw._cli_estimate import dry_run

        found = dry_run(project, studies, preset, overrides, jobs, records, batch, has_cuda, engine)
        for name in studies if computing is None else ():
            if why := _lacks_device(project, name, preset, overrides, records):
                _say(f"{name}: this machine would refuse the run: {why}")
        return _print_json(found.plain if everything else found.plain[0]) if as_json else out.print(found.page)
    code, documents = DONE, []
    for name in studies:
        started = time.perf_counter()
        try:
            with kernel_at_hand({}, imported(project.notebook(name))) as execute, _progress(name) as on_progress:
                with importing():  # while the kernel loads the same
                    from redraw.workbook import Store, run_study, until_decided
                    from redraw.workbook._batched import device_of

                    project.module(name)
                without_compiler()
                store = Store(records=records)
                store.ready()
                if computing is None and (why := _lacks_device(project, name, preset, overrides, records)):
                    raise ParameterError(f"parameter {why}")
                begin = partial(until_decided, budget_minutes=budget) if until else run_study
                done = begin(
                    project,
                    name,
                    preset=preset,
                    overrides=overrides,
                    jobs=jobs or default_jobs(preset),
                    store=store,
                    engine=computing,
                    device=device_of(batch, has_cuda),
                    device_asked=bool(batch),
                    deadline=deadline,
                    execute=execute,
                    on_progress=on_progress,
                    say=_say,
                )
        except Exception as error:  # the other studies go on
            code = _worse(code, _complain(error, _exit_code_of(error)))
            continue
        documents.append(_results(done.version))
        _say(f"{'published' if done.published else 'up to date:'} {_shown(done.version.path)}", started)
        if done.blocked:
            _say(done.blocked)
            code = _worse(code, BLOCKED)
        if not as_json:
            out.print(_verdicts(done.verdicts))
    if as_json:
        _print_json(documents if everything else documents[0] if documents else None)
    elif documents:
        out.print(f"The board: {_shown(project.reports / 'index.html')}", soft_wrap=True)
    return code


def _script(engine: str, slurm: list[str], batch, project, studies: list[str], preset, overrides, records) -> int:
    """Print the sbatch script for the trials of a study that are not stored yet."""
    if engine != "slurm" or len(studies) != 1:
        raise ParameterError("script: must be given with --engine slurm and one study")
    options = slurm_options(slurm, installed=True)
    from redraw.workbook._batched import device_of, groups
    from redraw.workbook._slurm import script

    device = device_of(batch, lambda: options.gpus > 0)
    missing, store = _to_compute(project, studies[0], preset, overrides, records, device)
    work = groups(missing, 1 if device == "cuda" else options.array)
    together = f" in {len(work)} groups" if len(work) < len(missing) else ""
    what = f"{len(missing)} trials to compute{together}, {options.per_job} a job, {options.array} jobs at a time"
    _say(f"{studies[0]}: {what}")
    if missing:
        print(script(options, store, len(work)))
    return DONE


def _lacks_device(project, study: str, preset: str, overrides: dict, records: Path | None) -> str:
    """Why this machine cannot compute a study's trials: they ask for CUDA and it has none; empty where it can."""
    if project.card(study).resolve(preset, overrides).get("device") != "cuda":
        return ""
    import torch

    if torch.cuda.is_available() or not _to_compute(project, study, preset, overrides, records)[0]:
        return ""
    return "device: must be cpu, since there is no CUDA device here, got cuda"


def _to_compute(
    project, study: str, preset: str, overrides: dict, records: Path | None, device: str | None = None
) -> tuple[list, Any]:
    """The trials of a study that are not stored yet, those alike together on `device`, and the store."""
    from redraw.workbook import Store
    from redraw.workbook._batched import batched
    from redraw.workbook._trials import _missing

    store = Store(records=records)
    try:
        planned = project.module(study).plan(**project.card(study).resolve(preset, overrides))
    except ValueError as error:
        raise ParameterError(f"parameter {error}") from None
    return _missing(batched(planned, device), store), store


@app.command()
def board(
    history: Annotated[bool, typer.Option("--history", help="How each verdict got there, over the versions.")] = False,
    as_json: Json = False,
) -> None:
    """Every claim with its verdict and the version in which it stands; rewrites reports/index.html.

    A claim stands in the newest version of the strongest preset that tested it.
    """
    from redraw.workbook._board import write_board
    from redraw.workbook._claims import how_many
    from redraw.workbook._standing import standings

    project = find_project()
    if history:
        return _history(project, as_json)
    cards = [project.card(name) for name in project.studies()]
    page = write_board(project.reports, cards)
    rows = []
    for card in cards:
        for version, ruling in standings(project.reports, card).values():
            rows.append({"study": card.study, "version": version.name, **ruling})
    if as_json:
        return _print_json(rows)
    table = Table("study", "claim", "verdict", "version", "scope", "from", "the paper says")
    claims = {(card.study, claim.id): claim for card in cards for claim in card.claims}
    for row in rows:
        claim = claims.get((row["study"], row["id"]))
        count = row["strength"]["seeds"]
        rests_on = how_many(count, claim.over if claim else "seeds") if count else ""
        words = claim.statement if claim else "(no longer in the card)"
        version = " ".join(row["version"].split("-")[:2])
        table.add_row(row["study"], row["id"], MARKS[row["outcome"]], version, row["scope"], rests_on, words)
    out.print(table)
    out.print(f"The board: {_shown(page)}", soft_wrap=True)


def _history(project, as_json: bool) -> None:
    from redraw import _tables
    from redraw.workbook import _history

    rows = [row for name in project.studies() for row in _history.history(project, project.card(name))]
    if as_json:
        return _print_json(rows)
    out.print(_tables.histories(rows, [_history.bars(row) for row in rows], MARKS))


@app.command()
def power(
    study: str,
    claim: str,
    preset: Annotated[str, typer.Option(help="smoke, laptop or paper (default: the strongest that tested it).")] = None,
    as_json: Json = False,
) -> None:
    """Seeds needed to decide a claim at its margin, from the spread seen so far, and what they would cost."""
    from redraw.workbook import power_of

    found = power_of(find_project(), study, claim, preset=preset)
    if as_json:
        return _print_json(found.to_dict())
    out.print(f"{study} {claim}: {found.version or 'no version'}", soft_wrap=True, markup=False)
    for words in found.words:
        out.print(words, soft_wrap=True, markup=False)


@app.command()
def diff(study: str, a: str, b: str, as_json: Json = False) -> None:
    """What differs between two versions (by number or name, or newest), and the verdicts that moved."""
    project = find_project()
    pair = [find_version(project, study, name) for name in (a, b)]
    from redraw import _tables
    from redraw.workbook import _diff

    found = _diff.diff(*pair)
    if as_json:
        return _print_json(found)
    out.print(_tables.difference(found, MARKS))


@app.command()
def crate(
    study: str,
    version: Annotated[str, typer.Argument(help="A number, a name or newest.")] = "newest",
    folder: Annotated[Path, typer.Option("--out", metavar="DIR", help="A new or empty folder.")] = ...,
) -> None:
    """A version and how it was made as an RO-Crate (Process Run Crate), to hand on or to archive."""
    from redraw.workbook._crate import write_crate

    project = find_project()
    write_crate(project, find_version(project, study, version), folder)
    out.print(f"wrote {_shown(folder.resolve())}", soft_wrap=True)


@app.command()
def render(
    study: Annotated[str, typer.Argument(help="A study; otherwise all.")] = "",
    version: Annotated[str, typer.Argument(help="A number, a name or newest; otherwise all.")] = "",
) -> None:
    """Set the pages of published versions again in today's layout, from their sealed files; rewrites the board."""
    from redraw.workbook import versions
    from redraw.workbook._board import write_board
    from redraw.workbook._rerender import render_again

    project = find_project()
    for name in [study] if study else project.studies():
        card = project.card(name)
        for one in [find_version(project, name, version)] if version else versions(project.reports, name):
            changed = render_again(one, card)
            out.print(f"{'set again' if changed else 'as it was'}: {_shown(one.path)}", soft_wrap=True)
    write_board(project.reports, [project.card(name) for name in project.studies()])


@app.command()
def pdf(
    study: str,
    version: Annotated[str, typer.Argument(help="A number, a name or newest.")] = "newest",
    file: Annotated[Path, typer.Option("--out", metavar="FILE", help="The PDF to write.")] = ...,
) -> None:
    """A version's report as a PDF with vector figures, printed by Chromium."""
    from redraw.workbook._pdf import print_page

    print_page(find_version(find_project(), study, version).path / "report.html", file)
    out.print(f"wrote {_shown(file.resolve())}", soft_wrap=True)


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
def refine(
    norms: Annotated[Path, typer.Argument(help="CSV with a gradient norm per step, in order.")],
    column: Annotated[str, typer.Option(help="The column, by name or number.")] = None,
    optimizer: Annotated[str, typer.Option(help="sgd (l2 norms) or adam (l1 norms).")] = "sgd",
    width: Annotated[float, typer.Option(help="Median filter, as a share of the run.")] = 0.1,
    save: Annotated[Path, typer.Option(help="Write the schedule to a .csv, or draw it: .svg, .png, .pdf.")] = None,
    as_json: Json = False,
) -> None:
    """A learning-rate schedule refined from the gradient norms of a run of your own."""
    from redraw import _cli_refine

    found = _cli_refine.refine_file(norms, column, optimizer, width)
    if save:
        _cli_refine.save(found, save)
        _say(f"wrote {save}")
    if as_json:
        return _print_json(found.to_dict())
    out.print(_cli_refine.table(found))


@app.command()
def predict(
    params: Annotated[float, typer.Option(help="Parameters of the model, without its vocabulary.")],
    tokens: Annotated[float, typer.Option(help="Tokens to train on.")],
    law: Annotated[str, typer.Option(help="One law, by name; otherwise all.")] = None,
    loss: Annotated[float, typer.Option(help="Expected final loss (nats a token), which two of the laws need.")] = None,
    level: Annotated[float, typer.Option(help="Of the intervals.")] = 0.95,
    as_json: Json = False,
) -> None:
    """Learning rate and batch size for a model of your own, by the published laws."""
    from redraw import _cli_scaling

    found = _cli_scaling.predictions(params, tokens, law, loss, level)
    if as_json:
        return _print_json(found)
    out.print(_cli_scaling.prediction_table(found))


@app.command()
def fit(
    file: Annotated[Path, typer.Argument(help="CSV with a header, a run a row.")],
    kind: Annotated[
        str,
        typer.Option(
            help="surface: L = E + A/N^alpha + B/D^beta, columns N, D, loss. saturating: L = E + A/x^alpha, columns x, "
            "loss. power: a power law of the last column in all others. sweep: best learning rate and batch as power "
            "laws, columns N, D, lr, batch, loss."
        ),
    ] = "surface",
    columns: Annotated[
        str, typer.Option(help="Where the file's names differ: N=params,loss=val_loss. For power: those to use.")
    ] = "",
    delta: Annotated[float, typer.Option(help="Of the Huber loss (surface, saturating; 0.001).")] = None,
    threshold: Annotated[
        float, typer.Option(help="Runs this close to their cell's best count (sweep; 0.0025).")
    ] = None,
    as_json: Json = False,
) -> None:
    """A scaling law fitted to a table of your own, with standard errors and intervals."""
    from redraw import _cli_scaling

    found = _cli_scaling.fit_file(file, kind, columns, delta=delta, threshold=threshold)
    if as_json:
        return _print_json(found)
    out.print(_cli_scaling.fit_table(found))


@app.command()
def score(
    dataset: Annotated[str, typer.Option(help="Whose training examples; see `redraw data list`.")],
    save: Annotated[Path, typer.Option(help="Write the scores to a .safetensors file.")],
    method: Annotated[str, typer.Option(help="el2n, grand, loss, margin, forgetting, input_norm or random.")] = "el2n",
    network: Annotated[str, typer.Option(help="mlp, lenet_5, small_conv or resnet_18.")] = "mlp",
    epoch: Annotated[int, typer.Option(min=0, help="After so many epochs; 0 is the initialization.")] = 5,
    networks: Annotated[int, typer.Option(min=1, help="Networks to average over.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Of the first network.")] = 0,
    checkpoints: Annotated[Path, typer.Option(help="Keep each epoch's weights here, and use those kept.")] = None,
    as_json: Json = False,
) -> None:
    """Score how hard each training example of a dataset is, by networks trained for a few epochs."""
    from redraw import _cli_selection

    _cli_selection.check_place(save, ".safetensors")  # before networks train
    scores = _cli_selection.score(dataset, method, network, epoch, networks, seed, checkpoints)
    _cli_selection.save_scores(scores, save)
    _say(f"wrote {save}")
    about = _cli_selection.about(scores)
    if as_json:
        return _print_json(about)
    table = Table("scores", "")
    for name, value in about.items():
        table.add_row(name, "\n".join(value) if isinstance(value, list) else "" if value is None else str(value))
    out.print(table)


@app.command()
def select(
    scores: Annotated[Path, typer.Argument(help="A file that `redraw score` wrote.")],
    keep: Annotated[str, typer.Option(help="A fraction, or a number of examples.")],
    policy: Annotated[str, typer.Option(help="hardest, easiest, stratified or random.")] = "hardest",
    skip: Annotated[str, typer.Option(help="Leave out so many of the hardest first: a fraction or a number.")] = "0",
    balanced: Annotated[bool, typer.Option("--balanced", help="The same share of every class.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="For what is drawn at random, ties too.")] = 0,
    save: Annotated[Path, typer.Option(help="Write the ids to a .csv file.")] = None,
    as_json: Json = False,
) -> None:
    """Which examples to keep, by a file of scores: their positions in the dataset, ascending."""
    from redraw import _cli_selection

    if save:
        _cli_selection.check_place(save, ".csv")
    found = _cli_selection.select_file(scores, keep, policy, skip, balanced=balanced, seed=seed)
    if save:
        _cli_selection.save_ids(found, save)
        _say(f"wrote {save}")
    if as_json:
        return _print_json(found.to_dict())
    span = f"{found.method} from {found.lowest:.4g} to {found.highest:.4g}"
    out.print(f"{len(found.ids):,} of {found.examples:,} examples kept, {policy}: {span}")
    if not save:
        out.print(" ".join(map(str, found.ids)), soft_wrap=True, markup=False)


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
            "what": entry.about,
            "here": data.available(entry.name),
            "sources": [str(source) for source in entry.sources],
        }
        for entry in entries
    ]
    if as_json:
        return _print_json(rows)
    table = Table("dataset", "here", "what", "sources, in order")
    for row in rows:
        table.add_row(
            row["dataset"], "yes" if row["here"] else "no", row["what"], "\n".join(row["sources"]) or "none needed"
        )
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


def _worse(one: int, other: int) -> int:
    """The exit code of two pieces of work: failed before wrong before blocked before done."""
    return next(code for code in (FAILED, WRONG, BLOCKED, DONE) if code in (one, other))


def _assignments(texts: list[str]) -> dict[str, str]:
    """The overrides that -p gives, each parameter once."""
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals or not name:
            raise ParameterError(f"parameter {text!r}: must be NAME=VALUE")
        if name in found:
            raise ParameterError(f"parameter {name}: must be given once, got {found[name]!r} and {value!r}")
        found[name] = value
    return found


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
