"""Figures over time: learning, prices, energy and clusters by hour of the day."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from hmarl.report.figures import COLOURS, LINES, Lacking, Picture, hours, line_of, need, panel, picture, styled
from hmarl.results import Results


@styled
def learning(results: Results) -> Picture:
    """Cost on training days against days of training, one band per arm.

    Parameters
    ----------
    results : Results
        Of one study.

    Returns
    -------
    Picture
        Mean over seeds; the band reaches from the lowest to the highest seed.
    """
    table = results.table("training") if "training" in results.names else pd.DataFrame()
    name = next((n for n in ("reward_per_day", "training_cost_per_day") if n in table and table[n].notna().any()), None)
    if name is None or "episode" not in table:
        raise Lacking("no follower of this study learns, or nothing was logged")
    figure, (axes,) = panel(height=2.9)
    for place, arm in enumerate(results.arms):
        rows = table[(table["arm"] == arm) & table[name].notna() & table["episode"].notna()]
        if rows["episode"].nunique() < 2:
            continue
        wide = rows.pivot_table(index="episode", columns="seed", values=name).interpolate(limit_area="inside")
        axes.plot(wide.index, wide.mean(axis=1), label=arm, **line_of(place))
        low, high = wide.min(axis=1).to_numpy(float), wide.max(axis=1).to_numpy(float)
        axes.fill_between(wide.index.to_numpy(float), low, high, color=COLOURS[place % len(COLOURS)], alpha=0.18, lw=0)
    if not axes.lines:
        raise Lacking("no follower of this study was evaluated twice while it learned")
    cost = name == "training_cost_per_day"
    axes.set(xlabel="training days played", ylabel="community cost, $ a day" if cost else "reward, $ a day and home")
    axes.legend()
    said = (
        "on training days, lower is better" if cost else "while they explored, against no batteries, higher is better"
    )
    seeds = len({run.seed for run in results.runs})
    caption = f"Mean of {seeds} seeds {said}; the band reaches from the lowest to the highest seed."
    return picture(figure, "learning", "How the followers learned", caption)


@styled
def prices(results: Results) -> Picture:
    """Buy, sell, peer and wholesale price by hour of the day, one panel per arm.

    Parameters
    ----------
    results : Results
        Of one study.

    Returns
    -------
    Picture
        Means over judged days and seeds, $/kWh.
    """
    steps = _judged(results)
    need(list(steps.columns), ["buy_per_kwh", "sell_per_kwh"], "steps")
    shown = {"buy_per_kwh": "buy", "sell_per_kwh": "sell", "lmp": "LMP"}
    if "lmp_real_time_per_mwh" in steps and steps["lmp_real_time_per_mwh"].abs().sum() > 0:
        steps = steps.assign(lmp=steps["lmp_real_time_per_mwh"] / 1000)
    peer = _peer_prices(results, steps)
    figure, panels = panel(len(results.arms), 1.9, sharex=True, sharey=True)
    for axes, arm in zip(panels, results.arms, strict=True):
        by_step = steps[steps["arm"] == arm].groupby("step")
        for place, (name, label) in enumerate(shown.items()):
            if name in steps:
                _stairs(axes, by_step[name].mean(), label, place)
        if arm in peer.index:
            traded = peer.loc[arm]
            axes.plot(traded.index + 0.5, traded, "o", ms=3.5, color=COLOURS[3], label="peer")
        axes.set(title=arm, ylabel="$/kWh")
        hours(axes, int(steps["step"].max()) + 1)
    panels[0].legend(ncols=4, loc="upper left")
    top = panels[0].get_ylim()[1]
    panels[0].set_ylim(min(0, panels[0].get_ylim()[0]), top * 1.25)
    peers = " Dots: mean peer price, where anything was traded." if len(peer) else ""
    lmp = " LMP: real-time price at the aggregator's bus, energy only." if "lmp" in steps else ""
    caption = f"Means over judged days and seeds. Buy includes network charge and levies.{lmp}{peers}"
    return picture(figure, "prices", "Prices by hour of the day", caption)


@styled
def energy(results: Results) -> Picture:
    """Where a community's energy comes from and goes, by hour of the day, one panel per arm.

    Parameters
    ----------
    results : Results
        Of one study.

    Returns
    -------
    Picture
        kW of one community, sources up, uses down; means over judged days and seeds.
    """
    if "profiles" not in results.names:
        raise Lacking("these runs have no table profiles; run the study again with this version")
    table = results.table("profiles")
    up = {
        "generation_kwh": "PV and wind",
        "discharged_kwh": "batteries give",
        "bought_from_peers_kwh": "bought from peers",
        "grid_import_kwh": "from the grid",
    }
    down = {
        "load_kwh": "consumption",
        "charged_kwh": "batteries take",
        "sold_to_peers_kwh": "sold to peers",
        "grid_export_kwh": "to the grid",
    }
    need(list(table.columns), ["step", "homes", *up, *down], "profiles")
    count = int(table["step"].max()) + 1
    whole = table[[*up, *down]].mul(table["homes"], axis=0).mul(count / 24)
    keys = table[["arm", "seed", "step"]]
    sums = pd.concat([keys, whole], axis=1).groupby(["arm", "seed", "step"]).sum().groupby(["arm", "step"]).mean()
    figure, panels = panel(len(results.arms), 2.1, sharex=True, sharey=True)
    for axes, arm in zip(panels, results.arms, strict=True):
        for sign, names in ((1, up), (-1, down)):
            base = np.zeros(count)
            for place, (name, label) in enumerate(names.items()):
                top = base + sign * np.asarray(sums.loc[arm, name], float)
                colour = COLOURS[(4, 2, 3, 0)[place]]
                x = np.repeat(np.arange(count + 1), 2)[1:-1]
                style: dict[str, Any] = {
                    "facecolor": colour,
                    "alpha": 0.85 if sign > 0 else 0.4,
                    "edgecolor": "white",
                    "lw": 0.4,
                }
                axes.fill_between(x, np.repeat(base, 2), np.repeat(top, 2), label=label, **style)
                base = top
        axes.axhline(0, color="black", lw=0.8)
        axes.set(title=arm, ylabel="kW")
        hours(axes, count)
    figure.legend(*panels[0].get_legend_handles_labels(), ncols=2, loc="outside lower center")
    caption = (
        "One community, mean of judged days and seeds: where energy comes from (up) and where it goes (down, pale)."
    )
    return picture(figure, "energy", "Energy by hour of the day", caption)


@styled
def clusters(results: Results) -> Picture:
    """Net load of each cluster of homes by hour of the day, one panel per cluster.

    Parameters
    ----------
    results : Results
        Of one study.

    Returns
    -------
    Picture
        kW a home, + = import, of the lowest seed, since clusters of other seeds are other homes.
    """
    if "profiles" not in results.names:
        raise Lacking("these runs have no table profiles; run the study again with this version")
    table = results.table("profiles")
    need(list(table.columns), ["cluster", "step", "homes", "net_kwh", "load_kwh"], "profiles")
    table = table[table["seed"] == table["seed"].min()]
    groups = sorted(table["cluster"].unique())
    if len(groups) < 2:
        raise Lacking("all homes are in one cluster")
    count = int(table["step"].max()) + 1
    figure, panels = panel((len(groups) + 1) // 2, 1.8, columns=2, sharex=True, sharey=True)
    for axes in panels[len(groups) :]:
        axes.remove()
    for axes, group in zip(panels, groups, strict=False):
        own = table[table["cluster"] == group]
        use = own[own["arm"] == results.arms[0]].set_index("step")["load_kwh"] * count / 24
        axes.fill_between(use.index + 0.5, use.to_numpy(float), color="#DDDDDD", lw=0, label="consumption")
        for place, arm in enumerate(results.arms):
            net = own[own["arm"] == arm].set_index("step")["net_kwh"] * count / 24
            axes.plot(net.index + 0.5, net, lw=1.2, label=arm, **line_of(place))
        axes.axhline(0, color="black", lw=0.8)
        homes = int(own["homes"].iloc[0])
        axes.set_title(f"cluster {group}: {homes} home{'s' * (homes != 1)}")
        hours(axes, count)
    figure.legend(*panels[0].get_legend_handles_labels(), ncols=2, loc="outside lower center")
    figure.supylabel("net load, kW a home", fontsize=9)
    seed = int(table["seed"].iloc[0])
    caption = f"Mean of judged days, seed {seed}; below 0 a cluster feeds in. Clusters of other seeds hold other homes."
    return picture(figure, "clusters", "Net load of the clusters of homes", caption)


def _judged(results: Results) -> pd.DataFrame:
    """Steps of judged days with their step of the day."""
    if "steps" not in results.names:
        raise Lacking("these runs have no table steps")
    steps = results.table("steps")
    need(list(steps.columns), ["timestamp", "held_out"], "steps")
    steps = steps[steps["held_out"]] if steps["held_out"].any() else steps
    return steps.assign(step=_step(steps))


def _step(table: pd.DataFrame) -> pd.Series:
    """Step of the day of each row."""
    clock = table["timestamp"].dt
    minutes = clock.hour * 60 + clock.minute
    distances = np.diff(np.unique(minutes))
    return minutes // (int(distances.min()) if len(distances) else 60)


def _peer_prices(results: Results, steps: pd.DataFrame) -> pd.Series:
    """Mean price of traded energy by arm and step of judged days, $/kWh."""
    trades = results.table("trades") if "trades" in results.names else pd.DataFrame()
    if not {"timestamp", "bought_wh", "paid_nano"} <= set(trades.columns) or trades.empty:
        return pd.Series(dtype=float)
    trades = trades[trades["timestamp"].isin(steps["timestamp"].unique()) & (trades["bought_wh"] > 0)]
    if trades.empty:
        return pd.Series(dtype=float)
    place = dict(zip(steps["timestamp"], steps["step"], strict=True))
    sums = trades.assign(step=trades["timestamp"].map(place)).groupby(["arm", "step"])[["paid_nano", "bought_wh"]].sum()
    return sums["paid_nano"] / sums["bought_wh"] * 1e-6


def _stairs(axes: Axes, values: pd.Series, label: str, place: int) -> None:
    """A price holds for its whole step."""
    edges = np.arange(len(values) + 1)
    axes.stairs(
        values.to_numpy(float), edges, label=label, baseline=None, color=COLOURS[place], ls=LINES[place], lw=1.5
    )
