"""The retail game: a community, an auction and a tariff, played by B parallel days at once on tensors [B, N]."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from retail.auctions import Auction
from retail.auctions.none import NoAuction
from retail.battery_head import Action, head_for, intended
from retail.blocks import Terms, usual_terms
from retail.clearing import clear_at, clear_blocks
from retail.community import Community
from retail.devices import at_meter, feasible_range, wear
from retail.equipment import Equipment, Used
from retail.heads import BLOCK_HEADS, Asked, asked_terms, named, without_number
from retail.observation import Features, Observer, Public
from retail.orders import Orders, Trades, position_orders
from retail.peak import Peak, excess, peak_relief
from retail.reward import Reward, step_reward
from retail.settlement import network_fee, tariff_bill
from retail.state import Outcome, Outlook, State
from retail.storage_end import StorageEnd, end_of_day
from retail.tariff import Tariff

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
    peak : Peak, optional
        Cap on the net import of the community; none when absent.
    curtail : bool
        Whether homes may throw generation away (head ``curtail``: share of it, from 0 on).
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
    peak: Peak | None = None
    curtail: bool = False
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
        return Observer(self.community, self.public, self.scale_days, self.equipment)

    @cached_property
    def equipment(self) -> Equipment:
        """Everything at home besides the battery."""
        return Equipment(self.community, raw=self.action == "raw")

    @cached_property
    def _inflexible(self) -> Tensor:
        return self.community.daily(self.community.fixed)

    def inflexible(self, state: State) -> Tensor:
        """Load less generation of the step, Tensor [B, N] kWh."""
        return self._inflexible[state.days, state.step]

    @cached_property
    def _fixed(self) -> Tensor:
        return self._inflexible + self.equipment.usual.use if self.equipment.present else self._inflexible

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
        blocks = BLOCK_HEADS if self.dispatch == "contingent" else ()
        return ("battery", "price", *blocks, *(("curtail",) if self.curtail else ()), *self.equipment.heads)

    def controls(self, heads: tuple[str, ...]) -> Tensor:
        """Who can move anything with a head, Tensor [N, A] bool for A of ``heads``; prices: all, if they matter."""
        c, store = self.community, self.community.battery.has
        deaf = isinstance(self.auction, NoAuction) or getattr(self.auction, "price_taking", False)
        known = dict.fromkeys(("battery", *BLOCK_HEADS), store)
        known |= {"price": torch.full_like(store, not deaf), "curtail": (c.pv > 0).any(0)}
        return torch.stack([known[h] if h in known else self.equipment.controls(h) for h in heads], -1)

    def fixed(self, state: State) -> Tensor:
        """Net load of the step when nobody decides anything, Tensor [B, N] kWh; no action changes it."""
        return self._fixed[state.days, state.step]

    def base(self, state: State) -> Tensor:
        """Net load of the step before the battery, other devices following their own rule, Tensor [B, N] kWh."""
        used = self._use(state, {})
        return self.fixed(state) if used is None else self.inflexible(state) + used.use

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
        levels = self.equipment.start.expand(batch, -1, -1)
        nothing = Outlook(torch.empty(0), torch.empty(0))
        table = self.observer.outlook(days, tariff) if features else nothing
        return State(0, days, tariff, arrival, start.clone(), levels, zero, zero, table)

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

    def action_for(self, state: State, store_change: Tensor, base: Tensor | None = None) -> Tensor:
        """Battery head [B, N] that asks for a store change [B, N] kWh on a net load, ``base(state)`` when absent."""
        c = self.community
        base = self.base(state) if base is None else base
        return head_for(store_change, base, c.battery, c.step_hours, self.action)

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
        if not bool(torch.isfinite(action.sum())):
            lost = without_number(action, c.names)
            raise GameError(f"An action of step {state.step} is not a number, of {lost}; check its policy.")
        asked = named(action, heads, self.heads)
        prices = state.tariff[:, state.step]
        used = self._use(state, asked)
        base = self.inflexible(state)
        if used is not None:
            base = base + used.use
        if "curtail" in asked:
            base = base + asked["curtail"].double().clamp(0, 1) * c.daily(c.pv)[state.days, state.step]
        change, low, high = self.move(state, base, asked)
        net = base + at_meter(change, c.battery)
        posted = position_orders(net, asked.get("price"), prices.buy, prices.sell)
        trades, change = self._clear(state, posted, change, (low, high), asked, prices)
        if self.dispatch == "contingent":
            net = base + at_meter(change, c.battery)
        grid = net - trades.wh.double().div_(1000)
        over = None if self.peak is None else excess(self.peak, grid, c.step_hours)
        if over is not None:
            net, grid = net - over.unserved, grid - over.unserved
        fee_cash = network_fee(trades.wh, prices)
        bill = (trades.cash + fee_cash).double().div_(NANO).add_(tariff_bill(grid, prices))
        bill = bill if used is None else bill + used.cash
        bill = bill if over is None else bill + over.charge
        after = replace(
            state,
            step=state.step + 1,
            stored=state.stored + change,
            levels=state.levels if used is None else used.levels,
            last_wh=trades.wh,
            last_cash=trades.cash,
        )
        shortfall, value = self.end_of_day(after)
        worn = wear(change, c.battery, c.step_hours)
        outcome = Outcome(
            net=net,
            store_change=change,
            order_tick=posted.tick,
            trade_wh=trades.wh,
            trade_cash=trades.cash,
            fee_cash=fee_cash,
            grid=grid,
            bill=bill,
            wear=worn,
            shortfall=shortfall,
            end_value=value,
            reward=net,
            used=used,
            peak=over,
        )
        return after, replace(outcome, reward=self._reward(state, outcome, prices))

    def _use(self, state: State, asked: Asked) -> Used | None:
        """What all devices but the battery do in the step; None where there are none."""
        if not self.equipment.present:
            return None
        prices = state.tariff[:, state.step]
        return self.equipment.move(state.levels, state.days, state.step, asked, prices, self.auction, state.arriving)

    def move(self, state: State, base: Tensor, asked: Asked) -> tuple[Tensor, Tensor, Tensor]:
        """Projected change of the battery on a net load [B, N] kWh, and its limits; each [B, N] kWh, store side."""
        low, high = self.feasible(state)
        power, c = asked.get("battery"), self.community
        wish = intended(torch.zeros_like(low) if power is None else power, base, c.battery, c.step_hours, self.action)
        # torch.clamp would lose the derivative by the limits where both are equal, as at the end of a day.
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
        if self.dispatch == "committed":
            return clear_at(self.auction, posted, prices, state.arriving), change
        terms, c = self._terms(state, change, limits, asked), self.community
        return clear_blocks(self.auction, posted, change, terms, c.battery, c.step_hours, prices, state.arriving)

    def _terms(self, state: State, change: Tensor, limits: tuple[Tensor, Tensor], asked: Asked) -> Terms:
        down, up = (change - limits[0]).clamp(min=0), (limits[1] - change).clamp(min=0)
        buy = state.tariff.dollars.buy[:, state.step :]
        expected = self.observer.expected[state.days, state.step + 1 :]
        end = None if self.storage_end == "restore" else self.end_value
        battery = self.community.battery
        usual = usual_terms((down, up), state.stored + change, expected, buy, battery, self.keep, end)
        sell = state.tariff.dollars.sell[:, state.step, None]
        return asked_terms(usual, (down, up), asked, (sell, buy.amax(-1, keepdim=True)))

    def end_of_day(self, after: State) -> tuple[Tensor, Tensor]:
        """Shortfall charge and end value [B, N] $ of a state; zero before the day is over."""
        if after.step < self.community.steps:
            zero = torch.zeros_like(after.stored)
            return zero, zero
        dearest = after.tariff.dollars.buy.amax(-1, keepdim=True)
        return end_of_day(after.stored, self.community.battery, self.storage_end, dearest, self.end_value)

    def _reward(self, state: State, outcome: Outcome, prices: Tariff) -> Tensor:
        fixed = self.fixed(state)
        # Without an auction nothing is matched, so a home's difference is its own saving.
        rule = "own" if self.reward == "difference" and isinstance(self.auction, NoAuction) else self.reward
        reward = step_reward(rule, fixed, outcome, prices)
        if outcome.used is not None:
            reward = reward + self.equipment.usual.fuel[state.days, state.step]
        if outcome.peak is not None and rule == "difference":
            reward = reward + peak_relief(
                self.peak, outcome.net + outcome.peak.unserved, fixed, self.community.step_hours
            )
        return reward
