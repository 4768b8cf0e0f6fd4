"""Tables of a report: measures and their differences, indices, configuration, versions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from hmarl.measures import MEASURES, column, unit
from hmarl.report.cells import Cell, Row, Table, estimated
from hmarl.results import Results
from hmarl.sensitivity import INDICES
from hmarl.statistics import Estimate, interval, paired
from hmarl.study_file import yaml_reader


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
            cells.append(Cell(estimated(interval(own[column(name)]))))
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
    return Cell(estimated(Estimate(mean, half, 0), sign=True), "change clear" if clear else "change")


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
