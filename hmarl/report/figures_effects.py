"""Figures of effects: differences to the baseline with intervals, and what a sweep says about each varied value."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from hmarl.measures import MEASURES, column
from hmarl.report.figures import COLOURS, Lacking, Picture, line_of, panel, picture, styled, wrapped

SHOWN = ("mu_star", "ST", "rank_correlation")


@styled
def differences(frame: pd.DataFrame) -> Picture:
    """Paired differences to the baseline, one panel per measure.

    Parameters
    ----------
    frame : DataFrame
        arm, measure, unit, mean, low, high, baseline; low and high are empty for a single seed.

    Returns
    -------
    Picture
        A line is the 95 % interval.
    """
    if frame.empty:
        raise Lacking("there is no second arm with a seed of the baseline")
    measures = list(dict.fromkeys(frame["measure"]))
    arms = list(dict.fromkeys(frame["arm"]))
    figure, panels = panel((len(measures) + 1) // 2, 0.75 + 0.24 * len(arms), columns=2)
    for axes in panels[len(measures) :]:
        axes.remove()
    for place, (axes, measure) in enumerate(zip(panels, measures, strict=False)):
        rows = frame[frame["measure"] == measure].set_index("arm").reindex(arms)
        for at, row in enumerate(rows.itertuples()):
            if math.isfinite(row.mean):
                clear = math.isfinite(row.low) and (row.low > 0 or row.high < 0)
                style: dict[str, Any] = {"mfc": COLOURS[0] if clear else "white", "mec": COLOURS[0], "ms": 6}
                if math.isfinite(row.low):
                    axes.plot([row.low, row.high], [at, at], color=COLOURS[0], lw=1.6)
                axes.plot(row.mean, at, "o", **style)
        axes.axvline(0, color="black", lw=0.8)
        name, _, unit = MEASURES[measure].partition(" [")
        axes.set_title(wrapped(name, 26))
        axes.set_xlabel(unit.rstrip("]"))
        axes.set_yticks(range(len(arms)), [wrapped(arm, 12) for arm in arms] if place % 2 == 0 else [""] * len(arms))
        axes.set_ylim(len(arms) - 0.4, -0.6)
        axes.grid(visible=False, axis="y")
    caption = (
        f"Against {frame['baseline'].iloc[0]}, same seeds. Line: 95 % t interval over seeds. Full dot: the interval "
        "excludes 0; empty dot: not resolved."
    )
    return picture(figure, "differences", "Differences to the baseline", caption)


@styled
def tornado(indices: pd.DataFrame) -> Picture:
    """What each varied value does to each measure, largest first.

    Parameters
    ----------
    indices : DataFrame
        See `hmarl.sensitivity.indices`.

    Returns
    -------
    Picture
        One panel per arm and measure.
    """
    shown = [index for index in SHOWN if "index" in indices and (indices["index"] == index).any()]
    if not shown:
        raise Lacking("the sweep has no finished indices")
    chosen = indices[indices["index"] == shown[0]]
    groups = list(chosen.groupby(["arm", "measure"], sort=False))
    paths = chosen["path"].nunique()
    figure, panels = panel(len(groups), 0.7 + 0.26 * paths)
    for axes, ((arm, measure), rows) in zip(panels, groups, strict=True):
        ordered = rows.sort_values("value", key=abs, ascending=True, kind="stable")
        at = np.arange(len(ordered))
        values = ordered["value"].to_numpy(float)
        axes.barh(at, values, color=[COLOURS[0] if v >= 0 else COLOURS[1] for v in values], height=0.7)
        low, high = ordered["low"].to_numpy(float), ordered["high"].to_numpy(float)
        axes.hlines(at, low, high, color="black", lw=1.2)
        axes.set_yticks(at, [str(path) for path in ordered["path"]])
        axes.axvline(0, color="black", lw=0.8)
        axes.set_title(f"{arm}: {MEASURES.get(str(measure), str(measure))}")
        axes.grid(visible=False, axis="y")
    says = {
        "mu_star": "Morris' mu*: mean size of the effect of moving through the whole range, in the unit of the measure",
        "ST": "Sobol's total index: share of the variance that a value takes part in",
        "rank_correlation": "Spearman's rank correlation; orange: the measure falls as the value rises",
    }
    return picture(figure, "sensitivity", "What matters most", f"{says[shown[0]]}. Line: 95 % interval.")


def responses(indices: pd.DataFrame, points: pd.DataFrame) -> Picture:
    """Every measure against the one value that was varied.

    Parameters
    ----------
    indices : DataFrame
        See `hmarl.sensitivity.indices`; names the path and the measures.
    points : DataFrame
        One row per run, as in ``sweep.csv``.

    Returns
    -------
    Picture
        Line: mean over seeds; dots: single runs.
    """
    return _responses((indices, points))


@styled
def _responses(shown: tuple[pd.DataFrame, pd.DataFrame]) -> Picture:
    indices, points = shown
    path = str(indices["path"].iloc[0])
    names = [m for m in dict.fromkeys(indices["measure"]) if column(m) in points and points[column(m)].notna().any()]
    if path not in points or not pd.api.types.is_numeric_dtype(points[path]) or not names:
        raise Lacking("what was varied is no number, or nothing was measured")
    figure, panels = panel((len(names) + 1) // 2, 1.9, columns=2)
    for axes in panels[len(names) :]:
        axes.remove()
    for axes, name in zip(panels, names, strict=False):
        for place, (arm, rows) in enumerate(points.groupby("arm", sort=False)):
            mean = rows.groupby(path)[column(name)].mean()
            axes.plot(rows[path], rows[column(name)], ".", ms=4, color=COLOURS[place % len(COLOURS)])
            axes.plot(mean.index, mean, label=str(arm), **line_of(place))
        title, _, unit = MEASURES[name].partition(" [")
        axes.set(title=wrapped(title, 26), xlabel=path.rpartition(".")[2], ylabel=unit.rstrip("]"))
    panels[0].legend()
    caption = f"Against {path}. Line: mean over seeds; dots: single runs."
    return picture(figure, "responses", "Measures against what was varied", caption)
