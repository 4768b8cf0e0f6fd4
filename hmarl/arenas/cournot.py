"""Cournot competition: N firms choose quantities, one price clears the market; the equilibrium is known."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from retail.observation import Features


@dataclass(frozen=True)
class Cournot:
    """N firms with constant unit cost and linear inverse demand P = intercept - slope * (total quantity).

    An action in [-1, 1] is a quantity from 0 to three times the Nash quantity. Each episode is one
    step; there is nothing to observe but a constant.

    Parameters
    ----------
    agents : int
        Firms N.
    intercept, slope : float
        Of the inverse demand.
    cost : float
        Of a unit.

    Notes
    -----
    Nash: q* = (intercept - cost) / (slope (N + 1)), profit slope q*^2. Price takers, who ignore their own effect on the
    price, end at price = cost: q = (intercept - cost) / (slope N).
    """

    agents: int = 2
    intercept: float = 10.0
    slope: float = 1.0
    cost: float = 1.0
    common: int = 1
    personal: int = 1
    heads: tuple[str, ...] = ("quantity",)
    steps: int = 1
    terminated: bool = True

    @property
    def nash(self) -> float:
        """Nash quantity of each firm."""
        return (self.intercept - self.cost) / (self.slope * (self.agents + 1))

    def quantity(self, action: Tensor) -> Tensor:
        """Quantities of actions [..., N, 1]: Tensor [..., N]."""
        return (action[..., 0].clamp(-1, 1) + 1) * 1.5 * self.nash

    def profit(self, quantity: Tensor) -> Tensor:
        """Profits of quantities [..., N]: Tensor [..., N]."""
        price = self.intercept - self.slope * quantity.sum(-1, keepdim=True)
        return quantity * (price - self.cost)

    def reset(self, copies: int, generator: torch.Generator) -> Features:
        """Start B episodes; nothing is random."""
        return self._features(copies)

    def step(self, action: Tensor) -> tuple[Features, Tensor]:
        """Sell; the reward of a firm is its profit."""
        return self._features(len(action)), self.profit(self.quantity(action)).float()

    def _features(self, copies: int) -> Features:
        return Features(torch.zeros(copies, 1), torch.zeros(copies, self.agents, 1))
