"""Results as tables: one row per round, step, home and day, trade, update; every unit in its column name."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timezone

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hmarl.equilibrium.iterate import Round, Step
from hmarl.settlement import Settled
from hmarl.world import World
from retail.data import standard_offset

NANO = 1e-9


def timestamps(world: World, days: NDArray[np.int64]) -> pd.DatetimeIndex:
    """Start of each step at the zone's standard offset, so that every day has the same number of steps.

    Parameters
    ----------
    world : World
        Its community has the clock.
    days : array [D] int
        Days of the community.

    Returns
    -------
    DatetimeIndex [D * T]
        Time-zone aware, fixed offset.
    """
    c = world.game.community
    clock = pd.DatetimeIndex(c.clock.reshape(c.days, c.steps)[days].reshape(-1))
    return clock.tz_localize(timezone(standard_offset(c.zone, clock[0].year)))


def iterations_table(rounds: Sequence[Round]) -> pd.DataFrame:
    """One row per round; profits in $/day of one community over training days.

    Parameters
    ----------
    rounds : sequence of Round
        Of a run.

    Returns
    -------
    DataFrame
        round, leader, method, information, promised, delivered, bound, mean buy price, changes, converged, reason;
        what was tried.
    """
    rows = [
        {
            "round": it.k,
            "leader": it.offer.leader,
            "method": it.offer.method,
            "information": it.offer.information,
            "promised_profit_per_day": it.offer.promised,
            "delivered_profit_per_day": it.delivered,
            "bound_of_picture_per_day": it.offer.bound,
            "gap_of_picture_ratio": it.offer.gap,
            "community_cost_per_day": it.cost,
            "mean_buy_per_kwh": float(it.tariff.buy_price.mean()),
            "mean_lmp_per_mwh": it.mean_lmp,
            "price_change_per_kwh": it.price_change,
            "cost_change_ratio": it.cost_change,
            "episodes": it.episodes,
            "converged": it.converged,
            "reason": it.reason,
            **_step(it.step),
        }
        for it in rounds
    ]
    floats = ["promised_profit_per_day", "bound_of_picture_per_day", "gap_of_picture_ratio", *STEP]
    return pd.DataFrame(rows).astype(dict.fromkeys(floats, "float64"))


STEP = {
    "tried_profit_per_day": "delivered",
    "predicted_gain_per_day": "predicted",
    "gain_per_day": "gain",
    "gain_error_per_day": "error",
    "accepted": "accepted",
    "radius_per_kwh": "radius",
    "irrational_slope_ratio": "irrational",
    "simulations": "simulations",
}
"""Column of ``iterations`` -> what a method that tries prices says of a round; NaN for one that does not."""


def _step(step: Step | None) -> dict[str, float | str | None]:
    kept = {column: None if step is None else getattr(step, name) for column, name in STEP.items()}
    return {"trial": None if step is None else step.kind, **kept}


def tariffs_table(rounds: Sequence[Round]) -> pd.DataFrame:
    """Prices in force by round and step of the day (means over days where they differ by day).

    Parameters
    ----------
    rounds : sequence of Round
        Of a run.

    Returns
    -------
    DataFrame
        round, step, buy, sell, network, levy, fee in $/kWh.
    """
    frames = []
    for it in rounds:
        t = it.tariff
        parts = {"buy": t.buy, "sell": t.sell, "network": t.network, "levy": t.levy, "fee": t.fee}
        columns = {f"{k}_per_kwh": v.double().reshape(-1, t.steps).mean(0).numpy() * 1e-5 for k, v in parts.items()}
        frames.append(pd.DataFrame({"round": it.k, "step": np.arange(t.steps), **columns}))
    return pd.concat(frames, ignore_index=True)


def steps_table(world: World, settled: Settled, held_out: NDArray[np.bool_]) -> pd.DataFrame:
    """One row per step: energy and prices of the community, MW of all replicas, and every account of the ledger.

    Parameters
    ----------
    world : World
        Clock and meter.
    settled : Settled
        D days.
    held_out : array [D] bool
        Whether a day was held out.

    Returns
    -------
    DataFrame
        Accounts are in $ of the step for all replicas together, + = paid; each row sums to zero.
    """
    played, steps = settled.played, settled.lmp.shape[1]
    ledger, homes = settled.ledger, world.game.community.prosumers
    table = pd.DataFrame(
        {
            "timestamp": timestamps(world, played.days.numpy()),
            "held_out": np.repeat(held_out, steps),
            "net_kwh": played.net.numpy().reshape(-1),
            "forecast_kwh": settled.forecast.reshape(-1),
            "bid_kwh": settled.bid.reshape(-1),
            "traded_kwh": played.outcome.trade_wh.clamp(min=0).sum(-1).numpy().reshape(-1) / 1000,
            "buy_per_kwh": played.tariff.buy_price.reshape(-1),
            "sell_per_kwh": played.tariff.sell_price.reshape(-1),
            "lmp_day_ahead_per_mwh": settled.lmp.reshape(-1),
            "lmp_real_time_per_mwh": settled.real_time_lmp.reshape(-1),
            "metered_mw": world.meter.to_mw(played.net.numpy().reshape(-1)),
            "prosumers_paid": ledger.nano[:, :homes].sum(axis=1) * NANO,
        }
    )
    for position, account in enumerate(ledger.accounts[homes:], start=homes):
        table[f"{account}_paid"] = ledger.nano[:, position] * NANO
    return table


def agents_table(world: World, settled: Settled, held_out: NDArray[np.bool_]) -> pd.DataFrame:
    """One row per home and day of one community.

    Parameters
    ----------
    world : World
        Names and clock.
    settled : Settled
        D days.
    held_out : array [D] bool
        Whether a day was held out.

    Returns
    -------
    DataFrame
        Bill in cash and its parts (see ``bill_parts``), wear, energy by counterpart; kWh and $ a day, + = bought, paid.
    """
    o, c = settled.played.outcome, world.game.community
    days, homes = len(held_out), c.prosumers
    date = timestamps(world, settled.played.days.numpy())[:: c.steps]
    flows = {
        "wear": o.wear,
        "shortfall": o.shortfall,
        "end_value": o.end_value,
        "cost": o.cost,
        "net_kwh": o.net,
        "grid_import_kwh": o.grid.clamp(min=0),
        "grid_export_kwh": (-o.grid).clamp(min=0),
        "bought_from_peers_kwh": o.trade_wh.clamp(min=0).double() / 1000,
        "sold_to_peers_kwh": (-o.trade_wh).clamp(min=0).double() / 1000,
        "paid_to_peers": o.trade_cash.double() * NANO,
        "peer_fee": o.fee_cash.double() * NANO,
        "charged_kwh": o.store_change.clamp(min=0),
    }
    if o.used is not None:
        flows["other_devices_kwh"] = o.used.use
        for k, carrier in enumerate(c.thermal):
            flows[f"{carrier.carrier}_bought_from_peers_kwh"] = o.used.carrier_wh[..., k].clamp(min=0).double() / 1000
    if o.peak is not None:
        flows["not_served_kwh"] = o.peak.unserved
    return pd.DataFrame(
        {
            "day": date.repeat(homes),
            "prosumer": np.tile(np.array(c.names), days),
            "held_out": np.repeat(held_out, homes),
            **bill_parts(world, settled),
            **{name: value.sum(1).numpy().reshape(-1) for name, value in flows.items()},
        }
    )


def bill_parts(world: World, settled: Settled) -> dict[str, NDArray[np.float64]]:
    """One bill from end to end, home by home and day by day, in whole billionths, so that parts sum exactly to it.

    What the meter read is first priced as if all of it came from the grid at the tariff: its wholesale value (energy
    and congestion at the real-time price of the community's bus), network charge and levies on imports, and what is
    left for the aggregator. Trade with neighbours then takes ``bill_p2p_saving`` off that (- = saved, peer fees
    included). Without a wholesale market the whole energy price is the retailer's.

    Parameters
    ----------
    world : World
        Its exchange names the bus.
    settled : Settled
        D days.

    Returns
    -------
    dict of array [D * N] $
        ``bill`` as booked in the ledger, ``bill_energy``, ``bill_congestion``, ``bill_network``, ``bill_levies``,
        ``bill_margin``, ``bill_shortfall`` (stores that did not return), ``bill_peak_penalty``, ``bill_fuel``,
        ``bill_peer_heat`` and ``bill_p2p_saving``.
    """
    ledger, tariff, steps = settled.ledger, settled.played.tariff, settled.lmp.shape[1]
    net = settled.played.outcome.net.flatten(0, 1).numpy()
    per_nano = {name: getattr(tariff, name).reshape(-1, 1).numpy() * 1e4 for name in ("buy", "sell", "network", "levy")}
    energy = congestion = np.zeros((len(net), 1))
    if settled.real_time is not None and world.exchange is not None:
        market, bus = settled.real_time, settled.real_time.buses.index(world.exchange.bus)
        energy = world.meter.to_per_kwh(market.energy)[:, None] / NANO
        congestion = world.meter.to_per_kwh(market.congestion[:, bus])[:, None] / NANO
    bought, sold = np.maximum(net, 0.0), np.maximum(-net, 0.0)
    at_tariff = _whole(per_nano["buy"] * bought - per_nano["sell"] * sold)
    parts = {
        "bill_energy": _whole(energy * net),
        "bill_congestion": _whole(congestion * net),
        "bill_network": _whole(per_nano["network"] * bought),
        "bill_levies": _whole(per_nano["levy"] * bought),
    }
    parts["bill_margin"] = at_tariff - sum(parts.values())
    beside = {
        "bill_shortfall": ledger.shortfall,
        "bill_peak_penalty": ledger.peak,
        "bill_fuel": ledger.fuel,
        "bill_peer_heat": ledger.heat,
    }
    parts |= beside | {"bill_p2p_saving": ledger.paid - at_tariff - sum(beside.values())}
    parts = {"bill": ledger.paid, **parts}
    return {name: x.reshape(-1, steps, x.shape[1]).sum(axis=1).reshape(-1) * NANO for name, x in parts.items()}


def _whole(nano: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.rint(nano).astype(np.int64)


def trades_table(world: World, settled: Settled) -> pd.DataFrame:
    """Every peer-to-peer trade of a home in a step, exact.

    Parameters
    ----------
    world : World
        Names and clock.
    settled : Settled
        D days.

    Returns
    -------
    DataFrame
        timestamp, prosumer, Wh and nano-currency, + = bought, paid; both sum to zero in every step.
    """
    o, c = settled.played.outcome, world.game.community
    wh, cash = o.trade_wh.flatten(0, 1).numpy(), o.trade_cash.flatten(0, 1).numpy()
    row, home = np.nonzero(wh)
    return pd.DataFrame(
        {
            "timestamp": timestamps(world, settled.played.days.numpy())[row],
            "prosumer": np.array(c.names, dtype=object)[home],
            "bought_wh": wh[row, home],
            "paid_nano": cash[row, home],
            "limit_price_per_kwh": o.order_tick.flatten(0, 1).numpy()[row, home] * 1e-5,
        }
    )


def training_table(rounds: Sequence[Round]) -> pd.DataFrame:
    """The training log of all rounds.

    Parameters
    ----------
    rounds : sequence of Round
        Of a run.

    Returns
    -------
    DataFrame
        One row per update: round, episode, reward_per_day ($ per home), scalars of the learner, and where evaluated
        the community's cost on training days ($ a day).
    """
    rows = [row for it in rounds for row in it.training]
    return pd.DataFrame(rows) if rows else pd.DataFrame({"round": pd.Series(dtype="float64")})
