"""Gjerstad-Dickhaut traders: quotes that maximise expected surplus under beliefs formed from recent orders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hmarl.policies.base import Rollout, Seen, Spec, Training
from hmarl.policies.quotes import Amount, Amounts, Book, Posted, Range
from hmarl.policies.ranges import check_ranges

BEYOND = 0.01
"""How far outside the range, as a share of it, an order is sure not to trade."""


@dataclass(frozen=True)
class GD:
    """Gjerstad-Dickhaut trader: quotes where belief times surplus is largest.

    A seller believes that an ask p trades with probability ``(TA(>= p) + B(>= p)) / (TA(>= p) + B(>= p) + RA(<= p))``:
    TA asks that traded, B bids, RA asks that did not, in the last periods; a buyer's belief is the mirror image. It is
    1 at the price that is sure to trade (feed-in price for sellers, buy price for buyers) and 0 just beyond the other
    end, linear between the prices seen. The quote maximises ``belief(p) |p - limit|`` exactly. Orders are public, so
    all sellers believe alike and, with equal outside options, quote alike; so do all buyers.

    Plays: the retail game

    Source: Gjerstad and Dickhaut (1998), Games and Economic Behavior 22, 1-29, doi 10.1006/game.1997.0576.

    =============== ============================ ============================ =======================================
    what            paper                        ours                         why
    =============== ============================ ============================ =======================================
    memory          last 5 or so trades          last ``memory`` periods      a call auction has no order of trades
    interpolation   monotone cubic               linear                       the maximum is exact and batched
    an order in     not possible                 counts by shares, as both    double auctions fill in part
    part filled                                  traded and rejected
    limit           value or cost of a unit      buy price, feed-in price     the outside options of a home
    nothing seen    not treated                  belief linear: half way      a first quote is needed
    =============== ============================ ============================ =======================================

    Parameters
    ----------
    episodes, retrain_episodes : int
        Training days in the first round of a study, and in each later one; the last of them is remembered.
    batch_days : int
        Parallel days.
    amounts : str
        ``tuned`` (the move of ``rule-based``, tuned first) or ``self-consumption``.
    memory : int
        Periods remembered.
    """

    episodes: int = 48
    retrain_episodes: int = 24
    batch_days: int = 24
    amounts: Amounts = "tuned"
    memory: int = 5

    def __post_init__(self) -> None:
        check_ranges(self, least={"episodes": 0, "retrain_episodes": 0, "batch_days": 1, "memory": 1})

    def start(self, spec: Spec) -> GDTrader:
        """Start the traders.

        Parameters
        ----------
        spec : Spec
            Retail game.

        Returns
        -------
        GDTrader
            That remember nothing.
        """
        return GDTrader(self, spec)


class Memory(NamedTuple):
    """Orders of the last periods, each [..., M]; an order without energy does not count.

    Attributes
    ----------
    place : Tensor
        Price as a place in the range between feed-in price (0) and buy price (1) of its period.
    side : Tensor int64
        1 bids, -1 asks, 0 nothing.
    filled : Tensor
        Share that traded.
    """

    place: Tensor
    side: Tensor
    filled: Tensor


def seller_quote(asks: Tensor, bids: Tensor, place: Tensor, filled: Tensor) -> Tensor:
    """Best ask under the beliefs of a seller whose limit is the feed-in price.

    Parameters
    ----------
    asks, bids : Tensor [B, M] bool
        What each remembered order was.
    place : Tensor [B, M] float64
        Its price in the range, 0..1.
    filled : Tensor [B, M] float64
        Share that traded.

    Returns
    -------
    Tensor [B]
        Place of the quote, 0..1.
    """
    batch = len(place)
    counted = asks | bids
    # What does not count sorts to the end, beyond every knot that matters.
    knot, order = torch.where(counted, place, 1 + BEYOND).sort(-1)
    weight = (torch.where(asks, x, 0.0).gather(-1, order) for x in (filled, 1 - filled))
    taken, refused = weight
    good = taken + bids.double().gather(-1, order)
    # Equal prices count on both sides of "at least" and "at most".
    first = torch.searchsorted(knot, knot, right=False)
    last = torch.searchsorted(knot, knot, right=True)
    zero = torch.zeros(batch, 1, dtype=torch.float64)
    good_below, refused_below = (torch.cat([zero, x.cumsum(-1)], -1) for x in (good, refused))
    at_least = good_below[:, -1:] - good_below.gather(-1, first)
    at_most = refused_below.gather(-1, last)
    belief = torch.where(at_least > 0, at_least / (at_least + at_most).clamp(min=1e-12), 0.0)
    belief = torch.where(knot <= 1, belief, 0.0)
    knot = torch.cat([zero, knot, zero + 1 + BEYOND], -1)
    belief = torch.cat([zero + 1, belief, zero], -1)
    # At the sure end the belief is 1 whatever was seen there.
    belief = torch.where(knot <= 0, 1.0, belief)
    return _best(knot, belief)


def _best(knot: Tensor, belief: Tensor) -> Tensor:
    """Place of the largest ``belief(p) p`` for a belief that is linear between knots, at most 1."""
    p0, p1, b0, b1 = knot[:, :-1], knot[:, 1:].clamp(max=1.0), belief[:, :-1], belief[:, 1:]
    gap = knot[:, 1:] - p0
    slope = torch.where(gap > 0, (b1 - b0) / gap.clamp(min=1e-15), 0.0)
    # (b0 + slope (p - p0)) p peaks where 2 slope p = slope p0 - b0, if the slope is negative.
    peak = torch.where(slope < 0, (slope * p0 - b0) / (2 * slope).clamp(max=-1e-15), p1)
    peak = torch.minimum(torch.maximum(peak, p0), torch.maximum(p1, p0))
    worth = torch.where(gap > 0, (b0 + slope * (peak - p0)) * peak, b1 * p1)
    worth = torch.where(p0 <= 1, worth, -1.0)
    return peak.gather(-1, worth.argmax(-1, keepdim=True)).squeeze(-1).clamp(0, 1)


class GDTrader:
    """Live traders; what happens within a day depends on that day alone, so batches play like loops."""

    training: Training = "on-policy"
    reads_features = False
    heads: tuple[str, ...] = ("battery", "price")

    def __init__(self, policy: GD, spec: Spec) -> None:
        self.amount = Amount(policy.amounts, spec)
        entries = policy.memory * spec.agents
        nothing = torch.zeros(entries, dtype=torch.float64)
        self.kept = Memory(nothing, torch.zeros(entries, dtype=torch.int64), nothing)
        self.today = self.kept
        self.posted: Posted | None = None
        self.range: Range | None = None

    @property
    def rule(self) -> Any:
        """The rule that sets amounts, tuned before training; None for self-consumption."""
        return self.amount.rule

    def act(self, seen: Seen, explore: bool) -> Tensor:
        """Remember the last period of the day, then quote.

        Parameters
        ----------
        seen : Seen
            State in kWh and ticks.
        explore : bool
            No difference.

        Returns
        -------
        Tensor [B, N, 2]
            Battery head, price head.
        """
        state, range_ = seen.state, Range.of(seen.state)
        if state.step == 0 or self.posted is None or self.range is None:
            self.today = Memory(*(x.expand(len(state.days), -1) for x in self.kept))
        else:
            self.today = remembered(self.today, self.posted.book(state), self.range)
        place, side, filled = self.today
        ask = seller_quote(side < 0, side > 0, place, filled)
        # A buyer is a seller in the mirror: prices count down from the buy price, bids are asks.
        bid = 1 - seller_quote(side > 0, side < 0, 1 - place, filled)
        battery = self.amount.head(seen)
        bids, asks = ((range_.sell + range_.width * x[:, None]).expand_as(battery) for x in (bid, ask))
        price = torch.where(self.amount.post(state, battery, bids).wh > 0, bids, asks)
        self.posted, self.range = self.amount.post(state, battery, price), range_
        return torch.stack([battery, range_.head(price)], -1)

    def learn(self, rollout: Rollout, progress: float) -> Mapping[str, float]:
        """Remember the end of the last of the days just played.

        Parameters
        ----------
        rollout : Rollout
            Rewards ($) are ignored: traders have seen the orders themselves.
        progress : float
            Share of the budget used; no difference.

        Returns
        -------
        mapping of str to float
            Mean places in the range of remembered asks and bids that traded.
        """
        self.kept = Memory(*(x[-1].clone() for x in self.today))
        place, side, filled = self.kept
        means = (float((place * filled)[side == s].sum() / filled[side == s].sum().clamp(min=1e-12)) for s in (-1, 1))
        return dict(zip(("ask", "bid"), means, strict=True))

    def state(self) -> dict[str, Any]:
        """Remembered orders, and the numbers of the rule if there is one."""
        kept = {name: x.clone() for name, x in self.kept._asdict().items()}
        return kept | ({} if self.rule is None else {"rule": self.rule.state()})

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state.

        Parameters
        ----------
        state : dict
            From ``state`` of the same policy and spec.
        """
        self.kept = Memory(*(state[name] for name in Memory._fields))
        if self.rule is not None:
            self.rule.load(state["rule"])


def remembered(memory: Memory, book: Book, range_: Range) -> Memory:
    """Put the orders of a period in front and forget the oldest.

    Parameters
    ----------
    memory : Memory [B, M]
        So far.
    book : Book [B, N]
        Of the last period.
    range_ : Range
        Outside options of that period.

    Returns
    -------
    Memory [B, M]
        With the N new orders first.
    """
    place = (book.price - range_.sell) / range_.width
    fresh = Memory(place, book.wh.sign(), book.filled)
    agents = book.wh.shape[-1]
    return Memory(*(torch.cat([new, old[:, :-agents]], -1) for new, old in zip(fresh, memory, strict=True)))
