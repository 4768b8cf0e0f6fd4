"""From played days to money: bid at gate closure, day-ahead and real-time clearing, one ledger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from hmarl.evaluation import Played
from hmarl.gate import gate
from hmarl.world import Exchange, World
from retail.forecast import mean_of_last_days

if TYPE_CHECKING:
    from aggregator.ledger import Ledger
    from wholesale.market import Clearing

Array = NDArray[np.float64]
IMPACT_SHARE = 0.05
"""Share of the mean absolute net load by which it is moved to see how the wholesale price follows."""


@dataclass(frozen=True)
class Settled:
    """Played days with their wholesale side.

    Attributes
    ----------
    played : Played
        The retail side, D days.
    forecast, bid : array [D, T] kWh
        Net load of one community as expected at gate closure, and the day-ahead position taken on it.
    day_ahead, real_time : Clearing or None
        Of the D * T steps; None without a wholesale market.
    lmp, real_time_lmp : array [D, T] $/MWh
        Prices at the aggregator's bus; 0 without a wholesale market.
    ledger : Ledger
        Who paid whom, D * T steps, checked to sum to zero.
    """

    played: Played
    forecast: Array
    bid: Array
    day_ahead: Clearing | None
    real_time: Clearing | None
    lmp: Array
    real_time_lmp: Array
    ledger: Ledger

    @property
    def profit(self) -> Array:
        """Delivered profit of the aggregator by day, for one community, array [D] $."""
        return self.ledger.profit.reshape(self.lmp.shape).sum(axis=1)


def expected_net(world: World, played: Played) -> Array:
    """What the leader expects of the community at gate closure, by its declared information set.

    Parameters
    ----------
    world : World
        Its leader declares ``perfect``, ``forecast`` (mean of the last seven metered days) or ``last-day``.
    played : Played
        Days in order of time.

    Returns
    -------
    array [D, T] kWh
        Net load of one community; before anything was metered, the expected net load without batteries.
    """
    if world.leader.information == "perfect":
        return played.net.numpy()
    window = 7 if world.leader.information == "forecast" else 1
    expected = mean_of_last_days(played.net, window)
    expected[0] = world.game.observer.expected[played.days[0]].sum(-1)
    return expected.numpy()


def clear(exchange: Exchange, world: World, kwh: Array, on: torch.Tensor, *, real_time: bool = False) -> Clearing:
    """Clear the wholesale market with the communities' net load.

    Parameters
    ----------
    exchange : Exchange
        Market, system of one day and bus.
    world : World
        Its meter turns kWh of one community into MW of all.
    kwh : array [D, T] kWh
        Net load of one community.
    on : Tensor [D] int64
        Days of the community, for a market that has prices of its own on each.
    real_time : bool
        Whether this is the delivery, not the day ahead, where a market tells them apart.

    Returns
    -------
    Clearing
        Of D * T steps, $/MWh and MW.
    """
    from wholesale.market import Bid  # noqa: PLC0415

    days = kwh.shape[0]
    loads = np.tile(exchange.system.loads, (days, 1))
    bid = Bid(bus=exchange.bus, mw=world.meter.to_mw(kwh.reshape(-1)))
    market = exchange.at(on.numpy(), kwh.shape[1], real_time=real_time)
    return market.clear(exchange.system.with_load(loads), [bid])


def settle_days(world: World, played: Played, shares: Array | None = None) -> Settled:
    """Bid, clear day-ahead, clear real time, and settle everything in one ledger.

    Parameters
    ----------
    world : World
        Leader, market, meter.
    played : Played
        Days in order of time.
    shares : array [T], optional
        What the offer in force wants to buy day-ahead, as a share of the forecast (``Offer.shares``).

    Returns
    -------
    Settled
        With a checked ledger.

    Raises
    ------
    LedgerError
        If any step does not sum to zero over all accounts.
    """
    forecast = expected_net(world, played)
    bid = world.leader.position(gate(world, played, forecast, lambda kwh: _prices(world, kwh, played.days), shares))
    return settle_position(world, played, forecast, bid)


def settle_position(
    world: World, played: Played, forecast: Array, bid: Array, real_time: Clearing | None = None
) -> Settled:
    """Clear and settle days with a given day-ahead position.

    Parameters
    ----------
    world : World
        Market and meter.
    played : Played
        Days in order of time.
    forecast, bid : array [D, T] kWh
        Expected net load of one community, and the position.
    real_time : Clearing, optional
        Of the same days, which no position changes; cleared when absent.

    Returns
    -------
    Settled
        With a checked ledger.

    Raises
    ------
    LedgerError
        If any step does not sum to zero over all accounts.
    """
    from aggregator.ledger import settle  # noqa: PLC0415

    shape = forecast.shape
    day_ahead = None
    lmp = real_lmp = np.zeros(shape)
    if world.exchange is not None:
        day_ahead = clear(world.exchange, world, bid, played.days)
        if real_time is None:
            real_time = clear(world.exchange, world, played.net.numpy(), played.days, real_time=True)
        lmp = day_ahead.price(world.exchange.bus).reshape(shape)
        real_lmp = real_time.price(world.exchange.bus).reshape(shape)
    o, tariff = played.outcome, played.tariff
    exchange = world.exchange
    ledger = settle(
        trade_cash=_flat(o.trade_cash),
        fee_cash=_flat(o.fee_cash),
        grid_kwh=_flat(o.grid),
        tariff=tariff,
        shortfall=_flat(o.shortfall),
        heat_cash=0 if o.used is None else _flat(o.used.carrier_cash.sum(-1)),
        fuel=0.0 if o.used is None else _flat(o.used.fuel),
        peak=0.0 if o.peak is None else _flat(o.peak.charge),
        meter=world.meter,
        bus=None if exchange is None else exchange.bus,
        day_ahead=day_ahead,
        bid=world.meter.to_mw(bid.reshape(-1)),
        real_time=real_time,
        unit_bus=None if exchange is None else exchange.system.unit_bus,
        two_price=exchange is not None and exchange.two_price,
    )
    return Settled(played, forecast, bid, day_ahead, real_time, lmp, real_lmp, ledger)


def moved_prices(world: World, settled: Settled, share: float) -> tuple[Array, Array, float]:
    """Clear settled days anew with the community's net load moved down and up.

    Parameters
    ----------
    world : World
        With a wholesale market.
    settled : Settled
        D days.
    share : float
        Of the mean absolute net load, by which it is moved.

    Returns
    -------
    low, high : array [D, T] $/MWh
        Price at the aggregator's bus with less and with more net load.
    aside : float kWh
        By how much the net load of one community was moved, each way.
    """
    assert world.exchange is not None
    net, bus, days = settled.played.net.numpy(), world.exchange.bus, settled.played.days
    aside = share * max(float(np.abs(net).mean()), 1e-6)
    low, high = (
        clear(world.exchange, world, net + sign * aside, days, real_time=True).price(bus).reshape(net.shape)
        for sign in (-1.0, 1.0)
    )
    return low, high, aside


def _prices(world: World, kwh: Array, on: torch.Tensor) -> Array:
    """Day-ahead price [D, T] $/MWh at the aggregator's bus for a net load [D, T] kWh of one community."""
    assert world.exchange is not None
    return clear(world.exchange, world, kwh, on).price(world.exchange.bus).reshape(kwh.shape)


def _flat(x: torch.Tensor) -> NDArray[np.generic]:
    return x.flatten(0, 1).numpy()


def first_prices(world: World, days: torch.Tensor) -> Array:
    """Wholesale prices before anything was played: cleared with the expected net load without batteries.

    Parameters
    ----------
    world : World
        Market and meter.
    days : Tensor [D] int64
        Days of the community.

    Returns
    -------
    array [D, T] $/MWh
        Price at the aggregator's bus; 0 without a wholesale market.
    """
    expected = world.game.observer.expected[days].sum(-1).numpy()
    if world.exchange is None:
        return np.zeros(expected.shape)
    return clear(world.exchange, world, expected, days).price(world.exchange.bus).reshape(expected.shape)
