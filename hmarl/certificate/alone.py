"""Homes alone against two prices: the programs of their own devices, which give the upper end of exploitability."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hmarl.certificate.heat_orders import HeatOrders
from hmarl.evaluation import stretches
from hmarl.pictures import picture, solved
from hmarl.plans import Plan, plan_of
from retail.game import Game

if TYPE_CHECKING:
    from aggregator.portfolio import Response
    from aggregator.reservoirs import Reservoir

Array = NDArray[np.float64]


class Alone:
    """Some homes on some days, all devices included, with perfect foresight.

    What the game charges a home for the community's peak is left out, and never more than that is missing: costs are
    lower ends.

    Parameters
    ----------
    game : Game
        Costs and rules.
    days : Tensor [D] int64
        Days of the community, ascending.
    who : array of int [M]
        Homes, ascending.
    """

    def __init__(self, game: Game, days: Tensor, who: NDArray[np.int64]) -> None:
        self.game, self.days, self.who = game, days, who
        self.homes = picture(game, days, pooled=False).some(who)

    def best(self, buy: Array, sell: Array, shift: Array | float = 0.0, heat: tuple[HeatOrders, ...] = ()) -> Response:
        """Least cost of each home.

        Parameters
        ----------
        buy, sell : array [D, T] $/kWh
            ``buy >= sell``.
        shift : array [D, M, T] kWh
            Added to its inflexible net load.
        heat : tuple of HeatOrders
            Of the others, who sell for nothing and pay the most there is.

        Returns
        -------
        Response
            Under ``storage_end: carry`` a stretch of days is one horizon and cost by day its mean.
        """
        buy, sell, thrown = self._faced(buy, sell)
        homes = self.homes.change(fixed_kwh=self.homes.fixed_kwh + shift + thrown, reservoirs=self._trading(heat))
        return solved(self.game, homes, self.days, buy, sell)

    def reach(self) -> tuple[Array, Array]:
        """Least and largest net load of each home in each step, whatever its devices do, each [D, T, M] kWh."""
        homes = self.homes
        low = homes.fixed_kwh - (homes.discharge * homes.eta_discharge)[:, None]
        high = homes.fixed_kwh + (homes.charge / homes.eta_charge)[:, None]
        for tank in homes.reservoirs:
            for port in tank.ports:
                drawn = port.limit * port.meter
                low[:, tank.owner] += np.minimum(drawn, 0.0)
                high[:, tank.owner] += np.maximum(drawn, 0.0)
        if self.game.curtail:
            high += self._pv()
        return np.swapaxes(low, 1, 2), np.swapaxes(high, 1, 2)

    def foresight(self, buy: Array, sell: Array, perfect: Response) -> Array:
        """Cost of a plan on the expected load less that on perfect foresight.

        Parameters
        ----------
        buy, sell : array [D, T] $/kWh
        perfect : Response
            ``best`` at these prices.

        Returns
        -------
        array [M] $/day
            Mean over days.
        """
        expected = self.game.observer.expected[self.days].transpose(1, 2).numpy()[:, self.who]
        plan = self.best(buy, sell, expected - self.homes.fixed_kwh)
        net = self.homes.fixed_kwh + plan.importing - plan.exporting - expected
        buy, sell, _ = self._faced(buy, sell)
        bill = (buy[:, None] * np.maximum(net, 0.0) - sell[:, None] * np.maximum(-net, 0.0)).sum(axis=2)
        return np.asarray((self.level(bill) + plan.own - perfect.cost).mean(axis=0))

    def level(self, by_day: Array) -> Array:
        """Values of days [D, M] in the form that ``best`` has them: under ``carry`` each the mean over its stretch."""
        if self.game.terminates:
            return by_day
        each = [np.broadcast_to(by_day[a:b].mean(axis=0), by_day[a:b].shape) for a, b in stretches(self.days)]
        return np.concatenate(each)

    def plan(self, response: Response) -> Plan:
        """Moves of all devices, dict of str to Tensor [D, T, M] kWh, of an answer of ``best``."""
        return plan_of(self.game, self.days, response, pooled=False, homes=self.who)

    def _trading(self, heat: tuple[HeatOrders, ...]) -> tuple[Reservoir, ...]:
        """Reservoirs with two more ports where heat may be bought and sold."""
        from aggregator.reservoirs import Port  # noqa: PLC0415  pyomo is slow to import

        tanks, homes = list(self.homes.reservoirs), len(self.who)
        first = len(tanks) - homes * len(self.game.community.thermal)
        for orders in heat:
            nothing = np.zeros((1, len(orders.price)))
            thermal = self.game.community.thermal[orders.carrier]
            for k, n in enumerate(self.who):
                place = first + homes * orders.carrier + k
                pump, chp = (port.limit for port in tanks[place].ports[:2])
                store = float(thermal.store_rate[n].minimum(thermal.store_max[n]))
                # bids are for demand and store, offers from pump, CHP and store; a back-up makes nothing to sell
                bought = Port(1.0, np.minimum(orders.offered[..., n], tanks[place].drain + store), nothing, nothing)
                most = np.minimum(orders.wanted[..., n], pump + chp + store)
                sold = Port(-1.0, most, nothing, -orders.price[None])
                tanks[place] = replace(tanks[place], ports=(*tanks[place].ports, bought, sold))
        return tuple(tanks)

    def _faced(self, buy: Array, sell: Array) -> tuple[Array, Array, Array | float]:
        """Prices of the grid with what the game allows besides, and generation thrown away for its own sake, kWh."""
        game, thrown = self.game, 0.0
        if game.peak is not None and game.peak.rule == "curtail":
            buy = np.minimum(buy, game.peak.rate)  # not being served may be cheaper
            sell = np.minimum(sell, buy)
        if not game.curtail:
            return buy, sell, thrown
        # Below zero every kWh taken earns: all generation is thrown away; exports that cost money need not happen.
        return buy, np.where(buy < 0.0, sell, np.maximum(sell, 0.0)), self._pv() * (buy < 0.0)[:, None]

    def _pv(self) -> Array:
        """Generation, [D, M, T] kWh."""
        c = self.game.community
        return np.asarray(c.daily(c.pv)[self.days].transpose(1, 2).numpy()[:, self.who])
