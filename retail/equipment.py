"""Everything at home besides the battery, in one step: timed stores, then thermal carriers with their own auctions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from retail.auctions import Auction
from retail.auctions.none import NoAuction
from retail.community import Community
from retail.orders import Orders, Trades, to_wh
from retail.tariff import TICKS_PER_UNIT, Tariff
from retail.thermal import Made, Thermal, heads_for, meet, produce, store_path
from retail.timed_store import Limits, meter_energy


class Used(NamedTuple):
    """What the equipment did in a step.

    Attributes
    ----------
    levels : Tensor [B, N, K] kWh
        Content of all K stores after the step: timed stores, then thermal stores.
    use : Tensor [B, N] kWh
        Electricity at the meter, + = import.
    fuel : Tensor [B, N] $
        Cost of gas.
    carrier_wh, carrier_cash : Tensor [B, N, C] int64 Wh, nano-currency
        Thermal energy traded among prosumers, one column per carrier; sums over N are exactly 0.
    """

    levels: Tensor
    use: Tensor
    fuel: Tensor
    carrier_wh: Tensor
    carrier_cash: Tensor

    @property
    def cash(self) -> Tensor:
        """Fuel and thermal trades, Tensor [B, N] $, + = paid."""
        return self.fuel + self.carrier_cash.sum(-1).double() / 1_000_000_000


@dataclass(frozen=True)
class Equipment:
    """Timed stores and thermal devices of a community, ready to be played.

    Parameters
    ----------
    community : Community
        Devices and demand.
    raw : bool
        Whether an action is the operation itself instead of a correction of the devices' own rule.
    """

    community: Community
    raw: bool = False

    @cached_property
    def timed(self) -> tuple[Limits, ...]:
        """Timed stores with their reachable ranges, kWh."""
        return tuple(Limits.of(store) for store in self.community.timed)

    @cached_property
    def _paths(self) -> tuple[tuple[Tensor, Tensor], ...]:
        return tuple(store_path(thermal, self.community.steps) for thermal in self.community.thermal)

    @property
    def heads(self) -> tuple[str, ...]:
        """Heads of an action, in the order of the devices."""
        timed = (store.name for store in self.community.timed)
        return (*timed, *(head for thermal in self.community.thermal for head in thermal.heads))

    def controls(self, head: str) -> Tensor:
        """Who owns what a head moves, Tensor [N] bool."""
        for store in self.community.timed:
            if store.name == head:
                return store.has
        return next(thermal.controls(head) for thermal in self.community.thermal if head in thermal.heads)

    @cached_property
    def start(self) -> Tensor:
        """Content of all stores at the start of a day, Tensor [N, K] kWh."""
        stores = [s.start for s in self.community.timed] + [t.store_start for t in self.community.thermal]
        empty = torch.zeros(self.community.prosumers, 0, dtype=torch.float64)
        return torch.stack(stores, -1) if stores else empty

    @property
    def present(self) -> bool:
        """Whether there is any device besides the battery."""
        return bool(self.community.timed or self.community.thermal)

    @cached_property
    def usual(self) -> Used:
        """What devices do when nobody decides or trades anything; all fields [D, T, N, ...].

        Every day starts from the same content, so no policy changes it: the reference of rewards and observations.
        """
        c = self.community
        days, levels = torch.arange(c.days), self.start.expand(c.days, -1, -1)
        steps = []
        for step in range(c.steps):
            steps.append(self.move(levels, days, step, {}, None, None, None))
            levels = steps[-1].levels
        return Used(*(torch.stack(part, 1) for part in zip(*steps, strict=True)))

    def move(
        self,
        levels: Tensor,
        days: Tensor,
        step: int,
        asked: dict[str, Tensor],
        prices: Tariff | None,
        auction: Auction | None,
        arrival: Tensor | None,
    ) -> Used:
        """Play one step.

        Parameters
        ----------
        levels : Tensor [B, N, K] kWh
            Content of all stores before the step.
        days : Tensor [B] int64
            Days of the community.
        step : int
            Of the day.
        asked : dict of str to Tensor [B, N]
            Heads in [-1, 1]; devices without one follow their own rule.
        prices : Tariff [B], optional
            Of the step, for electricity; needed to trade.
        auction : Auction, optional
            Clears traded carriers; nothing is traded when absent.
        arrival : Tensor [B, N] int64, optional
            Order of arrival.

        Returns
        -------
        Used
            Energy and cost of the step.
        """
        after, use = [], torch.zeros(levels.shape[:2], dtype=torch.float64)
        for k, (limits, change) in enumerate(zip(self.timed, self._changes(levels, days, step, asked), strict=True)):
            after.append(limits.after(levels[..., k], change, days, step))
            use = use + meter_energy(change, limits.store)
        carriers = self.community.thermal
        contents = [levels[..., len(self.timed) + k] for k in range(len(carriers))]
        demands = [_on(t.demand, days, step).expand_as(use) for t in carriers]
        made = self._made(levels, days, step, asked)
        trades = self._trade(carriers, made, demands, step, prices, auction, arrival, use)
        fuel = torch.zeros_like(use)
        for k, thermal in enumerate(carriers):
            met = meet(thermal, made[k], contents[k], demands[k], trades.wh[k].double() / 1000)
            after.append(met.content)
            use = use + met.use
            fuel = fuel + met.fuel * thermal.fuel_price[step]
        return Used(
            torch.stack(after, -1) if after else levels, use, fuel, trades.wh.movedim(0, -1), trades.cash.movedim(0, -1)
        )

    def _changes(self, levels: Tensor, days: Tensor, step: int, asked: dict[str, Tensor]) -> list[Tensor]:
        """Change of the content of each timed store before the drain."""
        wishes = (asked.get(limits.store.name) for limits in self.timed)
        each = enumerate(zip(self.timed, wishes, strict=True))
        return [limits.move(levels[..., k], days, step, wish, self.raw) for k, (limits, wish) in each]

    def _made(self, levels: Tensor, days: Tensor, step: int, asked: dict[str, Tensor]) -> list[Made]:
        """Production of each carrier before any trade."""
        found = []
        for k, (thermal, (low, high)) in enumerate(zip(self.community.thermal, self._paths, strict=True)):
            content = levels[..., len(self.timed) + k]
            demand, cop = _on(thermal.demand, days, step).expand_as(content), _on(thermal.cop, days, step)
            found.append(produce(thermal, asked, content, demand, cop, (low[step], high[step]), self.raw))
        return found

    def operation(self, levels: Tensor, days: Tensor, step: int, asked: dict[str, Tensor]) -> dict[str, Tensor]:
        """What devices would do before any trade, in the form that ``heads_for`` takes.

        Parameters
        ----------
        levels, days, step, asked
            As for ``move``; devices without a head follow their own rule.

        Returns
        -------
        dict of str to Tensor [B, N] kWh
            See ``heads_for``.
        """
        changes = self._changes(levels, days, step, asked)
        plan = {limits.store.name: change for limits, change in zip(self.timed, changes, strict=True)}
        for t, made in zip(self.community.thermal, self._made(levels, days, step, asked), strict=True):
            plan |= {f"{t.carrier}_pump": made.pump, f"{t.carrier}_chp": made.chp, f"{t.carrier}_store": made.change}
        return plan

    def lacking(self, levels: Tensor, days: Tensor, step: int, asked: dict[str, Tensor]) -> list[Tensor]:
        """What homes lack of each carrier before any trade.

        Parameters
        ----------
        levels, days, step, asked
            As for ``move``.

        Returns
        -------
        list of Tensor [B, N] kWh thermal
            One for each carrier; - = has too much.
        """
        made = self._made(levels, days, step, asked)
        return [
            _on(t.demand, days, step) + one.change - one.heat
            for t, one in zip(self.community.thermal, made, strict=True)
        ]

    def heads_for(self, levels: Tensor, days: Tensor, step: int, plan: dict[str, Tensor]) -> dict[str, Tensor]:
        """Heads that ask for an operation; the inverse of ``move`` where the operation is feasible.

        Parameters
        ----------
        levels, days, step
            As for ``move``.
        plan : dict of str to Tensor [B, N] kWh
            By timed store its change of content before the drain; ``<carrier>_pump`` and ``<carrier>_chp`` in kWh of
            electricity, ``<carrier>_store`` as change of the content.

        Returns
        -------
        dict of str to Tensor [B, N]
            One entry for each of ``heads``, in units of ratings.
        """
        found = {}
        for k, limits in enumerate(self.timed):
            name, rating = limits.store.name, limits.store.rating.clamp(min=1e-12)
            usual = 0 if self.raw else limits.range(levels[..., k], days, step)[1]
            found[name] = (plan[name] - usual) / rating
        for t in self.community.thermal:
            own = {part: plan[f"{t.carrier}_{part}"] for part in ("pump", "chp", "store")}
            demand = _on(t.demand, days, step).expand_as(own["pump"])
            found |= heads_for(t, own, demand, _on(t.cop, days, step), self.raw)
        return found

    def _trade(
        self,
        carriers: tuple[Thermal, ...],
        made: list[Made],
        demands: list[Tensor],
        step: int,
        prices: Tariff | None,
        auction: Auction | None,
        arrival: Tensor | None,
        like: Tensor,
    ) -> Trades:
        """Clear all traded carriers at once, one leading row for each; the others trade nothing."""
        nothing = torch.zeros(len(carriers), *like.shape, dtype=torch.int64)
        traded = [k for k, thermal in enumerate(carriers) if thermal.traded]
        if not traded or auction is None or prices is None or isinstance(auction, NoAuction):
            return Trades(nothing, nothing)
        position = torch.stack([demands[k] + made[k].change - made[k].heat for k in traded])
        price = prices.dollars.buy
        own = torch.stack([carriers[k].backup_price(step, price).expand_as(like) for k in traded])
        # Outside options: the own back-up for those who lack, nothing for those who have too much.
        limit = torch.floor(own * TICKS_PER_UNIT).to(torch.int64)
        wh = to_wh(position)
        orders = Orders(wh, torch.where(wh > 0, limit, 0))
        lowest = limit.amin(-1)
        if arrival is not None:
            arrival = arrival.expand(len(traded), -1, -1)
        cleared = auction.clear(orders, lowest, torch.zeros_like(lowest), arrival)
        both = []
        for part in (cleared.wh, cleared.cash):
            whole = nothing.clone()
            whole[traded] = part
            both.append(whole)
        return Trades(both[0], both[1])


def _on(table: Tensor, days: Tensor, step: int) -> Tensor:
    return table[:, step] if table.shape[0] == 1 else table[days, step]
