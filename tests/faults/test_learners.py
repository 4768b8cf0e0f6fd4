"""Learners that break: stopped with episode, agent and tensor named, and the other arms go on."""

import pytest
import torch
from faults.small_study import text

from hmarl.diagnosis import broken_tensors
from hmarl.policies.ppo import PPOLearner
from hmarl.run import run_study
from hmarl.study import Study


def spoil(learner, value):
    """Put a value into the first net of the second group."""
    with torch.no_grad():
        tensor = next(p for p in learner.actor.parameters() if p.dim() == 3)
        tensor[1].fill_(value)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (float("nan"), "is not a number, of agent 1 (b)"),
        (float("inf"), "is not a number, of agent 1 (b)"),
    ],
)
def test_a_net_that_breaks_is_named_and_the_other_arm_goes_on(tmp_path, monkeypatch, value, said):
    real, count = PPOLearner.learn, [0]

    def learn(self, rollout, progress):
        row = real(self, rollout, progress)
        count[0] += 1
        if count[0] == 2:
            spoil(self, value)
        return row

    monkeypatch.setattr(PPOLearner, "learn", learn)
    study = Study.parse(text(tmp_path)).change(**{"followers.sharing": "agent"})
    done = run_study(study, out=tmp_path / "runs")
    assert done.done == ("rule/0",)
    (lost,) = done.failures
    assert (lost.job, lost.kind) == ("learned/0", "TrainingError")
    assert "broke at episode 12: An action of step 0" in lost.message
    assert said in lost.message
    assert "(tensor actor." in lost.message
    assert "of group 1" in lost.message


@pytest.mark.parametrize(("name", "value"), [("policy_loss", float("nan")), ("spread", 1e13)])
def test_losses_that_break_or_explode(tmp_path, monkeypatch, name, value):
    real = PPOLearner.learn
    monkeypatch.setattr(
        PPOLearner, "learn", lambda self, rollout, progress: {**real(self, rollout, progress), name: value}
    )
    done = run_study(Study.parse(text(tmp_path)), out=tmp_path / "runs", arms=["learned"])
    assert f"broke at episode 4: {name} is {value}" in done.failures[0].message


def test_tensors_are_named_with_their_group():
    state = {"actor": {"w0": torch.zeros(3, 2, 2), "b": [torch.ones(2), torch.tensor([1.0, float("nan")])]}, "n": 3}
    assert broken_tensors(state) == ["tensor actor.b.1"]
    state["actor"]["w0"][2, 0, 0] = 1e13
    assert broken_tensors(state) == ["tensor actor.w0 of group 2", "tensor actor.b.1"]
