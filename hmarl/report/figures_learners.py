"""Figures of learners with a world model: what learning cost, how homes group, what was forecast and what happened."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hmarl.measures import column
from hmarl.report.figures import COLOURS, Lacking, Picture, hours, line_of, need, panel, picture, styled
from hmarl.results import Results

STEPS = 240
"""Steps of the forecast that are shown, as in figure 13 of Sanayha and Vateekul (2022)."""


@styled
def training_times(results: Results) -> Picture:
    """Processor time of learning, one bar per arm that learns.

    Parameters
    ----------
    results : Results
        Of one study.

    Returns
    -------
    Picture
        Seconds, mean over seeds.
    """
    table = results.table("training") if "training" in results.names else pd.DataFrame()
    learned = list(table[table["episode"] > 0]["arm"].unique()) if "episode" in table else []
    name = column("training_time")
    if not learned or name not in results.summary:
        raise Lacking("no follower of this study learns, or training was not timed")
    seconds = results.summary.groupby("arm", sort=False)[name].mean().reindex(learned).dropna()
    if seconds.empty:
        raise Lacking("every training of this study was stopped and went on, so that none was timed")
    figure, (axes,) = panel(height=0.7 + 0.24 * len(seconds))
    at = np.arange(len(seconds))
    axes.barh(at, seconds.to_numpy(float), color=COLOURS[0], height=0.7)
    axes.set_yticks(at, [str(arm) for arm in seconds.index])
    axes.set(xlabel="processor seconds", ylim=(len(at) - 0.4, -0.6))
    axes.grid(visible=False, axis="y")
    caption = "Learning and settling of all rounds on one core, mean over seeds; it depends on the machine."
    return picture(figure, "training-time", "How long the followers learned", caption)


@styled
def groupings(results: Results) -> Picture:
    """Inertia and silhouette of homes by what they trade, against the number of groups.

    Parameters
    ----------
    results : Results
        Of one study.

    Returns
    -------
    Picture
        Dynamic time warping beside Euclidean distances, no unit, of the first arm and the lowest seed that has them.
    """
    table = _first(results, "groupings", "no follower of this study groups homes by what they trade")
    figure, (elbow, width) = panel(1, 2.6, columns=2)
    for place, (method, rows) in enumerate(table.groupby("method", sort=False)):
        style = {"marker": "o", "ms": 3.5, **line_of(place)}
        elbow.plot(rows["number"], rows["inertia"] / rows["inertia"].max(), label=method, **style)
        several = rows[rows["number"] > 1]
        width.plot(several["number"], several["silhouette"], **style)
        chosen = several[several["chosen"]]
        width.plot(chosen["number"], chosen["silhouette"], "o", ms=10, mfc="none", color=COLOURS[place])
    elbow.set(xlabel="groups k", ylabel="inertia, share of k = 1")
    width.set(xlabel="groups k", ylabel="silhouette")
    elbow.legend()
    caption = (
        f"Arm {table['arm'].iloc[0]}, seed {table['seed'].iloc[0]}: mean traded quantities of training days. Circle: "
        "the k that is taken where the study names none."
    )
    return picture(figure, "groupings", "How many groups of homes", caption)


@styled
def forecasts(results: Results) -> Picture:
    """Forecast and actual trades of one home.

    Parameters
    ----------
    results : Results
        Of one study.

    Returns
    -------
    Picture
        First 240 steps of the judged days, of the home that traded most often in the first arm that has forecasts.
    """
    table = _first(results, "forecasts", "no follower of this study forecasts its trades")
    names = ["quantity_kwh", "quantity_forecast_kwh", "price_per_kwh", "price_forecast_per_kwh"]
    need(list(table.columns), ["prosumer", "timestamp", *names], "forecasts")
    home = table[table["price_per_kwh"].notna()]["prosumer"].value_counts(sort=True).index
    if home.empty:
        raise Lacking("nobody traded on the judged days")
    rows = table[table["prosumer"] == home[0]].sort_values("timestamp").head(STEPS)
    figure, panels = panel(2, 1.8, sharex=True)
    at = np.arange(len(rows))
    for axes, name, unit in zip(panels, ("price", "quantity"), ("$/kWh", "kWh"), strict=True):
        actual, said = (n for n in names if n.startswith(name))
        axes.plot(at, rows[actual].to_numpy(float), ".", ms=3, color=COLOURS[0], label="actual")
        axes.plot(at, rows[said].to_numpy(float), "-", lw=0.9, color=COLOURS[1], label="forecast")
        axes.set(ylabel=f"{name}, {unit}")
    panels[0].legend(ncols=2)
    panels[1].set(xlabel="steps of the judged days")
    caption = (
        f"Home {home[0]}, arm {table['arm'].iloc[0]}, seed {table['seed'].iloc[0]}. A price is there only where the "
        "home traded; + = bought."
    )
    return picture(figure, "forecasts", "Forecast and actual trades of a home", caption)


@styled
def group_days(results: Results) -> Picture:
    """What homes that share a model trade by hour of the day.

    Parameters
    ----------
    results : Results
        Of one study.

    Returns
    -------
    Picture
        kWh a step and home, + = bought; mean over judged days of the first arm that has forecasts.
    """
    table = _first(results, "forecasts", "no follower of this study forecasts its trades")
    need(list(table.columns), ["group", "timestamp", "quantity_kwh"], "forecasts")
    clock = table["timestamp"].dt
    table = table.assign(minute=clock.hour * 60 + clock.minute)
    figure, (axes,) = panel(height=2.6)
    for place, (group, rows) in enumerate(table.groupby("group")):
        own, count = rows.groupby("minute")["quantity_kwh"].mean().to_numpy(float), rows["prosumer"].nunique()
        label = f"group {group}: {count} home{'s' * (count != 1)}"
        axes.plot(np.arange(len(own)) + 0.5, own, label=label, **line_of(place))
    hours(axes, table["minute"].nunique())
    axes.axhline(0, color="black", lw=0.8)
    axes.set(ylabel="traded, kWh a step and home")
    axes.legend()
    caption = f"Arm {table['arm'].iloc[0]}, seed {table['seed'].iloc[0]}, mean of judged days; + = bought from peers."
    return picture(figure, "group-days", "What groups of homes trade", caption)


def _first(results: Results, name: str, lacking: str) -> pd.DataFrame:
    """A table of the first run that has it."""
    for run in results.runs:
        if name in run.names():
            return run.table(name).assign(arm=run.arm, seed=run.seed)
    raise Lacking(lacking)
