"""A3C3: messages that arrive a step later, a central critic, one worker equal to none."""

import pickle

import pytest
import torch

from hmarl.advantage import generalised_advantage
from hmarl.arena import arena_spec, episode, mean_return, practise
from hmarl.arenas.mean_message import MeanMessage
from hmarl.policies.a3c3 import A3C3
from hmarl.policies.base import Seen
from retail.observation import Features
from retail.streams import torch_stream

FAST = {"hidden": (32, 32), "sharing": "all", "noise": 0.2}


def trained(policy, copies=32, episodes=320, seed=0, clusters=None, agents=4):
    arena = MeanMessage(agents=agents)
    learner = policy.start(arena_spec(arena, seed, clusters))
    rows = practise(learner, arena, episodes, copies=copies, seed=seed)
    return learner, rows


def test_messages_solve_what_silence_cannot():
    arena = MeanMessage()
    talking, _ = trained(A3C3(parts=2, **FAST), copies=64, episodes=64 * 40)
    silent, _ = trained(A3C3(message=0, parts=2, **FAST), copies=64, episodes=64 * 40)
    assert float(mean_return(talking, arena, 4000, 0).mean()) > -0.15
    # Nothing can be known without messages: -(N - 1)^-1 a step is the best there is, up to chance in 4,000 episodes.
    assert float(mean_return(silent, arena, 4000, 0).mean()) == pytest.approx(arena.silent, abs=0.08)


@pytest.mark.parametrize(("body", "pooling"), [("conv1d", "concat"), ("lstm", "mean")])
def test_bodies_and_poolings_hear_too(body, pooling):
    learner, _ = trained(A3C3(body=body, pooling=pooling, parts=2, **FAST), copies=64, episodes=64 * 25)
    assert float(mean_return(learner, MeanMessage(), 2000, 0).mean()) > -0.5


