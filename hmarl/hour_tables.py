"""Means by step of the day over judged days: clusters of homes, buses and lines; small at any size of a study."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from hmarl.settlement import Settled
from hmarl.world import World

if TYPE_CHECKING:
    from wholesale.market import Clearing
    from wholesale.system import System

FULL = 0.999
"""Share of its limit from which a line counts as congested."""


def hour_tables(world: World, settled: Settled, rows: NDArray[np.int64]) -> dict[str, pd.DataFrame]:
    """The tables ``profiles``, and where there is a wholesale market ``buses`` and ``lines``.

    Parameters
    ----------
    world : World
        Community, clusters and market.
    settled : Settled
        D days.
    rows : array of int
        Which of them are judged.

    Returns
    -------
    dict of DataFrame
        By file name.
    """
    found = {"profiles": profiles_table(world, settled, rows)}
    if world.exchange is not None and settled.real_time is not None:
        found |= {"buses": buses_table(settled, settled.real_time, rows)}
        found["lines"] = lines_table(world.exchange.system, settled, settled.real_time, rows)
    return found


def profiles_table(world: World, settled: Settled, rows: NDArray[np.int64]) -> pd.DataFrame:
    """What the homes of a cluster do in a step of the day, mean per home.

    Parameters
    ----------
    world : World
        Community and clusters.
    settled : Settled
        D days.
    rows : array of int
        Which of them are judged.

    Returns
    -------
    DataFrame
        cluster, step, homes, and kWh per home: load, generation, net (+ = import), charged and discharged (store side),
        bought from and sold to peers, imported from and exported to the grid.
    """
    c, o, index = world.game.community, settled.played.outcome, torch.from_numpy(rows)
    days = settled.played.days[index]
    shape = (c.days, c.steps, c.prosumers)
    trade = o.trade_wh[index].double() / 1000
    change, grid = o.store_change[index], o.grid[index]
    flows = {
        "load_kwh": c.load.reshape(shape)[days],
        "generation_kwh": c.pv.reshape(shape)[days],
        "net_kwh": o.net[index],
        "charged_kwh": change.clamp(min=0),
        "discharged_kwh": (-change).clamp(min=0),
        "bought_from_peers_kwh": trade.clamp(min=0),
        "sold_to_peers_kwh": (-trade).clamp(min=0),
        "grid_import_kwh": grid.clamp(min=0),
        "grid_export_kwh": (-grid).clamp(min=0),
    }
    frames = []
    for cluster in world.spec.clusters.unique().tolist():
        homes = (world.spec.clusters == cluster).nonzero().flatten()
        means = {name: flow[:, :, homes].mean((0, 2)).numpy() for name, flow in flows.items()}
        about = {"cluster": cluster, "step": np.arange(c.steps), "homes": len(homes)}
        frames.append(pd.DataFrame({**about, **means}))
    return pd.concat(frames, ignore_index=True)


def buses_table(settled: Settled, clearing: Clearing, rows: NDArray[np.int64]) -> pd.DataFrame:
    """Real-time prices and loads of every bus.

    Parameters
    ----------
    settled : Settled
        D days of T steps.
    clearing : Clearing
        Of these D * T steps in real time.
    rows : array of int
        Judged days.

    Returns
    -------
    DataFrame
        bus, step, lmp_per_mwh, congestion_per_mwh (its part against the first bus), load_mw (others than the
        communities, + = withdrawal).
    """
    parts = {"lmp_per_mwh": clearing.lmp, "congestion_per_mwh": clearing.congestion, "load_mw": clearing.load}
    return _by_step("bus", clearing.buses, parts, settled, rows)


def lines_table(system: System, settled: Settled, clearing: Clearing, rows: NDArray[np.int64]) -> pd.DataFrame:
    """Real-time flows of every line.

    Parameters
    ----------
    system : System
        Has the limits.
    settled : Settled
        D days of T steps.
    clearing : Clearing
        Of these D * T steps in real time.
    rows : array of int
        Judged days.

    Returns
    -------
    DataFrame
        line, step, from_bus, to_bus, flow_mw (+ = towards to_bus), limit_mw (infinite if none), congested_ratio
        (share of days on which the line is at its limit).
    """
    limits = {line.name: line.rate_mw for line in system.lines}
    limit = np.array([limits[name] for name in clearing.lines])
    parts = {"flow_mw": clearing.flow, "congested_ratio": np.abs(clearing.flow) >= FULL * limit}
    table = _by_step("line", clearing.lines, parts, settled, rows)
    if table.empty:
        return table
    ends = {name: [clearing.buses[i] for i in clearing.ends[place]] for place, name in enumerate(clearing.lines)}
    table.insert(2, "from_bus", table["line"].map(lambda name: ends[name][0]))
    table.insert(3, "to_bus", table["line"].map(lambda name: ends[name][1]))
    table.insert(5, "limit_mw", table["line"].map(limits))
    return table


def _by_step(
    what: str, names: tuple[str, ...], parts: dict[str, NDArray[np.generic]], settled: Settled, rows: NDArray[np.int64]
) -> pd.DataFrame:
    """Means over judged days, one row per name and step."""
    days, steps = settled.lmp.shape
    means = {
        part: values.reshape(days, steps, len(names))[rows].mean(axis=0, dtype=np.float64).T.reshape(-1)
        for part, values in parts.items()
    }
    return pd.DataFrame(
        {what: np.repeat(np.array(names, dtype=object), steps), "step": np.tile(range(steps), len(names)), **means}
    )
