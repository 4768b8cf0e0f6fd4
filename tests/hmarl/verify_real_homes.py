"""Learners against every yardstick on eight real homes: `python tests/hmarl/verify_real_homes.py --data DIR`.

Runs the arms of studies/real_homes that are not finished yet (a stopped run goes on inside its training) and prints
one table: cost on held-out days, and shares of two gaps with intervals. Shares are ratios of sums over the same days:
T->LP from the tuned rule (T) to the perfect-foresight optimum of the community (LP), T->MPC from T to the MPC of the
community.
Intervals: percentile bootstrap, whole held-out weeks and seeds drawn anew, 4,000 times.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd

STUDY = Path(__file__).parents[2] / "studies" / "real_homes" / "study.yaml"
T, LP, MPC = "rule-based", "optimal-community", "mpc-community"
YARDSTICKS = (T, "mpc-home", MPC, "optimal-home", LP, "coordinated")
LEAST = {
    "ippo": 0.40,
    "mappo": 0.40,
    "ippo-own": 0.35,
    "mappo-own": 0.35,
    "apg": 0.79,
    "apg-contingent": 0.80,
    "a3c3": 0.20,
    "mb-a3c3": 0.20,
    "maddpg": 0.0,
    "matd3": 0.0,
    "da-maddpg": 0.0,
    "ps-maddpg": 0.0,
    "mean-field": 0.0,
    "a3c3-own-long": 0.50,
}
"""Share T->LP that is asked of an arm, mean over seeds; its interval must also lie above 0, where the tuned rule is."""


def daily_cost(folder):
    """Cost of the community on each held-out day, $; index: day."""
    agents = pd.read_parquet(folder / "agents.parquet")
    return agents[agents.held_out].groupby("day").cost.sum()


def table(runs, draws=4000):
    """One row per arm: cost, shares with intervals, seeds, seconds."""
    costs, seconds = {}, {}
    for manifest in sorted(runs.glob("*/*/manifest.json")):
        arm, seed = manifest.parent.parent.name, int(manifest.parent.name)
        costs.setdefault(arm, {})[seed] = daily_cost(manifest.parent)
        seconds.setdefault(arm, []).append(json.loads(manifest.read_text())["machine"]["seconds"])
    missing = {T, LP, MPC} - set(costs)
    if missing:
        raise SystemExit(f"{runs} lacks the yardsticks {', '.join(sorted(missing))}; run them first.")
    # Yardsticks have no chance in them: one seed stands for all.
    ends = {name: next(iter(costs[name].values())) for name in (T, LP, MPC)}
    week = (ends[T].index - ends[T].index[0]).days // 7
    rng = np.random.default_rng(0)
    weeks = rng.integers(len(np.unique(week)), size=(draws, len(np.unique(week))))
    rows = {}
    for arm, by_seed in costs.items():
        found = np.stack([one.to_numpy() for one in by_seed.values()])
        gains = by_week(ends[T].to_numpy() - found, week)
        seeds = rng.integers(len(gains), size=(draws, len(gains)))
        row = {"cost": found.mean(), "seeds": len(gains), "seconds": np.mean(seconds[arm])}
        for name, end in (("T->LP", LP), ("T->MPC", MPC)):
            gap = by_week((ends[T] - ends[end]).to_numpy()[None], week)[0]
            drawn = gains[seeds[:, :, None], weeks[:, None, :]].mean(1).sum(1) / gap[weeks].sum(1)
            low, high = np.quantile(drawn, [0.025, 0.975])
            row |= {name: gains.mean(0).sum() / gap.sum(), f"{name} low": low, f"{name} high": high}
        rows[arm] = row
    return pd.DataFrame(rows).T


def missed(row, least):
    """Whether an arm stays below what is asked of it, or is not resolved from the tuned rule."""
    return row["T->LP"] < least or row["T->LP low"] <= 0


def by_week(values, week):
    """Sums over the days of each week, [rows, weeks]."""
    return np.stack([values[:, week == w].sum(1) for w in np.unique(week)], 1)


def printed(frame):
    """The table in Markdown, beside what is asked."""
    order = [*(a for a in YARDSTICKS if a in frame.index), *(a for a in frame.index if a not in YARDSTICKS)]
    lines = ["| arm | $/day | T->LP | asked | T->MPC | seeds | s/seed |", "|---|---|---|---|---|---|---|"]
    for arm, r in frame.loc[order].iterrows():
        shares = [f"{r[n]:.2f} [{r[n + ' low']:.2f}, {r[n + ' high']:.2f}]" for n in ("T->LP", "T->MPC")]
        asked = (f">= {LEAST[arm]:.2f}" if LEAST[arm] else "> 0") if arm in LEAST else ""
        lines.append(
            f"| {arm} | {r.cost:.2f} | {shares[0]} | {asked} | {shares[1]} | {r.seeds:.0f} | {r.seconds:.0f} |"
        )
    return "\n".join(lines)


def main():
    """Run what is missing and print the table."""
    from hmarl.datafind import data_dir
    from hmarl.run import run_study
    from hmarl.storage import RunFolderError
    from hmarl.study import Study

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data")
    parser.add_argument("--out", type=Path, default=Path("runs"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--arm", action="append", help="only these learners, beside the yardsticks")
    given = parser.parse_args()
    study, data = Study.read(STUDY), data_dir(given.data)
    learners = given.arm or [a.name for a in study.arms if a.name not in YARDSTICKS]
    for arms, seeds in ((list(YARDSTICKS), [0]), (learners, list(range(given.seeds)))):
        try:
            done = run_study(study, arms=arms, seeds=seeds, jobs=given.jobs, data=data, out=given.out)
        except RunFolderError as problem:
            raise SystemExit(str(problem)) from None
        for failure in done.failures:
            print(f"{failure.job}: {failure.message}")  # noqa: T201
    print(printed(table(given.out / study.name)))  # noqa: T201


if __name__ == "__main__":
    main()
