"""Two coordinators with the same followers: `python tests/hmarl/equilibrium/verify_coordination.py [--runs DIR]`

Followers of the study coordination go on learning as long as their coordinator simulates, and learning costs the
leader something at every tariff. So the tariffs in which two arms ended are settled here with the same followers, as
each of the arms left them: same training days, same arrivals, the market cleared each time.
One table: what the second arm's tariff earns more than the first's, $/day, by seed, with 95 % t intervals.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import stats

from hmarl.equilibrium.answer import settle
from hmarl.shipped import find
from hmarl.study import Study
from hmarl.world import build


def ended(folder):
    """Buy price by step in which a run ended, $/kWh, and its followers."""
    table = pd.read_parquet(folder / "tariffs.parquet")
    price = table[table["round"] == table["round"].max()].sort_values("step").buy_per_kwh.to_numpy()
    return price, torch.load(folder / "checkpoint.pt", weights_only=True)


def profits(study, arms, runs, seed):
    """Delivered profit [followers of each arm, tariff of each arm], $/day."""
    world = build(study.arm(arms[1]), seed, None)
    prices = world.rules.price_set()
    ends = [ended(runs / arm / str(seed)) for arm in arms]
    found = np.empty((2, 2))
    for i, (_, learners) in enumerate(ends):
        learner = world.policy.start(world.spec)
        learner.load(dict(learners))
        for j, (price, _) in enumerate(ends):
            found[i, j] = settle(world, learner, world.rules.tariff(prices.clip(price))).profit.mean()
    return found


def main():
    """Settle and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=Path, default=Path("runs/coordination"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--arm", nargs=2, default=["undamped", "trust-region"])
    given = parser.parse_args()
    study = Study.read(find("coordination"))
    found = np.array([profits(study, given.arm, given.runs, seed) for seed in range(given.seeds)])
    first, second = given.arm
    print(f"| followers of | {first} | {second} | {second} more, by seed | mean |\n|---|---|---|---|---|")  # noqa: T201
    for i, arm in enumerate(given.arm):
        more, n = found[:, i, 1] - found[:, i, 0], given.seeds
        half = f" ± {stats.t.ppf(0.975, n - 1) * more.std(ddof=1) / np.sqrt(n):.1f}" if n > 1 else ""
        cells = (", ".join(f"{x:.1f}" for x in column) for column in (*found[:, i].T, more))
        print(f"| {arm} | {' | '.join(cells)} | {more.mean():+.1f}{half} |")  # noqa: T201


if __name__ == "__main__":
    main()
