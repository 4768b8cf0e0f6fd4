"""Figures of a run day by day, for pairs of days between arms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from hmarl.measures import column

if TYPE_CHECKING:
    from hmarl.results import Run

DAILY = ("aggregator_profit", "community_cost", "community_bill", "peak_kw", "p2p_kwh")
"""Measures that have a value on every day; ``peak_kw`` is the peak of that day."""


def daily(run: Run) -> pd.DataFrame:
    """Figures of one community on each day of a run, from the tables the run has.

    Parameters
    ----------
    run : Run
        With ``agents`` and ``steps``, or one of them.

    Returns
    -------
    DataFrame
        day, held_out, judged (held out, or all days where none is), and `hmarl.measures.column` of those in `DAILY`
        that can be computed: $ and kWh per day, kW.
    """
    found = [part for part in (_from_homes(run), _from_steps(run)) if not part.empty]
    if not found:
        return pd.DataFrame()
    days = found[0] if len(found) == 1 else found[0].join(found[1].drop(columns="held_out"), how="inner")
    days = days.reset_index(names="day")
    days.insert(2, "judged", days["held_out"] | (not days["held_out"].any()))
    return days


def _from_homes(run: Run) -> pd.DataFrame:
    homes = run.table("agents")
    if not {"day", "held_out"} <= set(homes.columns):
        return pd.DataFrame()
    by_day = homes.groupby("day", sort=True)
    days = pd.DataFrame({"held_out": by_day["held_out"].first()})
    parts = {"community_cost": "cost", "community_bill": "bill", "p2p_kwh": "bought_from_peers_kwh"}
    for measure, part in parts.items():
        if part in homes.columns:
            days[column(measure)] = by_day[part].sum()
    return days


def _from_steps(run: Run) -> pd.DataFrame:
    steps = run.table("steps")
    if not {"timestamp", "held_out"} <= set(steps.columns):
        return pd.DataFrame()
    by_day = steps.groupby(steps["timestamp"].dt.normalize(), sort=True)
    days = pd.DataFrame({"held_out": by_day["held_out"].first()})
    if "aggregator_paid" in steps.columns:
        replication = run.manifest.get("replication") or 1
        days[column("aggregator_profit")] = -by_day["aggregator_paid"].sum() / replication
    if "net_kwh" in steps.columns:
        hours = 24 / by_day["net_kwh"].size()
        days[column("peak_kw")] = by_day["net_kwh"].max() / hours
    return days
