"""Each level answers the other in turn until prices rest; damped where asked, and cycles are called by their name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from hmarl.equilibrium.answer import settle, teach
from hmarl.equilibrium.iterate import Iterate, Report, learns, price_change, restore, share_done, snapshot, view
from hmarl.policies.base import Learner
from hmarl.training import Row
from hmarl.world import World
from retail.streams import stream
from retail.tariff import Tariff

if TYPE_CHECKING:
    from aggregator.leader import Offer, View

COST_REST = 0.02
"""Largest relative change of the followers' cost from one round to the next that counts as rest."""

WINDOW = 12
"""Rounds back to which a cycle of prices is looked for."""

CELL = 100
"""Ticks (0.1 cent): tariffs that round to the same are the same point of a cycle."""


def alternate(world: World, start: Iterate | None, report: Report) -> Iterator[Iterate]:
    """Let leader and followers answer each other.

    Parameters
    ----------
    world : World
        One arm and seed.
    start : Iterate or None
        Go on after this round.
    report : callable
        Gets a label and the share done, 0..1.

    Yields
    ------
    Iterate
        One a round; the last one has converged or says why not.
    """
    learner, last = world.policy.start(world.spec), start
    rng = stream(world.seed, "days")
    if last is not None:
        restore(learner, rng, last.learners)
    rounds = world.arm.equilibrium.rounds
    for k in range(0 if last is None else last.k + 1, rounds):
        if last is not None and last.converged:
            return
        last = _round(world, k, last, learner, rng, report)
        yield last


def _round(
    world: World, k: int, last: Iterate | None, learner: Learner, rng: np.random.Generator, report: Report
) -> Iterate:
    rules = world.arm.equilibrium
    report(f"round {k + 1}: leader", share_done(world, k, 0.0, rules.rounds))
    seen = view(world, k, last)
    offer, trouble = _offer(world, seen, last)
    # Rest is judged on what the leader wants, not on the part of it that damping lets through.
    moved = np.inf if last is None or trouble else price_change(offer.tariff, last.tariff)
    if last is not None and rules.damping > 0:
        offer = _in_force(offer, last, rules.damping, seen)
    tariff = offer.tariff
    rows, played_episodes = _train(world, k, last, learner, tariff, rng, moved, report)
    report(f"round {k + 1}: settling", share_done(world, k, 0.9, rules.rounds))
    settled = settle(world, learner, tariff, offer.shares)
    offer = replace(offer, delivered=float(settled.profit.mean()))
    played = settled.played
    cost, before = float(played.cost.mean()), None if last is None else float(last.settled.played.cost.mean())
    drift = np.inf if before is None else abs(cost - before) / max(abs(before), 1e-9)
    # A leader that has one price for all rounds needs no second round to rest, where followers do not learn.
    fixed = getattr(world.leader, "constant", False) and not learns(learner)
    rest = moved <= rules.tolerance and drift <= COST_REST
    converged = rest or (fixed and last is None)
    been: tuple[bytes, ...] = () if last is None or last.memory is None else last.memory
    here = _cell(tariff)
    return Iterate(
        k=k,
        offer=offer,
        tariff=tariff,
        settled=settled,
        learners=snapshot(learner, rng),
        training=tuple(rows),
        episodes=played_episodes,
        price_change=float(moved),
        cost_change=float(drift),
        converged=bool(converged),
        reason=_reason(converged, fixed, moved, drift, k, rules.rounds, rules.tolerance)
        + _cycle(been, here, converged)
        + trouble,
        memory=(*been, here)[-WINDOW:],
    )


def _offer(world: World, seen: View, last: Iterate | None) -> tuple[Offer, str]:
    """What the leader offers; after trouble with its solver, if the study says so, the last offer and why."""
    try:
        return world.leader.offer(seen), ""
    except RuntimeError as error:
        from aggregator.promise import seal  # noqa: PLC0415  pyomo is slow to import
        from wholesale.solve import SolverError  # noqa: PLC0415

        if not isinstance(error, SolverError) or last is None or world.arm.equilibrium.trouble == "stop":
            raise
        trouble = f"the leader's solver failed ({type(error).__name__}: {error}) and the tariff of round {last.k} stays"
        bare = replace(last.offer, promised=None, gap=None, worst_tie=None, best_tie=None, method=trouble)
        return seal(seen, bare), f"; {trouble}"


def _train(
    world: World,
    k: int,
    last: Iterate | None,
    learner: Learner,
    tariff: Tariff,
    rng: np.random.Generator,
    moved: float,
    report: Report,
) -> tuple[list[Row], int]:
    """Followers answer the tariff: a full training first, a shorter one when prices have moved."""
    policy, done = world.policy, 0 if last is None else last.episodes
    if last is not None and moved == 0 and not learns(learner):
        return [], done  # the same answer to the same tariff
    episodes = int(getattr(policy, "episodes" if last is None else "retrain_episodes", 0))

    def tell(label: str, share: float) -> None:
        report(f"round {k + 1}: {label}", share_done(world, k, 0.1 + 0.8 * share, world.arm.equilibrium.rounds))

    return teach(world, learner, tariff, rng, k=k, episodes=episodes, done=done, report=tell)


def _cell(tariff: Tariff) -> bytes:
    return (torch.div(tariff.buy + CELL // 2, CELL, rounding_mode="floor")).numpy().tobytes()


def _cycle(been: tuple[bytes, ...], here: bytes, converged: bool) -> str:
    """Say so where prices have come back after having left."""
    if converged or here not in been or been[-1] == here:
        return ""
    period = len(been) - max(i for i, one in enumerate(been) if one == here)
    return f"; prices go round: those of {period} rounds ago are back, so more rounds would only repeat them"


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
    from aggregator.promise import seal  # noqa: PLC0415  pyomo is slow to import

    tariff = damped(offer.tariff, last.tariff, share)
    method = f"{offer.method}; damped, {share:.0%} of the tariff before kept"
    bare = replace(offer, tariff=tariff, promised=None, gap=None, worst_tie=None, best_tie=None, method=method)
    return seal(seen, bare)


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
