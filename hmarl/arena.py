"""Policies outside the retail game: any environment of N agents with continuous actions, B copies at once.

The algorithms are verified here on games with known answers (``tests``) and on public benchmarks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol, cast

import torch
from torch import Tensor

from hmarl.asynchronous import Made, Shareable, by_workers
from hmarl.policies.base import Learner, Rollout, Seen, Spec
from hmarl.public import publish_actions, reads_public, unpublished
from hmarl.training import Row
from retail.observation import Features
from retail.streams import torch_stream


class Arena(Protocol):
    """An environment of N agents, B independent copies at once; every action is a number in [-1, 1].

    Attributes
    ----------
    agents, common, personal : int
        Number of agents N; numbers of common and personal features.
    heads : tuple of str
        Names of the columns of an action.
    steps : int
        Steps of an episode.
    terminated : bool
        Whether the last step ends the task, or only cuts it.

    Notes
    -----
    An arena may also have ``controls`` [N, heads] bool, whether a head moves anything for an agent (all, when absent),
    and ``neighbours`` [N, K] int64, whose actions a mean field averages (all others, when absent).
    """

    agents: int
    common: int
    personal: int
    heads: tuple[str, ...]
    steps: int
    terminated: bool

    def reset(self, copies: int, generator: torch.Generator) -> Features:
        """Start B episodes.

        Parameters
        ----------
        copies : int
            B.
        generator : torch.Generator
            Stream of everything random in these episodes.

        Returns
        -------
        Features
            Common [B, C], personal [B, N, P].
        """
        ...

    def step(self, action: Tensor) -> tuple[Features, Tensor]:
        """Play one step.

        Parameters
        ----------
        action : Tensor [B, N, A]
            Not yet cut to [-1, 1].

        Returns
        -------
        features : Features
            Before the next step.
        reward : Tensor [B, N] float32
            In the unit of the environment, larger is better.
        """
        ...


def arena_spec(arena: Arena, seed: int, clusters: Tensor | None = None) -> Spec:
    """Describe an arena to a policy.

    Parameters
    ----------
    arena : Arena
        Environment.
    seed : int
        Seed of the run.
    clusters : Tensor [N] int64, optional
        Agents of one label may share a net; all in one cluster when absent.

    Returns
    -------
    Spec
        Without a retail game; actions have no unit.
    """
    every = torch.ones(arena.agents, len(arena.heads), dtype=torch.bool)
    return Spec(
        agents=arena.agents,
        common=arena.common,
        personal=arena.personal,
        heads=arena.heads,
        controls=getattr(arena, "controls", every),
        clusters=torch.zeros(arena.agents, dtype=torch.int64) if clusters is None else clusters,
        steps=arena.steps,
        seed=seed,
        neighbours=getattr(arena, "neighbours", None),
    )


def episode(learner: Learner, arena: Arena, copies: int, generator: torch.Generator, explore: bool) -> Rollout:
    """Play B episodes.

    Parameters
    ----------
    learner : Learner
        Acts for all agents.
    arena : Arena
        Environment.
    copies : int
        B.
    generator : torch.Generator
        Stream of the environment.
    explore : bool
        As in training.

    Returns
    -------
    Rollout
        Time first; rewards in the unit of the environment.
    """
    seen = [arena.reset(copies, generator)]
    actions, rewards = [], []
    public = [unpublished(learner, copies, arena.agents, retail=False)]
    for step in range(arena.steps):
        action = learner.act(Seen(seen[-1], None, step, public[-1].vector), explore)
        features, reward = arena.step(action)
        public.append(publish_actions(action) if reads_public(learner) else public[-1])
        seen.append(features)
        actions.append(action)
        rewards.append(reward)
    stacked = Features(*(torch.stack(part) for part in zip(*seen, strict=True)))
    published = [torch.stack(part) for part in zip(*public[1:], strict=True)]
    return Rollout(stacked, torch.stack(actions), torch.stack(rewards), arena.terminated, *published)


@dataclass
class Practice:
    """Plays episodes of an arena for a worker.

    Parameters
    ----------
    arena : Arena
        Environment.
    seed : int
        Seed of the run.
    state : Tensor
        Of the generator of everything random in the environment (stream ``arena``).
    """

    arena: Arena
    seed: int
    state: Tensor

    def __call__(self, learner: Learner, job: int) -> Rollout:
        """Play ``job`` episodes with exploration on."""
        generator = torch.Generator()
        generator.set_state(self.state)
        rollout = episode(learner, self.arena, job, generator, explore=True)
        self.state = generator.get_state()
        return rollout

    def of_worker(self, place: int) -> Practice:
        """Further workers have streams of their own."""
        if place == 0:
            return self
        return replace(self, state=torch_stream(self.seed, f"arena of worker {place}").get_state())


def practise(
    learner: Learner,
    arena: Arena,
    episodes: int,
    *,
    copies: int,
    seed: int,
    report: Callable[[str, float], None] = lambda label, share: None,
) -> list[Row]:
    """Train a learner on an arena.

    Parameters
    ----------
    learner : Learner
        With ``training = "on-policy"``; it learns from each batch of episodes.
    arena : Arena
        Environment.
    episodes : int
        In all, rounded up to whole batches.
    copies : int
        Episodes at once.
    seed : int
        Stream ``arena``.
    report : callable
        Gets a label and the share done.

    Returns
    -------
    list of dict
        One row per batch: episode, mean return of an agent, scalars of the learner.
    """
    generator, rows = torch_stream(seed, "arena"), []
    batches = -(-episodes // copies)
    crew: Iterator[Made] | None = None
    if getattr(learner, "workers", 0):
        jobs = [(copies, (k + 1) * copies / episodes) for k in range(batches)]
        crew = by_workers(cast("Shareable", learner), Practice(arena, seed, generator.get_state()), jobs, batches)
    for k in range(batches):
        played = (k + 1) * copies
        if crew is None:
            rollout = episode(learner, arena, copies, generator, explore=True)
            made = float(rollout.reward.sum(0).mean()), learner.learn(rollout, played / episodes)
        else:
            made = next(crew)
        row: Row = {"episode": played, "return": made[0]}
        rows.append(row | dict(made[1]))
        report("training", min(played / episodes, 1.0))
    return rows


def mean_return(learner: Learner, arena: Arena, copies: int, seed: int) -> Tensor:
    """Mean return of each agent with exploration off.

    Parameters
    ----------
    learner : Learner
        Acts for all agents.
    arena : Arena
        Environment.
    copies : int
        Episodes to play.
    seed : int
        Stream ``judge``.

    Returns
    -------
    Tensor [N] float32
        In the unit of the environment.
    """
    return episode(learner, arena, copies, torch_stream(seed, "judge"), explore=False).reward.sum(0).mean(0)
