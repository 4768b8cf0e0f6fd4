"""Words and tables of a report."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from hmarl.measures import MEASURES, column, unit
from hmarl.results import Results, Run
from hmarl.sensitivity import INDICES
from hmarl.statistics import Estimate, interval, paired
from hmarl.study_file import yaml_reader

TECHNICAL = ("promised_profit", "delivered_in_training")
"""Measures that say how the leader pictures its customers: in the tables, not in the words."""


@dataclass
class Cell:
    """One cell; ``kind`` is ``text`` (long), ``change`` (to the baseline) or ``change clear`` (interval without 0)."""

    text: str
    kind: str = ""


@dataclass
class Row:
    """One row."""

    cells: list[Cell]


@dataclass
class Table:
    """A table with a caption; a folded one shows its caption until it is opened."""

    caption: str
    heads: list[str]
    rows: list[Row]
    folded: bool = False


@dataclass
class Card:
    """What is said about one arm: what is clear, and what is not."""

    title: str
    clear: list[str] = field(default_factory=list)
    open: str = ""


def chosen(results: Results) -> list[str]:
    """Measures to show: those of the study that these runs have.

    Parameters
    ----------
    results : Results
        Of one study.

    Returns
    -------
    list of str
        Names.
    """
    wanted = results.about.get("measure") or list(MEASURES)
    return [name for name in wanted if name in MEASURES and column(name) in results.summary.columns]


def differences(results: Results) -> pd.DataFrame:
    """Paired differences to the first arm, one value per seed, with t intervals.

    Parameters
    ----------
    results : Results
        Of one study.

    Returns
    -------
    DataFrame
        arm, baseline, measure, unit, mean, low, high, seeds.
    """
    rows = []
    base = results.arms[0]
    for arm in results.arms[1:]:
        for measure in chosen(results):
            own = results.summary[results.summary["arm"] == arm].set_index("seed")[column(measure)]
            other = results.summary[results.summary["arm"] == base].set_index("seed")[column(measure)]
            seeds = own.dropna().index.intersection(other.dropna().index)
            if len(seeds):
                found = paired(own[seeds], other[seeds])
                about = {"arm": arm, "baseline": base, "measure": measure, "unit": unit(measure), "seeds": len(seeds)}
                rows.append(about | {"mean": found.mean, "low": found.low, "high": found.high})
    return pd.DataFrame(rows)


def subtitle(results: Results) -> str:
    """Say in a line what this is.

    Parameters
    ----------
    results : Results
        Of one study.

    Returns
    -------
    str
        Arms, seeds, days, homes, market.
    """
    run = results.runs[0]
    seeds = sorted({one.seed for one in results.runs})
    days = results.days
    judged = int(days[days["judged"]].groupby(["arm", "seed"]).size().max()) if len(days) else 0
    said = [f"Study {run.study}", _count(len(results.arms), "arm"), _count(len(seeds), "seed")]
    if judged:
        held = bool(days["held_out"].any())
        said.append(f"judged on {_count(judged, 'held-out day' if held else 'day')}")
    if "agents" in results.names and "prosumer" in results.agents:
        said.append(_count(int(results.agents.groupby(["arm", "seed"])["prosumer"].nunique().max()), "home"))
    market = run.resolved.get("wholesale")
    if isinstance(market, dict):
        said.append(f"{market.get('name')} on {market.get('case')}, x {run.manifest.get('replication')} communities")
    return " · ".join(said)


def warnings(results: Results) -> list[str]:
    """What a reader must know before believing a figure.

    Parameters
    ----------
    results : Results
        Of one study.

    Returns
    -------
    list of str
        Sentences.
    """
    found = []
    by_arm: dict[str, list[Run]] = {}
    for run in results.runs:
        by_arm.setdefault(run.arm, []).append(run)
    for arm, runs in by_arm.items():
        stuck = [run for run in runs if run.certificate.get("converged") is False]
        if stuck:
            why = "; ".join(sorted({str(run.certificate.get("reason", "no reason given")) for run in stuck}))
            found.append(f"NOT CONVERGED: {arm}, {len(stuck)} of {_count(len(runs), 'seed')}: {why}")
        lost = sum(float(run.certificate.get("not_served_mwh") or 0) for run in runs)
        if lost > 0:
            found.append(f"{arm}: {lost:.3g} MWh of other loads were not served.")
    if results.unfinished:
        found.append(f"{_count(len(results.unfinished), 'run')} of this study not finished; the figures lack them.")
    known = results.about.get("arms") or []
    lacking = [arm for arm in known if arm not in results.arms]
    if lacking:
        found.append(f"No finished run of: {', '.join(lacking)}.")
    counts = {arm: len(runs) for arm, runs in by_arm.items()}
    if min(counts.values()) < 2:
        found.append("A single seed: no interval can be given, and every difference may be chance.")
    if len(results.days) and not results.days["held_out"].any():
        found.append("No day was held out: the followers were judged on days they learned from.")
    return found


def opening(results: Results) -> list[str]:
    """Say which arm is the baseline and how to read the intervals.

    Parameters
    ----------
    results : Results
        Of one study.

    Returns
    -------
    list of str
        Paragraphs.
    """
    if len(results.arms) == 1:
        return [f"The study has one finished arm, {results.arms[0]}; with nothing to compare, levels are shown."]
    return [
        f"Every arm is held against {results.arms[0]}, seed by seed: the same homes, weather and order of arrival. "
        "Intervals are 95 % t intervals over seeds. What an interval does not separate from 0 is called not resolved."
    ]


def cards(results: Results, changes: pd.DataFrame) -> list[Card]:
    """Say in words what each arm changes.

    Parameters
    ----------
    results : Results
        Of one study.
    changes : DataFrame
        From `differences`.

    Returns
    -------
    list of Card
        One per arm but the baseline.
    """
    found = []
    for arm in results.arms[1:]:
        card = Card(f"{arm} against {results.arms[0]}")
        rows = changes[changes["arm"] == arm] if len(changes) else changes
        not_clear = []
        for row in rows.to_dict("records"):
            if row["measure"] in TECHNICAL:
                continue
            name, low, high = MEASURES[row["measure"]].partition(" [")[0], row["low"], row["high"]
            size = f"{figure(abs(row['mean']))} {row['unit']}".replace(" %", " percentage points")
            ends = f"{figure(low, sign=True)} to {figure(high, sign=True)}"
            where = "higher" if row["mean"] > 0 else "lower"
            if not math.isfinite(low):
                card.clear.append(f"{name}: {where} by {size} (one seed)")
            elif low > 0 or high < 0:
                card.clear.append(f"{name}: {where} by {size} ({ends})")
            else:
                not_clear.append(f"{name} ({ends} {row['unit']})")
        card.open = f"Not resolved: {'; '.join(not_clear)}." if not_clear else ""
        found.append(card)
    return found


def measures(results: Results, changes: pd.DataFrame) -> Table:
    """Every measure of every arm, and its difference to the baseline.

    Parameters
    ----------
    results : Results
        Of one study.
    changes : DataFrame
        From `differences`.

    Returns
    -------
    Table
        Means over seeds with half of the interval.
    """
    rows = []
    for name in chosen(results):
        cells = [Cell(MEASURES[name])]
        for arm in results.arms:
            own = results.summary[results.summary["arm"] == arm]
            cells.append(Cell(_estimate(interval(own[column(name)]))))
            if arm != results.arms[0]:
                cells.append(_change(changes, arm, name))
        rows.append(Row(cells))
    heads = [part for arm in results.arms for part in ([arm] if arm == results.arms[0] else [arm, "change"])]
    caption = (
        f"Mean over seeds ± half of the 95 % interval; change: paired, against {results.arms[0]}; in bold where the "
        "interval excludes 0."
    )
    return Table(caption, ["", *heads], rows)


def _change(changes: pd.DataFrame, arm: str, measure: str) -> Cell:
    hit = changes[(changes["arm"] == arm) & (changes["measure"] == measure)] if len(changes) else changes
    if hit.empty:
        return Cell("-")
    mean, low, high = (float(hit[part].iloc[0]) for part in ("mean", "low", "high"))
    half = (high - low) / 2 if math.isfinite(low) else None
    clear = half is not None and abs(mean) > half
    return Cell(_estimate(Estimate(mean, half, 0), sign=True), "change clear" if clear else "change")


def indices(found: pd.DataFrame) -> Table:
    """All indices of a sweep.

    Parameters
    ----------
    found : DataFrame
        See `hmarl.sensitivity.indices`.

    Returns
    -------
    Table
        One row per arm, measure, path and index.
    """
    rows = []
    for row in found.to_dict("records"):
        ends = f"{row['low']:.3g} to {row['high']:.3g}" if math.isfinite(row["low"]) else "-"
        name = MEASURES.get(row["measure"], row["measure"])
        rows.append(
            Row([Cell(text) for text in (row["arm"], name, row["path"], row["index"], f"{row['value']:.3g}", ends)])
        )
    said = "; ".join(f"{name}: {INDICES[name]}" for name in found["index"].unique() if name in INDICES)
    return Table(said, ["arm", "measure", "varied", "index", "value", "95 %"], rows)


def configuration(results: Results) -> list[dict[str, str]]:
    """Every setting of every arm.

    Parameters
    ----------
    results : Results
        Of one study.

    Returns
    -------
    list of dict
        title and YAML text; what arms share is said once.
    """
    first = {run.arm: run.resolved for run in reversed(results.runs)}
    arms = [first[arm] for arm in results.arms]
    keys = [key for key in arms[0] if key != "arm"]
    common = {key: arms[0][key] for key in keys if all(arm.get(key) == arms[0][key] for arm in arms)}
    blocks = [{"title": "All arms", "text": yaml_reader.write(common)}]
    for name in results.arms:
        own = {key: value for key, value in first[name].items() if key not in (*common, "arm")}
        if own:
            blocks.append({"title": name, "text": yaml_reader.write(own)})
    return blocks


def versions(results: Results) -> Table:
    """With what the runs were made.

    Parameters
    ----------
    results : Results
        Of one study.

    Returns
    -------
    Table
        One row per fact; several values if runs differ.
    """
    facts: dict[str, list[Any]] = {}
    for run in results.runs:
        about = run.manifest
        said = {
            "seed": run.seed,
            "commit": about.get("commit"),
            "python": about.get("python"),
            **(about.get("versions") or {}),
            **{f"data {name}": str(value)[:12] for name, value in (about.get("data") or {}).items()},
            **{key: value for key, value in (about.get("machine") or {}).items() if key != "seconds"},
        }
        for key, value in said.items():
            facts.setdefault(key, []).append(value)
    rows = [
        Row([Cell(key), Cell(", ".join(sorted({str(v) for v in values})), "text")]) for key, values in facts.items()
    ]
    seconds = [float((run.manifest.get("machine") or {}).get("seconds") or math.nan) for run in results.runs]
    rows.append(Row([Cell("seconds of a run"), Cell(f"{np.nanmin(seconds):.3g} to {np.nanmax(seconds):.3g}", "text")]))
    return Table("Versions, data and machine of the runs.", ["", ""], rows)


def gathered(values: list[Any]) -> str:
    """One cell for the values of several seeds.

    Parameters
    ----------
    values : list
        Numbers, yes or no, texts, lists of numbers; None where a seed has none.

    Returns
    -------
    str
        Mean and range, a count, or the different texts; ``-`` where there is nothing.
    """
    real = [value for value in values if value is not None]
    if not real:
        return "-"
    if all(isinstance(value, bool) for value in real):
        return f"yes, {len(real)} of {len(real)}" if all(real) else f"{sum(real)} of {len(real)}"
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in real):
        low, high = min(real), max(real)
        mean = figure(float(np.mean(real)))
        return mean if low == high else f"{mean} ({figure(low)} to {figure(high)})"
    if all(isinstance(value, list) and value and all(isinstance(x, float) for x in value) for value in real):
        every = [x for value in real for x in value]  # of homes or steps: the file has them all
        return f"{len(real[0])} numbers, {figure(min(every))} to {figure(max(every))}"
    texts = list(dict.fromkeys("none" if value == [] else str(value) for value in real))
    return "; ".join(texts)


def figure(value: float, *, sign: bool = False) -> str:
    """Write three figures, without powers of ten where people can read the number.

    Parameters
    ----------
    value : float
        Any unit; not a number gives ``-``.
    sign : bool
        Whether a plus is written.

    Returns
    -------
    str
    """
    if not math.isfinite(value):
        return "-" if math.isnan(value) else str(value)
    if abs(value) < 5e-7:
        return "0"
    digits = min(max(2 - math.floor(math.log10(abs(value))), 0), 6)
    return f"{value:{'+' if sign else ''},.{digits}f}"


def _estimate(estimate: Estimate, *, sign: bool = False) -> str:
    if not math.isfinite(estimate.mean):
        return "-"
    mean = figure(estimate.mean, sign=sign)
    return mean if estimate.half_width is None else f"{mean} ± {figure(estimate.half_width)}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
