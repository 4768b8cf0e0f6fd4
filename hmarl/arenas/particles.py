"""Two tasks of the particle world, all copies of an episode at once: Spread and SpeakerListener.

Motion, rewards and observations are those of ``simple_spread_v3`` and ``simple_speaker_listener_v4`` of mpe2 1.1
(25 steps); ``tests/hmarl/arenas/test_mpe2.py`` compares them step by step. Learners train here some
hundred times faster and are judged on mpe2 itself, through `hmarl.arenas.pettingzoo.ParallelArena`, whose heads and
observations these arenas share.

Source: Lowe et al. (2017), arXiv 1706.02275, section 5.1.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import one_hot, pad

from retail.observation import Features

SECONDS, DAMPING, THRUST = 0.1, 0.25, 5.0
"""Of a step; share of its velocity that a particle loses in it; acceleration of a chosen direction."""
STIFFNESS, SOFTNESS, RADIUS = 100.0, 1e-3, 0.15
"""Force per depth of a contact, how soft its edge is, and the radius of the agents of Spread."""
LANDMARKS = 3
DIRECTIONS = torch.tensor([[0, 0], [-1, 0], [1, 0], [0, -1], [0, 1]], dtype=torch.float64)


@dataclass
class Spread:
    """Agents cover as many landmarks as there are agents without bumping into each other.

    Half of an agent's reward is minus the sum over landmarks of the distance to the nearest agent, half is -1 for each
    agent it overlaps with. Five heads: stay, left, right, down, up.

    Parameters
    ----------
    agents : int
        N.
    steps : int
        Of an episode.
    continuous : bool
        Whether heads from -1 to 1 are thrusts from none to full; otherwise the largest one chooses.
    """

    agents: int = 3
    steps: int = 25
    continuous: bool = False
    common: int = field(default=0, init=False)
    heads: tuple[str, ...] = field(default=tuple(f"action_{k}" for k in range(5)), init=False)
    terminated: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        # own velocity and place, landmarks, other agents and their silent messages
        self.personal = 4 + 2 * self.agents + 4 * (self.agents - 1)
        others = [[k for k in range(self.agents) if k != n] for n in range(self.agents)]
        self._others = torch.tensor(others, dtype=torch.int64).reshape(self.agents, -1)

    def reset(self, copies: int, generator: torch.Generator) -> Features:
        """Start B episodes.

        Parameters
        ----------
        copies : int
            B.
        generator : torch.Generator
            Stream of all places, even in [-1, 1].

        Returns
        -------
        Features
            Nothing common; personal [B, N, P].
        """
        self.places, self.landmarks = _drawn(copies, self.agents, generator), _drawn(copies, self.agents, generator)
        self.velocity = torch.zeros_like(self.places)
        return self.look()

    def step(self, action: Tensor) -> tuple[Features, Tensor]:
        """Play one step.

        Parameters
        ----------
        action : Tensor [B, N, 5]
            See the class.

        Returns
        -------
        features : Features
            Of the next step.
        reward : Tensor [B, N] float32
            No unit.
        """
        force = THRUST * _meant(action, self.continuous) @ DIRECTIONS + self._contacts()
        self.places, self.velocity = _moved(self.places, self.velocity, force)
        nearest = _distance(self.places.unsqueeze(2) - self.landmarks.unsqueeze(1)).amin(1).sum(1)
        bumps = (_distance(self._between()) < 2 * RADIUS).sum(2) - 1  # less the one with itself
        return self.look(), (-0.5 * nearest.unsqueeze(1) - 0.5 * bumps).float()

    def _between(self) -> Tensor:
        """From every agent (third axis) to every agent (second), [B, N, N, 2]."""
        return self.places.unsqueeze(2) - self.places.unsqueeze(1)

    def _contacts(self) -> Tensor:
        """Force of all others on each agent, [B, N, 2]."""
        between = self._between()
        apart = _distance(between)
        depth = SOFTNESS * torch.logaddexp(torch.zeros_like(apart), (2 * RADIUS - apart) / SOFTNESS)
        # An agent is at no distance from itself and pushes itself nowhere.
        return (STIFFNESS * (depth / apart.clamp(min=1e-12)).unsqueeze(-1) * between).sum(2)

    def look(self) -> Features:
        """What agents see now: own velocity and place, then landmarks and others from where they are."""
        marks = (self.landmarks.unsqueeze(1) - self.places.unsqueeze(2)).flatten(2)
        seen = (self.places[:, self._others] - self.places.unsqueeze(2)).flatten(2)
        own = torch.cat([self.velocity, self.places, marks, seen], -1)
        return Features(torch.zeros(len(own), 0), pad(own, (0, 2 * (self.agents - 1))).float())


@dataclass
class SpeakerListener:
    """The speaker sees which of three landmarks is the goal and says one of three words; the listener walks there.

    Both earn minus the squared distance of the listener to the goal. The speaker has three heads, whose word
    is heard one step later; the listener's five heads are those of `Spread`.

    Parameters
    ----------
    steps : int
        Of an episode.
    continuous : bool
        Whether heads are thrusts and a word is any mixture of the three; otherwise the largest head chooses.
    """

    steps: int = 25
    continuous: bool = False
    agents: int = field(default=2, init=False)
    common: int = field(default=0, init=False)
    personal: int = field(default=2 + 2 * LANDMARKS + 3, init=False)
    heads: tuple[str, ...] = field(default=tuple(f"action_{k}" for k in range(5)), init=False)
    terminated: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.controls = torch.tensor([[k < 3 for k in range(5)], [True] * 5])
        #: Colours of the landmarks, which is how the speaker sees its goal.
        self.colours = torch.full((LANDMARKS, 3), 0.15) + 0.5 * torch.eye(LANDMARKS)

    def reset(self, copies: int, generator: torch.Generator) -> Features:
        """Start B episodes.

        Parameters
        ----------
        copies : int
            B.
        generator : torch.Generator
            Stream of goals and of all places, even in [-1, 1].

        Returns
        -------
        Features
            Nothing common; personal [B, 2, 11], the speaker's filled up by zeros.
        """
        self.goal = torch.randint(LANDMARKS, (copies,), generator=generator)
        self.places, self.landmarks = _drawn(copies, 1, generator), _drawn(copies, LANDMARKS, generator)
        self.velocity, self.word = torch.zeros_like(self.places), torch.zeros(copies, 3, dtype=torch.float64)
        return self.look()

    def step(self, action: Tensor) -> tuple[Features, Tensor]:
        """Play one step.

        Parameters
        ----------
        action : Tensor [B, 2, 5]
            See the class.

        Returns
        -------
        features : Features
            Of the next step.
        reward : Tensor [B, 2] float32
            No unit.
        """
        self.word = _meant(action[:, 0, :3], self.continuous)
        force = THRUST * _meant(action[:, 1:], self.continuous) @ DIRECTIONS
        self.places, self.velocity = _moved(self.places, self.velocity, force)
        goal = self.landmarks[torch.arange(len(self.goal)), self.goal]
        off = (self.places[:, 0] - goal).square().sum(-1)
        return self.look(), -off.float().unsqueeze(1).expand(-1, 2)

    def look(self) -> Features:
        """What both see now."""
        told = pad(self.colours[self.goal], (0, self.personal - 3))
        heard = torch.cat([self.velocity[:, 0], (self.landmarks - self.places).flatten(1), self.word], -1)
        return Features(torch.zeros(len(told), 0), torch.stack([told, heard.float()], 1))


def _drawn(copies: int, count: int, generator: torch.Generator) -> Tensor:
    return torch.rand(copies, count, 2, generator=generator, dtype=torch.float64) * 2 - 1


def _meant(heads: Tensor, continuous: bool) -> Tensor:
    """Weights of the choices: each head from 0 to 1, or 1 for the largest, the first of equal ones; float64."""
    heads = heads.clamp(-1, 1)
    return (heads.double() + 1) / 2 if continuous else one_hot(heads.argmax(-1), heads.shape[-1]).double()


def _distance(between: Tensor) -> Tensor:
    return between.square().sum(-1).sqrt()


def _moved(places: Tensor, velocity: Tensor, force: Tensor) -> tuple[Tensor, Tensor]:
    """Places and velocities after a step; the old velocity moves a particle, the force changes the velocity."""
    return places + velocity * SECONDS, velocity * (1 - DAMPING) + force * SECONDS


__all__ = ["SpeakerListener", "Spread"]
