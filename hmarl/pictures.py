"""From a game to the linear or quadratic program that has exactly its costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hmarl.evaluation import stretches
from retail.auctions.none import NoAuction
from retail.game import Game
from retail.thermal import Thermal
from retail.timed_store import TimedStore

if TYPE_CHECKING:
    from aggregator.portfolio import Portfolio, Response
    from aggregator.reservoirs import PeakPrice, Reservoir


RATINGS = ("charge", "discharge")
SLACK = 1e-6
"""kWh by which planners of a started day widen ratings; the game's own projection cuts it off."""


def picture(
    game: Game,
    days: Tensor,
    *,
    pooled: bool,
    fee: float = 0.0,
    start: NDArray[np.float64] | None = None,
) -> Portfolio:
    """The followers of a game as a portfolio.

    Parameters
    ----------
    game : Game
        Costs and rules.
    days : Tensor [D] int64
        Days of the community.
    pooled : bool
        Whether all trade is inside one balance (an efficient peer-to-peer market) or each home is alone.
    fee : float $/kWh
        Network fee on peer-to-peer energy, the largest of the day.
    start : array [N] kWh, optional
        Stored energy at the start of the day; the battery's own start when absent.

    Returns
    -------
    Portfolio
        Under ``storage_end: carry`` the end of the day is free and stored energy is worth ``game.end_value``.
    """
    c, b = game.community, game.community.battery
    first = b.start.numpy() if start is None else np.clip(start, b.store_min.numpy(), b.store_max.numpy())
    homes = _followers(game, c.daily(c.fixed)[days].transpose(1, 2).numpy(), first, pooled, fee)
    return homes.change(reservoirs=reservoirs(game, days, pooled=pooled), peak=_peak(game))


def solved(game: Game, homes: Portfolio, days: Tensor, buy: NDArray[np.float64], sell: NDArray[np.float64]) -> Response:
    """Best response with perfect foresight under the game's ``storage_end``.

    Parameters
    ----------
    game : Game
        Under ``carry`` days without a gap are one horizon with a free end, a lower bound of the cost.
    homes : Portfolio
        Its ``picture`` of these days, or of some homes.
    days : Tensor [D] int64
        Days of the community, ascending.
    buy, sell : array [D, T] $/kWh

    Returns
    -------
    Response
        Under ``carry`` the cost of a day is the mean over its horizon.
    """
    if game.terminates:
        from aggregator.portfolio import BestResponse  # noqa: PLC0415  pyomo is slow to import

        return BestResponse(homes).solve(buy, sell)
    from aggregator.horizons import over_stretches  # noqa: PLC0415

    return over_stretches(homes, buy, sell, stretches(days))


def rest_of_day(
    game: Game, net: NDArray[np.float64], stored: NDArray[np.float64], *, pooled: bool, fee: float = 0.0
) -> Portfolio:
    """The batteries of a game in the middle of some days.

    Parameters
    ----------
    game : Game
        Costs and rules.
    net : array [D, N, T - t] kWh per step
        Inflexible net load of the steps left, + = import.
    stored : array [D, N] kWh
        Stored energy now.
    pooled, fee
        See ``picture``.

    Returns
    -------
    Portfolio
        Ratings are ``SLACK`` kWh wider than the game's, so that a store that must move at full power to end where it
        began leaves the programs an interior.
    """
    b = game.community.battery
    inside = np.clip(stored, b.store_min.numpy(), b.store_max.numpy())
    homes = _followers(game, net, b.start.numpy(), pooled, fee)
    wider = {name: np.where(getattr(homes, name) > 0, getattr(homes, name) + SLACK, 0.0) for name in RATINGS}
    return homes.change(begin=inside, **wider)


def _followers(game: Game, net: NDArray[np.float64], start: NDArray[np.float64], pooled: bool, fee: float) -> Portfolio:
    from aggregator.portfolio import Portfolio  # noqa: PLC0415  pyomo is slow to import

    c, b = game.community, game.community.battery
    return Portfolio(
        fixed_kwh=net,
        store_min=b.store_min.numpy(),
        store_max=b.store_max.numpy(),
        start=start,
        charge=b.charge_kw.numpy() * c.step_hours,
        discharge=b.discharge_kw.numpy() * c.step_hours,
        eta_charge=b.eta_charge.numpy(),
        eta_discharge=b.eta_discharge.numpy(),
        wear_linear=b.wear_linear.numpy(),
        # The game charges rho / 2 * x² / hours for x kWh in a step.
        wear_quadratic=b.wear_quadratic.numpy() / c.step_hours,
        wear_blocks=b.wear_blocks,
        storage_end="restore" if game.storage_end == "restore" else "value",
        end_value=np.full(c.prosumers, game.end_value),
        pooled=pooled,
        fee=fee,
    )


