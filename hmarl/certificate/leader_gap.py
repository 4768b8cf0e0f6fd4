"""How much better the leader could have done: by small deviations that were tried, and at most by a bound.

A local gap from B deviations is a lower bound of the leader's regret, with an upper confidence limit for the best of
them. A global gap is an upper bound of the regret where followers are exact; where they learn it also needs their
regret at tariffs that nobody has tried, so it is an estimate and named so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats

from hmarl.benchmark import community_optimum
from hmarl.equilibrium.answer import settle, teach
from hmarl.equilibrium.deviations import deviations, earned, gains, lanes
from hmarl.equilibrium.iterate import Iterate, learns, restore
from hmarl.evaluation import arrivals, play
from hmarl.pictures import picture
from hmarl.policies.base import Learner
from hmarl.policies.optimal import Optimal
from hmarl.world import World
from retail.auctions.none import NoAuction
from retail.streams import stream
from retail.tariff import Tariff

Array = NDArray[np.float64]
FRESH = 7_000_003
"""Added to the seed of a run: its certificate sees arrivals that nobody has searched on."""
EXACT = "certified: followers are exact at the realised LMP"
ESTIMATE = "conditional estimate: followers' regret was measured at sampled tariffs only; no certificate"


@dataclass(frozen=True)
class Size:
    """What a certificate may cost.

    Attributes
    ----------
    deviations : int
        Prices tried around the one in force.
    seeds : int
        Fresh seeds each.
    learning : bool
        Whether followers learn at each of them, as in a round.
    days : int
        Scenario days of bound and exploitability, evenly spaced.
    tariffs : int
        Sampled admissible tariffs for the followers' regret.
    homes : int or None
        Homes that search for a profitable deviation; None = all.
    measured : int or None
        Homes, evenly spaced, whose exploitability is bounded; None = all.
    """

    deviations: int
    seeds: int
    learning: bool
    days: int
    tariffs: int
    homes: int | None
    measured: int | None


SIZES = {
    "short": Size(deviations=60, seeds=2, learning=False, days=3, tariffs=4, homes=6, measured=200),
    "full": Size(deviations=60, seeds=3, learning=True, days=14, tariffs=12, homes=None, measured=None),
}
"""Option ``equilibrium.certificate`` -> what is affordable."""


def local_gap(world: World, last: Iterate, size: Size) -> dict[str, Any]:
    """Best gain over structured deviations, on training days, with fresh arrivals.

    Parameters
    ----------
    world : World
    last : Iterate
        The end of the run.
    size : Size

    Returns
    -------
    dict
        Gains in $/day and as shares of the profit; the upper limit holds for the largest of all true gains at 95 %
        (Bonferroni over the deviations, standard error pooled over them).
    """
    rules = getattr(world.leader, "rules", lambda rules: rules)(world.rules)
    price = last.tariff.on(world.training).buy_price
    outside = rules.admissible(price)
    tried = [] if outside else deviations(rules.price_set(), price.mean(axis=0), size.deviations, world.seed)
    if not tried:
        return {"says": "not computed: the tariff in force is not one of the leader's rules", "rules": outside}
    tariffs = [last.tariff, *(rules.tariff(wish) for _, wish in tried)]
    wholesale = world.meter.to_per_kwh(last.settled.real_time_lmp)
    learning = size.learning and learns(_restored(world, last)[0])
    found = np.zeros((size.seeds, len(tried)))
    base = 0.0
    for s in range(size.seeds):
        fresh = replace(world, arrival=arrivals(world.game, FRESH + world.seed + s))
        if learning:
            profits = [_learned(fresh, last, tariff, s) for tariff in tariffs]
            found[s], first = np.array(profits[1:]) - profits[0], profits[0]
        else:
            found[s], first = gains(fresh, _restored(fresh, last)[0], tariffs, wholesale)
        base += first / size.seeds
    mean, best = found.mean(axis=0), int(found.mean(axis=0).argmax())
    freedom = (size.seeds - 1) * len(tried)
    error = float(np.sqrt(found.var(axis=0, ddof=1).mean() / size.seeds))
    upper = float(mean.max() + stats.t.ppf(1.0 - 0.05 / len(tried), freedom) * error)
    cleared = _recleared(replace(world, arrival=arrivals(world.game, FRESH + world.seed)), last, tariffs[1 + best])
    return {
        "deviations": len(tried),
        "fresh_seeds": size.seeds,
        "followers": "learn at each deviation" if learning else "answer as they are",
        "profit_per_day": base,
        "best_gain_per_day": float(mean[best]),
        "best_gain_ratio": float(mean[best]) / max(abs(base), 1e-9),
        "best_deviation": tried[best][0],
        "best_deviation_per_kwh": [round(float(p), 5) for p in tried[best][1]],
        "upper_95_gain_per_day": upper,
        "upper_95_gain_ratio": upper / max(abs(base), 1e-9),
        "wholesale_prices": "delivered" if learning else "frozen",
        "best_gain_recleared_per_day": cleared,
    }


def _restored(world: World, last: Iterate) -> tuple[Learner, np.random.Generator]:
    learner, rng = world.policy.start(world.spec), stream(world.seed, "days")
    restore(learner, rng, last.learners)
    return learner, rng


def _learned(world: World, last: Iterate, tariff: Tariff, s: int) -> float:
    """Delivered profit after a short training on days drawn afresh."""
    learner, _ = _restored(world, last)
    rng = stream(FRESH + world.seed + s, "days")
    episodes = int(getattr(world.policy, "retrain_episodes", 0))
    teach(
        world, learner, tariff, rng, k=last.k, episodes=episodes, done=last.episodes, report=lambda label, share: None
    )
    return float(settle(world, learner, tariff).profit.mean())


def _recleared(world: World, last: Iterate, tariff: Tariff) -> float:
    """Delivered gain of a deviation when the wholesale market clears anew, $/day."""
    learner, _ = _restored(world, last)
    before, after = (settle(world, learner, one).profit.mean() for one in (last.tariff, tariff))
    return float(after - before)


def global_gap(world: World, last: Iterate, size: Size) -> dict[str, Any]:
    """Upper bound of what any admissible tariff could have earned, less what this one earned, at the realised LMP.

    Parameters
    ----------
    world : World
    last : Iterate
        The end of the run.
    size : Size

    Returns
    -------
    dict
        ``says`` names it a certificate or a conditional estimate; all parts in $/day.
    """
    from aggregator.bound import decoupled_bound  # noqa: PLC0415  pyomo is slow to import
    from aggregator.portfolio import BestResponse  # noqa: PLC0415

    if world.game.storage_end == "carry":
        return {"says": "not computed: stores carry over, so days are no independent scenarios"}
    rules = getattr(world.leader, "rules", lambda rules: rules)(world.rules)
    few = spaced(len(world.training), size.days)
    days, prices = world.training[torch.from_numpy(few)], rules.price_set()
    pooled = not isinstance(world.game.auction, NoAuction)
    wholesale = world.meter.to_per_kwh(last.settled.real_time_lmp[few])
    bound = decoupled_bound(
        BestResponse(picture(world.game, days, pooled=pooled, fee=rules.fee)),
        prices,
        sell=rules.sell,
        charges=rules.network + rules.levy,
        wholesale=wholesale,
        tolerance=1e-3,
    )
    learner, _ = _restored(world, last)
    importing, exporting = lanes(world, learner, [last.tariff], days)
    delivered = float(earned(last.tariff.on(days), importing[0], exporting[0], wholesale).mean())
    exact = isinstance(world.policy, Optimal) and not pooled
    regret = 0.0 if exact else _largest_regret(world, last, learner, days, size.tariffs, prices, rules)
    most = bound.value + regret
    outside = rules.admissible(last.tariff.on(days).buy_price)
    return {
        "says": EXACT if exact and bound.certified else ESTIMATE,
        "certified": exact and bound.certified,
        "at": "realised LMP, frozen",
        "days": len(few),
        "bound_per_day": bound.value,
        "largest_regret_per_day": regret,
        "sampled_tariffs": 0 if exact else size.tariffs + 1,
        "delivered_per_day": delivered,
        "gap_per_day": most - delivered,
        "gap_ratio": (most - delivered) / max(abs(most), 1e-9),
        "bound_iteration_gap_ratio": bound.gap,
        "tariff_outside_the_rules": outside,
    }


def _largest_regret(
    world: World, last: Iterate, learner: Learner, days: torch.Tensor, count: int, prices: Any, rules: Any
) -> float:
    """Largest mean cost of the community above its optimum, over the tariff in force and sampled admissible ones."""
    rng = stream(world.seed, "regret")
    tariffs = [last.tariff, *(rules.tariff(prices.clip(rng.uniform(prices.low, prices.high))) for _ in range(count))]
    regrets = []
    for tariff in tariffs:
        cost = play(world.game, learner, days, tariff, world.arrival).cost.numpy()
        regrets.append(float((cost - community_optimum(world.game, days, tariff)).mean()))
    return max(0.0, *regrets)


def spaced(total: int, count: int) -> NDArray[np.int64]:
    """Positions of evenly spaced members of a list.

    Parameters
    ----------
    total, count : int
        At least 1.

    Returns
    -------
    array of int
        Ascending, all of them if there are no more than ``count``.
    """
    return np.unique(np.linspace(0, total - 1, min(total, count)).round()).astype(np.int64)
