"""How much better the leader could have done: by small deviations that were tried, and at most by a bound.

A local gap from B deviations is a lower bound of the leader's regret, with an upper confidence limit for the best of
them. A global gap is an upper bound of the regret where followers are exact; where they learn it also needs their
regret at tariffs that nobody has tried, so it is an estimate and named so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats

from hmarl.benchmark import community_optimum
from hmarl.equilibrium.answer import settle, teach
from hmarl.equilibrium.iterate import Iterate, learns, restore
from hmarl.evaluation import arrivals, play, play_rows
from hmarl.pictures import picture
from hmarl.policies.base import Learner
from hmarl.policies.optimal import Optimal
from hmarl.world import World
from retail.auctions.none import NoAuction
from retail.streams import stream
from retail.tariff import TICKS_PER_UNIT, Tariff

Array = NDArray[np.float64]
FRESH = 7_000_003
"""Added to the seed of a run: its certificate sees arrivals that nobody has searched on."""
ROWS = 40_000
"""Homes times parallel days of one batch."""
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


def deviations(prices: Any, price: Array, count: int, seed: int) -> list[tuple[str, Array]]:
    """Structured deviations from a price: single steps by 1 and 3 cents, swaps that keep the mean, all steps at random.

    Parameters
    ----------
    prices : PriceSet
        Admissible buy prices; each deviation is cut into them.
    price : array [T] $/kWh
        In force.
    count : int
        How many; fewer only where the rules leave no room.
    seed : int
        Stream ``deviations``.

    Returns
    -------
    list of (str, array [T] $/kWh)
        Kind and price; all differ from each other and from ``price``.
    """
    rng, steps = stream(seed, "deviations"), len(price)
    if prices.menu is not None:
        others = [one for one in prices.menu if np.abs(one - price).max() > 1e-6]
        chosen = rng.permutation(len(others))[:count]
        return [("another tariff of the menu", others[k]) for k in sorted(chosen)]
    wishes: list[tuple[str, Array]] = []
    moves = [(t, cents) for cents in (0.01, -0.01, 0.03, -0.03) for t in rng.permutation(steps)[: max(count // 8, 1)]]
    for t, cents in moves:
        wishes.append((f"{100 * cents:+.0f} cent at one step", price + cents * np.eye(steps)[t]))
    while len(wishes) < 10 * count:
        t, u = rng.choice(steps, 2, replace=False)
        wishes.append(("2 cents from one step to another", price + 0.02 * (np.eye(steps)[t] - np.eye(steps)[u])))
        wishes.append(("all steps, up to 2 cents", price + rng.uniform(-0.02, 0.02, steps)))
    found: list[tuple[str, Array]] = []
    for kind, wish in wishes:
        here = prices.clip(wish)
        if len(found) < count and all(np.abs(here - one).max() > 1e-6 for one in (price, *(p for _, p in found))):
            found.append((kind, here))
    return found


def lanes(world: World, learner: Learner, tariffs: Sequence[Tariff], days: torch.Tensor) -> tuple[Array, Array]:
    """Play the same days at several tariffs side by side, exploration off.

    Parameters
    ----------
    world : World
        Game and arrivals.
    learner : Learner
        As it is.
    tariffs : sequence of Tariff
        K of them.
    days : Tensor [D] int64
        Days of the community.

    Returns
    -------
    importing, exporting : array [K, D, T] kWh
        Energy of the community bought from and sold to the tariff.
    """
    game, per = world.game, len(days)
    each = max(1, ROWS // (per * game.community.prosumers))
    parts = []
    for first in range(0, len(tariffs), each):
        some = [tariff.on(days) for tariff in tariffs[first : first + each]]
        rows = Tariff(*(torch.cat([getattr(one, f.name) for one in some]) for f in fields(Tariff)))
        which = days.repeat(len(some))
        grid = play_rows(game, learner, which, rows, world.arrival[which])[0].grid
        flows = torch.stack([grid.clamp(min=0).sum(-1), (-grid).clamp(min=0).sum(-1)])
        parts.append(flows.unflatten(1, (len(some), per)))
    both = torch.cat(parts, 1).numpy()
    return both[0], both[1]


def earned(tariff: Tariff, importing: Array, exporting: Array, wholesale: Array) -> Array:
    """What a tariff earns by day at given wholesale prices, without forecast errors.

    Parameters
    ----------
    tariff : Tariff [D, T]
        Ticks.
    importing, exporting : array [D, T] kWh
    wholesale : array [D, T] $/kWh

    Returns
    -------
    array [D] $
    """
    energy = tariff.energy.numpy() / TICKS_PER_UNIT
    return np.asarray(((energy - wholesale) * importing - (tariff.sell_price - wholesale) * exporting).sum(axis=1))


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
    gains = np.zeros((size.seeds, len(tried)))
    base = 0.0
    for s in range(size.seeds):
        fresh = replace(world, arrival=arrivals(world.game, FRESH + world.seed + s))
        if learning:
            profits = [_learned(fresh, last, tariff, s) for tariff in tariffs]
        else:
            learner, _ = _restored(fresh, last)
            flows = lanes(fresh, learner, tariffs, world.training)
            profits = [
                float(earned(t.on(world.training), m, e, wholesale).mean())
                for t, m, e in zip(tariffs, *flows, strict=True)
            ]
        gains[s], base = np.array(profits[1:]) - profits[0], base + profits[0] / size.seeds
    mean, best = gains.mean(axis=0), int(gains.mean(axis=0).argmax())
    freedom = (size.seeds - 1) * len(tried)
    error = float(np.sqrt(gains.var(axis=0, ddof=1).mean() / size.seeds))
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
