"""The retail game: a community, an auction and a tariff, played by B parallel days at once on tensors [B, N]."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

from retail.auctions import Auction
from retail.auctions.none import NoAuction
from retail.blocks import Terms, block_orders, moved, usual_terms
from retail.community import Community
from retail.devices import at_meter, feasible_range, self_consumption, wear
from retail.observation import Features, Observer, Public
from retail.orders import NANO_PER_TICK_WH, Orders, Trades, position_orders
from retail.settlement import matched_worth, matching_gain, tariff_bill
from retail.state import Outcome, Outlook, State
from retail.tariff import TICKS_PER_UNIT, Tariff

StorageEnd = Literal["restore", "value", "carry"]
Reward = Literal["own", "community", "difference"]
Action = Literal["residual", "raw"]
Dispatch = Literal["committed", "contingent"]
NANO = 1_000_000_000


class GameError(ValueError):
    """A game that cannot be played as asked; the message says what, its value and what is allowed."""


@dataclass(frozen=True)
class Game:
    """A retail market day. The game holds no state: ``reset`` makes one, ``step`` returns the next.

    Parameters
    ----------
    community : Community
        Homes, profiles, devices.
    auction : Auction
        Clearing rule.
    public : str
        Which net position of the community a prosumer knows when it acts: of this_step, of the last_step, or none.
    reward : str
        ``own``: own saving against the bill without battery and trade in the same step. ``community``: mean saving of
        all. ``difference``: what the community saves because this home moved its battery in this step, with every
        overlapping kWh matched whatever the limit prices (``own`` without an auction); far less noise than
        ``community``, and the same optimum while all pairs cross. Wear is charged to its owner in all.
    storage_end : str
        ``restore``: the last steps are projected so that the store ends at ``battery.start``, any shortfall is charged
        at the day's dearest buy price. ``value``: the change over the day is valued at ``end_value``. ``carry``: the
        next day starts where this one ended.
    action : str
        ``residual``: the battery head is added to self-consumption. ``raw``: it is the battery power itself.
    dispatch : str
        ``committed``: the battery moves as the action says, and what does not sell goes to the grid. ``contingent``:
        beyond that, each home posts what it could still draw and fill as blocks with limit prices, and the battery
        follows only as far as they clear, so that the auction itself coordinates the stores.
    keep : float
        Under ``contingent``, the reserve that blocks leave alone unless an action says otherwise, as a multiple of the
        own need expected in later, dearer steps.
    end_value : float $/kWh
        Value of stored energy under ``storage_end: value``.
    scale_days : Tensor [S] int64, optional
        Days that set the scales of the observation; all when absent.

    Notes
    -----
    Action [B, N, A]: battery power in units of the rating, then (A = 2) the limit price from the feed-in price (-1) to
    the buy price (+1). With A = 1 limit prices are truthful: buyers bid the buy price, sellers ask the feed-in price.
    Under ``contingent`` three more heads (A = 5) in [-1, 1] set the blocks: share of the possible draw that is offered,
    share of the possible fill that is bid for, and value of stored energy between feed-in price and the day's highest
    buy price; without them (A <= 2) each home keeps its reserve, offers the rest and values energy at its refill cost.
    Every action is feasible after projection. Source: MB-A3C3 (Sanayha and Vateekul), eqs. (1) to (3).
    """

    community: Community
    auction: Auction
    public: Public = "this_step"
    reward: Reward = "difference"
    storage_end: StorageEnd = "restore"
    action: Action = "residual"
    dispatch: Dispatch = "committed"
    keep: float = 2.0
    end_value: float = 0.15
    scale_days: Tensor | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.dispatch == "contingent" and getattr(self.auction, "price_taking", False):
            raise GameError(
                "game.dispatch 'contingent' posts blocks with limit prices, which auction "
                f"{type(self.auction).__name__} ignores; choose da, cda or none, or dispatch committed."
            )
        object.__setattr__(self, "_observer", Observer(self.community, self.public, self.scale_days))
        object.__setattr__(self, "_fixed", self.community.daily(self.community.fixed))

    @property
    def observer(self) -> Observer:
        """Builder of observations."""
        observer: Observer = self.__dict__["_observer"]
        return observer

    @property
    def observation_names(self) -> tuple[str, ...]:
        """Names of the F features of an observation."""
        return self.observer.names

    @property
    def terminates(self) -> bool:
        """Whether the end of a day ends the task (terminated) or only cuts it (truncated, ``carry``)."""
        return self.storage_end != "carry"

    def fixed(self, state: State) -> Tensor:
        """Inflexible net load of the step, Tensor [B, N] kWh."""
        table: Tensor = self.__dict__["_fixed"]
        return table[state.days, state.step]

    def reset(
        self,
        days: Tensor,
        tariff: Tariff,
        arrival: Tensor | None = None,
        stored: Tensor | None = None,
        features: bool = True,
    ) -> State:
        """Start B parallel days.

        Parameters
        ----------
        days : Tensor [B] int64
            Days of the community, warm-up included in the count.
        tariff : Tariff [T] or [B, T]
            Prices of these days.
        arrival : Tensor [B, T, N] int64, optional
            Order of arrival (a permutation of 0..N-1 in each step).
        stored : Tensor [B, N] kWh, optional
            Stored energy; ``battery.start`` when absent.
        features : bool
            False leaves out the tables that ``observe`` needs, for policies that read the state itself.

        Returns
        -------
        State
            Before the first step.

        Raises
        ------
        GameError
            If a day is outside the community or the tariff has another number of steps.
        """
        c, batch = self.community, len(days)
        if tariff.steps != c.steps:
            raise GameError(f"The tariff has {tariff.steps} steps a day, the community {c.steps}; make them equal.")
        if batch and not 0 <= int(days.min()) <= int(days.max()) < c.days:
            raise GameError(
                f"Days {int(days.min())}..{int(days.max())} asked of a community of {c.days} days (0-based)."
            )
        tariff = tariff.over(batch)
        start = c.battery.start.expand(batch, c.prosumers) if stored is None else stored
        zero = torch.zeros(batch, c.prosumers, dtype=torch.int64)
        nothing = Outlook(torch.empty(0), torch.empty(0))
        table = self.observer.outlook(days, tariff) if features else nothing
        return State(0, days, tariff, arrival, start.clone(), zero, zero, table)

    def observe(self, state: State) -> Tensor:
        """What each prosumer sees before the step.

        Parameters
        ----------
        state : State
            Of B days.

        Returns
        -------
        Tensor [B, N, F] float32
            Features named in ``observation_names``.
        """
        return self.features(state).flat

    def features(self, state: State) -> Features:
        """What each prosumer sees before the step, what is common to all stored once.

        Parameters
        ----------
        state : State
            Of B days.

        Returns
        -------
        Features
            Common [B, C] and personal [B, N, P], float32; ``observation_names`` names them in this order.
        """
        over = state.step >= self.community.steps
        return self.observer.look(state, torch.zeros_like(state.stored) if over else self.fixed(state))

    def intended(self, state: State, action: Tensor) -> Tensor:
        """Store change that an action asks for, before projection.

        Parameters
        ----------
        state : State
            Of B days.
        action : Tensor [B, N, A]
            First head: battery.

        Returns
        -------
        Tensor [B, N] kWh
            Store side, + charges.
        """
        battery, hours = self.community.battery, self.community.step_hours
        head = action[..., 0].to(torch.float64)
        moved = torch.where(head > 0, head * battery.charge_kw, head * battery.discharge_kw) * hours
        return moved + self_consumption(self.fixed(state), battery) if self.action == "residual" else moved

    def action_for(self, state: State, store_change: Tensor) -> Tensor:
        """Battery head that asks for a store change; the inverse of ``intended``.

        Parameters
        ----------
        state : State
            Of B days.
        store_change : Tensor [B, N] kWh
            Store side, + charges.

        Returns
        -------
        Tensor [B, N] float64
            In units of the rating; may leave [-1, 1] when self-consumption is far away.
        """
        battery, hours = self.community.battery, self.community.step_hours
        if self.action == "residual":
            store_change = store_change - self_consumption(self.fixed(state), battery)
        rating = torch.where(store_change > 0, battery.charge_kw, battery.discharge_kw) * hours
        return store_change / rating.clamp(min=1e-12) * (rating > 0)

    def feasible(self, state: State) -> tuple[Tensor, Tensor]:
        """Range of store changes that this step allows.

        Parameters
        ----------
        state : State
            Of B days.

        Returns
        -------
        low, high : Tensor [B, N] kWh
            Store side.
        """
        c = self.community
        left = c.steps - state.step - 1
        return feasible_range(state.stored, c.battery, c.step_hours, left, self.storage_end == "restore")

    def step(self, state: State, action: Tensor) -> tuple[State, Outcome]:
        """Move the batteries, clear the auction, settle the rest at the tariff.

        Parameters
        ----------
        state : State
            Of B days, not over.
        action : Tensor [B, N, A]
            See the class notes.

        Returns
        -------
        State, Outcome
            The next state and what happened.

        Raises
        ------
        GameError
            If the day is over or an action is not a number.
        """
        c = self.community
        if state.step >= c.steps:
            raise GameError(f"The day is over after {c.steps} steps; call reset.")
        if not bool(torch.isfinite(action).all()):
            raise GameError(f"An action of step {state.step} is not a number; check the policy that made it.")
        change, low, high = self._move(state, action)
        prices = state.tariff[:, state.step]
        head = action[..., 1] if action.shape[-1] > 1 else None
        posted = position_orders(self.fixed(state) + at_meter(change, c.battery), head, prices.buy, prices.sell)
        trades, change = self._clear(state, posted, change, (low, high), action, prices)
        net = self.fixed(state) + at_meter(change, c.battery)
        fee_cash = trades.wh.clamp(min=0) * prices.fee[:, None] * NANO_PER_TICK_WH
        grid = net - trades.wh.double() / 1000
        bill = (trades.cash + fee_cash).double() / NANO + tariff_bill(grid, prices)
        after = replace(
            state, step=state.step + 1, stored=state.stored + change, last_wh=trades.wh, last_cash=trades.cash
        )
        shortfall, value = self._end_of_day(after)
        worn = wear(change, c.battery, c.step_hours)
        cost = bill + worn + shortfall - value
        reward = self._reward(state, net, bill, cost, prices)
        outcome = Outcome(
            net, change, posted.tick, trades.wh, trades.cash, fee_cash, grid, bill, worn, shortfall, value, reward
        )
        return after, outcome

    def pooled_step(self, state: State, action: Tensor) -> tuple[Tensor, Tensor]:
        """Look ahead without an auction: where stores would be, and what the community would pay.

        The same physics, projection and costs as ``step``, with every overlapping kWh matched; differentiable in the
        action and in the stored energy.

        Parameters
        ----------
        state : State
            Of B days, not over.
        action : Tensor [B, N, A]
            First head: battery.

        Returns
        -------
        stored : Tensor [B, N] kWh
            After the step.
        cost : Tensor [B] $
            Bill of the community at the tariff, fee, wear, and at the end of the day shortfall less end value.
        """
        c = self.community
        change, _, _ = self._move(state, action)
        net = self.fixed(state) + at_meter(change, c.battery)
        prices = state.tariff[:, state.step]
        after = replace(state, step=state.step + 1, stored=state.stored + change)
        shortfall, value = self._end_of_day(after)
        own = tariff_bill(net, prices) + wear(change, c.battery, c.step_hours) + shortfall - value
        bought, sold = net.clamp(min=0).sum(-1), (-net).clamp(min=0).sum(-1)
        worth = 0.0 if isinstance(self.auction, NoAuction) else matched_worth(prices) * torch.minimum(bought, sold)
        return after.stored, own.sum(-1) - worth

    def _move(self, state: State, action: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Projected store change and its limits, each [B, N] kWh."""
        low, high = self.feasible(state)
        return torch.minimum(torch.maximum(self.intended(state, action), low), high), low, high

    def _clear(
        self,
        state: State,
        posted: Orders,
        change: Tensor,
        limits: tuple[Tensor, Tensor],
        action: Tensor,
        prices: Tariff,
    ) -> tuple[Trades, Tensor]:
        """Clear the auction; under ``contingent`` with the blocks, which then decide the move of the store."""
        arrival = None if state.arrival is None else state.arrival[:, state.step]
        homes, orders = self.community.prosumers, posted
        if self.dispatch == "contingent":
            terms = self._terms(state, change, limits, action)
            blocks = block_orders(change, terms, self.community.battery, self.community.step_hours)
            orders = Orders(*(torch.cat(pair, -1) for pair in zip(posted, blocks, strict=True)))
            if arrival is not None:
                arrival = torch.cat([arrival + k * homes for k in range(3)], -1)
        # The buyer pays the fee on top, so a pair trades only if bid - ask >= fee.
        shifted = Orders(orders.wh, torch.where(orders.wh > 0, orders.tick - prices.fee[:, None], orders.tick))
        # A price taker sees the fee only in its outside option.
        trades = self.auction.clear(shifted, prices.buy - prices.fee, prices.sell, arrival)
        if self.dispatch == "committed":
            return trades, change
        by_order = [x.unflatten(-1, (3, homes)) for x in (trades.wh, trades.cash)]
        change = moved(change, by_order[0][:, 1:].sum(1), self.community.battery)
        return Trades(*(x.sum(1) for x in by_order)), change

    def _terms(self, state: State, change: Tensor, limits: tuple[Tensor, Tensor], action: Tensor) -> Terms:
        down, up = (change - limits[0]).clamp(min=0), (limits[1] - change).clamp(min=0)
        buy = state.tariff.buy[:, state.step :].double() / TICKS_PER_UNIT
        if action.shape[-1] >= 5:
            share = (action[..., 2:5].to(torch.float64).clamp(-1, 1) + 1) / 2
            sell = state.tariff.sell[:, state.step].double()[:, None] / TICKS_PER_UNIT
            value = sell + share[..., 2] * (buy.amax(-1, keepdim=True) - sell)
            return Terms(down * share[..., 0], up * share[..., 1], value)
        expected = self.observer.expected[state.days, state.step + 1 :]
        end = None if self.storage_end == "restore" else self.end_value
        return usual_terms((down, up), state.stored + change, expected, buy, self.community.battery, self.keep, end)

    def _end_of_day(self, after: State) -> tuple[Tensor, Tensor]:
        zero = torch.zeros_like(after.stored)
        battery = self.community.battery
        if after.step < self.community.steps or self.storage_end == "carry":
            return zero, zero
        gain = after.stored - battery.start
        if self.storage_end == "value":
            return zero, gain * self.end_value
        dearest = after.tariff.buy.amax(-1, keepdim=True).double() / TICKS_PER_UNIT
        missing = torch.where(gain < -1e-9, -gain, zero)
        return missing / battery.eta_charge * dearest, zero

    def _reward(self, state: State, net: Tensor, bill: Tensor, cost: Tensor, prices: Tariff) -> Tensor:
        fixed = self.fixed(state)
        if self.reward == "difference" and not isinstance(self.auction, NoAuction):
            own = tariff_bill(fixed, prices) - tariff_bill(net, prices)
            return own + matching_gain(net, fixed, prices) - (cost - bill)
        saving = tariff_bill(fixed, prices) - cost
        return saving if self.reward == "own" else saving.mean(-1, keepdim=True).expand_as(saving).clone()
