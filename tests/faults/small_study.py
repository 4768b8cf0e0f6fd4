"""A study of seconds that trains, trades, clears a wholesale market, reports, and can be run in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

TEXT = """
study: small
seeds: {seeds}
calendar: {{start: 2012-07-02, days: 5, step: 60min, zone: UTC, hold_out: 2, warm_up: 2}}
community: {{source: synthetic, prosumers: 3, battery: 1.0, pv: 0.7}}
followers: {{name: mappo, episodes: {episodes}, retrain_episodes: 16, batch_days: 8, epochs: 1, minibatches: 1, hidden: [8]}}
wholesale: {{name: merit-order, case: pjm5, bus: B, replication: 2000}}
equilibrium: {{rounds: 2}}
arms:
  rule: {{followers: rule-based}}
  learned: {{leader: {{name: mark-up, margin: 0.2}}}}
measure: [community_cost, peak_kw]
vary: {{tariff.peak: [0.4, 0.5], tariff.sell: [0.02, 0.04]}}
"""
NOT_COMPARED = {"manifest.json"}


def text(seeds=1, episodes=48):
    return TEXT.format(seeds=seeds, episodes=episodes)


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
