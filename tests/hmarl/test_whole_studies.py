"""Whole studies through the command line, as a user runs them."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

ROOT = Path(__file__).parents[2]
SMALL = (
    "calendar.days=8",
    "calendar.hold_out=3",
    "community.prosumers=6",
    "followers.episodes=96",
    "followers.retrain_episodes=48",
    "equilibrium.rounds=2",
)


def hmarl(*words, cwd):
    command = [sys.executable, "-m", "hmarl.cli", *map(str, words)]
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=900, check=False, env=os.environ | {"COLUMNS": "110"}
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def changes():
    return [word for assignment in SMALL for word in ("--set", assignment)]


def measures(folder, arm, seed):
    return json.loads((folder / arm / str(seed) / "measures.json").read_text())


def test_same_bytes_with_one_and_two_workers(tmp_path):
    """Parquet, checkpoints, certificate and measures: everything but the manifest, which names the hardware."""
    for jobs in (1, 2):
        done = hmarl("run", ROOT / "studies/quickstart", *changes(), "--seeds", 1, "--jobs", jobs, "--out", f"j{jobs}",
                     cwd=tmp_path)  # fmt: skip
        assert done.returncode == 0, done.stderr
        for word in ("regulated", "mark-up", "stackelberg", "$/day", "Replication factor 2000"):
            assert word in done.stdout
    first, second = (sorted(p.relative_to(tmp_path / d) for p in (tmp_path / d).rglob("*") if p.is_file())
                     for d in ("j1", "j2"))  # fmt: skip
    assert first == second
    kinds = {p.suffix for p in first}
    assert {".parquet", ".pt", ".json"} <= kinds
    for path in first:
        if path.name != "manifest.json":
            assert (tmp_path / "j1" / path).read_bytes() == (tmp_path / "j2" / path).read_bytes(), path
    folders = [tmp_path / "j1" / "quickstart" / arm / "0" for arm in ("regulated", "mark-up", "stackelberg")]
    # All arms see the same homes: what the sun and the households do is in the net load without any battery.
    days = [pd.read_parquet(f / "agents.parquet", columns=["day", "prosumer"]) for f in folders]
    assert days[0].equals(days[1])
    assert days[0].equals(days[2])


@pytest.mark.slow
def test_learned_followers_beat_random_and_tuned_rule_on_held_out_days(tmp_path):
    """Study followers: five seeds, paired, at the regulated tariff; the 95 % interval of the difference excludes 0."""
    done = hmarl("run", ROOT / "studies/followers", "--jobs", 2, "--out", "runs", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "runs" / "followers"
    cost = {arm: np.array([measures(folder, arm, s)["community_cost"] for s in range(5)])
            for arm in ("mappo", "ippo", "zi", "rule-based", "optimal")}  # fmt: skip
    for learner in ("mappo", "ippo"):
        for opponent in ("zi", "rule-based"):
            difference = cost[learner] - cost[opponent]
            upper = stats.t.interval(0.95, 4, difference.mean(), stats.sem(difference))[1]
            assert upper < 0, (learner, opponent, difference)
    shares = [measures(folder, "mappo", s)["share_T_LP"] for s in range(5)]
    assert np.mean(shares) > 50


@pytest.mark.slow
def test_quickstart_says_what_we_publish(tmp_path):
    """The three arms order themselves as in the README; levels to the width that another machine needs."""
    assert hmarl("run", ROOT / "studies/quickstart", "--jobs", 2, "--out", "runs", cwd=tmp_path).returncode == 0
    folder = tmp_path / "runs" / "quickstart"
    profit = {arm: np.array([measures(folder, arm, s)["aggregator_profit"] for s in range(3)])
              for arm in ("regulated", "mark-up", "stackelberg")}  # fmt: skip
    assert (profit["stackelberg"] > profit["regulated"]).all()
    assert (profit["regulated"] > profit["mark-up"]).all()
    assert profit["stackelberg"].mean() == pytest.approx(42.4, rel=0.05)


@pytest.mark.slow
def test_ausgrid8_runs_on_real_homes(tmp_path):
    data = Path(os.environ.get("HMARL_DATA", ROOT.parent / "shared" / "data"))
    if not data.is_dir():
        pytest.skip(f"real data not found in {data}; set HMARL_DATA")
    done = hmarl("run", ROOT / "studies/ausgrid8/study.yaml", "--data", data, "--jobs", 2, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    m = measures(tmp_path / "runs" / "ausgrid8", "stackelberg", 0)
    assert m["share_T_LP"] > 0


def workers_of(parent):
    """Spawned workers of a process, by /proc."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            above = int(stat.read_text().rpartition(")")[2].split()[1])
            if above == parent and b"spawn_main" in (stat.parent / "cmdline").read_bytes():
                found.append(stat.parent)
        except OSError:  # ended meanwhile
            continue
    return found


@pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="workers are found through /proc, which only Linux has"
)
def test_killed_parents_leave_no_workers(tmp_path):
    """After kill -9 of the command its workers end by themselves within a few seconds."""
    command = [
        sys.executable,
        "-m",
        "hmarl.cli",
        "run",
        str(ROOT / "studies/quickstart"),
        "--jobs",
        "2",
        "--out",
        "runs",
    ]
    parent = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    workers, deadline = [], time.monotonic() + 60
    while time.monotonic() < deadline and len(workers) < 2:
        time.sleep(0.2)
        workers = workers_of(parent.pid)
    assert len(workers) == 2
    # Workers watch their parent from the moment that they take jobs.
    while time.monotonic() < deadline and not list(tmp_path.rglob("resolved.json")):
        time.sleep(0.2)
    time.sleep(8)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and any(w.exists() for w in workers):
        time.sleep(0.5)
    assert not [w for w in workers if w.exists() and b"spawn_main" in (w / "cmdline").read_bytes()]
