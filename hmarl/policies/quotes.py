"""What traders that quote limit prices share: how much to trade, what was posted, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from hmarl.policies.base import Seen, Spec
from hmarl.policies.macro import at_the_meter
from hmarl.policies.rule_based import RuleBased, RuleTrader
from retail.devices import self_consumption
from retail.game import Game
from retail.orders import NANO_PER_TICK_WH, position_orders
from retail.state import State
from retail.tariff import TICKS_PER_UNIT

Amounts = Literal["self-consumption", "tuned"]


class Book(NamedTuple):
    """Orders of the last period and what became of them; everything but the own order is public.

    Attributes
    ----------
    wh : Tensor [B, N] int64 Wh
        Posted, + buys.
    price, limit : Tensor [B, N] $/kWh
        Quoted, and the outside option that it was quoted against.
    filled : Tensor [B, N]
        Share of the order that traded, 0..1.
    mean : Tensor [B, 1] $/kWh
        Mean price of all trades; not a number without trade.
    """

    wh: Tensor
    price: Tensor
    limit: Tensor
    filled: Tensor
    mean: Tensor


class Posted(NamedTuple):
    """Orders before they are cleared; see ``Book``."""

    wh: Tensor
    price: Tensor
    limit: Tensor

    def book(self, state: State) -> Book:
        """What became of them.

        Parameters
        ----------
        state : State
            After the period, with its trades in Wh and nano-currency.

        Returns
        -------
        Book
            Prices in $/kWh.
        """
        same = state.last_wh.sign() == self.wh.sign()
        filled = torch.where(same, state.last_wh / self.wh.abs().clamp(min=1), 0.0).abs().clamp(max=1.0)
        bought = state.last_wh.clamp(min=0).sum(-1, keepdim=True).double()
        paid = torch.where(state.last_wh > 0, state.last_cash, 0).sum(-1, keepdim=True).double()
        return Book(*self, filled.double(), paid / bought / (NANO_PER_TICK_WH * TICKS_PER_UNIT))


@dataclass(frozen=True)
class Range:
    """Outside options of a step, [B, 1] $/kWh: nobody trades outside of them.

    Attributes
    ----------
    sell, buy : Tensor [B, 1] $/kWh
        Feed-in price and buy price.
    """

    sell: Tensor
    buy: Tensor

    @classmethod
    def of(cls, state: State) -> Range:
        """Read the tariff.

        Parameters
        ----------
        state : State
            Before a step; tariff in ticks.

        Returns
        -------
        Range
            In $/kWh.
        """
        now = state.tariff[:, state.step]
        return cls(now.dollars.sell[:, None], now.dollars.buy[:, None])

    @property
    def width(self) -> Tensor:
        """Buy price less feed-in price, [B, 1] $/kWh, at least a tick."""
        return (self.buy - self.sell).clamp(min=1 / TICKS_PER_UNIT)

    def head(self, price: Tensor) -> Tensor:
        """Price head that quotes a price.

        Parameters
        ----------
        price : Tensor [B, N] $/kWh
            Cut to the range.

        Returns
        -------
        Tensor [B, N]
            From feed-in price (-1) to buy price (1).
        """
        return ((price - self.sell) / self.width * 2 - 1).clamp(-1, 1)


class Amount:
    """How much to trade: self-consumption, or the move of the rule that is tuned on training days.

    Parameters
    ----------
    amounts : str
        ``self-consumption`` or ``tuned``.
    spec : Spec
        Retail game.
    """

    def __init__(self, amounts: Amounts, spec: Spec) -> None:
        self.game: Game = spec.retail
        self.rule: RuleTrader | None = RuleBased().start(spec) if amounts == "tuned" else None

    def head(self, seen: Seen) -> Tensor:
        """Battery head.

        Parameters
        ----------
        seen : Seen
            State in kWh.

        Returns
        -------
        Tensor [B, N]
            In units of the rating.
        """
        if self.rule is not None:
            return self.rule.act(seen, explore=False)[..., 0]
        state = seen.state
        return self.game.action_for(state, self_consumption(self.game.fixed(state), self.game.community.battery))

    def post(self, state: State, battery: Tensor, price: Tensor) -> Posted:
        """Orders that the game makes of a battery head and a quote.

        Parameters
        ----------
        state : State
            Before the step.
        battery : Tensor [B, N]
            Head.
        price : Tensor [B, N] $/kWh
            Quotes of buyers where the home lacks energy, of sellers where it has too much.

        Returns
        -------
        Posted
            As rounded to Wh and ticks.
        """
        net, _ = at_the_meter(self.game, state, battery)
        now, range_ = state.tariff[:, state.step], Range.of(state)
        orders = position_orders(net, range_.head(price), now.buy, now.sell)
        return Posted(orders.wh, orders.tick.double() / TICKS_PER_UNIT, torch.where(net > 0, range_.buy, range_.sell))
