"""The arms of a study in order of one measure, with how sure the order is and what the certificates say."""

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
from hmarl.measures import BETTER, MEASURES, column, unit
from hmarl.results import Results
from hmarl.statistics import Estimate, interval, paired, plus_minus
from hmarl.study_file.plan import Rank

CERTIFICATE = ("converged", "leader_gap", "exploitability")
"""Measures of the certificate, shown beside every place."""
HEADS = ("", "place", "mean", "to the first", "rest", "gap", "exploit.")
NOTE = (
    "Place with its 95 % range over seeds drawn anew; mean and paired difference to the first ± half of the 95 % t "
    "interval, * where it excludes 0. Rest: share of seeds in which leader and followers came to rest; gap and "
    "exploit.: best gain found by deviating, of the leader and of a home, $/day."
)
WIDTH = 100
RESAMPLES = 4999


@dataclass(frozen=True)
class Ranking:
    """Arms in order, best first, in groups that compete.

    Parameters
    ----------
    by : str
        Measure that decides.
    folder : Path
        Of the results.
    frame : DataFrame
        One row per arm: group, place, place_low and place_high (95 % bootstrap over seeds), arm, seeds, mean with low
        and high (t), behind (paired difference to the first of the group) with low and high, and for each of
        `CERTIFICATE` its mean over seeds.
    """

    by: str
    folder: Path
    frame: pd.DataFrame

    def write(self) -> Path:
        """Write ``ranking.csv``, numbers in full.

        Returns
        -------
        Path
            Of the file.
        """
        path = self.folder / "ranking.csv"
        storage.write_bytes(path, self.frame.to_csv(index=False, lineterminator="\n").encode())
        return path

    def lines(self) -> list[tuple[str, list[list[str]]]]:
        """Rows as they are shown, by group.

        Returns
        -------
        list of (str, list of list of str)
            Name of the group, and for each of its arms the cells under `HEADS`, best first.
        """
        largest = float(self.frame["mean"].abs().max())
        digits = min(max(2 - math.floor(math.log10(largest)), 0), 5) if largest > 0 else 2
        return [
            (str(group), [[row["arm"], *_cells(row, digits)] for _, row in rows.iterrows()])
            for group, rows in self.frame.groupby("group", sort=False)
        ]

    def show(self, console: Console) -> None:
        """Print the table, group by group.

        Parameters
        ----------
        console : Console
            Where to print; 100 columns suffice.
        """
        table = Table(box=None, pad_edge=False, title=escape(self.title), title_justify="left")
        for place, head in enumerate(HEADS):
            table.add_column(head, justify="right" if place else "left", no_wrap=True)
        for group, rows in self.lines():
            if group:
                table.add_row(f"[bold]{group}[/bold]")
            for arm, *cells in rows:
                table.add_row(f"  {arm}", *cells)
        console.print(table)
        console.print(textwrap.fill(NOTE, WIDTH), markup=False, highlight=False, soft_wrap=True)

    @property
    def title(self) -> str:
        """By what the arms are ranked, with its unit."""
        return f"Ranking by {MEASURES[self.by]}"


def rank(results: Results, wish: Rank) -> Ranking:
    """Rank the finished arms of a study.

    Parameters
    ----------
    results : Results
        Of one study, no sweep.
    wish : Rank
        By which measure, and who competes with whom.

    Returns
    -------
    Ranking
        Only seeds that all finished arms of a group have decide, so that all met the same luck.
    """
    groups: dict[str, list[str]] = {}
    for arm, label in _labels(results, wish).items():
        groups.setdefault(label, []).append(arm)
    rows = [row for group, arms in groups.items() for row in _places(results.summary, wish.by, group, arms)]
    return Ranking(wish.by, results.folder, pd.DataFrame(rows))


