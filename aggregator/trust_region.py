"""Search for the leader's price on settled simulations only: a trust region on the local response model.

``Search`` is the whole state and never changes: ``propose`` says which price to simulate next, ``learn`` takes what
came of it. Nobody here knows who the followers are.

References
----------
A. R. Conn, N. I. M. Gould, P. L. Toint, "Trust-Region Methods", SIAM, 2000, algorithm 6.1.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from aggregator.local_response import Local, best_step
from aggregator.price_set import PriceSet
from aggregator.prosumers import Array
from aggregator.response import Observed, Structural, calibrated
from aggregator.verdict import Terms, Trial, Verdict

__all__ = ["Search", "Terms", "Trial", "Verdict", "damped_price", "paired_error"]

BIG_MOVE = 0.05  # relative change of wholesale prices above which they are damped
CELL = 1e-3  # $/kWh: prices that round to the same are the same point of a cycle
WIDE = 0.005  # $/kWh, the least radius at which a small predicted gain means rest
RIGHT = 0.05  # relative error of the programs' net load up to which their slopes are better than learned ones
CLIMB = 40  # best responses of one climb on the programs


@dataclass(frozen=True)
class Search:
    """Where the search stands.

    Attributes
    ----------
    terms : Terms
    structural : Structural
        The followers' programs, calibrated once the probes are in.
    clusters : array of int [N]
        For the calibration.
    sell, charges : array [T] $/kWh
        Feed-in price; network charge and levies.
    noisy : bool
        Whether followers learn or draw, so that a gain must exceed its standard errors.
    queue : tuple of Trial
        Prices to simulate before the first step.
    seen : tuple of Observed
        What they gave; empty afterwards.
    model : Local or None
        Around the best price so far.
    radius : float $/kWh
    smallest : float $/kWh
        Radius at which the slopes were last taken from the programs.
    fresh : bool
        Whether the slopes are those of the programs at this very price.
    rejections, accepted : int
    points : tuple of tuple of int
        The last accepted prices, in cells of 0.1 cent.
    rises : tuple of bool
        Whether profit rose in the last trials.
    error : float or None
        Relative error of the calibrated programs' net load.
    aside : Trial or None
        To be simulated next: a proposal, or the mean of a cycle (clipped when its turn comes).
    climbing : bool
        A search on the programs themselves, where learned slopes cost nothing.
    done : str
        Why the search rests; empty while it goes on.
    """

    terms: Terms
    structural: Structural
    clusters: NDArray[np.int64]
    sell: Array
    charges: Array
    noisy: bool
    queue: tuple[Trial, ...]
    seen: tuple[Observed, ...] = ()
    model: Local | None = None
    radius: float = 0.0
    smallest: float = 0.0
    fresh: bool = False
    rejections: int = 0
    accepted: int = 0
    points: tuple[tuple[int, ...], ...] = ()
    rises: tuple[bool, ...] = ()
    error: float | None = None
    aside: Trial | None = None
    climbing: bool = False
    done: str = ""

    @property
    def centre(self) -> Observed:
        """The best price so far with what it gave."""
        if self.model is not None:
            return self.model.at
        return max(self.seen, key=lambda one: float(one.profit.mean()))

    def propose(self, prices: PriceSet) -> tuple[Search, Trial | None]:
        """Which price to simulate next.

        Parameters
        ----------
        prices : PriceSet
            Admissible buy prices.

        Returns
        -------
        Search
            With renewed slopes where they were due.
        Trial or None
            None when the search rests; ``done`` of the returned search says why.
        """
        if self.done or self.queue:
            return self, None if self.done else self.queue[0]
        if self.aside is not None:
            trial = replace(self.aside, price=prices.clip(self.aside.price))
            if not _same(trial.price, self.centre.price):
                return self, trial
        if self.radius < self.terms.least_radius:
            rest = f"the trust region is down to {self.radius:.4f} $/kWh (< {self.terms.least_radius:g})"
            return replace(self, done=rest), None
        state, price, gain = self._look(prices)
        least, rest = self.terms.stop_gain * abs(float(state.centre.profit.mean())), ""
        if _same(price, state.centre.price):
            rest = "no other price on ticks within the trust region earns more by the model"
        elif gain <= least and state.radius >= WIDE:
            rest = f"a step of up to {state.radius:.4f} $/kWh would earn {gain:.2g} $/day by the model (<= {least:.2g})"
        return (replace(state, done=rest), None) if rest else (state, Trial(price, "step", gain))

    def _look(self, prices: PriceSet) -> tuple[Search, Array, float]:
        """The model's best step, with slopes of the programs where those at hand are stale or see nothing to gain."""
        state = self
        if not self.fresh and (self.right or self.rejections >= 2 or self.radius <= self.smallest / 10.0):
            state = self.renewed()
        price, gain = state.step(prices)
        least = self.terms.stop_gain * abs(float(state.centre.profit.mean()))
        if not state.fresh and (gain <= least or _same(price, state.centre.price)):
            state = state.renewed()
            price, gain = state.step(prices)
        return state, price, gain

    def step(self, prices: PriceSet) -> tuple[Array, float]:
        """The model's best price within reach, on ticks, and its predicted gain in $/day.

        Parameters
        ----------
        prices : PriceSet

        Returns
        -------
        tuple of array [T] $/kWh and float
        """
        assert self.model is not None
        reach = self.radius / (1.0 + self.accepted) ** self.terms.pace
        wish, gain = best_step(self.model, prices, sell=self.sell, charges=self.charges, radius=reach)
        return prices.clip(wish), gain

    def renewed(self) -> Search:
        """The same search with the slopes that the followers' programs have at the centre.

        Returns
        -------
        Search
        """
        model = Local(self.centre, *self.structural.slopes(self.centre.price), self.radius)
        return replace(self, model=model, fresh=True, rejections=0, smallest=self.radius)

    def learn(self, trial: Trial, seen: Observed) -> tuple[Search, Verdict]:
        """Take what a trial gave.

        Parameters
        ----------
        trial : Trial
            As proposed.
        seen : Observed
            The settled simulation at its price, on the same days.

        Returns
        -------
        Search
        Verdict
        """
        if self.queue:
            before = None if not self.seen else self.centre
            state = replace(self, seen=(*self.seen, seen), queue=self.queue[1:])
            gain = 0.0 if before is None else float((seen.profit - before.profit).mean())
            verdict = Verdict(gain, 0.0, None, before is None or gain > 0.0)
            return (state if state.queue else state._begun()), verdict
        assert self.model is not None
        change = seen.profit - self.centre.profit
        gain, error = float(change.mean()), paired_error(change) if self.noisy else 0.0
        ratio = gain / trial.predicted if trial.predicted > 0.0 else None
        enough = (ratio is None or ratio > self.terms.accept) and gain > self.terms.standard_errors * error
        verdict = Verdict(gain, error, ratio, bool(enough and gain > 0.0))
        state = replace(self, rises=(*self.rises, gain > 0.0)[-5:], fresh=False, aside=None)
        learned = self.model.learned(seen)
        if verdict.accepted:
            state = state._moved(learned, seen, ratio)
        else:
            shrunk = self.radius * self.terms.shrink
            state = replace(state, model=learned, radius=shrunk, rejections=self.rejections + 1)
        return state._without_cycle(trial, verdict), verdict

    @property
    def right(self) -> bool:
        """Whether the followers' programs foretell what followers do, so that their slopes beat learned ones."""
        return not self.climbing and self.error is not None and self.error <= RIGHT

    def with_proposal(self, prices: PriceSet, starts: Sequence[Array]) -> Search:
        """Climb on the followers' programs from several prices and put the best summit next.

        Parameters
        ----------
        prices : PriceSet
        starts : sequence of array [T] $/kWh
            Where to climb from, beside the centre; cut into the rules.

        Returns
        -------
        Search
            Unchanged where the programs see nothing better than the centre.
        """
        assert self.model is not None
        summits = [self._climb(prices, start) for start in (self.centre.price, *starts)]
        best = max(summits, key=lambda one: float(one.profit.mean()))
        gain = float((best.profit - self._imagine(self.centre.price).profit).mean())
        if gain <= 0.0 or _same(best.price, self.centre.price):
            return self
        return replace(self, aside=Trial(best.price, "proposal", gain))

    def _imagine(self, price: Array) -> Observed:
        """What the programs say about a price, in the form of a simulation at the centre's wholesale prices."""
        importing, exporting = self.structural.answer(price)
        at = self.centre
        wholesale = at.wholesale + at.impact * (importing - exporting - at.net)
        profit = ((price - self.charges - wholesale) * importing - (self.sell - wholesale) * exporting).sum(axis=1)
        return Observed(price, importing, exporting, profit, wholesale, at.impact)

    def _climb(self, prices: PriceSet, start: Array) -> Observed:
        first = Trial(prices.clip(start), "start")
        fresh = replace(self, queue=(first,), model=None, seen=(), noisy=False, accepted=0)
        search = replace(fresh, aside=None, points=(), rises=(), climbing=True)
        for _ in range(CLIMB):
            search, trial = search.propose(prices)
            if trial is None:
                break
            search, _ = search.learn(trial, self._imagine(trial.price))
        return search.centre

    def woken(self, trial: Trial) -> Search:
        """The same search, no longer at rest, with a price from outside the model's reach put next.

        Parameters
        ----------
        trial : Trial
            With the gain that is hoped for.

        Returns
        -------
        Search
            Its radius reaches that price, as far as the first radius goes.
        """
        apart = float(np.abs(trial.price - self.centre.price).max())
        return replace(self, done="", aside=trial, radius=min(max(apart, self.radius), self.terms.radius), fresh=False)

    def remeasured(self, seen: Observed) -> Search:
        """The same search after followers have gone on learning at the centre's price.

        Parameters
        ----------
        seen : Observed
            At the centre's price.

        Returns
        -------
        Search
        """
        if self.model is None:
            return replace(self, seen=(*self.seen[:-1], seen))
        return replace(self, model=replace(self.model, at=seen))

    def _begun(self) -> Search:
        """Calibrate the programs on the probes and start at the best of them."""
        best = self.centre
        ordered = [one for one in self.seen if one is not best] + [best]
        structural, error = calibrated(self.structural, ordered, self.clusters)
        model = Local(best, *structural.slopes(best.price), self.terms.radius)
        return replace(
            self,
            structural=structural,
            seen=(),
            model=model,
            radius=self.terms.radius,
            smallest=self.terms.radius,
            fresh=True,
            points=(_cell(best.price),),
            error=error,
        )

    def _moved(self, learned: Local, seen: Observed, ratio: float | None) -> Search:
        wholesale = damped_price(self.centre.wholesale, seen.wholesale)
        centre = replace(seen, wholesale=wholesale)
        radius = self.radius
        if ratio is not None and ratio > self.terms.good:
            radius = min(radius * self.terms.grow, 4.0 * self.terms.radius)
        return replace(
            self,
            model=replace(learned, at=centre, radius=radius),
            radius=radius,
            rejections=0,
            accepted=self.accepted + 1,
        )

    def _without_cycle(self, trial: Trial, verdict: Verdict) -> Search:
        """Halve the radius and try the mean of the cycle next, where prices or profits go round."""
        cell, back = _cell(trial.price), None
        points = self.points
        if verdict.accepted:
            back = points[points.index(cell) :] if cell in points else None
            points = (*points, cell)[-self.terms.window :]
        turns = [a != b for a, b in zip(self.rises, self.rises[1:], strict=False)]
        if back is None and len(turns) == 4 and all(turns):
            back = points[-2:]
        state = replace(self, points=points)
        if back is None or len(back) < 2:
            return state
        mean = Trial(np.mean(back, axis=0) * CELL, "cycle")
        return replace(state, radius=state.radius / 2.0, rises=(), aside=mean)


def paired_error(change: Array) -> float:
    """Standard error of a mean paired difference.

    Parameters
    ----------
    change : array [D] $/day

    Returns
    -------
    float
        0 for a single day, which says nothing about its noise.
    """
    return float(change.std(ddof=1) / np.sqrt(len(change))) if len(change) > 1 else 0.0


def damped_price(old: Array, new: Array) -> Array:
    """Wholesale prices to reckon with: halfway where the leader's own load has moved them by more than 5 %.

    Parameters
    ----------
    old, new : array [D, T] $/kWh

    Returns
    -------
    array [D, T] $/kWh
    """
    moved = float(np.abs(new - old).mean()) > BIG_MOVE * float(np.abs(old).mean())
    return 0.5 * (old + new) if moved else new


def _cell(price: Array) -> tuple[int, ...]:
    return tuple(int(c) for c in np.rint(np.asarray(price) / CELL))


def _same(a: Array, b: Array) -> bool:
    return bool(np.abs(np.asarray(a) - np.asarray(b)).max() < 5e-6)
