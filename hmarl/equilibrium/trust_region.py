"""The leader climbs on what its followers really do: one settled simulation a round, accepted or taken back.

The search itself is ``aggregator.trust_region``. Here a price becomes a tariff, followers learn at it on their fast
clock, and the same days with the same arrivals are played and settled, so that gains are paired by day.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hmarl.equilibrium.alternate import alternate
from hmarl.equilibrium.answer import settle, teach
from hmarl.equilibrium.iterate import (
    Iterate,
    Report,
    Step,
    learns,
    price_change,
    restore,
    share_done,
    snapshot,
    view,
)
from hmarl.equilibrium.poll import LOOK, poll
from hmarl.equilibrium.tariff_range import mean_price, spread
from hmarl.pictures import picture
from hmarl.policies.base import Learner
from hmarl.settlement import IMPACT_SHARE, Settled, moved_prices
from hmarl.training import Row
from hmarl.world import World
from retail.auctions.none import NoAuction
from retail.streams import stream
from retail.tariff import Tariff

if TYPE_CHECKING:
    from aggregator.leader import Offer, TariffRules, View
    from aggregator.price_set import PriceSet
    from aggregator.response import Observed
    from aggregator.trust_region import Search, Trial

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Memory:
    """What the method needs to go on.

    Attributes
    ----------
    search : Search
    next : Trial or None
        Price of the next round; None at rest.
    simulations : int
        Settled simulations so far.
    polls : int
        Looks around so far.
    tried : tuple of array [T] $/kWh
        All prices that were simulated.
    """

    search: Search
    next: Trial | None
    simulations: int
    polls: int = 0
    tried: tuple[Array, ...] = ()


def climb(world: World, start: Iterate | None, report: Report) -> Iterator[Iterate]:
    """Search for the price whose settled simulation earns the leader most.

    A leader with a constant tariff has nothing to search; its rounds are those of ``alternate``.

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
        One a settled simulation; tariff, followers and profit are those of the best price so far.
    """
    if getattr(world.leader, "constant", False):
        yield from alternate(world, start, report)
        return
    learner, last = world.policy.start(world.spec), start
    climber = Climber(world, learner, report)
    while last is None or (not last.converged and last.memory.simulations < world.arm.equilibrium.simulations):
        last = climber.first() if last is None else climber.round(last)
        yield last


class Climber:
    """Hands of the search in one world.

    Parameters
    ----------
    world : World
    learner : Learner
        Fresh.
    report : callable
        Gets a label and the share done, 0..1.
    """

    def __init__(self, world: World, learner: Learner, report: Report) -> None:
        self.world, self.learner, self.report = world, learner, report
        self.rng = stream(world.seed, "days")
        self.rules: TariffRules = getattr(world.leader, "rules", lambda rules: rules)(world.rules)
        self.prices: PriceSet = self.rules.price_set()

    @cached_property
    def view(self) -> View:
        """What the leader knows before the first round, which its picture promises by."""
        return view(self.world, 0, None)

    def first(self) -> Iterate:
        """Ask the leader, train the followers at its tariff and settle it.

        Returns
        -------
        Iterate
        """
        from aggregator.response import Structural  # noqa: PLC0415  pyomo is slow to import
        from aggregator.trust_region import Search, Terms  # noqa: PLC0415

        world, options = self.world, self.world.arm.equilibrium
        self.report("simulation 1: leader", 0.0)
        seen = self.view
        offer = world.leader.offer(seen)
        pooled = not isinstance(world.game.auction, NoAuction)
        portfolio = picture(world.game, world.training, pooled=pooled, fee=world.rules.fee)
        structural = Structural.bent(portfolio, world.rules.sell, radius=options.radius)
        terms = Terms(
            radius=options.radius,
            stop_gain=options.stop_gain,
            standard_errors=options.standard_errors,
            pace=options.pace,
        )
        begin = self.prices.clip(mean_price(offer.tariff))
        search = Search(
            terms=terms,
            structural=structural,
            clusters=world.spec.clusters.numpy(),
            sell=world.rules.sell,
            charges=world.rules.network + world.rules.levy,
            noisy=learns(self.learner),
            queue=probes(self.prices, begin, seen.wholesale_price, options.probes, world.seed),
        )
        memory = Memory(search, search.queue[0], 0)
        return self._try(memory, offer, None)

    def round(self, last: Iterate) -> Iterate:
        """Simulate the next price.

        Parameters
        ----------
        last : Iterate
            With a next price in its memory.

        Returns
        -------
        Iterate
        """
        return self._try(last.memory, last.offer, last)

    def _try(self, memory: Memory, offer: Offer, last: Iterate | None) -> Iterate:
        """Simulate ``memory.next``, take it or leave it, and propose what comes after."""
        world, options = self.world, self.world.arm.equilibrium
        trial, k = memory.next, 0 if last is None else last.k + 1
        assert trial is not None
        tariff = self.rules.tariff(trial.price)
        rows, episodes = self._learn(k, tariff, last, trial.kind)
        settled = settle(world, self.learner, tariff)
        seen = observe(world, settled, trial.price, impact=options.price_impact)
        tried = snapshot(self.learner, self.rng)
        simulations, search = memory.simulations + 1, memory.search
        if last is not None and search.model is not None and options.settle and learns(self.learner):
            last = self._gone_on(k, last, search)
            simulations += 1
            search = search.remeasured(observe(world, last.settled, search.centre.price, impact=options.price_impact))
        begun = memory.search.model is None
        search, verdict = search.learn(trial, seen)
        if begun and search.model is not None and options.climbs:
            share = share_done(world, k, 1.0, options.simulations)
            self.report(f"simulation {simulations}: climbing on the picture", share)
            search = search.with_proposal(self.prices, self._starts(search, options.climbs))
        search, following = search.propose(self.prices)
        kept = None if verdict.accepted else last
        step = Step(
            kind=trial.kind,
            delivered=float(seen.profit.mean()),
            predicted=trial.predicted,
            gain=verdict.gain,
            error=verdict.error,
            accepted=verdict.accepted,
            radius=search.radius,
            irrational=None if search.model is None else search.model.irrational,
            simulations=simulations,
        )
        cost = float(settled.played.cost.mean())
        before = np.inf if last is None else float(last.settled.played.cost.mean())
        moved = np.inf if last is None else price_change(tariff, last.tariff)
        here = Iterate(
            k=k,
            offer=self._offer(offer, tariff, search) if kept is None else kept.offer,
            tariff=tariff if kept is None else kept.tariff,
            settled=settled if kept is None else kept.settled,
            learners=tried if kept is None else kept.learners,
            training=tuple(rows),
            episodes=episodes if kept is None else kept.episodes,
            price_change=float(moved),
            cost_change=abs(cost - before) / max(abs(before), 1e-9) if last is not None else np.inf,
            converged=following is None,
            reason=_reason(search, following, simulations, options.simulations),
            step=step,
            memory=Memory(search, following, simulations, memory.polls, (*memory.tried, trial.price)),
        )
        return self._looked_around(here) if following is None else here

    def _looked_around(self, here: Iterate) -> Iterate:
        """At rest: look at prices beyond the model's reach, and go on from the best where one seems worth it."""
        options, memory = self.world.arm.equilibrium, here.memory
        if memory.polls >= options.polls or memory.simulations >= options.simulations:
            return here
        restore(self.learner, self.rng, here.learners)
        trial = poll(self.world, self.learner, self.rules, here)
        if trial is None:
            reason = f"{here.reason}, and none of {LOOK} prices around or of those before seems to earn more"
            return replace(here, reason=reason, memory=replace(memory, polls=memory.polls + 1))
        search, following = memory.search.woken(trial).propose(self.prices)
        return replace(
            here,
            converged=following is None,
            reason=_reason(search, following, memory.simulations, options.simulations),
            memory=replace(memory, search=search, next=following, polls=memory.polls + 1),
        )

    def _gone_on(self, k: int, last: Iterate, search: Search) -> Iterate:
        """The best price so far after as much learning, on the same days, as the trial had: only then they compare."""
        rows, episodes = self._learn(k, last.tariff, last, "centre")
        settled = settle(self.world, self.learner, last.tariff)
        return replace(
            last, settled=settled, learners=snapshot(self.learner, self.rng), training=tuple(rows), episodes=episodes
        )

    def _learn(self, k: int, tariff: Tariff, last: Iterate | None, kind: str) -> tuple[list[Row], int]:
        """A full training at the first tariff, ``settle`` short ones at later ones; rules tune themselves each time."""
        options, policy = self.world.arm.equilibrium, self.world.policy
        if last is not None:
            restore(self.learner, self.rng, last.learners)
        before = 0 if last is None else last.episodes
        each = int(getattr(policy, "episodes" if last is None else "retrain_episodes", 0))

        def tell(label: str, part: float) -> None:
            done = share_done(self.world, k, 0.1 + 0.8 * part, options.simulations)
            self.report(f"simulation {k + 1}: {label}, {kind}", done)

        at, learning = tariff, learns(self.learner)
        if options.tariff_range > 0 and learning:
            at = spread(self.rules, self.prices, tariff, options.tariff_range, self.world, k)
        rows: list[Row] = []
        for _ in range(1 if last is None or not learning else options.settle):
            more, before = teach(self.world, self.learner, at, self.rng, k=k, episodes=each, done=before, report=tell)
            rows += [{"tried": kind, **row} for row in more]
        return rows, before

    def _offer(self, offer: Offer, tariff: Tariff, search: Search) -> Offer:
        """The offer with the tariff that is in force now and what the leader's picture promises of it."""
        from aggregator.promise import seal  # noqa: PLC0415

        bare = replace(offer, tariff=tariff, promised=None, gap=None, worst_tie=None, best_tie=None)
        return seal(self.view, replace(bare, method=_named(offer.method, search)))

    def _starts(self, search: Search, count: int) -> list[Array]:
        """Where to climb from on the picture: the price of its decoupled bound, one for all hours, random ones."""
        from aggregator.bound import decoupled_bound  # noqa: PLC0415
        from aggregator.portfolio import BestResponse  # noqa: PLC0415

        days = search.structural.portfolio.days
        few = np.unique(np.linspace(0, days - 1, min(7, days)).round()).astype(np.intp)
        found = decoupled_bound(
            BestResponse(search.structural.portfolio.over(few)),
            self.prices,
            sell=search.sell,
            charges=search.charges,
            wholesale=search.centre.wholesale[few],
            cuts=30,
            tolerance=1e-3,
        )
        rng, low, high = stream(self.world.seed, "climbs"), self.prices.low, self.prices.high
        starts = [found.price, np.full(len(low), float(high.max()))]
        return [*starts, *(rng.uniform(low, high) for _ in range(count))][:count]


