"""One round of the two levels: what it leaves behind and what the next one starts from."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hmarl.pictures import picture
from hmarl.policies.base import Learner
from hmarl.settlement import Settled, first_prices
from hmarl.training import Row
from hmarl.world import World
from retail.auctions.none import NoAuction
from retail.tariff import Tariff

if TYPE_CHECKING:
    from aggregator.leader import Offer, View

Report = Callable[[str, float], None]


@dataclass(frozen=True)
class Step:
    """What a method that tries prices did in a round; $/day for one community, over training days.

    Attributes
    ----------
    kind : str
        ``start``, ``probe``, ``proposal``, ``step``, ``poll`` or ``cycle``; see ``aggregator.trust_region.Trial``.
    delivered : float
        By the price that was tried.
    predicted, gain, error : float
        Gain by the model, delivered gain against the best price before, paired by day, and its standard error.
    accepted : bool
        Whether the tried price is in force now.
    radius : float $/kWh
        Of the trust region after the round.
    irrational : float or None
        Share of the learned import slope that no cost minimiser would show.
    simulations : int
        Settled simulations so far.
    """

    kind: str
    delivered: float
    predicted: float
    gain: float
    error: float
    accepted: bool
    radius: float
    irrational: float | None
    simulations: int


@dataclass(frozen=True)
class Round:
    """What the tables keep of a round.

    Attributes
    ----------
    k, offer, tariff, training, episodes, price_change, cost_change, converged, reason, step
        As in ``Iterate``.
    delivered, cost : float $/day
        Mean profit of the leader and mean cost of the community over training days.
    mean_lmp : float $/MWh
    """

    k: int
    offer: Offer
    tariff: Tariff
    training: tuple[Row, ...]
    episodes: int
    price_change: float
    cost_change: float
    converged: bool
    reason: str
    step: Step | None
    delivered: float
    cost: float
    mean_lmp: float


@dataclass(frozen=True)
class Iterate:
    """One round, enough to go on from.

    Attributes
    ----------
    k : int
        Round, from 0.
    offer : Offer
        What the leader proposed, with its promised profit ($/day for one community) and bound.
    tariff : Tariff [T] or [community days, T]
        In force, after damping; ticks.
    settled : Settled
        Training days played with exploration off, and their ledger.
    learners : dict
        State of the followers after the round.
    training : tuple of dict
        Rows of the training log.
    episodes : int
        Training days played so far.
    price_change : float $/kWh
        Largest change of a buy price against the round before; infinite in round 0.
    cost_change : float
        Relative change of the followers' cost against the round before; infinite in round 0.
    converged : bool
        Whether both changes are small enough.
    reason : str
        Why it stopped or goes on.
    step : Step or None
        What a method that tries prices did; ``tariff``, ``settled`` and ``learners`` are those of its best price.
    memory : Any
        State of the method: plain dataclasses, arrays and numbers.
    """

    k: int
    offer: Offer
    tariff: Tariff
    settled: Settled
    learners: dict[str, Any]
    training: tuple[Row, ...]
    episodes: int
    price_change: float
    cost_change: float
    converged: bool
    reason: str
    step: Step | None = None
    memory: Any = None

    @property
    def delivered(self) -> float:
        """Mean delivered profit over training days, $/day for one community."""
        return float(self.settled.profit.mean())

    @property
    def certificate(self) -> dict[str, Any]:
        """What this round proves: rest, invariants, promised and delivered profit, bound of the leader's picture."""
        offer = self.offer
        return {
            "converged": self.converged,
            "reason": self.reason,
            "round": self.k,
            "price_change_per_kwh": self.price_change if np.isfinite(self.price_change) else None,
            "cost_change_ratio": self.cost_change if np.isfinite(self.cost_change) else None,
            "promised_profit_per_day": offer.promised,
            "delivered_profit_per_day": self.delivered,
            "bound_of_picture_per_day": offer.bound,
            "leader_method": offer.method,
            "leader_information": offer.information,
            "ledger_sums_to_zero": True,
        }

    @property
    def round(self) -> Round:
        """What the tables keep of it."""
        names = ("k", "offer", "tariff", "training", "episodes", "price_change", "cost_change", "converged", "reason")
        kept = {name: getattr(self, name) for name in (*names, "step")}
        played, lmp = self.settled.played, self.settled.lmp
        return Round(**kept, delivered=self.delivered, cost=float(played.cost.mean()), mean_lmp=float(lmp.mean()))


def snapshot(learner: Learner, rng: np.random.Generator) -> dict[str, Any]:
    """State of followers and of their stream of days, which later learning leaves alone.

    Parameters
    ----------
    learner : Learner
        Its own state may be live tensors.
    rng : numpy.random.Generator
        Stream ``days``.

    Returns
    -------
    dict
        Tensors and numbers only.
    """
    return copy.deepcopy(learner.state()) | {"days": rng.bit_generator.state}


def restore(learner: Learner, rng: np.random.Generator, state: dict[str, Any]) -> None:
    """Put followers and their stream of days where a snapshot found them.

    Parameters
    ----------
    learner : Learner
        Of the same policy and spec; changed.
    rng : numpy.random.Generator
        Changed.
    state : dict
        From ``snapshot``; not changed.
    """
    learner.load(copy.deepcopy(state))
    rng.bit_generator.state = state["days"]


def learns(learner: Learner) -> bool:
    """Whether more training could change a learner at the same tariff.

    Parameters
    ----------
    learner : Learner
        Its ``training`` says how it becomes better.

    Returns
    -------
    bool
        True for ``on-policy`` and ``gradient``.
    """
    return learner.training in ("on-policy", "gradient")


def share_done(world: World, k: int, part: float, most: int) -> float:
    """How much of a run's training is done in the middle of a round; one that rests early ends before.

    Parameters
    ----------
    world : World
        Its policy says how many days the first round plays, and each later one.
    k : int
        Round, from 0.
    part : float
        Share of it that is done, 0..1.
    most : int
        Rounds there may be.

    Returns
    -------
    float
        0..1.
    """
    first, later = (max(int(getattr(world.policy, name, 0)), 1) for name in ("episodes", "retrain_episodes"))
    before = 0 if k == 0 else first + (k - 1) * later
    return min((before + part * (first if k == 0 else later)) / (first + max(most - 1, 0) * later), 1.0)


def view(world: World, k: int, last: Iterate | None) -> View:
    """What the leader knows before round k: training days only.

    Parameters
    ----------
    world : World
        One arm and seed.
    k : int
        Round.
    last : Iterate or None
        The round before.

    Returns
    -------
    View
        Picture of the followers (kWh, $), day-ahead prices of the round before ($/MWh).
    """
    from aggregator.leader import View  # noqa: PLC0415

    pooled = not isinstance(world.game.auction, NoAuction)
    lmp = first_prices(world, world.training) if last is None else last.settled.lmp
    return View(
        round=k,
        rules=world.rules,
        portfolio=picture(world.game, world.training, pooled=pooled, fee=world.rules.fee),
        lmp_per_mwh=lmp,
        meter=world.meter,
        last=None if last is None else last.offer,
        profit=None if last is None else last.delivered,
        seed=world.seed,
        days=world.training.numpy(),
    )


def price_change(new: Tariff, old: Tariff) -> float:
    """Largest change of a buy price or of the feed-in price.

    Parameters
    ----------
    new, old : Tariff
        Ticks.

    Returns
    -------
    float $/kWh
        At least 0.
    """
    buy = np.abs(new.buy_price - old.buy_price).max()
    return float(max(buy, np.abs(new.sell_price - old.sell_price).max()))
