"""The two levels meet: leader and followers answer each other in turn until prices rest, and say so if they do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from hmarl.evaluation import play
from hmarl.pictures import picture
from hmarl.policies.base import Learner
from hmarl.settlement import Settled, first_prices, settle_days
from hmarl.training import Row, train
from hmarl.world import World
from retail.auctions.none import NoAuction
from retail.streams import stream
from retail.tariff import Tariff

if TYPE_CHECKING:
    from aggregator.leader import Offer, View

COST_REST = 0.02
"""Largest relative change of the followers' cost from one round to the next that counts as rest."""

Report = Callable[[str, float], None]


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


class Coordinator:
    """An iterable of rounds; nothing else holds state.

    Parameters
    ----------
    world : World
        One arm and seed.
    start : Iterate, optional
        Go on after this round.
    report : callable
        Gets a label and the share done, 0..1.
    """

    def __init__(self, world: World, start: Iterate | None = None, report: Report = lambda label, share: None) -> None:
        self.world, self.start, self.report = world, start, report

    def __iter__(self) -> Iterator[Iterate]:
        world, last = self.world, self.start
        learner = world.policy.start(world.spec)
        rng = stream(world.seed, "days")
        if last is not None:
            learner.load(last.learners)
            rng.bit_generator.state = last.learners["days"]
        first = 0 if last is None else last.k + 1
        for k in range(first, world.arm.equilibrium.rounds):
            last = self._round(k, last, learner, rng)
            yield last
            if last.converged:
                return

    def _round(self, k: int, last: Iterate | None, learner: Learner, rng: np.random.Generator) -> Iterate:
        world, rules = self.world, self.world.arm.equilibrium
        self.report(f"round {k + 1}: leader", k / rules.rounds)
        seen = view(world, k, last)
        offer = world.leader.offer(seen)
        # Rest is judged on what the leader wants, not on the part of it that damping lets through.
        moved = np.inf if last is None else price_change(offer.tariff, last.tariff)
        if last is not None and rules.damping > 0:
            offer = _in_force(offer, last, rules.damping, seen)
        tariff = offer.tariff
        rows, played_episodes = self._train(k, last, learner, tariff, rng, moved)
        self.report(f"round {k + 1}: settling", (k + 0.9) / rules.rounds)
        played = play(world.game, learner, world.training, tariff, world.arrival)
        settled = settle_days(world, played)
        cost, before = float(played.cost.mean()), None if last is None else float(last.settled.played.cost.mean())
        drift = np.inf if before is None else abs(cost - before) / max(abs(before), 1e-9)
        # A leader that has one price for all rounds needs no second round to rest, where followers do not learn.
        fixed = getattr(world.leader, "constant", False) and not learns(learner)
        rest = moved <= rules.tolerance and drift <= COST_REST
        converged = rest or (fixed and last is None)
        return Iterate(
            k=k,
            offer=offer,
            tariff=tariff,
            settled=settled,
            learners=learner.state() | {"days": rng.bit_generator.state},
            training=tuple(rows),
            episodes=played_episodes,
            price_change=float(moved),
            cost_change=float(drift),
            converged=bool(converged),
            reason=_reason(converged, fixed, moved, drift, k, rules.rounds, rules.tolerance),
        )

    def _train(
        self,
        k: int,
        last: Iterate | None,
        learner: Learner,
        tariff: Tariff,
        rng: np.random.Generator,
        moved: float,
    ) -> tuple[list[Row], int]:
        """Followers answer the tariff: a full training first, a shorter one when prices have moved."""
        world, policy = self.world, self.world.policy
        done = 0 if last is None else last.episodes
        budget = int(getattr(policy, "episodes", 0))
        episodes = budget if last is None else int(getattr(policy, "retrain_episodes", 0))
        if last is not None and moved == 0 and not learns(learner):
            return [], done  # the same answer to the same tariff
        rows = train(
            learner,
            world.ground,
            tariff,
            episodes,
            rng,
            batch_days=int(getattr(policy, "batch_days", 1)),
            done=done,
            budget=budget,
            report=lambda label, share: self.report(
                f"round {k + 1}: {label}", (k + 0.1 + 0.8 * share) / world.arm.equilibrium.rounds
            ),
        )
        numbered: list[Row] = [{"round": float(k), **row} for row in rows]
        if not learns(learner) or not rows:
            return numbered, done
        return numbered, int(float(rows[-1]["episode"]))


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


def damped(new: Tariff, old: Tariff, share: float) -> Tariff:
    """Keep a share of the old tariff.

    Parameters
    ----------
    new, old : Tariff
        Ticks.
    share : float
        Of the old one, 0..1; 0 takes the new one as it is.

    Returns
    -------
    Tariff
        Between both; network charge, levies and fee are the new ones. Rounding to ticks happens here, once.
    """
    if share == 0:
        return new

    def mix(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return torch.floor(a * (1 - share) + b * share + 0.5).to(torch.int64)

    energy, sell = mix(new.energy, old.energy), mix(new.sell, old.sell)
    shape = torch.broadcast_shapes(energy.shape, new.network.shape)
    parts = (energy, new.network, new.levy, sell, new.fee)
    return Tariff(*(p.expand(shape).contiguous() for p in parts))


def _in_force(offer: Offer, last: Iterate, share: float, seen: View) -> Offer:
    """The damped offer, with the promise of the tariff that is really in force."""
    from aggregator.promise import promise  # noqa: PLC0415  pyomo is slow to import

    tariff = damped(offer.tariff, last.tariff, share)
    promised = promise(seen, tariff)
    gap = None
    if promised is not None and offer.bound is not None:
        gap = (offer.bound - promised) / max(abs(offer.bound), 1e-12)
    method = f"{offer.method}; damped, {share:.0%} of the tariff before kept"
    return replace(offer, tariff=tariff, promised=promised, gap=gap, method=method)


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


def _reason(converged: bool, fixed: bool, moved: float, drift: float, k: int, rounds: int, tolerance: float) -> str:
    if converged and fixed:
        return "the leader's tariff does not depend on the followers: one round is the equilibrium of this arm"
    if converged:
        rest = f"the followers' cost by {drift:.2%} (<= {COST_REST:.0%})"
        return f"prices moved by {moved:.5f} $/kWh (<= {tolerance}), {rest}"
    if k + 1 < rounds:
        return "goes on"
    if k == 0:
        return "NOT CONVERGED after 1 round: a single round cannot show rest"
    parts = []
    if moved > tolerance:
        parts.append(f"prices still moved by {moved:.5f} $/kWh (tolerance {tolerance})")
    if drift > COST_REST:
        parts.append(f"the followers' cost still moved by {drift:.2%} (rest: {COST_REST:.0%})")
    return f"NOT CONVERGED after {rounds} rounds: " + " and ".join(parts)
