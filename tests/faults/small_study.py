"""A study of seconds that trains, trades and clears a wholesale market, and how to run it in another process."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

TEXT = """
study: small
seeds: {seeds}
calendar: {{start: 2012-07-02, days: 3, step: 60min, zone: UTC, hold_out: 1, warm_up: 1}}
community: {{source: profiles, load: {folder}/load.csv, pv: {folder}/pv.csv, battery: 1.0}}
followers:
  {{name: mappo, episodes: {episodes}, retrain_episodes: 8, batch_days: 4, epochs: 1, minibatches: 1, hidden: [8]}}
wholesale: {{name: merit-order, case: pjm5, bus: B, replication: 2000}}
equilibrium: {{rounds: 1, certificate: none}}
arms:
  rule: {{followers: rule-based, leader: fixed}}
  learned: {{wholesale: none, leader: fixed}}
measure: [community_cost, peak_kw]
vary: {{tariff.peak: [0.4, 0.5]}}
"""
NOT_COMPARED = {"manifest.json"}


def text(folder, seeds=1, episodes=24):
    """The study, its two homes and four days written into a folder."""
    clock = pd.date_range("2012-07-01", periods=96, freq="h")
    hour = np.arange(96) % 24
    sun = np.clip(np.sin((hour - 6) / 12 * np.pi), 0, None).round(3)
    load = (0.3 + 0.5 * (hour > 17) + 0.1 * np.sin(np.arange(96))).round(3)
    for name, base in (("load", load), ("pv", sun)):
        pd.DataFrame({"timestamp": clock, "a": base, "b": base * 2}).to_csv(folder / f"{name}.csv", index=False)
    return TEXT.format(folder=folder, seeds=seeds, episodes=episodes)


def command(*words):
    """The command line, as a user starts it."""
    return [sys.executable, "-m", "hmarl.cli", *map(str, words)]


def environment(**more):
    kept = {name: value for name, value in os.environ.items() if name != "HMARL_DATA"}
    return kept | {"PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONDONTWRITEBYTECODE": "1"} | more


def hmarl(*words, **settings):
    given = {"env": environment(), "timeout": 240} | settings
    return subprocess.run(command(*words), check=False, capture_output=True, text=True, **given)


def contents(folder):
    """Bytes of every file that must not depend on how often a run was stopped."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in NOT_COMPARED)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