@pytest.mark.slow
@pytest.mark.parametrize("body", ["ff", "conv1d", "lstm"])
@pytest.mark.parametrize("head", ["beta", "gaussian", "categorical"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_mean_message_task_in_full(body, head, seed):
    """150,000 steps: with messages close to 0 (categories: 11 values between -3 and 3 cost 0.03 a step)."""
    arena = MeanMessage()
    learner, _ = trained(A3C3(body=body, head=head, sharing="all", noise=0.2), copies=96, episodes=37500, seed=seed)
    assert float(mean_return(learner, arena, 4000, 9).mean()) > (-0.25 if head == "categorical" else -0.02)


def test_a_message_arrives_one_step_later_and_never_at_its_sender():
    for pooling in ("mean", "concat"):
        learner, _ = trained(A3C3(pooling=pooling, **FAST), episodes=64)
        features = [Features(torch.zeros(5, 1), torch.randn(5, 4, 1, generator=torch_stream(k, "x"))) for k in range(2)]

        def two_steps(first, second, learner=learner):
            return [learner.act(Seen(f, None, k), explore=False) for k, f in enumerate((first, second))]

        plain = two_steps(*features)
        changed = features[0]._replace(personal=features[0].personal.clone())
        changed.personal[:, 2] += 1
        other = two_steps(changed, features[1])
        rest = [0, 1, 3]
        assert torch.equal(plain[0][:, rest], other[0][:, rest])  # nothing within the step
        assert bool((plain[1][:, rest] != other[1][:, rest]).all())  # heard in the next
        torch.testing.assert_close(plain[1][:, 2], other[1][:, 2], rtol=1e-5, atol=1e-6)  # not by the sender itself
        assert torch.equal(two_steps(*features)[1], plain[1])  # forgotten at a first step


@pytest.mark.parametrize("body", ["ff", "conv1d", "lstm"])
@pytest.mark.parametrize("pooling", ["mean", "concat"])
def test_learning_sees_the_day_as_acting_did(body, pooling):
    policy = A3C3(body=body, pooling=pooling, sharing="cluster", hidden=(16, 16))
    learner, _ = trained(policy, episodes=64, clusters=torch.tensor([0, 1, 1, 1]))
    arena = MeanMessage()
    rollout = episode(learner, arena, 6, torch_stream(3, "arena"), explore=False)
    with torch.no_grad():
        output, _ = learner.evaluate(learner.prepare(rollout))
        best = learner.density.best(output, learner.free)
    flat = learner.groups.scatter(best.flatten(1, 2)).unflatten(0, (4, 6))
    torch.testing.assert_close(flat, rollout.action, rtol=1e-4, atol=1e-6)


def test_the_actors_gradient_reaches_the_senders_summed_over_receivers():
    learner, _ = trained(A3C3(pooling="mean", **FAST), episodes=32)
    rollout = episode(learner, MeanMessage(), 8, torch_stream(3, "arena"), explore=True)
    data = learner.prepare(rollout)
    whole = (data["common"][:-1], data["personal"][:, :-1])
    output, _, _ = learner.play(whole, None, None)
    loss = output.square().sum()
    by_autograd = torch.autograd.grad(loss, list(learner.communicator.parameters()))
    # By hand: what each receiver wants of its inbox goes to the others' messages of the step before.
    _, t, b, k, _ = whole[1].shape
    messages = torch.tanh(learner.communicator(whole[0].flatten(0, 1), whole[1].flatten(1, 2))).unflatten(1, (t, b))
    inbox = torch.zeros_like(messages)
    for n in range(k):
        others = [m for m in range(k) if m != n]
        inbox[:, 1:, :, n] = messages[:, :-1][:, :, :, others].mean(3)
    inbox = inbox.detach().requires_grad_()
    wish = torch.autograd.grad(learner.actor(whole[0], torch.cat([whole[1], inbox], -1))[0].square().sum(), inbox)[0]
    to_sender = torch.zeros_like(messages)
    for n in range(k):
        others = [m for m in range(k) if m != n]
        to_sender[:, :-1, :, n] = wish[:, 1:][:, :, :, others].sum(3) / (k - 1)
    by_hand = torch.autograd.grad(messages, list(learner.communicator.parameters()), to_sender)
    for a, h in zip(by_autograd, by_hand, strict=True):
        torch.testing.assert_close(a, h, rtol=1e-3, atol=1e-6)


def test_one_pass_is_the_step_of_the_paper():
    """With one pass and one part: the gradient of -log pi A + 0.5 (R - V)², returns to the end of the day."""
    policy = A3C3(passes=1, parts=1, gae=1.0, normalise=False, entropy=0.01, sharing="agent", hidden=(8, 8))
    arena = MeanMessage()
    learner = policy.start(arena_spec(arena, 0))
    rollout = episode(learner, arena, 6, torch_stream(3, "arena"), explore=True)
    learner.calibrate(rollout)
    data = learner.prepare(rollout)
    taken = []
    learner.advance = lambda: taken.extend(p.grad.clone() for p in learner.parameters)
    learner.policy = A3C3(**{**vars(policy), "gradient_limit": 1e9})
    learner._step(data)
    output, value = learner.evaluate(data)
    scaled = rollout.reward / learner.reward_scale
    returns = scaled.flip(0).cumsum(0).flip(0)
    loss = 0.0
    for n in range(4):
        v = value[n, :-1, :, 0, 0]
        log = learner.density.log_probability(output, learner.free, data["action"])[n, ..., 0, 0]
        entropy = learner.density.entropy(output, learner.free)[n, ..., 0, 0]
        better = returns[..., n] - v
        loss = loss + (-log * better.detach() + 0.5 * better.square() - 0.01 * entropy).mean()
    for mine, known in zip(taken, torch.autograd.grad(loss, learner.parameters), strict=True):
        torch.testing.assert_close(mine, known, rtol=1e-3, atol=1e-5)


def test_advantages_equal_their_definition():
    generator = torch_stream(0, "x")
    r, v = torch.randn(5, 3, generator=generator), torch.randn(6, 3, generator=generator)
    for terminated in (True, False):
        after = v.clone()
        after[-1] *= not terminated
        made = generalised_advantage(r, v, 0.9, 0.8, terminated)
        for t in range(5):
            expected = sum((0.9 * 0.8) ** k * (r[t + k] + 0.9 * after[t + k + 1] - v[t + k]) for k in range(5 - t))
            torch.testing.assert_close(made[t], expected)


@pytest.mark.parametrize("critic", ["joint", "set"])
def test_the_critic_sees_everybody_and_the_set_critic_in_any_order(critic):
    learner, _ = trained(A3C3(critic=critic, **FAST), episodes=32)
    generator = torch_stream(1, "x")
    common, everybody = torch.randn(6, 1, generator=generator), torch.randn(6, 4, 1, generator=generator)
    own = learner.groups.gather(everybody)
    with torch.no_grad():
        value = learner.critic(common, everybody, own)
        mixed = learner.critic(common, everybody[:, [0, 3, 1, 2]], own)
        other = learner.critic(common, everybody + torch.tensor([0.0, 0, 0, 1])[:, None], own)
    assert torch.allclose(value, mixed, atol=1e-6) == (critic == "set")
    assert not torch.allclose(value[:, :, 0], other[:, :, 0], atol=1e-4)


def test_own_nets_of_separate_clusters_equal_own_nets_bit_for_bit():
    """Sharing within clusters of one is no sharing."""
    shared, _ = trained(A3C3(sharing="cluster", hidden=(16, 16)), episodes=96, clusters=torch.arange(4))
    own, _ = trained(A3C3(sharing="agent", hidden=(16, 16)), episodes=96)
    for a, b in zip(shared.parameters, own.parameters, strict=True):
        assert torch.equal(a, b)


def same(a, b):
    states = [s.state() for s in (a, b)]
    assert all(torch.equal(x, y) for x, y in zip(*(s["parameters"] for s in states), strict=True))
    assert torch.equal(states[0]["noise"], states[1]["noise"])


@pytest.mark.parametrize("body", ["ff", "lstm"])
def test_resume_bit_for_bit(body):
    policy, arena = A3C3(body=body, hidden=(16, 16)), MeanMessage()

    def go(learner, generator, batches):
        for _ in range(batches):
            learner.learn(episode(learner, arena, 16, generator, explore=True), 0.5)
        return learner

    straight = go(policy.start(arena_spec(arena, 0)), torch_stream(0, "arena"), 4)
    generator = torch_stream(0, "arena")
    halted = pickle.loads(pickle.dumps(go(policy.start(arena_spec(arena, 0)), generator, 2).state()))
    resumed = policy.start(arena_spec(arena, 0))
    resumed.load(halted)
    same(go(resumed, generator, 2), straight)


def test_one_asynchronous_worker_equals_synchronous_bit_for_bit():
    alone, rows = trained(A3C3(**FAST), episodes=32 * 5)
    working, more = trained(A3C3(workers=1, **FAST), episodes=32 * 5)
    same(alone, working)
    assert rows == more
    for p, q in zip(alone.parameters, working.parameters, strict=True):
        for name in ("step", "exp_avg", "exp_avg_sq"):
            assert torch.equal(alone.optimizer.state[p][name], working.optimizer.state[q][name])


def test_two_asynchronous_workers_learn_too():
    learner, rows = trained(A3C3(workers=2, parts=2, **FAST), copies=64, episodes=64 * 25)
    assert len(rows) == 25
    assert all(torch.isfinite(p).all() for p in learner.parameters)
    assert int(learner.optimizer.state[learner.parameters[0]]["step"]) > 0.9 * 25 * 8
    assert float(mean_return(learner, MeanMessage(), 2000, 0).mean()) > -0.5


def test_wrong_settings_are_refused_at_once():
    with pytest.raises(ValueError, match=r"passes is 0.*; .*gamma is 2"):
        A3C3(passes=0, gamma=2)
    with pytest.raises(ValueError, match=r"noise is 0\.6; it must be below 0\.577"):
        A3C3(noise=0.6)
    assert A3C3.paper().passes == A3C3.paper().parts == 1


@pytest.mark.parametrize("name", ["hidden", "encoder"])
def test_nets_have_a_layer(name):
    with pytest.raises(ValueError, match=f"{name} is empty"):
        A3C3(**{name: ()})
