"""The Ising model as a game, to see whether a mean field of neighbours reproduces statistical physics."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from retail.observation import Features


@dataclass
class Ising:
    """Spins on a periodic square lattice; a spin earns half the sum of its neighbours' agreement, at once.

    An action above 0 is up. With the reward ``a_i (sum of the four neighbours' last a_j / 2 + h)`` and choices drawn
    by ``softmax(Q / T)``, learned play is Glauber dynamics of the Ising model with coupling 1/2, of all spins at once:
    two interleaved copies of the chessboard-wise dynamics, each with the Ising model's own distribution. A field h in
    the first steps of an episode lines the spins up (it is what agents see); below the critical temperature 1.1346
    they stay lined up when it is gone.

    Source: Yang et al. (2018), arXiv 1802.05438, section 5.2; Onsager's magnetisation: Yang (1952), doi
    10.1103/PhysRev.85.808.

    Parameters
    ----------
    side : int
        Lattice of ``side`` x ``side`` agents, even.
    steps : int
        Of an episode.
    cooling : int
        Steps with the field.
    strength : float
        Of the field, in units of the reward.
    """

    side: int = 20
    steps: int = 40
    cooling: int = 10
    strength: float = 2.0
    common: int = field(default=1, init=False)
    personal: int = field(default=0, init=False)
    heads: tuple[str, ...] = field(default=("spin",), init=False)
    terminated: bool = field(default=True, init=False)

    def __post_init__(self) -> None:
        if self.side < 4 or self.side % 2:
            raise ValueError(f"side is {self.side}; it must be even and at least 4")
        self.agents = self.side**2
        place = torch.arange(self.agents).reshape(self.side, self.side)
        moves = [place.roll(shift, axis) for shift in (1, -1) for axis in (0, 1)]
        self.neighbours = torch.stack([move.flatten() for move in moves], -1)

    def reset(self, copies: int, generator: torch.Generator) -> Features:
        """Start B lattices without spins.

        Parameters
        ----------
        copies : int
            B.
        generator : torch.Generator
            Not used: all chance is in the players.

        Returns
        -------
        Features
            Common [B, 1], the field; nothing personal.
        """
        self._step, self._spins = 0, torch.zeros(copies, self.agents)
        return self._look()

    def step(self, action: Tensor) -> tuple[Features, Tensor]:
        """Turn all spins.

        Parameters
        ----------
        action : Tensor [B, N, 1]
            Above 0 is up.

        Returns
        -------
        features : Features
            The field of the next step.
        reward : Tensor [B, N] float32
            No unit.
        """
        spins = torch.where(action[..., 0] > 0, 1.0, -1.0)
        reward = spins * (self._spins[:, self.neighbours].sum(-1) / 2 + self._field())
        self._step, self._spins = self._step + 1, spins
        return self._look(), reward

    def _field(self) -> float:
        return self.strength if self._step < self.cooling else 0.0

    def _look(self) -> Features:
        copies = len(self._spins)
        return Features(torch.full((copies, 1), self._field()), torch.zeros(copies, self.agents, 0))


def magnetisation(temperature: float) -> float:
    """Onsager's spontaneous magnetisation of the infinite lattice with coupling 1/2.

    Parameters
    ----------
    temperature : float
        In units of the reward.

    Returns
    -------
    float
        Mean spin, 0 above the critical temperature 1.1346.
    """
    inside = 1 - math.sinh(1 / temperature) ** -4
    return max(inside, 0.0) ** 0.125
