"""What the leader knows at gate closure of the days that are settled: forecast, scenarios, prices, residual curves."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hmarl.evaluation import Played
from hmarl.world import Exchange, World

if TYPE_CHECKING:
    from aggregator.gate import Gate
    from wholesale.residual import ResidualCurve

Array = NDArray[np.float64]
WINDOW = 30
"""Metered days that serve as scenarios of the next one, at most."""


def gate(
    world: World, played: Played, forecast: Array, prices: Callable[[Array], Array], shares: Array | None = None
) -> Gate:
    """What the leader knows at gate closure; only what its way of bidding asks for is computed.

    Parameters
    ----------
    world : World
        Leader, market and meter.
    played : Played
        Days in order of time; a day's scenarios are the days metered before it, or, with perfect information, itself.
    forecast : array [D, T] kWh
        Expected net load of one community.
    prices : callable
        Net load [D, T] kWh of one community -> day-ahead price [D, T] $/MWh at the aggregator's bus.
    shares : array [T], optional
        See ``Gate.shares``.

    Returns
    -------
    Gate
    """
    from aggregator.gate import Gate  # noqa: PLC0415

    exchange, leader = world.exchange, world.leader
    if exchange is None or not (exchange.two_price or getattr(leader, "needs_scenarios", True)):
        return Gate(forecast, meter=world.meter, shares=shares)
    scenarios = _scenarios(leader.information, played.net.numpy(), forecast)
    curves = _curves(exchange, world, forecast, np.concatenate(scenarios), getattr(leader, "shift", 0.0))
    if curves:
        mw = world.meter.to_mw(forecast)
        lmp = np.stack([curve.price_at(mw[:, t]) for t, curve in enumerate(curves)], axis=1)
    else:
        lmp = prices(forecast)
    return Gate(forecast, scenarios, lmp, curves, exchange.two_price, world.meter, shares)


def _scenarios(information: str, metered: Array, forecast: Array) -> tuple[Array, ...]:
    if information == "perfect":
        return tuple(metered[d : d + 1] for d in range(len(metered)))
    return tuple(metered[max(0, d - WINDOW) : d] if d else forecast[:1] for d in range(len(metered)))


def _curves(
    exchange: Exchange, world: World, forecast: Array, scenarios: Array, shift: float
) -> tuple[ResidualCurve, ...]:
    """Residual curves of a day over all MW that can occur; empty for markets that couple hours or give prices."""
    from wholesale.dc_opf import DCOPF  # noqa: PLC0415
    from wholesale.merit_order import MeritOrder  # noqa: PLC0415
    from wholesale.residual import residual_curves  # noqa: PLC0415

    if not isinstance(exchange.market, DCOPF | MeritOrder):
        return ()
    mw = world.meter.to_mw(np.concatenate([forecast * (1.0 - shift), forecast * (1.0 + shift), scenarios]))
    room = 1e-3 + 0.01 * np.abs(mw).max(axis=0)
    return residual_curves(exchange.market, exchange.system, exchange.bus, mw.min(axis=0) - room, mw.max(axis=0) + room)
