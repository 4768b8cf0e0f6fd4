"""The smallest game with a known answer: hit half of what you see."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from retail.observation import Features


@dataclass
class Aim:
    """Every agent sees a fresh number x in [-1, 1] at every step and loses the squared distance of its action to x / 2.

    The best action is ``x / 2`` with a loss of 0; the best action that does not look is 0, with a mean loss of 1/12.

    Parameters
    ----------
    agents : int
        N.
    steps : int
        Of an episode.
    """

    agents: int = 3
    steps: int = 4
    common: int = field(default=1, init=False)
    personal: int = field(default=1, init=False)
    heads: tuple[str, ...] = field(default=("aim",), init=False)
    terminated: bool = field(default=True, init=False)
    loss_of_the_blind: float = field(default=1 / 12, init=False)

    def reset(self, copies: int, generator: torch.Generator) -> Features:
        """Start B episodes.

        Parameters
        ----------
        copies : int
            B.
        generator : torch.Generator
            Stream of what agents see.

        Returns
        -------
        Features
            Common [B, 1], share of the episode that is over; personal [B, N, 1], x.
        """
        self._generator, self._step, self._copies = generator, 0, copies
        return self._look()

    def step(self, action: Tensor) -> tuple[Features, Tensor]:
        """Play one step.

        Parameters
        ----------
        action : Tensor [B, N, 1]
            Cut to [-1, 1].

        Returns
        -------
        features : Features
            Of the next step.
        reward : Tensor [B, N] float32
            Minus the squared distance.
        """
        miss = action[..., 0].float().clamp(-1, 1) - self._x / 2
        self._step += 1
        return self._look(), -miss.square()

    def _look(self) -> Features:
        self._x = torch.rand(self._copies, self.agents, generator=self._generator) * 2 - 1
        over = torch.full((self._copies, 1), self._step / self.steps)
        return Features(over, self._x.unsqueeze(-1))
