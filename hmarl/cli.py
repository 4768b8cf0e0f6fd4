"""The command line. Everything heavy is imported inside the commands, so that --help is quick."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from hmarl.job import Failure
    from hmarl.results import Results
    from hmarl.study import Study

MISTAKE = 2
FAILED = 1
AGAIN = Path("runs-again")
"""Where a manifest is run again if nothing is said: the first run stays as it is."""

app = typer.Typer(
    help="Simulate hierarchical electricity markets: prosumers that trade and learn below, an aggregator and a "
    "wholesale market above.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="A study file, or the name of a shipped study.")]
KindName = Annotated[
    str, typer.Argument(metavar="policies|auctions|markets|leaders|forecasts|sources", help="Which names to list.")
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Change one value; repeatable.")
]
Arms = Annotated[list[str] | None, typer.Option("--arm", metavar="NAME", help="Only this arm; repeatable.")]
Seeds = Annotated[int | None, typer.Option("--seeds", metavar="N", min=1, help="Seeds 0 .. N-1 instead of the file's.")]
Jobs = Annotated[
    int | None, typer.Option("--jobs", metavar="N", min=1, help="Processes at a time (default: all cores).")
]
Data = Annotated[str | None, typer.Option("--data", metavar="DIR", help="Folder of real data (else HMARL_DATA).")]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the results.")]
Found = Annotated[
    str, typer.Argument(metavar="RUNS", help="A folder that `hmarl run` wrote, a pattern, or a study in --out.")
]
Baseline = Annotated[str | None, typer.Option("--baseline", metavar="ARM", help="Instead of the study's first arm.")]
Measures = Annotated[list[str] | None, typer.Option("--measure", metavar="NAME", help="Only this one; repeatable.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Redo and replace what is in the run folders.")]
TensorBoard = Annotated[
    bool, typer.Option("--tensorboard", help="Also log training for TensorBoard, in the run folders.")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show where in the code an error arose.")]


@app.command()
def run(
    study: StudyName,
    arm: Arms = None,
    settings: Settings = None,
    seeds: Seeds = None,
    jobs: Jobs = None,
    data: Data = None,
    out: Out = Path("runs"),
    fresh: Fresh = False,
    tensorboard: TensorBoard = False,
    debug: Debug = False,
) -> None:
    """Run a study, or the manifest.json of a run again; print and store the summary. Finished seeds are kept."""
    from hmarl.datafind import data_dir  # noqa: PLC0415
    from hmarl.run import run_study  # noqa: PLC0415
    from hmarl.summary import summarize  # noqa: PLC0415

    folder = data_dir(data)
    before = Path(study).parent if study.endswith(".json") else None
    checked = _read(study, settings, seeds) if before is None else _as_then(study, folder, settings, seeds)
    out = AGAIN if before is not None and out == Path("runs") else out
    outcome = run_study(
        checked,
        arms=arm,
        jobs=_at_a_time(checked, jobs),
        data=folder,
        out=out,
        fresh=fresh,
        console=_console(stderr=True),
        tensorboard=tensorboard,
    )
    summary = summarize(checked, out)
    if summary.rows:
        summary.write()
        summary.show(_console())
    if summary.rows and checked.rank:
        from hmarl.ranking import rank  # noqa: PLC0415
        from hmarl.results import load  # noqa: PLC0415

        ranking = rank(load(out / checked.name), checked.rank)
        ranking.write()
        ranking.show(_console())
    if before is not None and outcome.done:
        from hmarl.again import verdict  # noqa: PLC0415

        typer.echo(verdict(before, out / checked.name / checked.baseline.name / str(checked.seeds[0])))
    _tell(outcome.failures, debug=debug)


@app.command()
def check(study: StudyName, settings: Settings = None, seeds: Seeds = None, debug: Debug = False) -> None:
    """Check a study without running it: list every mistake, or what each arm will do."""
    from hmarl.fitting import check_followers  # noqa: PLC0415

    checked = _read(study, settings, seeds)
    check_followers(checked, checked.arms)
    days = checked.baseline.calendar
    echo = typer.echo
    echo(f"{checked.name}: {len(checked.arms)} arms x {len(checked.seeds)} seeds, no mistakes found")
    echo(
        f"  days       {days.days} from {days.start} in {days.zone}, steps of {days.step}: "
        f"{len(days.training_days)} for training, {len(days.held_out_days)} held out"
    )
    home = checked.baseline.community
    echo(f"  community  {_settings(home.source.name, home.source.parameters)}, batteries in {home.battery:.0%}")
    for arm in checked.arms:
        echo(f"  {arm.name}{' (baseline)' if arm.baseline else ''}")
        for label, plugin in (("leader", arm.leader), ("followers", arm.followers), ("auction", arm.auction)):
            echo(f"    {label:<10} {_settings(plugin.name, plugin.parameters)}")
        above = arm.wholesale
        market = f"{above.market.name} on {above.case} at bus {above.bus}, x {above.replication}" if above else "none"
        echo(f"    {'wholesale':<10} {market}")
    if checked.vary:
        from hmarl.design import design  # noqa: PLC0415

        points = design(checked)
        points.studies(checked)  # every point is checked as well
        echo(f"  sweep      {', '.join(points.paths)}: {len(points.points)} points ({checked.sample.method})")


@app.command()
def sweep(
    study: StudyName,
    arm: Arms = None,
    settings: Settings = None,
    seeds: Seeds = None,
    jobs: Jobs = None,
    data: Data = None,
    out: Out = Path("runs"),
    fresh: Fresh = False,
    debug: Debug = False,
) -> None:
    """Run a study at every point of its `vary` and `sample`; say what each varied value does."""
    from hmarl.datafind import data_dir  # noqa: PLC0415
    from hmarl.sweep import collect, folder_of, run_sweep  # noqa: PLC0415

    folder = data_dir(data)
    checked = _read(study, settings, seeds)
    outcome = run_sweep(
        checked,
        arms=arm,
        jobs=_at_a_time(checked, jobs),
        data=folder,
        out=out,
        fresh=fresh,
        console=_console(stderr=True),
    )
    if any(folder_of(checked, out).rglob("manifest.json")):
        found = collect(checked, out)
        found.write()
        found.show(_console())
    _tell(outcome.failures, debug=debug)


@app.command()
def compare(
    runs: Found,
    baseline: Baseline = None,
    measure: Measures = None,
    out: Out = Path("runs"),
    debug: Debug = False,
) -> None:
    """Hold every arm against the baseline, pair by pair; print the table and store it as compare.csv."""
    results = _results(runs, out)
    found = results.compare(baseline, measure)
    found.show(_console())
    _console().print(f"Table: {found.write(results.folder / 'compare.csv')}", markup=False, soft_wrap=True)


@app.command()
def report(runs: Found, out: Out = Path("runs"), debug: Debug = False) -> None:
    """Write report.html of a study: one page that needs nothing else; its figures as SVG files beside it."""
    from hmarl.report.page import report_folder  # noqa: PLC0415

    page = report_folder(_where(runs, out))
    typer.echo(f"Report: {page} ({page.stat().st_size / 1e6:.1f} MB), figures in {page.parent / 'figures'}")


@app.command()
def schema(debug: Debug = False) -> None:
    """Print the JSON schema of a study file, for editors."""
    from hmarl.study_file.json_schema import study_schema  # noqa: PLC0415

    typer.echo(json.dumps(study_schema(), indent=2, ensure_ascii=False))


@app.command("list")
def list_(kind: KindName, debug: Debug = False) -> None:
    """List what can be named in a study, with a line of explanation, its source, and what a policy can play."""
    from rich.table import Table  # noqa: PLC0415

    from hmarl.study_file import plugins  # noqa: PLC0415

    headings = ["name", "what it is", "source", *(["plays"] if kind == "policies" else [])]
    table = Table(*headings, box=None, pad_edge=False)
    found, problems = plugins.usable(kind)
    for name in found:
        row = [name, plugins.one_line(kind, name), plugins.source(kind, name)]
        table.add_row(*row, *([plugins.plays(name)] if kind == "policies" else []))
    _console().print(table)
    for problem in problems:
        typer.echo(f"Not usable: {problem}", err=True)


def main() -> None:
    """Run the command line; users see sentences, never tracebacks (unless they say --debug).

    Raises
    ------
    SystemExit
        0 done, 1 a job failed, 2 a mistake in what was asked, 130 interrupted.
    """
    # before anything imports NumPy or torch: more threads would change last digits
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    from hmarl import interrupt  # noqa: PLC0415

    try:
        with interrupt.in_time():
            code = app(standalone_mode=False)
        if code == interrupt.CODE:  # how the command-line library reports Ctrl-C
            raise KeyboardInterrupt
        sys.exit(code if isinstance(code, int) else 0)
    except (KeyboardInterrupt, typer.Abort):
        typer.echo(interrupt.MESSAGE, err=True)
        sys.exit(interrupt.CODE)
    except BrokenPipeError:  # the reader of a pipe (head, less) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:  # the last door before the user
        if "--debug" in sys.argv:
            traceback.print_exc()
        sys.exit(_explain(error))


def _tell(failures: Sequence[Failure], *, debug: bool) -> None:
    """Say what went wrong, each sentence once, and end with a code that says so."""
    by_message: dict[str, list[Failure]] = {}
    for failure in failures:
        by_message.setdefault(failure.message, []).append(failure)
    for message, alike in by_message.items():
        typer.echo(f"Failed: {', '.join(failure.job for failure in alike)}: {message}", err=True)
        if debug:
            typer.echo(alike[0].trace, err=True)
    if not failures:
        return
    if all(failure.mistake for failure in failures):
        raise typer.Exit(MISTAKE)
    typer.echo("Run the same command again to redo only what failed.", err=True)
    raise typer.Exit(FAILED)


def _explain(error: Exception) -> int:
    if hasattr(error, "show") and hasattr(error, "exit_code"):  # a wrong option, said by the command-line library
        error.show()
        return int(error.exit_code)
    if isinstance(error, ValueError):
        typer.echo(str(error), err=True)
        return MISTAKE
    if isinstance(error, OSError) and error.errno is not None:
        from hmarl.disk import refused  # noqa: PLC0415

        typer.echo(refused(error).capitalize() if error.filename is None else refused(error), err=True)
        return FAILED
    typer.echo(f"hmarl met an error it did not expect: {type(error).__name__}: {error}", err=True)
    typer.echo("Run the same command with --debug to see where; please report it.", err=True)
    return FAILED


def _as_then(said: str, data: Path | None, settings: list[str] | None, seeds: int | None) -> Study:
    """The study of a manifest; on the error stream what differs from then."""
    from hmarl.again import differences, study_of  # noqa: PLC0415

    if settings or seeds:
        raise typer.BadParameter("a manifest is run as it is; --set and --seeds are for study files")
    study, held = study_of(Path(said))
    for one in differences(held, data, study.baseline.resolved()):
        typer.echo(f"Warning: {one}", err=True)
    return study


def _read(said: str, settings: list[str] | None, seeds: int | None) -> Study:
    from hmarl.shipped import find  # noqa: PLC0415
    from hmarl.study import Study  # noqa: PLC0415

    study = Study.read(find(said))
    if settings:
        study = study.set(*settings)
    return study.change(seeds=seeds) if seeds else study


def _at_a_time(study: Study, said: int | None) -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return said or study.run.jobs or cores


def _results(said: str, out: Path) -> Results:
    from hmarl.results import load  # noqa: PLC0415

    return load(_where(said, out))


def _where(said: str, out: Path) -> str | Path:
    return out / said if not Path(said).exists() and (out / said).is_dir() else said


def _console(*, stderr: bool = False) -> Console:
    from rich.console import Console  # noqa: PLC0415

    # without a terminal the width is unknown, and tables must not be squeezed into 80
    found = Console(stderr=stderr)
    return found if found.is_terminal else Console(stderr=stderr, width=100)


def _settings(name: str, parameters: dict[str, object]) -> str:
    return f"{name} ({', '.join(f'{key} {value}' for key, value in parameters.items())})" if parameters else name


if __name__ == "__main__":
    main()
