"""Price competition with logit demand (Calvano et al., 2020): the one-shot equilibrium is known."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from retail.observation import Features


@dataclass(frozen=True)
class Bertrand:
    """N firms with differentiated products choose prices; demand is logit with an outside good.

    Demand q_i = exp((quality - p_i) / spread) / (sum_j exp((quality - p_j) / spread) + exp(outside / spread)). An
    action in [-1, 1] is a price from ``lowest`` to ``highest``. Each episode is one step with nothing to observe, so
    learners face the one-shot game.

    Source: Calvano, Calzolari, Denicolo, Pastorello (2020), doi 10.1257/aer.20190623.

    Parameters
    ----------
    agents : int
        Firms N.
    quality, outside : float
        Worth of the products and of the outside good.
    cost : float
        Of a unit.
    spread : float
        Differentiation of products.
    lowest, highest : float
        Prices of the actions -1 and 1.
    """

    agents: int = 2
    quality: float = 2.0
    outside: float = 0.0
    cost: float = 1.0
    spread: float = 0.25
    lowest: float = 1.0
    highest: float = 2.2
    common: int = 1
    personal: int = 1
    heads: tuple[str, ...] = ("level",)
    steps: int = 1
    terminated: bool = True

    @cached_property
    def nash(self) -> float:
        """Symmetric one-shot equilibrium price: the fixed point of p = cost + spread / (1 - q(p))."""
        price = torch.tensor(self.cost, dtype=torch.float64)
        for _ in range(200):
            demand = self.demand(price.expand(self.agents))[0]
            price = 0.5 * price + 0.5 * (self.cost + self.spread / (1 - demand))
        return float(price)

    def price(self, action: Tensor) -> Tensor:
        """Prices of actions [..., N, 1]: Tensor [..., N]."""
        return self.lowest + (action[..., 0].clamp(-1, 1) + 1) / 2 * (self.highest - self.lowest)

    def demand(self, price: Tensor) -> Tensor:
        """Demand at prices [..., N]: Tensor [..., N]."""
        worth = torch.exp((self.quality - price) / self.spread)
        outside = torch.exp(torch.tensor(self.outside / self.spread, dtype=price.dtype))
        return worth / (worth.sum(-1, keepdim=True) + outside)

    def reset(self, copies: int, generator: torch.Generator) -> Features:
        """Start B episodes; nothing is random."""
        return self._features(copies)

    def step(self, action: Tensor) -> tuple[Features, Tensor]:
        """Sell; the reward of a firm is its profit."""
        price = self.price(action)
        return self._features(len(action)), ((price - self.cost) * self.demand(price)).float()

    def _features(self, copies: int) -> Features:
        return Features(torch.zeros(copies, 1), torch.zeros(copies, self.agents, 1))