def reservoirs(game: Game, days: Tensor, *, pooled: bool) -> tuple[Reservoir, ...]:
    """All stores of a community besides batteries.

    Parameters
    ----------
    game : Game
        Its community's timed stores and thermal carriers.
    days : Tensor [D] int64
        Days of the community.
    pooled : bool
        Whether traded carriers are one store; else nobody trades heat or cold.

    Returns
    -------
    tuple of Reservoir
        Timed stores by device and prosumer, then thermal ones; the limit of a thermal store's rate is left out, so that
        an optimum is a lower end where it binds.
    """
    found: list[Reservoir] = []
    for store in game.community.timed:
        found += [_timed(store, days, n) for n in store.has.nonzero().flatten().tolist()]
    for thermal in game.community.thermal:
        homes = [_thermal(thermal, days, n) for n in range(game.community.prosumers)]
        together = pooled and thermal.traded and not isinstance(game.auction, NoAuction)
        found += [_joined(homes)] if together else homes
    return tuple(found)


def _timed(store: TimedStore, days: Tensor, n: int) -> Reservoir:
    from aggregator.reservoirs import Port, Reservoir  # noqa: PLC0415

    def table(x: Tensor) -> NDArray[np.float64]:
        return (x if len(x) == 1 else x[days])[..., n].numpy()

    one, free = np.ones((1, store.charge.shape[1])), np.zeros((1, store.charge.shape[1]))
    draw, give = one / float(store.eta_charge[n]), -one * float(store.eta_discharge[n])
    ports = (Port(1.0, table(store.charge), draw, free), Port(-1.0, table(store.discharge), give, free))
    limits = (table(store.floor), table(store.ceiling), table(store.drain))
    return Reservoir(n, *limits, float(store.start[n]), 1.0, ports)


def _thermal(thermal: Thermal, days: Tensor, n: int) -> Reservoir:
    from aggregator.reservoirs import Port, Reservoir  # noqa: PLC0415

    def table(x: Tensor) -> NDArray[np.float64]:
        return (x if len(x) == 1 else x[days])[..., n].numpy()

    demand, cop, gas = table(thermal.demand), table(thermal.cop), thermal.fuel_price.numpy()[None]
    one, size, ratio = np.ones_like(gas), float(thermal.store_max[n]), max(float(thermal.chp_heat[n]), 1e-12)
    use, most = float(thermal.backup_use[n]), demand + size
    wired = thermal.backup == "electricity"
    dump = demand + size + float(thermal.pump[n]) * cop + float(thermal.chp[n]) * ratio
    ports = (
        Port(1.0, float(thermal.pump[n]) * cop, 1.0 / cop, 0 * one),
        Port(1.0, float(thermal.chp[n]) * ratio * one, -one / ratio, gas * float(thermal.chp_fuel[n]) / ratio),
        Port(1.0, most, use * wired * one, use * (not wired) * gas),
        Port(-1.0, dump, 0 * one, 0 * one),
    )
    return Reservoir(n, 0 * one, size * one, demand, float(thermal.store_start[n]), float(thermal.keep[n]), ports)


def _joined(homes: list[Reservoir]) -> Reservoir:
    """The stores of all homes as one, which free exchange among them makes of them; losses are the least of all."""
    from aggregator.reservoirs import Reservoir, merged_ports  # noqa: PLC0415

    low, high, drain = (sum(getattr(home, name) for home in homes) for name in ("low", "high", "drain"))
    start, keep = sum(home.start for home in homes), max(home.keep for home in homes)
    return Reservoir(0, low, high, drain, start, keep, merged_ports([port for home in homes for port in home.ports]))


def _peak(game: Game) -> PeakPrice | None:
    from aggregator.reservoirs import PeakPrice  # noqa: PLC0415

    peak = game.peak
    if peak is None or peak.rule == "report":
        return None
    return PeakPrice(peak.cap_kw * game.community.step_hours, peak.rate, instead=peak.rule == "curtail")