def _places(summary: pd.DataFrame, by: str, group: str, arms: list[str]) -> list[dict[str, Any]]:
    """Rows of one group, best first."""
    runs = {arm: summary[summary["arm"] == arm].set_index("seed") for arm in arms}
    common = sorted(set.intersection(*(set(run.index) for run in runs.values())))
    values = np.array([[_value(run, by, seed) for seed in common] for run in runs.values()])  # [arm, seed]
    sign = -BETTER[by]
    order = np.argsort(sign * values.mean(axis=1), kind="stable")
    low, high = place_ranges(sign * values)
    rows = []
    for place, i in enumerate(order, start=1):
        mean, behind = interval(values[i]), paired(values[i], values[order[0]])
        if place == 1:
            behind = Estimate(0.0, None, len(common))
        row = {"group": group, "place": place, "place_low": low[i], "place_high": high[i], "arm": arms[i]}
        row |= {"measure": by, "unit": unit(by), "seeds": len(common)}
        for name, figure in (("mean", mean), ("behind", behind)):
            row |= {name: figure.mean, f"{name}_low": figure.low, f"{name}_high": figure.high}
        for name in CERTIFICATE:
            found = [_value(runs[arms[i]], name, seed) for seed in common]
            row[column(name)] = float(np.mean(found)) if found else math.nan
        rows.append(row)
    return rows


def place_ranges(loss: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Range of the place of each arm when seeds are drawn anew.

    Parameters
    ----------
    loss : array [A, S]
        Less is better; the same seeds for all arms, which are drawn together.

    Returns
    -------
    low, high : array [A] int
        Ends of the 95 % percentile interval; of equal arms each has the best place of them.
    """
    count = loss.shape[1]
    drawn = np.random.default_rng(0).integers(count, size=(RESAMPLES, count))
    means = loss[:, drawn].mean(axis=2)  # [A, draw]
    room = 1e-9 * np.maximum(np.abs(loss).max(initial=0.0), 1.0)  # sums in another order are no difference
    place = 1 + (means[None] < means[:, None] - room).sum(axis=1)
    low, high = np.quantile(place, (0.025, 0.975), axis=1, method="nearest")
    return low.astype(np.int64), high.astype(np.int64)


def _labels(results: Results, wish: Rank) -> dict[str, str]:
    """Name of the group of each arm: the plug-ins of its sections, and the first arm of it where these do not tell."""
    resolved = {run.arm: run.resolved for run in reversed(results.runs)}
    keys = {arm: repr([resolved[arm].get(name) for name in wish.within]) for arm in results.arms}
    first: dict[str, str] = {}
    for arm, key in keys.items():
        first.setdefault(key, arm)
    plain = {key: ", ".join(_plugin(resolved[arm], name) for name in wish.within) for key, arm in first.items()}
    alike = list(plain.values())
    told = {key: f"{name}, as {first[key]}" if alike.count(name) > 1 else name for key, name in plain.items()}
    return {arm: told[key] for arm, key in keys.items()}


def _plugin(resolved: dict[str, Any], section: str) -> str:
    """Short name of a section of an arm."""
    written = resolved.get(section)
    if isinstance(written, str):
        return f"no {section}" if written == "none" else written
    return str((written or {}).get("name") or (written or {}).get("source") or section)


def _value(run: pd.DataFrame, measure: str, seed: int) -> float:
    return float(run[column(measure)][seed]) if column(measure) in run.columns else math.nan


def _cells(row: pd.Series[Any], digits: int) -> list[str]:
    """Cells of one arm, with so many decimals."""
    low, high = row["place_low"], row["place_high"]
    several = row["seeds"] > 1
    place = f"{row['place']} ({low}-{high})" if several and low != high else f"{row['place']}"
    clear = row["behind_low"] > 0 or row["behind_high"] < 0
    behind = "" if row["place"] == 1 else _figure(row, "behind", digits, sign=True) + "*" * clear
    return [place, _figure(row, "mean", digits), behind, *(_certified(row[column(name)], name) for name in CERTIFICATE)]


def _figure(row: pd.Series[Any], name: str, digits: int, *, sign: bool = False) -> str:
    half = (row[f"{name}_high"] - row[f"{name}_low"]) / 2
    return plus_minus(row[name], None if math.isnan(half) else half, digits, sign=sign)


def _certified(value: float, name: str) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:.0f} %" if name == "converged" else f"{value:.2f}"


__all__ = ["CERTIFICATE", "HEADS", "NOTE", "Ranking", "place_ranges", "rank"]
