"""What each varied value does to each measure: indices with 95 % intervals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hmarl.design import LEVELS, Design, salib_problem
from hmarl.measures import column, unit

Array = NDArray[np.float64]
RESAMPLES = 1000

INDICES: dict[str, str] = {
    "mu_star": "mean size of the effect of moving through the whole range [unit of the measure]",
    "mu": "mean effect of moving through the whole range, with its sign [unit of the measure]",
    "sigma": "how much that effect depends on the other values [unit of the measure]",
    "S1": "share of the variance that this value explains alone",
    "ST": "share of the variance that this value takes part in",
    "rank_correlation": "Spearman's rank correlation with the measure",
}
"""Index -> what it says. Morris (1991) and Campolongo et al. (2007); Saltelli et al. (2010)."""


def indices(design: Design, summary: pd.DataFrame, measures: tuple[str, ...]) -> tuple[pd.DataFrame, list[str]]:
    """Compute the indices of a finished sweep.

    Parameters
    ----------
    design : Design
        Of the sweep.
    summary : DataFrame
        `hmarl.results.Results.summary` of its runs; several seeds of a point are averaged.
    measures : tuple of str
        Names of `hmarl.measures.MEASURES`.

    Returns
    -------
    frame : DataFrame
        arm, measure, unit, path, index (one of `INDICES`), value, low, high; the last two are empty where the method
        gives no interval.
    notes : list of str
        What could not be computed and why.
    """
    rows: list[dict[str, Any]] = []
    notes = []
    for arm, runs in summary.groupby("arm", sort=False):
        by_point = runs.groupby("point").mean(numeric_only=True)
        for measure in measures:
            name = column(measure)
            if name not in by_point.columns:
                continue
            values = by_point[name].reindex(list(design.rows)).to_numpy(float)
            kept, note = _whole(design, values)
            if note:
                notes.append(f"{arm}, {measure}: {note}")
            if kept is None:
                continue
            about = {"arm": arm, "measure": measure, "unit": unit(measure)}
            rows += [about | row for row in _of_one(replace(design, unit=design.unit[kept]), values[kept])]
    columns = ["arm", "measure", "unit", "path", "index", "value", "low", "high"]
    return pd.DataFrame(rows, columns=columns), notes


def _whole(design: Design, values: Array) -> tuple[NDArray[np.bool_] | None, str]:
    """Rows [P] that indices can be made of, None if too few, and what to say of those without a value.

    A trajectory of Morris and a block of Sobol compare rows with each other: one without a value spoils all of its own.
    """
    size, called, least = {
        "morris": (len(design.paths) + 1, "trajectories", 2),
        "sobol": (len(design.paths) + 2, "blocks of the sample", 2),
    }.get(design.sample.method, (1, "rows", 3))
    good = np.isfinite(values)
    if good.all():
        return good, ""
    lacking = len({row for row, there in zip(design.rows, good, strict=True) if not there})
    whole: NDArray[np.bool_] = np.logical_and.reduce(good.reshape(-1, size), axis=1)
    said = f"{lacking} of {len(design.points)} points have no value, so "
    if whole.sum() < least:
        return None, said + "no indices."
    return np.repeat(whole, size), (
        f"{said}{(~whole).sum()} of {len(whole)} {called} are left out; if the values themselves made these points "
        "fail, the indices do not speak for that part of the range."
    )


def _of_one(design: Design, values: Array) -> list[dict[str, Any]]:
    method = {"morris": _morris, "sobol": _sobol}.get(design.sample.method, _ranks)
    return [
        {"path": path, "index": index, "value": value, "low": low, "high": high}
        for index, figures in method(design, values).items()
        for path, (value, low, high) in zip(design.paths, figures, strict=True)
    ]


def _morris(design: Design, values: Array) -> dict[str, list[tuple[float, float, float]]]:
    from SALib.analyze import morris  # noqa: PLC0415

    problem = salib_problem(design.paths)
    found = morris.analyze(
        problem, design.unit, values, num_levels=LEVELS, num_resamples=RESAMPLES, seed=design.sample.seed
    )
    return {
        "mu_star": _around(found["mu_star"], found["mu_star_conf"]),
        "mu": _around(found["mu"], None),
        "sigma": _around(found["sigma"], None),
    }


def _sobol(design: Design, values: Array) -> dict[str, list[tuple[float, float, float]]]:
    from SALib.analyze import sobol  # noqa: PLC0415

    if np.ptp(values) == 0:  # nothing varies, so nothing has a share in it
        nothing = [(float("nan"),) * 3] * len(design.paths)
        return {"S1": nothing, "ST": nothing}
    found = sobol.analyze(
        salib_problem(design.paths),
        values,
        calc_second_order=False,
        num_resamples=RESAMPLES,
        seed=design.sample.seed + 1,  # SALib takes 0 for no seed at all
    )
    return {name: _around(found[name], found[f"{name}_conf"]) for name in ("S1", "ST")}


def _ranks(design: Design, values: Array) -> dict[str, list[tuple[float, float, float]]]:
    """Spearman's correlation with a bootstrap over points."""
    rng = np.random.default_rng(design.sample.seed)
    drawn = rng.integers(len(values), size=(RESAMPLES, len(values)))
    figures = []
    for place in range(len(design.paths)):
        pair = np.stack([design.unit[:, place], values])
        again = np.array([_spearman(pair[:, rows]) for rows in drawn])
        good = again[np.isfinite(again)]
        low, high = np.quantile(good, (0.025, 0.975)) if len(good) > RESAMPLES / 2 else (np.nan, np.nan)
        figures.append((_spearman(pair), float(low), float(high)))
    return {"rank_correlation": figures}


def _spearman(pair: Array) -> float:
    from scipy.stats import rankdata  # noqa: PLC0415

    ranks = rankdata(pair, axis=1)
    ranks -= ranks.mean(axis=1, keepdims=True)
    spread = float(np.sqrt((ranks[0] ** 2).sum() * (ranks[1] ** 2).sum()))
    return float(ranks[0] @ ranks[1]) / spread if spread > 0 else float("nan")


def _around(values: Any, half: Any) -> list[tuple[float, float, float]]:
    """Ends of SALib's intervals, which it gives as half widths."""
    widths = np.full(len(values), np.nan) if half is None else np.asarray(half, float)
    return [(float(v), float(v - h), float(v + h)) for v, h in zip(np.asarray(values, float), widths, strict=True)]
