"""A battery against known prices: a small deterministic problem whose exact answer is backward induction."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from retail.observation import Features

PRICES = tuple(0.25 + 0.15 * math.sin(2 * math.pi * (hour - 10) / 24) + 0.02 * (hour % 3) for hour in range(24))
"""$/kWh of each hour, cheap at 4 and dear at 16 o'clock, with a ripple that breaks ties."""


@dataclass
class BatteryDay:
    """Agents with a lossless store of whole kWh buy and sell at the price of the hour; what is left over is lost.

    An action below -1/3 discharges 1 kWh, above 1/3 it charges 1 kWh; a move that the store cannot make is not made.
    Every agent has its own store, which starts anywhere; nobody matters to anybody else.

    Parameters
    ----------
    agents : int
        N.
    capacity : int
        kWh.
    prices : tuple of float
        $/kWh of each step.
    """

    agents: int = 1
    capacity: int = 4
    prices: tuple[float, ...] = PRICES
    heads: tuple[str, ...] = field(default=("power",), init=False)
    terminated: bool = field(default=True, init=False)

    def __post_init__(self) -> None:
        self.steps = self.common = len(self.prices)
        self.personal = 1

    def reset(self, copies: int, generator: torch.Generator) -> Features:
        """Start B days with stores drawn evenly.

        Parameters
        ----------
        copies : int
            B.
        generator : torch.Generator
            Stream of the stores, kWh.

        Returns
        -------
        Features
            Common [B, T], which hour it is; personal [B, N, 1], stored energy as a place in [-1, 1].
        """
        self._step = 0
        self.stored = torch.randint(self.capacity + 1, (copies, self.agents), generator=generator)
        return self._look()

    def step(self, action: Tensor) -> tuple[Features, Tensor]:
        """Move all stores.

        Parameters
        ----------
        action : Tensor [B, N, 1]
            See the class.

        Returns
        -------
        features : Features
            Of the next hour.
        reward : Tensor [B, N] float32
            $, what was earned.
        """
        wish = (action[..., 0] > 1 / 3).long() - (action[..., 0] < -1 / 3).long()
        after = (self.stored + wish).clamp(0, self.capacity)
        reward = (self.stored - after).float() * self.prices[self._step]
        self._step, self.stored = self._step + 1, after
        return self._look(), reward

    def _look(self) -> Features:
        hour = one_hot(torch.tensor(self._step % self.steps), self.steps).float().expand(len(self.stored), -1)
        return Features(hour, ((2 * self.stored.float() + 1) / (self.capacity + 1) - 1).unsqueeze(-1))

    def optimum(self) -> Tensor:
        """Values of the best play from every hour and store, by backward induction.

        Returns
        -------
        Tensor [T + 1, capacity + 1] float64
            $; 0 after the last hour.
        """
        value = torch.zeros(self.steps + 1, self.capacity + 1, dtype=torch.float64)
        for hour in reversed(range(self.steps)):
            for store in range(self.capacity + 1):
                reachable = range(max(store - 1, 0), min(store + 1, self.capacity) + 1)
                value[hour, store] = max(
                    (store - after) * self.prices[hour] + float(value[hour + 1, after]) for after in reachable
                )
        return value
