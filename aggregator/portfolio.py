"""Best responses of a portfolio of followers to a tariff, day by day, under exactly the game's costs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from aggregator.day_batch import DayBatch
from aggregator.day_program import Day, DayProgram
from aggregator.pools import Group, Pool, pools
from aggregator.prosumers import STORAGE_ENDS, Array, Portfolio, PortfolioError
from aggregator.slope_merge import Fleet
from aggregator.wear import wear as wear_of

__all__ = ["STORAGE_ENDS", "BestResponse", "Portfolio", "PortfolioError", "Response", "as_days", "optimum"]

FLEET_FROM, FLEET_STEPS = 100, 96


@dataclass(frozen=True)
class Response:
    """What the followers do at a tariff and what it costs them; costs: + = paid.

    Attributes
    ----------
    cost : array [D] (pooled) or [D, N] $/day
        Bill at the tariff plus own cost; the follower optimum v(p).
    own : array, same shape $/day
        The part that is not the bill: wear, minus the value of energy left in the store, plus peer-to-peer fees, fuel
        and what a peak costs beyond the tariff.
    importing, exporting : array [D, T] (pooled) or [D, N, T] kWh per step
        Energy bought from and sold to the tariff, >= 0. ``importing`` is the gradient of ``cost`` in the buy price.
    net : array [D, T] kWh per step
        Net load of the community, + = import.
    store_change : array [D, N, T] kWh per step
        Change of the stored energy, store-side, + = charge.
    wear : array [D] $/day
        Wear of all batteries.
    flows : tuple of array [D, P, T] kWh per step
        Flows through the ports of each reservoir of the portfolio, store-side.
    mean : float $/day
        Weighted mean over days of the cost of all followers.
    """

    cost: Array
    own: Array
    importing: Array
    exporting: Array
    net: Array
    store_change: Array
    wear: Array
    flows: tuple[Array, ...]
    mean: float

    @property
    def total_importing(self) -> Array:
        """Energy bought from the tariff by all followers, array [D, T] kWh per step."""
        return self.importing if self.importing.ndim == 2 else self.importing.sum(axis=1)

    @property
    def total_exporting(self) -> Array:
        """Energy sold to the tariff by all followers, array [D, T] kWh per step."""
        return self.exporting if self.exporting.ndim == 2 else self.exporting.sum(axis=1)


class BestResponse:
    """The followers' optimum as a function of the tariff; models are compiled once, on first use.

    Linear followers (no quadratic wear) are solved day by day in HiGHS from the last basis, 100 and more lonely ones
    together by ``aggregator.slope_merge``; quadratic ones, those with other stores, and with ``together`` all, all days
    at once by ``aggregator.interior``. A new object starts cold, so that its answers depend on its own calls only.

    Parameters
    ----------
    portfolio : Portfolio
    merge : bool
        Whether equal batteries behind one balance are solved as one, which is exact.
    together : bool
        Whether linear followers too are solved all days at once: faster for many days, and of equally good schedules
        it gives one in the middle where HiGHS gives a corner.
    """

    def __init__(self, portfolio: Portfolio, *, merge: bool = True, together: bool = False) -> None:
        self.portfolio, self.together = portfolio, together
        self.pools = pools(portfolio, merge=merge)
        many = len(self.pools) >= FLEET_FROM and portfolio.steps <= FLEET_STEPS
        self._fleet = Fleet.of(self.pools) if many else None
        self._linear: dict[tuple[Group, ...], DayProgram] = {}
        self._batch: dict[tuple[int, ...], DayBatch] = {}

    def days(self, buy: Array, sell: Array) -> list[list[Day]]:
        """Optimal schedules of each of ``pools``.

        Parameters
        ----------
        buy, sell : array [D, T] $/kWh
            ``buy >= sell``.

        Returns
        -------
        list of list of Day
            One list per pool, one entry per day.
        """
        found: list[list[Day]] = [[] for _ in self.pools]
        for members, part in self.parts(buy, sell):
            for place, k in enumerate(members):
                found[k] = [part.at(place, d) for d in range(len(buy))]
        return found

    def parts(self, buy: Array, sell: Array) -> list[tuple[list[int], Day]]:
        """Optimal schedules of all pools, those that were solved together in one ``Day``.

        Parameters
        ----------
        buy, sell : array [D, T] $/kWh
            ``buy >= sell``.

        Returns
        -------
        list of (positions, Day)
            Positions in ``pools`` of those whose schedules the arrays [pool, day, ...] of the ``Day`` are.
        """
        found: list[tuple[list[int], Day]] = []
        batched, idle = [], []
        for k, pool in enumerate(self.pools):
            if pool.plain and not pool.groups and pool.fixed_kwh.shape[1] == 1:
                idle.append(k)
            elif pool.linear and not (self.together and pool.groups):
                found.append(([k], Day.of([self._linear_day(pool, d, buy, sell) for d in range(len(buy))])))
            else:
                batched.append(k)
        if idle:
            found.append((idle, _idle(np.stack([self.pools[k].fixed_kwh for k in idle]), buy, sell)))
        for members, batch in self._batches(batched):
            inside = [self.pools[k] for k in members]
            # HiGHS has no trouble with degenerate linear problems; quadratic ones have none of it.
            linear = all(pool.linear for pool in inside)
            rescue = partial(self._rescue, inside, buy, sell) if linear else None
            found.append((members, batch.solve(buy, sell, rescue)))
        return found

    def _batches(self, members: list[int]) -> list[tuple[list[int], DayBatch]]:
        """Pools (positions) of one shape with their batch, which is laid out on first use."""
        alike: dict[tuple[object, ...], list[int]] = {}
        for k in members:
            alike.setdefault(self.pools[k].shape, []).append(k)
        found = []
        for those in alike.values():
            batch = self._batch.get(tuple(those))
            if batch is None:
                batch = self._batch[tuple(those)] = DayBatch([self.pools[k] for k in those])
            found.append((those, batch))
        return found

    def slopes(self, buy: ArrayLike, sell: ArrayLike) -> tuple[Array, Array]:
        """How imports and exports of all followers move with the buy price, by the implicit function theorem.

        Parameters
        ----------
        buy, sell : array_like [T] or [D, T] $/kWh
            ``buy >= sell``.

        Returns
        -------
        into, out : array [D, T, T] kWh per $/kWh
            Change of the row's step with the column's price. Linear programs answer with corners, whose slope is 0
            almost everywhere.
        """
        portfolio = self.portfolio
        buy, sell = as_days(portfolio, buy, "buy"), as_days(portfolio, sell, "sell")
        found = np.zeros((2, portfolio.days, portfolio.steps, portfolio.steps))
        curved = [k for k, pool in enumerate(self.pools) if not pool.linear]
        for _, batch in self._batches(curved):
            found += batch.slopes(buy, sell)
        return found[0], found[1]

    def _rescue(self, inside: list[Pool], buy: Array, sell: Array, k: int, day: int) -> Day:
        return self._linear_day(inside[k], day, buy, sell)

    def _linear_day(self, pool: Pool, day: int, buy: Array, sell: Array) -> Day:
        begin = None if pool.begin is None else pool.begin[day]
        return self.program(pool).solve(pool.fixed_kwh[day], buy[day], sell[day], begin)

    def program(self, pool: Pool) -> DayProgram:
        """The compiled linear day problem of a pool without quadratic wear.

        Parameters
        ----------
        pool : Pool

        Returns
        -------
        DayProgram
        """
        if pool.groups not in self._linear:
            _, meters, steps = pool.fixed_kwh.shape
            self._linear[pool.groups] = DayProgram(pool.groups, meters, steps, pool.fee, pool.storage_end)
        return self._linear[pool.groups]

    def solve(self, buy: ArrayLike, sell: ArrayLike, *, weights: ArrayLike | None = None) -> Response:
        """Best response to a tariff.

        Parameters
        ----------
        buy, sell : array_like [T] or [D, T] $/kWh
            Prices of imported and exported energy, ``buy >= sell`` at every step.
        weights : array_like [D], optional
            Weights of the days in ``Response.mean``; default 1 / D each.

        Returns
        -------
        Response

        Raises
        ------
        PortfolioError
            If a shape does not fit, a price is not finite or a step has ``buy < sell``.
        """
        portfolio = self.portfolio
        buy, sell = as_days(portfolio, buy, "buy"), as_days(portfolio, sell, "sell")
        if (buy < sell).any():
            day, step = np.unravel_index(int(np.argmin(buy - sell)), buy.shape)
            raise PortfolioError(
                f"The buy price {buy[day, step]:g} is below the sell price {sell[day, step]:g} $/kWh on day {day}, "
                f"step {step}: buying and selling at once would earn without end; keep buy >= sell."
            )
        if self._fleet is not None and self._fleet.applies(sell):
            return _assemble_fleet(portfolio, self._fleet, buy, sell, weights)
        return _assemble(self, buy, sell, weights)


def optimum(portfolio: Portfolio, buy: ArrayLike, sell: ArrayLike, *, weights: ArrayLike | None = None) -> Response:
    """Best response of a portfolio to one tariff; for many tariffs keep a ``BestResponse``.

    Parameters
    ----------
    portfolio : Portfolio
    buy, sell : array_like [T] or [D, T] $/kWh
        ``buy >= sell`` at every step.
    weights : array_like [D], optional
        Weights of the days in ``Response.mean``; default 1 / D each.

    Returns
    -------
    Response

    Raises
    ------
    PortfolioError
        See ``BestResponse.solve``.
    """
    return BestResponse(portfolio).solve(buy, sell, weights=weights)


def as_days(portfolio: Portfolio, price: ArrayLike, name: str) -> Array:
    """A price as [D, T].

    Parameters
    ----------
    portfolio : Portfolio
        Says D and T.
    price : array_like [T] or [D, T] $/kWh
    name : str
        For the message.

    Returns
    -------
    array [D, T] $/kWh

    Raises
    ------
    PortfolioError
        If the shape does not fit or a value is not finite.
    """
    value = np.asarray(price, dtype=np.float64)
    shape = (portfolio.days, portfolio.steps)
    if value.shape not in ((portfolio.steps,), shape):
        raise PortfolioError(
            f"The {name} price has shape {value.shape}; give [T] = [{shape[1]}] or [D, T] = {list(shape)}."
        )
    if not np.isfinite(value).all():
        raise PortfolioError(f"The {name} price holds a value that is not finite; give $/kWh at every step.")
    return np.broadcast_to(value, shape)


def _idle(fixed: Array, buy: Array, sell: Array) -> Day:
    """Pools [P, D, 1, T] without anything to decide."""
    none = np.zeros((*fixed.shape[:2], 0, fixed.shape[3]))
    value = np.where(fixed > 0.0, buy[:, None], sell[:, None])
    sides = np.maximum(fixed, 0.0), np.maximum(-fixed, 0.0), np.zeros(fixed.shape)
    return Day(*sides, none, none, none, value, none, none[:, :, None], none, none, np.zeros(fixed.shape[:2]))


def _assemble_fleet(portfolio: Portfolio, fleet: Fleet, buy: Array, sell: Array, weights: ArrayLike | None) -> Response:
    """The response of lonely linear followers, all at once; ``_assemble`` on arrays."""
    shape = (portfolio.prosumers, portfolio.days, portfolio.steps)
    change = fleet.respond(buy, sell).reshape(shape).transpose(1, 0, 2)
    gain, loss = np.maximum(change, 0.0), np.maximum(-change, 0.0)
    net = portfolio.fixed_kwh + gain / portfolio.eta_charge[:, None] - loss * portfolio.eta_discharge[:, None]
    importing, exporting = np.maximum(net, 0.0), np.maximum(-net, 0.0)
    wear = wear_of(portfolio, gain.swapaxes(1, 2), loss.swapaxes(1, 2)).sum(axis=1)
    own = wear.copy()
    if portfolio.storage_end == "value":
        own -= portfolio.end_value * change.sum(axis=2)
    cost = own + np.einsum("dt,dnt->dn", buy, importing) - np.einsum("dt,dnt->dn", sell, exporting)
    days = len(buy)
    weight = np.full(days, 1.0 / days) if weights is None else np.asarray(weights, dtype=np.float64)
    mean = float(weight @ cost.sum(axis=1))
    return Response(cost, own, importing, exporting, net.sum(axis=1), change, wear.sum(axis=1), (), mean)


def _assemble(followers: BestResponse, buy: Array, sell: Array, weights: ArrayLike | None) -> Response:
    portfolio, (days, steps), count = followers.portfolio, buy.shape, len(followers.pools)
    importing, exporting, own = np.zeros((days, count, steps)), np.zeros((days, count, steps)), np.zeros((days, count))
    gain, loss = np.zeros((days, portfolio.prosumers, steps)), np.zeros((days, portfolio.prosumers, steps))
    place = {id(tank): r for r, tank in enumerate(portfolio.reservoirs)}
    flows: list[Array] = [np.zeros(0)] * len(place)
    for members, part in followers.parts(buy, sell):
        inside = [followers.pools[k] for k in members]
        importing[:, members] = part.imports.sum(axis=2).swapaxes(0, 1)
        exporting[:, members] = part.exports.sum(axis=2).swapaxes(0, 1)
        own[:, members] = (part.spent + inside[0].fee * part.bought.sum(axis=(2, 3))).T
        for j in range(part.gain.shape[2]):
            sizes = [pool.groups[j].size for pool in inside]
            who, which = np.concatenate([pool.members[j] for pool in inside]), np.repeat(np.arange(len(sizes)), sizes)
            share = np.array(sizes)[which, None, None]
            gain[:, who], loss[:, who] = ((x[which, :, j] / share).swapaxes(0, 1) for x in (part.gain, part.loss))
        for p, pool in enumerate(inside):
            for r, tank in enumerate(pool.reservoirs):
                flows[place[id(tank)]] = part.flows[p, :, r, : len(tank.ports)]
        if inside[0].peak is not None:
            above = np.maximum(importing[:, members] - inside[0].peak.cap, 0.0)
            own[:, members] += ((inside[0].peak.price(buy) - buy)[:, None] * above).sum(axis=2)
    worn = wear_of(portfolio, gain.swapaxes(1, 2), loss.swapaxes(1, 2)).sum(axis=1)
    kept = portfolio.end_value * (gain - loss).sum(axis=2) if portfolio.storage_end == "value" else 0.0
    of_homes = worn - kept
    own += of_homes.sum(axis=1, keepdims=True) if portfolio.pooled else of_homes
    cost = own + np.einsum("dt,dkt->dk", buy, importing) - np.einsum("dt,dkt->dk", sell, exporting)
    weight = np.full(days, 1.0 / days) if weights is None else np.asarray(weights, dtype=np.float64)
    one_balance = portfolio.pooled
    return Response(
        cost=cost[:, 0] if one_balance else cost,
        own=own[:, 0] if one_balance else own,
        importing=importing[:, 0] if one_balance else importing,
        exporting=exporting[:, 0] if one_balance else exporting,
        net=(importing - exporting).sum(axis=1),
        store_change=gain - loss,
        wear=worn.sum(axis=1),
        flows=tuple(flows),
        mean=float(weight @ cost.sum(axis=1)),
    )
