"""The network: prices of buses and load of lines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hmarl.report.figures import BAD, Lacking, Picture, need, panel, picture, styled
from hmarl.results import Results

Array = NDArray[np.float64]
NAMED = 40
"""Up to so many buses carry their name."""
DRAWN = 300
"""Up to so many buses fit on a map."""


@styled
def network(results: Results) -> Picture:
    """Map of the network under each arm: colour of a bus is its price, thickness of a line its load.

    Parameters
    ----------
    results : Results
        Of one study.

    Returns
    -------
    Picture
        Means over steps, judged days and seeds.
    """
    if not {"buses", "lines"} <= set(results.names):
        raise Lacking("these runs have no wholesale network, or were made before tables buses and lines were stored")
    buses, lines = results.table("buses"), results.table("lines")
    need(list(buses.columns), ["bus", "lmp_per_mwh"], "buses")
    if lines.empty or buses["bus"].nunique() < 2:
        raise Lacking("the market has no network (a single bus)")
    if buses["bus"].nunique() > DRAWN:
        raise Lacking(f"the network has {buses['bus'].nunique()} buses, more than the {DRAWN} that fit on a map")
    need(list(lines.columns), ["line", "from_bus", "to_bus", "flow_mw", "limit_mw", "congested_ratio"], "lines")
    names = list(dict.fromkeys(buses["bus"]))
    ends = lines.drop_duplicates("line").set_index("line")[["from_bus", "to_bus"]]
    place = dict(zip(names, positions(names, [tuple(pair) for pair in ends.to_numpy()]), strict=True))
    shared = buses.groupby(["arm", "bus"])["lmp_per_mwh"].mean()
    figure, panels = panel(len(results.arms), 2.7)
    for axes, arm in zip(panels, results.arms, strict=True):
        axes.axis("off")
        axes.set_title(arm)
        means = lines[lines["arm"] == arm].assign(size=lambda t: t["flow_mw"].abs()).groupby("line")
        load = means["size"].mean() / means["limit_mw"].first()
        full = means["congested_ratio"].mean()
        for line, (start, end) in ends.iterrows():
            (x0, y0), (x1, y1) = place[start], place[end]
            jam = float(full.get(line, 0.0))
            style: dict[str, Any] = {"color": BAD, "zorder": 2} if jam > 0 else {"color": "#9A9A9A", "zorder": 1}
            axes.plot([x0, x1], [y0, y1], lw=1 + 4 * float(np.nan_to_num(load.get(line, 0.0))), **style)
            if jam > 0 and len(names) <= NAMED:
                box = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
                axes.text(
                    (x0 + x1) / 2, (y0 + y1) / 2, f"full {jam:.0%}", fontsize=7, ha="center", va="center", bbox=box
                )
        _buses(figure, axes, names, place, shared.loc[arm], (float(shared.min()), float(shared.max())), _home(results))
    caption = (
        "Number and colour (dark: cheap): mean real-time price, $/MWh. Thickness: mean load against its limit "
        "(thin where there is none). Orange: at its limit in the share of hours written on it. Star: the communities. "
        "Places are drawn from connections, not from geography."
    )
    return picture(figure, "network", "The network and its prices", caption)


def _buses(
    figure: Figure,
    axes: Axes,
    names: list[str],
    place: dict[str, Array],
    prices: pd.Series,
    limits: tuple[float, float],
    home: str | None,
) -> None:

    points = np.array([place[name] for name in names])
    values = prices.reindex(names).to_numpy(float)
    few = len(names) <= NAMED
    size = 150 if few else 24
    low, high = limits if limits[1] > limits[0] else (limits[0] - 1, limits[1] + 1)
    dots = axes.scatter(
        points[:, 0], points[:, 1], c=values, s=size, cmap="cividis", vmin=low, vmax=high, zorder=3, ec="black", lw=0.6
    )
    if home is not None and home in place:
        axes.scatter(
            place[home][0], place[home][1], marker="*", s=size * 0.5, color="white", ec="black", lw=0.6, zorder=4
        )
    if few:
        for name, value in zip(names, values, strict=True):
            x, y = place[name]
            axes.text(x, y - 0.13, f"{name}: {value:.1f}", fontsize=8, ha="center", va="top", zorder=5)
    axes.margins(0.18)
    if not few:
        figure.colorbar(dots, ax=axes, shrink=0.8, label="$/MWh")


def _home(results: Results) -> str | None:
    places = {
        (run.resolved.get("wholesale") or {}).get("bus")
        for run in results.runs
        if run.resolved.get("wholesale") != "none"
    }
    return places.pop() if len(places) == 1 else None


def positions(names: list[str], links: list[tuple[str, str]]) -> list[Array]:
    """Place buses so that distances on paper are like numbers of lines between them (stress majorisation).

    Parameters
    ----------
    names : list of str
        Buses, at least one.
    links : list of pairs of str
        Lines.

    Returns
    -------
    list of array [2]
        One place per bus, about -1..1; the same for the same network.
    """
    index = {name: i for i, name in enumerate(names)}
    apart = np.full((len(names), len(names)), np.inf)
    np.fill_diagonal(apart, 0)
    for start, end in links:
        apart[index[start], index[end]] = apart[index[end], index[start]] = 1.0
    for middle in range(len(names)):  # Floyd and Warshall
        apart = np.minimum(apart, apart[:, [middle]] + apart[[middle]])
    apart[~np.isfinite(apart)] = apart[np.isfinite(apart)].max() + 1
    angle = 2 * np.pi * np.arange(len(names)) / len(names)
    at = np.stack([np.cos(angle), np.sin(angle)], axis=1) * apart.max() / 2
    with np.errstate(divide="ignore"):
        weight = np.where(apart > 0, apart**-2.0, 0.0)
    total = np.diag(weight.sum(axis=1)) - weight
    pull = np.linalg.pinv(total)
    for _ in range(600):
        real = np.linalg.norm(at[:, None] - at[None], axis=-1)
        ratio = np.where(real > 1e-9, weight * apart / np.maximum(real, 1e-9), 0.0)
        at = pull @ ((np.diag(ratio.sum(axis=1)) - ratio) @ at)
    return list(at / max(np.abs(at).max(), 1e-9))
