"""Stopped trainings go on with the same bytes; the log reaches TensorBoard; trained nets move to other homes."""

import os
import signal
import subprocess
import sys
import types
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from hmarl.contracts import check_policy
from hmarl.contracts.error import ContractError
from hmarl.evaluation import arrivals, play
from hmarl.generalise import nearest_clusters, onto
from hmarl.halfway import Keeper, fingerprint
from hmarl.policies.apg import APG
from hmarl.policies.base import Misfit, Spec, portfolio_clusters
from hmarl.policies.ppo import IPPO, MAPPO
from hmarl.run import run_study
from hmarl.storage import RunFolderError
from hmarl.study import Study
from hmarl.study_file.plugins import plays
from hmarl.tensorboard import Journal, TensorBoardMissing
from hmarl.training import Ground, train
from retail import Battery, Community, Game, Tariff, auction
from retail.streams import stream

PRICES = Tariff.make(energy=np.array([0.04] * 7 + [0.11] * 10 + [0.33] * 4 + [0.11] * 3), network=0.11, sell=0.04)


def small(homes=6, seed=5, days=12, **rules):
    rng = np.random.default_rng(seed)
    hours = np.arange(24 * days) % 24
    load = rng.uniform(0.3, 0.6, (24 * days, homes)) + 1.2 * ((hours >= 17) & (hours < 21))[:, None]
    sun = np.clip(np.sin((hours - 6) / 12 * np.pi), 0, None)[:, None]
    owner = np.arange(homes) % 3 > 0
    pv = sun * rng.uniform(0.5, 3, (days,)).repeat(24)[:, None] * owner
    clock = np.datetime64("2012-07-02", "m") + np.arange(24 * days) * np.timedelta64(60, "m")
    battery = Battery.make(homes, has=np.arange(homes) % 2 == 0)
    to, labels = torch.from_numpy, tuple(f"h{i}" for i in range(homes))
    c = Community(labels, clock, "UTC", 60, to(load), to(pv), battery, to(owner * 3.0), 2)
    return Game(c, auction("da"), **rules)


def spec(game, seed=0):
    return Spec.of(game, portfolio_clusters(game), seed)


class Stopped(Exception):
    pass


@pytest.mark.parametrize(
    ("policy", "rules"),
    [
        (MAPPO(batch_days=7, epochs=1, minibatches=1, price="learned"), {"reward": "own"}),
        (IPPO(batch_days=7, epochs=1, minibatches=1), {"storage_end": "carry"}),
        (APG(batch_days=7), {}),
    ],
)
def test_a_training_stopped_anywhere_ends_the_same(tmp_path, policy, rules):
    game = small(**rules)
    ground = Ground(game, torch.arange(2, 9), arrivals(game, 0))

    def go(keeper=None, stop=None):
        learner, rng = policy.start(spec(game)), stream(0, "days")

        def journal(row):
            if row["episode"] == stop:
                raise Stopped

        try:
            rows = train(
                learner, replace(ground, keeper=keeper, journal=journal), PRICES, 42, rng, batch_days=7, budget=42
            )
        except Stopped:
            return None
        return rows, fingerprint(learner.state(), rng.bit_generator.state)

    straight = go()
    keeper = Keeper(tmp_path / "training.pt", every=2)
    for stop in (14, 35, 42):
        assert go(keeper, stop) is None
    # The third attempt went on after update 4 of 6: what was kept after update 2 was not played again.
    begun = []
    learner = policy.start(spec(game))
    rows = train(
        learner,
        replace(ground, keeper=keeper, journal=lambda row: begun.append(row["episode"])),
        PRICES,
        42,
        stream(0, "days"),
        batch_days=7,
        budget=42,
    )
    assert begun == [35, 42]
    assert rows == straight[0]
    assert go(keeper) == straight
    # Another training does not take it over, and a broken file is named.
    other = train(
        policy.start(spec(game, 1)), replace(ground, keeper=keeper), PRICES, 7, stream(0, "days"), batch_days=7
    )
    assert other[0] != straight[0][0]
    keeper.path.write_bytes(b"no checkpoint")
    with pytest.raises(RunFolderError, match=r"training.pt cannot be read by this version .*--fresh"):
        go(keeper)


