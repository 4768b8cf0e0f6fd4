"""A sweep: the arms of a study at every point of a design, as resumable jobs, and what each varied value does."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from hmarl import storage
from hmarl.design import Design, design
from hmarl.job import Job, Simulate
from hmarl.measures import MEASURES, column
from hmarl.results import DESIGN_FILE, STUDY_FILE, ResultsError, load
from hmarl.run import Outcome, run_jobs
from hmarl.sensitivity import INDICES, indices
from hmarl.study import Study

WIDTH = 100
SHOWN = {"morris": "mu_star", "sobol": "ST"}


@dataclass(frozen=True)
class Sweep:
    """What a sweep found.

    Parameters
    ----------
    folder : Path
        ``OUT/STUDY-sweep``; a run lies in ``POINT/ARM/SEED`` below it.
    design : Design
        Its points.
    points : DataFrame
        One row per run: point, arm, seed, values, measures.
    indices : DataFrame
        See `hmarl.sensitivity.indices`.
    notes : tuple of str
        What is missing.
    """

    folder: Path
    design: Design
    points: pd.DataFrame
    indices: pd.DataFrame
    notes: tuple[str, ...]

    def write(self) -> None:
        """Write ``sweep.csv`` (every run, without its times) and ``indices.csv``, numbers in full."""
        timeless = self.points.drop(columns=["run_seconds", column("training_time")], errors="ignore")
        for name, frame in (("sweep.csv", timeless), ("indices.csv", self.indices)):
            storage.write_bytes(self.folder / name, frame.to_csv(index=False, lineterminator="\n").encode())

    def show(self, console: Console) -> None:
        """Print for each measure how much each varied value matters, largest first.

        Parameters
        ----------
        console : Console
            Where to print; 100 columns suffice.
        """
        shown = SHOWN.get(self.design.sample.method, "rank_correlation")
        chosen = self.indices[self.indices["index"] == shown]
        table = Table(box=None, pad_edge=False, title=f"{shown}: {INDICES[shown]}", title_justify="left")
        for place, head in enumerate(("", "index", "95 %")):
            table.add_column(head, justify="right" if place else "left", no_wrap=True)
        for (arm, measure), rows in chosen.groupby(["arm", "measure"], sort=False):
            table.add_row(f"{arm}: {MEASURES[str(measure)]}".replace("[", r"\["))
            for row in rows.sort_values("value", key=abs, ascending=False, kind="stable").to_dict("records"):
                ends = f"{row['low']:.3g} to {row['high']:.3g}" if pd.notna(row["low"]) else "-"
                table.add_row(f"  {row['path']}", f"{row['value']:.3g}", ends)
        if table.row_count:
            console.print(table)
        runs = f"{len(self.points)} runs at {len(self.design.points)} points; seeds of a point are averaged."
        for note in (runs, *self.notes):
            console.print(textwrap.fill(note, WIDTH), markup=False, highlight=False, soft_wrap=True)
        console.print(f"Results: {self.folder}", markup=False, highlight=False, soft_wrap=True)


def folder_of(study: Study, out: Path) -> Path:
    """Where the sweep of a study is stored.

    Parameters
    ----------
    study : Study
        The study.
    out : Path
        Folder of all runs.

    Returns
    -------
    Path
        Beside the folder of the study itself.
    """
    return out / f"{study.name}-sweep"


def run_sweep(
    study: Study,
    *,
    arms: Sequence[str] | None = None,
    jobs: int = 1,
    data: Path | None = None,
    out: Path = Path("runs"),
    fresh: bool = False,
    console: Console | None = None,
    simulate: Simulate | None = None,
) -> Outcome:
    """Run all jobs of a sweep that are not finished yet.

    Parameters
    ----------
    study : Study
        With ``vary``.
    arms, jobs, data, out, fresh, console, simulate
        As for `hmarl.run.run_study`.

    Returns
    -------
    Outcome
        A job that fails does not stop the others.

    Raises
    ------
    StudyError
        If a point is not allowed; nothing has been run then.
    RunFolderError
        If the folder holds a sweep over other points.
    """
    plan, folder = design(study), folder_of(study, out)
    names = [study.arm(name).name for name in arms] if arms else [arm.name for arm in study.arms]
    wanted = [
        Job(
            changed.arm(arm), seed, storage.job_folder(folder.parent, folder.name + f"/{point}", arm, seed), data, point
        )
        for point, changed in plan.studies(study).items()
        for seed in study.seeds
        for arm in names
    ]
    _claim(folder, plan, fresh=fresh)
    storage.write_bytes(folder / STUDY_FILE, study.to_yaml().encode())
    cluster = study.run if study.run.executor == "ray" else None
    return run_jobs(
        wanted,
        folder=folder,
        jobs=jobs,
        data=data,
        fresh=fresh,
        console=console,
        simulate=simulate,
        cluster=cluster,
    )


def collect(study: Study, out: Path) -> Sweep:
    """Read the finished runs of a sweep and compute its indices.

    Parameters
    ----------
    study : Study
        With ``vary``.
    out : Path
        Folder of all runs.

    Returns
    -------
    Sweep
        Where a point has no value, indices are of the rest, and a note says so.

    Raises
    ------
    ResultsError
        If nothing finished is there.
    """
    plan, folder = design(study), folder_of(study, out)
    summary = load(folder).summary
    if "point" not in summary.columns:
        raise ResultsError(f"{folder} holds no sweep; run it with hmarl sweep.")
    frame, notes = indices(plan, summary, study.measure)
    return Sweep(folder, plan, summary, frame, tuple(notes))


def _claim(folder: Path, plan: Design, *, fresh: bool) -> None:
    """Write down the design, or refuse a folder that was begun with another one."""
    held = storage.read_json(folder / DESIGN_FILE)
    if held is not None and held.get("points") != plan.described()["points"] and not fresh:
        raise storage.RunFolderError(
            f"{folder} holds a sweep over other points ({', '.join(held.get('paths', []))}; "
            f"{len(held.get('points', {}))} points); use --fresh to replace it or --out DIR to keep both."
        )
    if fresh and held is not None:
        for name in held.get("points", {}):
            if name not in plan.points:
                shutil.rmtree(folder / name, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    storage.write_json(folder / DESIGN_FILE, plan.described())
