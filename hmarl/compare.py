"""Arms against the baseline, pair by pair: the same seed and, where a run has days, the same held-out day."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hmarl import storage
from hmarl.daily import DAILY
from hmarl.measures import BETTER, MEASURES, column, unit
from hmarl.results import Results, ResultsError
from hmarl.statistics import Range, iqm, resampled
from hmarl.study_file.problems import nearest

Array = NDArray[np.float64]
WIDTH = 100
FEW_SEEDS = 10
"""Below this the bootstrap covers noticeably less than it says: with seeds and days of equal spread and 7 days we
measured 83 % at three seeds, 87 % at five, 93 % at ten."""


@dataclass(frozen=True)
class Comparison:
    """Differences of all arms to the baseline.

    Parameters
    ----------
    baseline : str
        Arm that the others are held against.
    frame : DataFrame
        One row per arm and measure: arm, baseline, measure, unit, pairs_by (``seed and day`` or ``seed``), seeds, days,
        baseline_mean, percent, mean, iqm and improvement, the last three with ``_low`` and ``_high`` (95 % bootstrap).
        Mean and IQM are of the paired differences, arm less baseline, in the unit of the measure; percent is the mean
        difference as a share of the baseline's mean; improvement is the share of pairs in which the arm is better, ties
        counting half, empty where more is neither better nor worse.
    former : tuple of str
        Arms that are in the folder but no longer in the study.
    """

    baseline: str
    frame: pd.DataFrame
    former: tuple[str, ...] = ()

    def write(self, path: Path) -> Path:
        """Write the table as CSV, numbers in full.

        Parameters
        ----------
        path : Path
            In an existing folder.

        Returns
        -------
        Path
            Of the file.
        """
        storage.write_bytes(path, self.frame.to_csv(index=False, lineterminator="\n").encode())
        return path

    def show(self, console: Console) -> None:
        """Print the table and what it rests on.

        Parameters
        ----------
        console : Console
            Where to print; 100 columns suffice.
        """
        table = Table(box=None, pad_edge=False, title=f"Difference to {self.baseline}", title_justify="left")
        for place, head in enumerate(("", "mean (95 %)", "IQM (95 %)", "better in (95 %)")):
            table.add_column(head, justify="right" if place else "left", no_wrap=True)
        for arm, rows in self.frame.groupby("arm", sort=False):
            table.add_row(f"[bold]{arm}[/bold]")
            for row in rows.to_dict("records"):
                table.add_row(f"  {escape(MEASURES[row['measure']])}", *_cells(row))
        console.print(table)
        for note in self.notes():
            console.print(textwrap.fill(note, WIDTH), markup=False, highlight=False, soft_wrap=True)

    def notes(self) -> list[str]:
        """Say what the figures rest on.

        Returns
        -------
        list of str
            Sentences.
        """
        notes = [
            "Paired differences, arm less baseline: same seed, same homes, same weather. IQM: mean of the middle half "
            "of the pairs. Better in: share of pairs in which the arm is better. Bootstrap over seeds and, inside "
            "them, days."
        ]
        for by, rows in self.frame.groupby("pairs_by"):
            seeds, days = int(rows["seeds"].min()), int(rows["days"].min())
            counts = _count(seeds, "seed") + (f", {_count(days, 'day')}" if by == "seed and day" else "")
            notes.append(f"Paired by {by} ({counts}): {', '.join(rows['measure'].unique())}.")
        if self.former:
            notes.append(
                f"No longer in the study, from earlier runs: {', '.join(self.former)}; delete their folders to leave "
                "them out."
            )
        if self.frame["seeds"].min() < FEW_SEEDS:
            notes.append(
                f"Fewer than {FEW_SEEDS} seeds: bootstrap intervals are too narrow; those of the summary (t) are "
                "safer, and a single seed only says how days differ. Ask for more with --seeds."
            )
        return notes


def compare(results: Results, baseline: str | None = None, measures: list[str] | None = None) -> Comparison:
    """Hold every arm against the baseline.

    Parameters
    ----------
    results : Results
        Of one study, no sweep.
    baseline : str, optional
        Arm; that of the study if left out.
    measures : list of str, optional
        Names of `hmarl.measures.MEASURES`; those of the study if left out.

    Returns
    -------
    Comparison
        Measures that have a value on every day are paired by seed and held-out day, the others by seed.

    Raises
    ------
    ResultsError
        If there are several studies, a single arm, no such arm or measure, or no common seed.
    """
    _refuse_mixed(results)
    base = _baseline(results, baseline)
    chosen = _measures(results, measures)
    rows = []
    for arm in results.arms:
        if arm == base:
            continue
        for measure in chosen:
            row = _row(results, arm, base, measure)
            if row is not None:
                rows.append(row)
    if not rows:
        raise ResultsError(f"No arm in {results.where} shares a seed with {base}; run the arms with the same seeds.")
    known = results.about.get("arms", results.arms)
    return Comparison(base, pd.DataFrame(rows), tuple(arm for arm in results.arms if arm not in known))


def pairs(results: Results, arm: str, base: str, measure: str) -> tuple[Array, Array, str]:
    """Values of two arms under the same luck.

    Parameters
    ----------
    results : Results
        Of one study.
    arm, base : str
        Arms.
    measure : str
        Name in `hmarl.measures.MEASURES`.

    Returns
    -------
    own, other : array [S, D]
        In the unit of the measure; common seeds and days only, D = 1 if paired by seed.
    by : str
        ``seed and day`` or ``seed``.
    """
    name = column(measure)
    if measure in DAILY and name in results.days.columns:
        days = results.days[results.days["judged"]]
        tables = [
            days[days["arm"] == one].pivot_table(index="seed", columns="day", values=name, observed=True)
            for one in (arm, base)
        ]
        by = "seed and day"
    else:
        if name not in results.summary.columns:
            return np.empty((0, 0)), np.empty((0, 0)), "seed"
        summary = results.summary.set_index("seed")
        tables = [summary.loc[summary["arm"] == one, [name]] for one in (arm, base)]
        by = "seed"
    own, other = (table.dropna(how="all") for table in tables)
    seeds = own.index.intersection(other.index)
    columns = own.columns.intersection(other.columns)
    left, right = own.loc[seeds, columns].to_numpy(float), other.loc[seeds, columns].to_numpy(float)
    both = np.isfinite(left).all(axis=0) & np.isfinite(right).all(axis=0)
    return left[:, both], right[:, both], by


def _row(results: Results, arm: str, base: str, measure: str) -> dict[str, object] | None:
    own, other, by = pairs(results, arm, base, measure)
    if not own.size:
        return None
    difference = own - other
    good = BETTER.get(measure, 0)
    found = resampled(
        difference,
        {
            "mean": lambda x: np.asarray(x.mean(axis=-1)),
            "iqm": iqm,
            "improvement": lambda x: np.asarray((0.5 * (1 + np.sign(good * x))).mean(axis=-1)),
        },
    )
    if not good:
        found["improvement"] = Range(math.nan, math.nan, math.nan)
    about = {
        "arm": arm,
        "baseline": base,
        "measure": measure,
        "unit": unit(measure),
        "pairs_by": by,
        "seeds": own.shape[0],
        "days": own.shape[1] if by == "seed and day" else 0,
        "baseline_mean": float(other.mean()),
        "percent": 100 * float(difference.mean() / abs(other.mean())) if other.mean() else math.nan,
    }
    numbers: dict[str, float] = {}
    for name, estimate in found.items():
        numbers |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return about | numbers


def _refuse_mixed(results: Results) -> None:
    studies = sorted({run.study for run in results.runs})
    if len(studies) > 1:
        raise ResultsError(f"{results.where} holds several studies ({', '.join(studies)}); compare one at a time.")
    if any(run.point is not None for run in results.runs):
        raise ResultsError(f"{results.where} holds a sweep; its effects are in indices.csv, see `hmarl sweep`.")
    if len(results.arms) < 2:
        raise ResultsError(f"{results.where} holds only arm {results.arms[0]}; a comparison needs two, run another.")


def _baseline(results: Results, said: str | None) -> str:
    known = results.about.get("arms") or []
    base = said or (known[0] if known else None)
    names = ", ".join(results.arms)
    if base is None:
        raise ResultsError(
            f"{results.where} does not say which arm is the baseline; say --baseline ARM (arms: {names})."
        )
    if base not in results.arms:
        close = nearest(base, results.arms)
        hint = f"; did you mean {close!r}?" if close else ""
        raise ResultsError(
            f"There is no finished run of the baseline {base!r} in {results.where} (arms: {names}){hint}"
        )
    return base


def _measures(results: Results, said: list[str] | None) -> list[str]:
    chosen = said or results.about.get("measure") or list(MEASURES)
    for name in chosen:
        if name not in MEASURES:
            close = nearest(name, MEASURES)
            hint = f"; did you mean {close!r}?" if close else ""
            raise ResultsError(f"There is no measure {name!r} (measures: {', '.join(MEASURES)}){hint}")
    return list(chosen)


def _cells(row: dict[Any, Any]) -> list[str]:
    sizes = [abs(row[name]) for name in ("mean", "iqm", "baseline_mean") if math.isfinite(row[name]) and row[name]]
    digits = min(max(2 - math.floor(math.log10(min(max(sizes, default=1.0), 1e6))), 0), 5)
    cells = []
    for name in ("mean", "iqm", "improvement"):
        value, low, high = row[name], row[f"{name}_low"], row[f"{name}_high"]
        if not math.isfinite(value):
            cells.append("-")
        elif name == "improvement":
            cells.append(f"{value:.0%}" + (f" ({low:.0%} to {high:.0%})" if math.isfinite(low) else ""))
        else:
            ends = f" ({low:+.{digits}f} to {high:+.{digits}f})" if math.isfinite(low) else ""
            cells.append(f"{value:+.{digits}f}{ends}")
    return cells


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