def test_a_state_that_cannot_be_kept_is_named_by_its_key(tmp_path):
    """A set has no order, so no fingerprint: said before training, and by the contract."""

    @dataclass(frozen=True)
    class Counting(IPPO):
        def start(self, spec):
            learner = super().start(spec)
            whole = learner.state
            learner.state = lambda: {**whole(), "seen": [{"days": {1, 2}}]}
            return learner

    game, policy = small(), Counting(batch_days=7, epochs=1, minibatches=1)
    ground = Ground(game, torch.arange(2, 9), arrivals(game, 0), keeper=Keeper(tmp_path / "training.pt"))
    said = r"state.* \['seen'\]\[0\]\['days'\] is of type set; write tensors"
    with pytest.raises(Misfit, match=said):
        train(policy.start(spec(game)), ground, PRICES, 7, stream(0, "days"), batch_days=7)
    with pytest.raises(ContractError, match=said):
        check_policy(policy)


STUDY = """
study: {name}
seeds: 1
calendar: {{start: 2012-07-02, days: 10, step: 60min, zone: UTC, hold_out: 3}}
community: {{source: synthetic, prosumers: 3, battery: 1.0}}
followers: {{name: mappo, episodes: 96, batch_days: 8, epochs: 1, minibatches: 1, hidden: [8]}}
arms: {{base: {{}}}}
"""
KILLED = """
import os, signal, sys
from pathlib import Path
from hmarl import halfway, run, study
write, count = halfway.Keeper.write, [0]
halfway.Keeper.due = lambda self, done, of: done % 2 == 0 or done == of
def then_die(self, state):
    write(self, state)
    count[0] += 1
    if count[0] == 3:
        os.kill(os.getpid(), signal.SIGKILL)
halfway.Keeper.write = then_die
run.run_study(study.Study.parse(sys.argv[1]), out=Path(sys.argv[2]))
"""


def test_a_killed_run_goes_on_inside_its_training(tmp_path):
    text = STUDY.format(name="killed")
    done = subprocess.run([sys.executable, "-c", KILLED, text, str(tmp_path / "a")], check=False, timeout=300)
    assert done.returncode == -signal.SIGKILL
    folder = tmp_path / "a" / "killed" / "base" / "0"
    kept = torch.load(folder / "training.pt", weights_only=True)
    assert [row["episode"] for row in kept["rows"]] == [8 * k for k in range(1, 7)]
    assert not (folder / "manifest.json").exists()
    for out in ("a", "b"):
        assert not run_study(Study.parse(text), out=tmp_path / out).failures
    files = sorted(p.name for p in folder.iterdir())
    assert "training.pt" not in files
    for name in files:
        if name != "manifest.json":
            assert (folder / name).read_bytes() == (tmp_path / "b" / "killed" / "base" / "0" / name).read_bytes(), name


def test_without_tensorboard_a_sentence_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(TensorBoardMissing, match=r"not installed; say pip install 'hmarl\[tensorboard\]'"):
        run_study(Study.parse(STUDY.format(name="logged")), out=tmp_path, tensorboard=True)
    assert not list(tmp_path.iterdir())


def test_every_number_of_the_log_reaches_tensorboard(tmp_path, monkeypatch):
    written = []

    class SummaryWriter:
        def __init__(self, folder):
            self.folder = folder

        def add_scalar(self, name, value, step):
            written.append((self.folder, name, value, step))

        def flush(self):
            pass

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", types.SimpleNamespace(SummaryWriter=SummaryWriter))
    Journal(tmp_path / "x")({"episode": 8, "reward_per_day": 0.5, "note": "text"})
    assert written == [(str(tmp_path / "x"), "training/reward_per_day", 0.5, 8)]
    written.clear()
    assert not run_study(Study.parse(STUDY.format(name="logged")), out=tmp_path, tensorboard=True).failures
    assert {folder for folder, *_ in written} == {str(tmp_path / "logged" / "base" / "0" / "tensorboard")}
    assert {"training/reward_per_day", "training/policy_loss", "training/training_cost_per_day"} <= {
        name for _, name, *_ in written
    }
    assert [step for _, name, _, step in written if name == "training/spread"][:4] == [8, 16, 24, 32]


