"""Zero-intelligence-plus traders: margins that adapt to the prices of the market."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hmarl.policies.base import Rollout, Seen, Spec, Training
from hmarl.policies.quotes import Amount, Amounts, Book, Posted, Range
from hmarl.policies.ranges import check_ranges
from retail.streams import stream


@dataclass(frozen=True)
class ZIP:
    """Zero-intelligence-plus trader: a profit margin on the outside option, raised and lowered by what it sees.

    Quote ``p = limit (1 + margin)``, the margin of a seller at least 0, that of a buyer at most 0. After a period with
    mean price x: who would have got a better price (seller ``p <= x``, buyer ``p >= x``) raises its profit towards
    ``x (1 + relative u1) + absolute u2`` (seller; a buyer towards the mirrored target); who asked too much and is not
    served lowers it towards the other side. Without any trade who is not ahead of its own side moves towards the best
    order of the other side, or the worst of its own. ``change <- momentum change + (1 - momentum) rate (target - p)``,
    ``margin <- (p + change) / limit - 1`` if of legal sign. Homes have one margin as a buyer and one as a seller, adapt
    within a day, and carry the mean over the days of a batch on to the next ones.

    Plays: the retail game

    Source: Cliff (1997), Minimal-intelligence agents for bargaining behaviors in market-based environments, HP
    Laboratories HPL-97-91; constants as in Cliff and Bruten (1997), HPL-97-141.

    =============== ================================ ============================= ===================================
    what            paper                            ours                          why
    =============== ================================ ============================= ===================================
    limit           value or cost of a unit          buy price, feed-in price      the outside options of a home
    update          after every shout                once a period                 a call auction has no shouts
    x               price of the last shout          mean price of the period      the same
    margin          of the limit price               the same; of 1 % of the range the feed-in price may be 0
                                                     if the limit is smaller
    absolute c_a    0.05 of prices around 100        0.0005 of the range           prices in $/kWh
    without a trade below the refused shout          below the best bid (seller)   at it both sides would stay apart:
                                                                                   later code of others asks above it
    =============== ================================ ============================= ===================================

    Parameters
    ----------
    episodes, retrain_episodes : int
        Training days in the first round of a study, and in each later one.
    batch_days : int
        Parallel days that adapt on their own before their margins are averaged.
    amounts : str
        ``tuned`` (the move of ``rule-based``, tuned first) or ``self-consumption``.
    first_margin : tuple of float
        Size of margins at the start, drawn evenly between the two.
    rate : tuple of float
        Learning rate of a trader, drawn evenly.
    momentum : tuple of float
        Drawn evenly.
    relative, absolute : float
        Largest perturbation of a target: share of the price, share of the range between the outside options.
    """

    episodes: int = 480
    retrain_episodes: int = 48
    batch_days: int = 24
    amounts: Amounts = "tuned"
    first_margin: tuple[float, float] = (0.05, 0.35)
    rate: tuple[float, float] = (0.1, 0.5)
    momentum: tuple[float, float] = (0.0, 0.1)
    relative: float = 0.05
    absolute: float = 0.0005

    def __post_init__(self) -> None:
        least = {"episodes": 0, "retrain_episodes": 0, "batch_days": 1, "relative": 0, "absolute": 0}
        check_ranges(self, least=least)
        for name, most in (("first_margin", 1.0), ("rate", 1.0), ("momentum", 1.0)):
            low, high = getattr(self, name)
            if not 0 <= low <= high <= most:
                raise ValueError(f"{name} is ({low}, {high}); give two ascending numbers between 0 and {most:g}")

    def start(self, spec: Spec) -> ZIPTrader:
        """Start the traders.

        Parameters
        ----------
        spec : Spec
            Retail game and seed (stream ``zip``).

        Returns
        -------
        ZIPTrader
            With random margins.
        """
        return ZIPTrader(self, spec)


class Margins(NamedTuple):
    """Margins and their last change, each [..., N, 2]: as a buyer, as a seller.

    Attributes
    ----------
    margin : Tensor
        Share of the scale; buyers at most 0, sellers at least 0.
    change : Tensor $/kWh
        Last change of the quote.
    """

    margin: Tensor
    change: Tensor


class Traits(NamedTuple):
    """Constants of the traders: rate and momentum [N], perturbations (relative, share of the range)."""

    rate: Tensor
    momentum: Tensor
    relative: float
    absolute: float


def scale(limit: Tensor, width: Tensor) -> Tensor:
    """What a margin is a share of, [B, N] $/kWh: the limit, or 1 % of the range where the limit is smaller.

    Parameters
    ----------
    limit, width : Tensor [B, N], [B, 1] $/kWh
        Outside option, and range between the two.
    """
    return torch.maximum(limit.abs(), 0.01 * width)


def targets(book: Book, width: Tensor, shake: Tensor, traits: Traits) -> Tensor:
    """Where traders want their quotes to go, not a number where they stay.

    Parameters
    ----------
    book : Book
        Of the last period.
    width : Tensor [B, 1] $/kWh
        Range between the outside options.
    shake : Tensor [B, N, 2]
        u1 and u2, 0..1.
    traits : Traits
        Perturbations.

    Returns
    -------
    Tensor [B, N] $/kWh
        Targets.
    """
    sells, buys = book.wh < 0, book.wh > 0
    # +1 is towards more profit, in prices: up for sellers, down for buyers.
    greedy = torch.where(sells, 1.0, -1.0).double()
    traded = ~book.mean.isnan()
    gain = (book.mean - book.price) * greedy
    raising = traded & (gain >= 0)
    lowering = traded & (gain < 0) & (book.filled < 1)
    best_ask, worst_ask = _extremes(book.price, sells)
    worst_bid, best_bid = _extremes(book.price, buys)
    # Without a trade: towards the best order of the other side, else the worst of the own side.
    other = torch.where(sells, best_bid, best_ask)
    behind = ~traded & torch.where(sells, book.price >= best_ask, book.price <= best_bid)
    aim = torch.where(other.isnan(), torch.where(sells, worst_ask, worst_bid), other)
    centre = torch.where(traded, book.mean, aim)
    # Perturbed the way the quote goes, so that who gives way meets the other side.
    side = torch.where(raising, greedy, -greedy)
    target = centre * (1 + side * traits.relative * shake[..., 0]) + side * traits.absolute * width * shake[..., 1]
    return torch.where((raising | lowering | behind) & (sells | buys), target, torch.nan)


def adapted(now: Margins, book: Book, width: Tensor, shake: Tensor, traits: Traits) -> Margins:
    """Margins after a period.

    Parameters
    ----------
    now : Margins [B, N, 2]
        Before.
    book : Book
        Of the last period.
    width : Tensor [B, 1] $/kWh
        Range between the outside options of that period.
    shake : Tensor [B, N, 2]
        u1 and u2, 0..1.
    traits : Traits
        Of the traders.

    Returns
    -------
    Margins
        Only those of the side that a home was on can have moved.
    """
    target = targets(book, width, shake, traits)
    sells = book.wh < 0
    margin, change = (torch.where(sells, x[..., 1], x[..., 0]) for x in now)
    moves = ~target.isnan()
    push = traits.rate * (torch.where(moves, target, book.price) - book.price)
    change = torch.where(moves, traits.momentum * change + (1 - traits.momentum) * push, change)
    asked = (book.price + change - book.limit) / scale(book.limit, width)
    legal = moves & torch.where(sells, asked >= 0, asked <= 0)
    margin = torch.where(legal, asked, margin)
    sides = torch.stack([~sells, sells], -1)
    return Margins(*(torch.where(sides, new.unsqueeze(-1), x) for new, x in zip((margin, change), now, strict=True)))


def _extremes(price: Tensor, of: Tensor) -> tuple[Tensor, Tensor]:
    """Lowest and highest price of some orders, [B, 1]; not a number without any."""
    low = torch.where(of, price, torch.inf).amin(-1, keepdim=True)
    high = torch.where(of, price, -torch.inf).amax(-1, keepdim=True)
    return tuple(torch.where(x.isinf(), torch.nan, x) for x in (low, high))  # type: ignore[return-value]


class ZIPTrader:
    """Live traders; what happens within a day depends on that day alone, so batches play like loops."""

    training: Training = "on-policy"
    reads_features = False
    heads: tuple[str, ...] = ("battery", "price")

    def __init__(self, policy: ZIP, spec: Spec) -> None:
        c, rng = spec.retail.community, stream(spec.seed, "zip")
        self.amount = Amount(policy.amounts, spec)
        size, rate, momentum = (
            torch.from_numpy(rng.uniform(*bounds, (c.prosumers, columns)))
            for bounds, columns in ((policy.first_margin, 2), (policy.rate, 1), (policy.momentum, 1))
        )
        self.traits = Traits(rate[:, 0], momentum[:, 0], policy.relative, policy.absolute)
        self.kept = Margins(size * torch.tensor([-1.0, 1.0]), torch.zeros_like(size))
        self.shake = torch.from_numpy(rng.uniform(size=(c.days, c.steps, c.prosumers, 2)))
        self.today, self.posted, self.width = self.kept, None, torch.empty(0)

    today: Margins
    posted: Posted | None

    @property
    def rule(self) -> Any:
        """The rule that sets amounts, tuned before training; None for self-consumption."""
        return self.amount.rule

    def act(self, seen: Seen, explore: bool) -> Tensor:
        """Adapt to the last period of the day, then quote.

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
        if state.step == 0 or self.posted is None:
            self.today = Margins(*(x.expand(len(state.days), *x.shape) for x in self.kept))
        else:
            shake = self.shake[state.days, state.step]
            self.today = adapted(self.today, self.posted.book(state), self.width, shake, self.traits)
        battery = self.amount.head(seen)
        bid, ask = (
            limit + scale(limit, range_.width) * self.today.margin[..., side]
            for side, limit in enumerate((range_.buy, range_.sell))
        )
        buys = self.amount.post(state, battery, bid).wh > 0
        price = torch.where(buys, bid, ask)
        self.posted, self.width = self.amount.post(state, battery, price), range_.width
        return torch.stack([battery, range_.head(price)], -1)

    def learn(self, rollout: Rollout, progress: float) -> Mapping[str, float]:
        """Carry the mean margins of the days just played on to the next ones.

        Parameters
        ----------
        rollout : Rollout
            Rewards ($) are ignored: traders have seen the prices themselves.
        progress : float
            Share of the budget used; no difference.

        Returns
        -------
        mapping of str to float
            Mean margins of buyers and sellers.
        """
        self.kept = Margins(*(x.mean(0) for x in self.today))
        buyer, seller = self.kept.margin.mean(0).tolist()
        return {"buyer_margin": buyer, "seller_margin": seller}

    def state(self) -> dict[str, Any]:
        """Margins, and the numbers of the rule if there is one."""
        kept = {"margin": self.kept.margin.clone(), "change": self.kept.change.clone()}
        return kept | ({} if self.rule is None else {"rule": self.rule.state()})

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state.

        Parameters
        ----------
        state : dict
            From ``state`` of the same policy and spec.
        """
        self.kept = Margins(state["margin"], state["change"])
        if self.rule is not None:
            self.rule.load(state["rule"])
