"""The retail game: a community, an auction and a tariff, played by B parallel days at once on tensors [B, N]."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from retail.auctions import Auction
from retail.auctions.none import NoAuction
from retail.blocks import Terms, block_orders, moved, usual_terms
from retail.community import Community
from retail.devices import at_meter, feasible_range, self_consumption, wear
from retail.heads import BLOCK_HEADS, Asked, asked_terms, named
from retail.observation import Features, Observer, Public
from retail.orders import NANO_PER_TICK_WH, Orders, Trades, position_orders
from retail.reward import Reward, step_reward
from retail.settlement import matched_worth, tariff_bill
from retail.state import Outcome, Outlook, State
from retail.storage_end import StorageEnd, end_of_day
from retail.tariff import TICKS_PER_UNIT, Tariff

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
    An action [B, N, A] has one column in [-1, 1] for each head that a policy decides (``retail.heads``); what it leaves
    out follows a rule of the game: no correction of self-consumption, truthful limit prices, own terms of blocks.
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

    @cached_property
    def observer(self) -> Observer:
        """Builder of observations."""
        return Observer(self.community, self.public, self.scale_days)

    @cached_property
    def _fixed(self) -> Tensor:
        return self.community.daily(self.community.fixed)

    @property
    def observation_names(self) -> tuple[str, ...]:
        """Names of the F features of an observation."""
        return self.observer.names

    @property
    def terminates(self) -> bool:
        """Whether the end of a day ends the task (terminated) or only cuts it (truncated, ``carry``)."""
        return self.storage_end != "carry"

    @property
    def heads(self) -> tuple[str, ...]:
        """Names of all heads of an action, in order."""
        return ("battery", "price", *(BLOCK_HEADS if self.dispatch == "contingent" else ()))

    def controls(self, heads: tuple[str, ...]) -> Tensor:
        """Who can move anything with a head, Tensor [N, A] bool for A of ``heads``; a price moves something for all."""
        store = self.community.battery.has
        return torch.stack([torch.ones_like(store) if h == "price" else store for h in heads], -1)

    def fixed(self, state: State) -> Tensor:
        """Inflexible net load of the step, Tensor [B, N] kWh."""
        return self._fixed[state.days, state.step]

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

    def intended(self, state: State, power: Tensor) -> Tensor:
        """Store change that a battery head asks for, before projection.

        Parameters
        ----------
        state : State
            Of B days.
        power : Tensor [B, N]
            Battery head, in units of the rating.

        Returns
        -------
        Tensor [B, N] kWh
            Store side, + charges.
        """
        battery, hours = self.community.battery, self.community.step_hours
        head = power.double()
        moved = head * torch.where(head > 0, battery.charge_kw, battery.discharge_kw) * hours
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

    def step(self, state: State, action: Tensor, heads: tuple[str, ...] | None = None) -> tuple[State, Outcome]:
        """Move the batteries, clear the auction, settle the rest at the tariff.

        Parameters
        ----------
        state : State
            Of B days, not over.
        action : Tensor [B, N, A]
            See the class notes.
        heads : tuple of str, optional
            Names of its A columns; the first A of ``heads`` when absent.

        Returns
        -------
        State, Outcome
            The next state and what happened.

        Raises
        ------
        GameError
            If the day is over or an action is not a number.
        HeadError
            If the columns do not fit the heads of the game.
        """
        c = self.community
        if state.step >= c.steps:
            raise GameError(f"The day is over after {c.steps} steps; call reset.")
        if not bool(torch.isfinite(action).all()):
            raise GameError(f"An action of step {state.step} is not a number; check the policy that made it.")
        asked = named(action, heads, self.heads)
        change, low, high = self._move(state, asked)
        prices = state.tariff[:, state.step]
        position = self.fixed(state) + at_meter(change, c.battery)
        posted = position_orders(position, asked.get("price"), prices.buy, prices.sell)
        trades, change = self._clear(state, posted, change, (low, high), asked, prices)
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
        # Without an auction nothing is matched, so a home's difference is its own saving.
        rule = "own" if self.reward == "difference" and isinstance(self.auction, NoAuction) else self.reward
        reward = step_reward(rule, self.fixed(state), net, bill, cost, prices)
        outcome = Outcome(
            net, change, posted.tick, trades.wh, trades.cash, fee_cash, grid, bill, worn, shortfall, value, reward
        )
        return after, outcome

    def pooled_step(self, state: State, action: Tensor, heads: tuple[str, ...] | None = None) -> tuple[Tensor, Tensor]:
        """Look ahead without an auction: where stores would be, and what the community would pay.

        The same physics, projection and costs as ``step``, with every overlapping kWh matched; differentiable in the
        action and in the stored energy.

        Parameters
        ----------
        state : State
            Of B days, not over.
        action : Tensor [B, N, A]
            See ``step``.
        heads : tuple of str, optional
            Names of its columns; the first A of ``heads`` when absent.

        Returns
        -------
        stored : Tensor [B, N] kWh
            After the step.
        cost : Tensor [B] $
            Bill of the community at the tariff, fee, wear, and at the end of the day shortfall less end value.
        """
        c = self.community
        change, _, _ = self._move(state, named(action, heads, self.heads))
        net = self.fixed(state) + at_meter(change, c.battery)
        prices = state.tariff[:, state.step]
        after = replace(state, step=state.step + 1, stored=state.stored + change)
        shortfall, value = self._end_of_day(after)
        own = tariff_bill(net, prices) + wear(change, c.battery, c.step_hours) + shortfall - value
        bought, sold = net.clamp(min=0).sum(-1), (-net).clamp(min=0).sum(-1)
        worth = 0.0 if isinstance(self.auction, NoAuction) else matched_worth(prices) * torch.minimum(bought, sold)
        return after.stored, own.sum(-1) - worth

    def _move(self, state: State, asked: Asked) -> tuple[Tensor, Tensor, Tensor]:
        """Projected store change and its limits, each [B, N] kWh."""
        low, high = self.feasible(state)
        power = asked.get("battery")
        wish = self.intended(state, torch.zeros_like(low) if power is None else power)
        return torch.minimum(torch.maximum(wish, low), high), low, high

    def _clear(
        self,
        state: State,
        posted: Orders,
        change: Tensor,
        limits: tuple[Tensor, Tensor],
        asked: Asked,
        prices: Tariff,
    ) -> tuple[Trades, Tensor]:
        """Clear the auction; under ``contingent`` with the blocks, which then decide the move of the store."""
        arrival = None if state.arrival is None else state.arrival[:, state.step]
        homes, orders = self.community.prosumers, posted
        if self.dispatch == "contingent":
            terms = self._terms(state, change, limits, asked)
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

    def _terms(self, state: State, change: Tensor, limits: tuple[Tensor, Tensor], asked: Asked) -> Terms:
        down, up = (change - limits[0]).clamp(min=0), (limits[1] - change).clamp(min=0)
        buy = state.tariff.buy[:, state.step :].double() / TICKS_PER_UNIT
        expected = self.observer.expected[state.days, state.step + 1 :]
        end = None if self.storage_end == "restore" else self.end_value
        battery = self.community.battery
        usual = usual_terms((down, up), state.stored + change, expected, buy, battery, self.keep, end)
        sell = state.tariff.sell[:, state.step].double()[:, None] / TICKS_PER_UNIT
        return asked_terms(usual, (down, up), asked, (sell, buy.amax(-1, keepdim=True)))

    def _end_of_day(self, after: State) -> tuple[Tensor, Tensor]:
        if after.step < self.community.steps:
            zero = torch.zeros_like(after.stored)
            return zero, zero
        dearest = after.tariff.buy.amax(-1, keepdim=True).double() / TICKS_PER_UNIT
        return end_of_day(after.stored, self.community.battery, self.storage_end, dearest, self.end_value)