@pytest.mark.parametrize("sharing", ["cluster", "all"])
def test_trained_nets_play_for_homes_never_seen(sharing):
    game = small()
    ground = Ground(game, torch.arange(2, 9), arrivals(game, 0))
    policy = MAPPO(batch_days=28, epochs=3, minibatches=2, sharing=sharing)
    learner, trained = policy.start(spec(game)), spec(game)
    train(learner, ground, PRICES, 28 * 25, stream(0, "days"), batch_days=28, budget=28 * 25)
    other = small(10, seed=6)
    moved = onto(policy, learner.state(), trained, ground.days, other, ground.days, 0)
    days, arrival = torch.arange(9, 12), arrivals(other, 0)
    costs = [play(other, x, days, PRICES, arrival).cost.mean() for x in (moved, policy.start(spec(other)))]
    assert costs[0] < costs[1]
    # Where one of the two kinds of homes with a battery does not occur, its net is left behind.
    alike = only(other, (2, 4, 8))
    moved = onto(policy, learner.state(), trained, ground.days, alike, ground.days, 0)
    theirs = policy.start(trained).groups.place[list(trained.clusters[[0, 2, 4]]).index(trained.clusters[2])]
    group = 0 if sharing == "all" else int(theirs) // policy.start(trained).groups.members.shape[1]
    for name, part in moved.state()["actor"].items():
        assert torch.equal(part, learner.state()["actor"][name][group : group + 1])


def only(game, chosen):
    """A community of some of the homes."""
    c, chosen = game.community, list(chosen)
    each = [f for f in c.battery.__dataclass_fields__ if f != "wear_blocks"]
    battery = replace(c.battery, **{f: getattr(c.battery, f)[chosen] for f in each})
    names, kwp = tuple(c.names[i] for i in chosen), c.pv_kwp[chosen]
    return replace(
        game,
        community=replace(c, names=names, load=c.load[:, chosen], pv=c.pv[:, chosen], battery=battery, pv_kwp=kwp),
    )


def test_on_the_same_homes_nothing_changes():
    game = small()
    learner = MAPPO(hidden=(8,)).start(spec(game))
    moved = onto(learner.policy, learner.state(), spec(game), torch.arange(2, 9), game, torch.arange(2, 9), 0)
    assert fingerprint(moved.state()) == fingerprint(learner.state())
    days, arrival = torch.arange(9, 12), arrivals(game, 0)
    costs = [play(game, x, days, PRICES, arrival).cost for x in (learner, moved)]
    assert torch.equal(*costs)


def test_nearest_is_nearest_and_misfits_are_refused():
    known = torch.tensor([[0.0, 0.0], [0.0, 2.0], [10.0, 0.0], [10.0, 2.0]])
    labels = torch.tensor([3, 3, 7, 7])
    unseen = torch.tensor([[2.0, 9.0], [9.0, -4.0]])
    assert nearest_clusters(known, labels, unseen).tolist() == [3, 7]
    assert nearest_clusters(known, labels, unseen, allowed=[7]).tolist() == [7, 7]
    game, days = small(), torch.arange(2, 9)
    for policy, other, said in (
        (MAPPO(sharing="agent"), game, "fits no other; train with sharing cluster or all"),
        (MAPPO(), small(public="none"), "observations or heads differ"),
    ):
        with pytest.raises(Misfit, match=said):
            onto(policy, policy.start(spec(game)).state(), spec(game), days, other, days, 0)


def test_what_a_policy_can_play_is_said():
    assert plays("mpc") == "the retail game; scope community needs an auction"
    assert plays("mappo") == "any game and arena"


def test_slow_updates_are_kept_by_the_clock(tmp_path, monkeypatch):
    from hmarl import halfway

    now = [1e9]
    monkeypatch.setattr(halfway.time, "time", lambda: now[0])
    keeper = Keeper(tmp_path / "training.pt", every=50, seconds=120, began=now[0])
    assert [keeper.due(done, 60) for done in (1, 50, 60)] == [False, True, True]
    now[0] += 121
    assert keeper.due(2, 60)
    keeper.path.write_bytes(b"state")
    os.utime(keeper.path, (now[0], now[0]))
    assert not keeper.due(3, 60)
    now[0] += 121
    assert keeper.due(4, 60)
    # of a run that was stopped yesterday: the clock begins with this one
    os.utime(keeper.path, (0, 0))
    assert not Keeper(keeper.path, seconds=120, began=now[0]).due(5, 60)
