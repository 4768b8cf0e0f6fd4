"""Results of finished runs as tidy tables: ``load("runs/quickstart").agents`` and so on, units in the column names."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from hmarl import storage
from hmarl.measures import MEASURES, column
from hmarl.study_file import yaml_reader
from hmarl.study_file.problems import nearest

if TYPE_CHECKING:
    from hmarl.compare import Comparison

KEYS = ("study", "point", "arm", "seed")
"""Columns that every table begins with; ``point`` only where a sweep was loaded."""
STUDY_FILE, DESIGN_FILE = "study.yaml", "design.json"


class ResultsError(ValueError):
    """Results that cannot be read as asked; the message says what there is."""


@dataclass(frozen=True)
class Run:
    """One finished job.

    Parameters
    ----------
    folder : Path
        Run folder.
    study, arm : str
        Their names.
    seed : int
        Of the run.
    point : str or None
        Of a sweep.
    values : dict
        Path -> value that the sweep gave this point.
    manifest, certificate, measures : dict
        What lies in the folder.
    """

    folder: Path
    study: str
    arm: str
    seed: int
    point: str | None
    values: dict[str, Any] = field(repr=False)
    manifest: dict[str, Any] = field(repr=False)
    certificate: dict[str, Any] = field(repr=False)
    measures: dict[str, float] = field(repr=False)

    @property
    def resolved(self) -> dict[str, Any]:
        """Every setting of the run."""
        return dict(self.manifest.get("resolved") or {})

    @property
    def keys(self) -> dict[str, Any]:
        """Values of the key columns."""
        keys = {"study": self.study, "point": self.point, "arm": self.arm, "seed": self.seed}
        return {name: value for name, value in keys.items() if value is not None}

    def names(self) -> list[str]:
        """Tables of this run, sorted.

        Returns
        -------
        list of str
            File names without ``.parquet``.
        """
        return sorted(path.stem for path in self.folder.glob("*.parquet"))

    def table(self, name: str) -> pd.DataFrame:
        """Read one table as it was stored.

        Parameters
        ----------
        name : str
            One of ``names()``.

        Returns
        -------
        DataFrame
            Empty if this run has no such table.
        """
        path = self.folder / f"{name}.parquet"
        return pd.read_parquet(path) if path.is_file() else pd.DataFrame()


@dataclass(frozen=True)
class Results:
    """Finished runs and their tables; money is in the currency of the study, + = paid, energy + = import.

    Parameters
    ----------
    where : str
        What was loaded.
    runs : tuple of Run
        By study, point, arm (in the order of the study file) and seed.
    unfinished : tuple of Path
        Run folders that were begun and hold no result.
    about : dict
        What the study file says once: title, measures, ranking, names of the arms (the first is the baseline); empty if
        it is not there.
    """

    where: str
    runs: tuple[Run, ...]
    unfinished: tuple[Path, ...] = ()
    about: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def names(self) -> list[str]:
        """Tables that at least one run has, and ``summary`` and ``days``."""
        return sorted({name for run in self.runs for name in run.names()} | {"summary", "days"})

    @property
    def folder(self) -> Path:
        """The lowest folder that holds all runs."""
        return Path(os.path.commonpath([run.folder.parent for run in self.runs]))

    @property
    def arms(self) -> list[str]:
        """Arms with a finished run, the baseline first."""
        return list(dict.fromkeys(run.arm for run in self.runs))

    def table(self, name: str) -> pd.DataFrame:
        """One table of all runs.

        Parameters
        ----------
        name : str
            One of ``names``.

        Returns
        -------
        DataFrame
            Key columns first, then those of the parquet files; a column that a run does not have is empty there.

        Raises
        ------
        ResultsError
            If no run has such a table.
        """
        if name not in self.names:
            close = nearest(name, self.names)
            hint = f"; did you mean {close!r}?" if close else ""
            raise ResultsError(f"There is no table {name!r} in {self.where} (tables: {', '.join(self.names)}){hint}")
        if name in ("summary", "days"):
            return self.summary if name == "summary" else self.days
        return self._joined(lambda run: run.table(name))

    @cached_property
    def summary(self) -> pd.DataFrame:
        """One row per run: values of a sweep, replication, whether it converged, every measure with its unit."""
        rows = []
        for run in self.runs:
            measures = {column(name): _number(value) for name, value in run.measures.items()}
            about = {
                "replication": run.manifest.get("replication"),
                "converged": run.certificate.get("converged"),
                "run_seconds": (run.manifest.get("machine") or {}).get("seconds"),
            }
            rows.append({**run.keys, **run.values, **about, **measures})
        known = [column(name) for name in MEASURES]
        frame = pd.DataFrame(rows)
        first = [name for name in frame.columns if name not in known]
        return frame[[*first, *(name for name in known if name in frame.columns)]]

    @cached_property
    def days(self) -> pd.DataFrame:
        """One row per run and day: what one community cost, bought, and brought its aggregator."""
        from hmarl.daily import daily  # noqa: PLC0415

        return self._joined(daily)

    @cached_property
    def iterations(self) -> pd.DataFrame:
        """One row per round of leader and followers."""
        return self.table("iterations")

    @cached_property
    def tariffs(self) -> pd.DataFrame:
        """One row per round and step of the day: prices in force."""
        return self.table("tariffs")

    @cached_property
    def steps(self) -> pd.DataFrame:
        """One row per step: energy, prices, accounts."""
        return self.table("steps")

    @cached_property
    def agents(self) -> pd.DataFrame:
        """One row per home and day: its bill and its energy."""
        return self.table("agents")

    @cached_property
    def trades(self) -> pd.DataFrame:
        """One row per home and step with a peer trade, exact."""
        return self.table("trades")

    @cached_property
    def training(self) -> pd.DataFrame:
        """One row per update of the followers."""
        return self.table("training")

    def compare(self, baseline: str | None = None, measures: Iterable[str] | None = None) -> Comparison:
        """Hold every arm against the baseline, pair by pair.

        Parameters
        ----------
        baseline : str, optional
            Arm; that of the study if left out.
        measures : iterable of str, optional
            Names of `hmarl.measures.MEASURES`; those of the study if left out.

        Returns
        -------
        Comparison
            ``.frame`` is the table.

        Raises
        ------
        ResultsError
            If there is nothing to compare.
        """
        from hmarl.compare import compare  # noqa: PLC0415

        return compare(self, baseline, None if measures is None else list(measures))

    def _joined(self, read: Callable[[Run], pd.DataFrame]) -> pd.DataFrame:
        frames = []
        for run in self.runs:
            frame = read(run)
            frames.append(pd.concat([pd.DataFrame([run.keys] * len(frame), index=frame.index), frame], axis=1))
        full = [frame for frame in frames if len(frame)]
        return pd.concat(full or frames[:1], ignore_index=True)


def load(where: str | Path) -> Results:
    """Load finished runs.

    Parameters
    ----------
    where : str or Path
        A folder (of one run, an arm, a study, a sweep, or of all runs), or a pattern like ``runs/*/stackelberg``.

    Returns
    -------
    Results
        Tables are read when asked for.

    Raises
    ------
    ResultsError
        If nothing finished is there, or the same run twice.
    """
    folders = [Path(where)] if Path(where).exists() else [Path(found) for found in sorted(glob.glob(str(where)))]  # noqa: PTH207 - absolute too
    if not folders:
        raise ResultsError(
            f"{where} is not there; give a folder that `hmarl run` wrote, e.g. runs/quickstart, or a pattern in quotes."
        )
    begun = sorted({path.parent for folder in folders for path in folder.resolve().rglob(storage.RESOLVED)})
    runs = [run for run in map(_read, begun) if run is not None]
    if not runs:
        seen = f"{len(begun)} unfinished run{'s' * (len(begun) != 1)}" if begun else "no run"
        raise ResultsError(f"{where} holds {seen} and no finished one; run its study first: hmarl run STUDY.")
    _refuse_twins(runs)
    about = {run.study: _about(run) for run in runs}
    runs.sort(key=lambda run: _order(run, about[run.study]))
    unfinished = tuple(folder for folder in begun if folder not in {run.folder for run in runs})
    return Results(str(where), tuple(runs), unfinished, about[runs[0].study] if len(about) == 1 else {})


def _read(folder: Path) -> Run | None:
    manifest = storage.read_json(folder / storage.MANIFEST)
    if manifest is None:
        return None
    storage.check_format(folder, manifest)
    resolved = manifest.get("resolved") or {}
    point: str | None = None
    values: dict[str, Any] = {}
    # a point of a sweep lies in runs/STUDY-sweep/POINT/ARM/SEED
    design = storage.read_json(folder.parents[2] / DESIGN_FILE) if len(folder.parents) > 2 else None
    if design is not None:
        point = folder.parents[1].name
        values = (design.get("points") or {}).get(point) or {}
    return Run(
        folder=folder,
        study=str(resolved.get("study", folder.parents[1].name)),
        arm=str(resolved.get("arm", folder.parent.name)),
        seed=int(manifest.get("seed", -1)),
        point=point,
        values=dict(values),
        manifest=manifest,
        certificate=storage.read_json(folder / storage.CERTIFICATE) or {},
        measures=storage.measured(folder),
    )


def _about(run: Run) -> dict[str, Any]:
    """Read what `hmarl run` noted beside the arms about the study as a whole."""
    place = run.folder.parents[2 if run.point is not None else 1] / STUDY_FILE
    values = yaml_reader.read(place.read_text(encoding="utf-8")).values if place.is_file() else None
    if not isinstance(values, dict) or not isinstance(values.get("arms"), dict):
        return {}
    return {name: values.get(name) for name in ("title", "measure", "rank")} | {"arms": list(values["arms"])}


def _order(run: Run, about: dict[str, Any]) -> tuple[Any, ...]:
    arms = about.get("arms", [])
    place = arms.index(run.arm) if run.arm in arms else len(arms)
    return run.study, run.point or "", place, run.arm, run.seed


def _refuse_twins(runs: list[Run]) -> None:
    first: dict[tuple[Any, ...], Run] = {}
    for run in runs:
        keys = tuple(run.keys.values())
        if keys in first:
            said = f"study {run.study}, arm {run.arm}, seed {run.seed}"
            raise ResultsError(f"{said} is there twice: {first[keys].folder} and {run.folder}; load one of the two.")
        first[keys] = run


def _number(value: Any) -> float:
    """Undo what JSON does to numbers it does not know."""
    return float(value)
