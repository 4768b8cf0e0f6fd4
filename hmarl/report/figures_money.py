"""Figures of money: who paid whom, one household's bill, who gains and who loses, the welfare account."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Curve

from hmarl.report.figures import BAD, COLOURS, GOOD, QUIET, Lacking, Picture, need, panel, picture, styled, wrapped
from hmarl.results import Results

MARKET = "wholesale market"
PARTS: dict[str, str] = {
    "energy": "energy",
    "congestion": "congestion",
    "network_charge": "network charge",
    "network_fee": "network fee",
    "levies": "levies",
    "fees": "fees",
    "peak_penalty": "peak penalty",
    "aggregator_margin": "aggregator margin",
    "margin": "aggregator margin",
    "feed_in": "feed-in",
    "p2p_saving": "P2P saving",
    "shortfall": "shortfall",
}
"""Columns of ``agents`` that may be parts of a bill -> what they are called."""


def accounts(results: Results) -> pd.DataFrame:
    """What each account of the ledger pays.

    Parameters
    ----------
    results : Results
        Of one study.

    Returns
    -------
    DataFrame
        arm x account, $ a day of all communities, + = paid; mean of judged days and seeds; each row sums to 0.

    Raises
    ------
    Lacking
        If there is no ledger.
    """
    steps = results.table("steps") if "steps" in results.names else pd.DataFrame()
    names = [name for name in steps.columns if name.endswith("_paid")]
    if "prosumers_paid" not in names or len(names) < 2:
        raise Lacking("these runs have no ledger in their table steps")
    need(list(steps.columns), ["timestamp", "held_out"], "steps")
    steps = steps[steps["held_out"]] if steps["held_out"].any() else steps
    by_day = steps.groupby(["arm", "seed", steps["timestamp"].dt.normalize()])[names].sum()
    means = by_day.groupby(["arm", "seed"]).mean().groupby("arm").mean()
    return means.loc[results.arms].rename(columns=lambda name: name.removesuffix("_paid"))


def transfers(row: pd.Series) -> dict[tuple[str, str], float]:
    """Who paid whom, as the ledger books it.

    Retail customers pay the aggregator, the network and the levies; aggregator, generators and other loads settle with
    the wholesale market, which keeps the congestion rent.

    Parameters
    ----------
    row : Series
        Account -> $, + = paid, summing to 0.

    Returns
    -------
    dict
        (payer, payee) -> $ > 0; what each account pays less what it gets is its entry in ``row``.
    """
    found: dict[tuple[str, str], float] = {}

    def book(payer: str, payee: str, amount: float) -> None:
        if amount:
            pair = (payer, payee) if amount > 0 else (payee, payer)
            found[pair] = found.get(pair, 0.0) + abs(amount)

    charges = {name: -float(row.get(name, 0.0)) for name in ("network", "levies")}
    retail = float(row["prosumers"]) - sum(charges.values())
    book("prosumers", "aggregator", retail)
    for name, amount in charges.items():
        book("prosumers", name, amount)
    for name, amount in zip(map(str, row.index), row, strict=True):
        if name not in ("prosumers", *charges):
            own = float(amount) + retail if name == "aggregator" else float(amount)
            book(name, MARKET, own)
    return found


@styled
def payments(results: Results) -> Picture:
    """Who paid whom: a Sankey diagram per arm.

    Parameters
    ----------
    results : Results
        Of one study.

    Returns
    -------
    Picture
        $ a day of all communities together.
    """
    table = accounts(results)
    figure, panels = panel(len(table), 2.5)
    for axes, (arm, row) in zip(panels, table.iterrows(), strict=True):
        _sankey(axes, transfers(row))
        axes.set_title(str(arm))
    runs = sorted({int(run.manifest.get("replication") or 1) for run in results.runs})
    caption = (
        f"Mean of judged days and seeds, thousand $ a day of all {' or '.join(map(str, runs))} communities together. "
        "Height of a band: amount. What a box gets more than it pays stays with it."
    )
    return picture(figure, "payments", "Who paid whom", caption)


def _sankey(axes: Axes, flows: dict[tuple[str, str], float]) -> None:
    """Draw flows from the left to the right; charges run along the top, the wholesale market below."""
    axes.axis("off")
    columns = {"prosumers": 0, "other_loads": 0, "aggregator": 1, MARKET: 2}
    order = ["prosumers", "aggregator", "network", "levies", MARKET, "generators", "congestion_rent", "other_loads"]
    there = {name for pair in flows for name in pair}
    names = [name for name in order if name in there] + sorted(there - set(order))
    total = sum(flows.values()) or 1.0
    pays = {name: sum(v for (a, _), v in flows.items() if a == name) / total for name in names}
    gets = {name: sum(v for (_, b), v in flows.items() if b == name) / total for name in names}
    size = {name: max(pays[name], gets[name]) for name in names}
    at = _places(names, columns, size)
    for place, name in enumerate(names):
        x, amount = columns.get(name, 3), f"{size[name] * total / 1000:,.3g}"
        axes.add_patch(_box(x, at[name], size[name], COLOURS[place % len(COLOURS)]))
        if x == 3:
            said = name.replace("_", " ") + ("\n" if size[name] > 0.1 else " ") + amount
            axes.text(x + 0.1, at[name] - size[name] / 2, said, fontsize=8, va="center")
        else:
            said = f"{name.replace(' ', chr(10)).replace('_', ' ')} {amount}"
            middle, side = (x + 0.025, "center") if x else (x, "left")
            axes.text(middle, at[name] + 0.02, said, fontsize=8, ha=side, va="bottom")
    out, into = dict(at), dict(at)
    first = {name: place for place, name in enumerate(sorted(names, key=lambda n: -at[n]))}
    for (payer, payee), paid in sorted(flows.items(), key=lambda flow: (first[flow[0][0]], first[flow[0][1]])):
        start, end, height = (columns.get(payer, 3), out[payer]), (columns.get(payee, 3), into[payee]), paid / total
        axes.add_patch(_band(*start, *end, height, names.index(payer)))
        out[payer] -= height
        into[payee] -= height
    axes.set(xlim=(-0.05, 4.1), ylim=(min(at[name] - size[name] for name in names) - 0.05, 1.2))


def _places(names: list[str], columns: dict[str, int], size: dict[str, float], gap: float = 0.12) -> dict[str, float]:
    """Upper end of each box: charges at the top, below them the aggregator, below that the wholesale market."""
    charges = sum(size[name] + gap for name in ("network", "levies") if name in names)
    wholesale = 1.0 - max(charges + size.get("aggregator", 0.0), size["prosumers"]) - 1.6 * gap
    at = {"prosumers": 1.0, "aggregator": 1.0 - charges}
    tops = {0: wholesale, 2: wholesale, 3: 1.0}
    for name in names:
        if name in ("prosumers", "aggregator"):
            continue
        column = columns.get(name, 3)
        top = tops[column] if name in ("network", "levies") else min(tops[column], wholesale)
        at[name] = top
        tops[column] = top - size[name] - gap
    return {name: top for name, top in at.items() if name in names}


def _box(x: float, top: float, height: float, colour: str) -> PathPatch:
    corners = [(x, top), (x + 0.05, top), (x + 0.05, top - height), (x, top - height), (x, top)]
    return PathPatch(Curve(corners, [Curve.MOVETO, *[Curve.LINETO] * 3, Curve.CLOSEPOLY]), fc=colour, ec="none")


def _band(x0: float, y0: float, x1: float, y1: float, height: float, colour: int) -> PathPatch:
    """A band from the right of one box to the left of another; one that goes back is drawn towards the left."""
    start, end = (x0 + 0.05, x1) if x1 > x0 else (x0, x1 + 0.05)
    middle = (start + end) / 2
    there = [(start, y0), (middle, y0), (middle, y1), (end, y1)]
    back = [(end, y1 - height), (middle, y1 - height), (middle, y0 - height), (start, y0 - height), (start, y0)]
    codes = [Curve.MOVETO, *[Curve.CURVE4] * 3, Curve.LINETO, *[Curve.CURVE4] * 3, Curve.CLOSEPOLY]
    return PathPatch(Curve(there + back, codes), fc=COLOURS[colour % len(COLOURS)], alpha=0.4, ec="none")


@styled
def bill(results: Results) -> Picture:
    """A household's bill, part by part, one panel per arm.

    Parameters
    ----------
    results : Results
        Of one study.

    Returns
    -------
    Picture
        $ a day of a mean home; parts that are no column of the runs are not split.
    """
    parts, split = _bill_parts(results)
    figure, panels = panel(len(parts), 2.2, sharex=True, sharey=True)
    for axes, (arm, row) in zip(panels, parts.iterrows(), strict=True):
        ends = row.cumsum().to_numpy(float)
        for place, (amount, end) in enumerate(zip(row.to_numpy(float), ends, strict=True)):
            colour = COLOURS[0] if amount >= 0 else COLOURS[2]
            axes.bar(place, amount, bottom=end - amount, color=colour, width=0.7)
            axes.text(place, max(end, end - amount), f"{amount:+.2f}", ha="center", va="bottom", fontsize=8)
        axes.bar(len(row), row.sum(), color="black", width=0.7)
        axes.text(len(row), max(row.sum(), 0), f"{row.sum():.2f}", ha="center", va="bottom", fontsize=8)
        axes.set(title=str(arm), ylabel="$ a day")
        axes.axhline(0, color="black", lw=0.8)
        axes.margins(y=0.15)
        axes.set_xticks(range(len(row) + 1), [wrapped(name, 10) for name in [*row.index, "bill"]], fontsize=8)
        axes.grid(visible=False, axis="x")
    caption = f"A mean home, mean of judged days and seeds. {split}"
    return picture(figure, "bill", "A household's bill", caption)


def _bill_parts(results: Results) -> tuple[pd.DataFrame, str]:
    """Arm x part, $ a day and home, summing to the bill; and how it was split."""
    homes = results.table("agents") if "agents" in results.names else pd.DataFrame()
    need(list(homes.columns), ["bill", "held_out", "prosumer"], "agents")
    homes = homes[homes["held_out"]] if homes["held_out"].any() else homes
    names = [name for name in PARTS if name in homes.columns and name != "shortfall"]
    if names:
        means = homes.groupby("arm")[["bill", *names]].mean().loc[results.arms]
        parts = means[names].rename(columns=PARTS)
        rest = means["bill"] - parts.sum(axis=1)
        if rest.abs().max() > 1e-6 * means["bill"].abs().max():
            parts = parts.assign(rest=rest)
        return parts.loc[:, parts.abs().max() > 1e-9], "Parts as booked for each home."
    means = homes.groupby("arm")[[n for n in ("bill", "paid_to_peers") if n in homes]].mean().loc[results.arms]
    count = homes.groupby("arm")["prosumer"].nunique()
    books = accounts(results)
    copies = pd.Series({run.arm: float(run.manifest.get("replication") or 1) for run in results.runs})
    per_home = books.div(copies, axis=0).div(count, axis=0).loc[results.arms]
    parts = pd.DataFrame({"network and fees": -per_home["network"], "levies": -per_home["levies"]})
    parts.insert(0, "energy, less feed-in", means["bill"] - parts.sum(axis=1))
    return parts, (
        "Network charges and levies from the ledger; payments between peers cancel out over the community. Congestion, "
        "margin, peak penalty and P2P saving are no columns of these runs."
    )


@styled
def gains(results: Results) -> Picture:
    """Who gains and who loses against the baseline: every home, sorted.

    Parameters
    ----------
    results : Results
        Of one study.

    Returns
    -------
    Picture
        Change of cost (wear included), $ a day and home.
    """
    homes = results.table("agents") if "agents" in results.names else pd.DataFrame()
    name = "cost" if "cost" in homes else "bill"
    need(list(homes.columns), [name, "held_out", "prosumer"], "agents")
    if len(results.arms) < 2:
        raise Lacking("there is only one arm, so nothing to gain or lose against")
    homes = homes[homes["held_out"]] if homes["held_out"].any() else homes
    costs = homes.groupby(["arm", "seed", "prosumer"])[name].mean()
    base = costs.loc[results.arms[0]]
    figure, panels = panel(len(results.arms) - 1, 1.9, sharey=True)
    for axes, arm in zip(panels, results.arms[1:], strict=True):
        change = (costs.loc[arm] - base).dropna().sort_values()
        if change.empty:
            raise Lacking(f"arm {arm} shares no seed with {results.arms[0]}")
        colours = [GOOD if value < 0 else BAD for value in change]
        axes.bar(range(len(change)), change.to_numpy(float), color=colours, width=1.0 if len(change) > 60 else 0.8)
        axes.axhline(0, color="black", lw=0.8)
        low, high = int((change < -0.005).sum()), int((change > 0.005).sum())
        axes.set_title(f"{arm}: {low} of {len(change)} pay less, {high} more; median {change.median():+.2f}")
        axes.set(ylabel="$ a day", xticks=[])
    kind = "cost (wear included)" if name == "cost" else "bill"
    caption = (
        f"Change of each home's {kind} against {results.arms[0]}, sorted, homes of all seeds; below 0 it pays less. "
        "Mean of judged days."
    )
    return picture(figure, "gains", "Who gains and who loses", caption)


@styled
def welfare(results: Results) -> Picture:
    """The welfare account: what each party has more or less than under the baseline.

    Parameters
    ----------
    results : Results
        Of one study.

    Returns
    -------
    Picture
        $ a day of all communities; each arm's bars sum to 0 but for what the table shows.
    """
    table = accounts(results)
    if len(table) < 2:
        raise Lacking("there is only one arm, so no change of accounts")
    change = -(table.iloc[1:] - table.iloc[0]) / 1000
    change = change.loc[:, change.abs().max() > 1e-9]
    if change.empty:
        raise Lacking("no account of the ledger differs between the arms")
    figure, (axes,) = panel(height=0.6 + 0.24 * change.size)
    height = 0.8 / len(change)
    for place, (arm, row) in enumerate(change.iterrows()):
        at = np.arange(len(row)) + (place - (len(change) - 1) / 2) * height
        axes.barh(at, row.to_numpy(float), height * 0.9, color=COLOURS[(place + 1) % len(COLOURS)], label=str(arm))
        for y, value in zip(at, row, strict=True):
            said = f" {value:+.2f} " if abs(value) >= 0.005 else " 0 "
            axes.text(value, y, said, va="center", ha="left" if value >= 0 else "right", fontsize=7)
    axes.axvline(0, color="black", lw=0.8)
    axes.set_yticks(range(change.shape[1]), [str(name).replace("_", " ") for name in change.columns])
    axes.invert_yaxis()
    axes.margins(x=0.22)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(f"thousand $ a day more than under {table.index[0]}")
    if len(change) > 1:
        figure.legend(loc="outside lower center", ncols=2)
    caption = (
        "Cash of all communities together, from the ledger: each arm's changes sum to zero. Wear of batteries is no "
        "cash and not in it. Mean of judged days and seeds."
    )
    return picture(figure, "welfare", "The welfare account", caption)


@styled
def yardsticks(results: Results) -> Picture:
    """Where the followers stand between a home without a battery and the community's optimum.

    Parameters
    ----------
    results : Results
        Of one study.

    Returns
    -------
    Picture
        $ a day of one community, at each arm's own tariff.
    """
    names = {
        "no_battery": ("no batteries", "s", QUIET),
        "tuned_rule": ("tuned rule", "D", COLOURS[4]),
        "followers": ("followers", "o", COLOURS[0]),
        "community_optimum": ("perfect foresight, whole community", "|", "black"),
    }
    rows = [
        {"arm": run.arm, **(run.certificate.get("yardsticks_per_day") or {})}
        for run in results.runs
        if run.certificate.get("yardsticks_per_day")
    ]
    if not rows:
        raise Lacking("the certificates of these runs hold no yardsticks")
    means = pd.DataFrame(rows).groupby("arm").mean(numeric_only=True).reindex(results.arms).dropna(how="all")
    figure, (axes,) = panel(height=0.9 + 0.35 * len(means))
    for name, (label, marker, colour) in names.items():
        if name in means:
            size = 13 if marker == "|" else 7
            axes.plot(means[name], range(len(means)), marker, ms=size, mew=2, color=colour, label=label, ls="none")
    axes.set_yticks(range(len(means)), [wrapped(str(arm)) for arm in means.index])
    axes.invert_yaxis()
    axes.margins(y=0.25)
    axes.set_xlabel("cost of the community, $ a day, wear included")
    figure.legend(loc="outside lower center", ncols=2)
    caption = "Mean of judged days and seeds, every yardstick at the tariff of its own arm; further left is cheaper."
    return picture(figure, "yardsticks", "Where the followers stand", caption)
