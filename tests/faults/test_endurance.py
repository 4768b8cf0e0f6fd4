"""The same bytes with any number of workers, and memory that does not grow with episodes or rounds."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from faults.small_study import contents, environment, hmarl, text

from hmarl.equilibrium.coordinator import Coordinator
from hmarl.evaluation import arrivals
from hmarl.policies.base import Spec, portfolio_clusters
from hmarl.policies.ppo import MAPPO
from hmarl.results import load as hmarl_results
from hmarl.study import Study
from hmarl.training import Ground, train
from hmarl.world import build
from retail import Battery, Community, Game, Tariff, auction
from retail.streams import stream

ROUNDS = """
study: rounds
seeds: 1
calendar: {start: 2012-07-02, days: 6, zone: Australia/Sydney, hold_out: 2, warm_up: 3}
community: {source: synthetic, prosumers: 5, pv: 0.6, battery: 0.4}
tariff: {name: time-of-use, average_cap: 0.23}
game: {action: raw}
followers: {name: mappo, episodes: 8, retrain_episodes: 8, batch_days: 8, minibatches: 1, epochs: 1, hidden: [16]}
leader: {name: learned, trials: 20}
wholesale: {name: dc-opf, case: pjm5, bus: B, replication: 4000}
equilibrium: {rounds: 80, tolerance: 0.000001, certificate: none}
arms: {learned: {}}
"""


TIMES = ["run_seconds", "training_time_s"]
UNLEARNED = """
study: unlearned
seeds: 1
calendar: {start: 2012-07-02, days: 8, zone: Australia/Sydney, hold_out: 3, warm_up: 3}
community: {source: synthetic, prosumers: 12, pv: 0.6, battery: 0.5}
tariff: {name: time-of-use, average_cap: 0.23}
followers: rule-based
wholesale: {name: dc-opf, case: pjm5, bus: B, replication: 4000}
equilibrium: {rounds: 3}
arms:
  regulated: {leader: fixed}
  mark-up: {leader: mark-up, followers: zi, auction: cda}
  stackelberg: {leader: {name: stackelberg, method: bound, scenarios: 3, cuts: 20}}
"""
OTHER_PROCESSOR = {
    "ATEN_CPU_CAPABILITY": "default",
    "OPENBLAS_CORETYPE": "Nehalem",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR",
}
"""The kernels of PyTorch, OpenBLAS, MKL and NumPy for a processor of 2008."""


@pytest.mark.slow
def test_what_does_not_learn_is_the_same_on_another_processor(tmp_path, tried):
    (tmp_path / "study.yaml").write_text(UNLEARNED)
    run = ("run", tmp_path / "study.yaml", "--jobs", 1, "--out")
    for name, settings in (("this", {}), ("other", OTHER_PROCESSOR)):
        done = hmarl(*run, tmp_path / name, env=environment(**settings))
        assert done.returncode == 0, done.stderr
    here, there = (hmarl_results(tmp_path / name / "unlearned") for name in ("this", "other"))
    for name in ("summary", "steps", "agents", "tariffs"):
        ours, theirs = (
            getattr(one, name).select_dtypes("number").drop(columns=TIMES, errors="ignore") for one in (here, there)
        )
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(theirs, ours, rtol=1e-9, atol=1e-9)
        tried("figures compared between two kinds of processor", ours.size)


@pytest.mark.slow
def test_the_same_bytes_with_1_2_and_4_workers(tmp_path, tried):
    (tmp_path / "study.yaml").write_text(text(tmp_path, seeds=2))
    found = []
    for jobs in (1, 2, 4):
        done = hmarl("run", tmp_path / "study.yaml", "--jobs", jobs, "--out", tmp_path / str(jobs))
        assert done.returncode == 0, done.stderr
        tried("workers whose bytes were compared", jobs)
        found.append(contents(tmp_path / str(jobs)))
    assert found[0] == found[1] == found[2]


says_its_memory = pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="this system does not say what memory is in use"
)


def resident_mb():
    """Memory of this process that is in use, MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.slow
@says_its_memory
def test_memory_does_not_grow_with_episodes(tried):
    hours = np.arange(24 * 6) % 24
    load = torch.from_numpy(0.3 + 1.2 * (hours >= 17)[:, None] * np.ones(5))
    pv = torch.from_numpy(np.clip(np.sin((hours - 6) / 12 * np.pi), 0, None)[:, None] * np.ones(5))
    clock = np.datetime64("2012-07-02", "m") + np.arange(24 * 6) * np.timedelta64(60, "m")
    names = tuple("abcde")
    community = Community(names, clock, "UTC", 60, load, pv, Battery.make(5, has=np.ones(5, bool)), torch.ones(5), 2)
    game = Game(community, auction("da"))
    learner = MAPPO(batch_days=4, epochs=1, minibatches=1, hidden=(16,)).start(
        Spec.of(game, portfolio_clusters(game), 0)
    )
    ground, rng = Ground(game, torch.arange(2, 6), arrivals(game, 0)), stream(0, "days")
    tariff = Tariff.make(energy=np.full(24, 0.2), network=0.1, sell=0.04)

    def learn(updates):
        train(learner, ground, tariff, 4 * updates, rng, batch_days=4)
        tried("updates watched for leaks", updates)
        return resident_mb()

    learn(30)
    before, after = learn(30), learn(200)
    assert after - before < 10, f"{after - before:.1f} MB more after 200 updates"


@pytest.mark.slow
@says_its_memory
def test_memory_does_not_grow_with_rounds(tried):
    used = []
    for _ in Coordinator(build(Study.parse(ROUNDS).arm("learned"), 0, None)):
        tried("rounds watched for leaks", 1)
        used.append(resident_mb())
    assert len(used) == 80
    assert used[-1] - used[20] < 5, f"{used[-1] - used[20]:.1f} MB more after 60 rounds"
