"""What does it cost to know many tariffs instead of one? `python tests/hmarl/equilibrium/verify_amortisation.py`

Followers of the study quickstart, trained at the default tariff alone or at a different admissible tariff around it
every day (`equilibrium.tariff_range`), meet admissible tariffs that nobody trained at: as they are, after a short
retraining (as in a round of the coordinator), and beside followers trained for that tariff alone with the full budget.
One table: cost of the community above its perfect-foresight optimum at that tariff, $/day on training days, mean over
tariffs and seeds, 95 % t intervals over seeds of the paired difference to full training.
"""

import argparse

import numpy as np
from scipy import stats

from hmarl.benchmark import community_optimum
from hmarl.equilibrium.answer import teach
from hmarl.equilibrium.iterate import restore, snapshot
from hmarl.equilibrium.tariff_range import mean_price, spread
from hmarl.evaluation import play
from hmarl.shipped import find
from hmarl.study import Study
from hmarl.world import build
from retail.streams import stream

WIDTH = 0.06
"""$/kWh by which each price of a day of training may differ from the default tariff."""
FULL = "that tariff alone, full training"


def regrets(seed, count):
    """Regret of every way and of full training at each of some tariffs, {way: [count]}."""
    world = build(Study.read(find("quickstart")).arm("stackelberg"), seed, None)
    rules, prices = world.rules, world.rules.price_set()
    rng = stream(seed, "new tariffs")
    usual = rules.tariff(prices.clip(mean_price(rules.default)))
    fresh = [rules.tariff(prices.clip(usual.buy_price + rng.uniform(-WIDTH, WIDTH, usual.steps))) for _ in range(count)]
    best = [community_optimum(world.game, world.training, tariff).mean() for tariff in fresh]

    def start():
        return world.policy.start(world.spec), stream(seed, "days")

    def learn(learner, days, tariff, episodes, done):
        teach(world, learner, tariff, days, k=0, episodes=episodes, done=done, report=lambda label, share: None)

    def regret(learner, k):
        return float(play(world.game, learner, world.training, fresh[k], world.arrival).cost.mean()) - best[k]

    full, short = world.policy.episodes, world.policy.retrain_episodes
    found = {}
    at = {"one tariff": usual, "many tariffs": spread(rules, prices, usual, WIDTH, world, 0)}
    for name, tariff in at.items():
        learner, days = start()
        learn(learner, days, tariff, full, 0)
        trained = snapshot(learner, days)
        as_they_are, retrained = found.setdefault(name, []), found.setdefault(f"{name}, then a short retraining", [])
        for k in range(count):
            restore(learner, days, trained)
            as_they_are.append(regret(learner, k))
            learn(learner, days, fresh[k], short, full)
            retrained.append(regret(learner, k))
    found[FULL] = []
    for k in range(count):
        learner, days = start()
        learn(learner, days, fresh[k], full, 0)
        found[FULL].append(regret(learner, k))
    return found


def table(by_seed):
    """Markdown of means over tariffs and of paired differences over seeds."""
    means = {way: np.array([np.mean(one[way]) for one in by_seed]) for way in by_seed[0]}
    base = means[FULL]
    lines = ["| followers | above the optimum, $/day | less full training |", "|---|---|---|"]
    for way, mean in means.items():
        gap, n = mean - base, len(mean)
        half = stats.t.ppf(0.975, n - 1) * gap.std(ddof=1) / np.sqrt(n) if n > 1 and way != FULL else None
        less = "" if way == FULL else f"{gap.mean():+.2f}" + ("" if half is None else f" ± {half:.2f}")
        lines.append(f"| {way} | {mean.mean():.2f} | {less} |")
    return "\n".join(lines)


def main():
    """Train, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tariffs", type=int, default=4)
    given = parser.parse_args()
    print(table([regrets(seed, given.tariffs) for seed in range(given.seeds)]))  # noqa: T201


if __name__ == "__main__":
    main()