def probes(prices: PriceSet, begin: Array, wholesale: Array, count: int, seed: int) -> tuple[Trial, ...]:
    """The start and admissible prices that show how followers answer: one price for all hours, cost plus, random ones.

    Parameters
    ----------
    prices : PriceSet
        Admissible buy prices.
    begin : array [T] $/kWh
        Start.
    wholesale : array [D, T] $/kWh
        For the price shaped like it.
    count : int
        Probes beside the start.
    seed : int
        Stream ``probes``.

    Returns
    -------
    tuple of Trial
        Prices on ticks; equal ones are simulated once.
    """
    from aggregator.trust_region import Trial  # noqa: PLC0415

    rng, high = stream(seed, "probes"), prices.high
    shape = wholesale.mean(axis=0) - wholesale.mean()
    wishes = [np.full(len(high), high.max()), begin + shape, 0.5 * (begin + high)]
    wishes += [rng.uniform(prices.low, high) for _ in range(max(0, count - len(wishes)))]
    found = [Trial(begin, "start")]
    for wish in wishes[:count]:
        price = prices.clip(wish)
        if all(np.abs(price - one.price).max() > 1e-6 for one in found):
            found.append(Trial(price, "probe"))
    return tuple(found)


def observe(world: World, settled: Settled, price: Array, *, impact: bool) -> Observed:
    """A settled simulation as the search sees it.

    Parameters
    ----------
    world : World
        Meter and market.
    settled : Settled
        Training days.
    price : array [T] $/kWh
        In force.
    impact : bool
        Whether to measure how the wholesale price follows the community's net load (two more clearings).

    Returns
    -------
    Observed
        Energy in kWh per step of one community, prices in $/kWh.
    """
    from aggregator.response import Observed  # noqa: PLC0415

    grid = settled.played.outcome.grid
    importing, exporting = (x.clamp(min=0).sum(-1).numpy() for x in (grid, -grid))
    slope = np.zeros(settled.lmp.shape)
    if impact and world.exchange is not None:
        low, high, aside = moved_prices(world, settled, IMPACT_SHARE)
        slope = np.maximum(world.meter.to_per_kwh(high - low) / (2.0 * aside), 0.0)
    wholesale = world.meter.to_per_kwh(settled.real_time_lmp)
    return Observed(price, importing, exporting, settled.profit, wholesale, slope)


def _named(method: str, search: Search) -> str:
    start = method.split("; then settled simulations", maxsplit=1)[0]
    fit = "" if search.error is None else f" (the picture misses the net load by {search.error:.1%})"
    return f"{start}; then settled simulations in a trust region{fit}"


def _reason(search: Search, following: Any, simulations: int, budget: int) -> str:
    if following is None:
        return search.done
    if simulations < budget:
        return "goes on"
    return (
        f"NOT CONVERGED within {budget} settled simulations: the trust region is still {search.radius:.4f} $/kWh wide"
    )
