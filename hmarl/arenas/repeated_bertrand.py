"""Repeated price competition with memory, in which tables learn to keep prices high."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from retail.observation import Features


@dataclass
class RepeatedBertrand:
    """Independent duopolies with logit demand whose firms see the prices of the period before.

    Demand of a firm is ``exp((a - p) / mu) / (sum of both + exp(a0 / mu))``, its profit ``(p - c)`` times that. Prices
    are ``low + (high - low) (action + 1) / 2``. An episode is one period, and the next one goes on where it ended, so
    that learners learn in every period. Agents 2 k and 2 k + 1 are the firms of market k.

    Source: Calvano, Calzolari, Denicolo and Pastorello (2020), American Economic Review 110, 3267-3297, doi
    10.1257/aer.20190623: a - c = 1, a0 = 0, mu = 0.25, prices from 10 % of the gap below the one-shot Nash price to
    10 % of it above the monopoly price.

    Parameters
    ----------
    markets : int
        Duopolies side by side.
    quality, outside, cost, spread : float
        a, a0, c and mu.
    nash, monopoly : float
        Prices of one-shot competition and of joint profit; the solution of the model's first-order conditions.
    margin : float
        How far prices reach beyond these, as a share of the gap between them.
    """

    markets: int = 100
    quality: float = 2.0
    outside: float = 0.0
    cost: float = 1.0
    spread: float = 0.25
    nash: float = 1.472927
    monopoly: float = 1.924981
    margin: float = 0.1
    steps: int = field(default=1, init=False)
    common: int = field(default=0, init=False)
    personal: int = field(default=2, init=False)
    heads: tuple[str, ...] = field(default=("offer",), init=False)
    terminated: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.agents, gap = 2 * self.markets, self.monopoly - self.nash
        self.low, self.high = self.nash - self.margin * gap, self.monopoly + self.margin * gap
        self._last: Tensor | None = None

    def reset(self, copies: int, generator: torch.Generator) -> Features:
        """Go on with the next period; prices of the first one are preceded by random ones.

        Parameters
        ----------
        copies : int
            B.
        generator : torch.Generator
            Stream of the random prices.

        Returns
        -------
        Features
            Nothing common; personal [B, N, 2], own and other firm's last action.
        """
        if self._last is None or len(self._last) != copies:
            self._last = torch.rand(copies, self.agents, generator=generator) * 2 - 1
        return self._look(self._last)

    def step(self, action: Tensor) -> tuple[Features, Tensor]:
        """Set prices.

        Parameters
        ----------
        action : Tensor [B, N, 1]
            Cut to [-1, 1].

        Returns
        -------
        features : Features
            Of the next period.
        reward : Tensor [B, N] float32
            Profit.
        """
        self._last = action[..., 0].clamp(-1, 1).float()
        return self._look(self._last), self.profit(self.price(self._last)).float()

    def price(self, action: Tensor) -> Tensor:
        """Prices of actions.

        Parameters
        ----------
        action : Tensor [...]
            In [-1, 1].

        Returns
        -------
        Tensor [...]
            Prices.
        """
        return self.low + (self.high - self.low) * (action + 1) / 2

    def profit(self, price: Tensor) -> Tensor:
        """Profits of prices.

        Parameters
        ----------
        price : Tensor [..., 2 k]
            Of both firms of each market in turn.

        Returns
        -------
        Tensor [..., 2 k]
            Profits.
        """
        lure = torch.exp((self.quality - price) / self.spread)
        both = lure.unflatten(-1, (-1, 2)).sum(-1).repeat_interleave(2, -1)
        nothing = torch.exp(torch.tensor(self.outside / self.spread, dtype=price.dtype))
        return (price - self.cost) * lure / (both + nothing)

    def gain(self, profit: Tensor) -> Tensor:
        """Profit gain: 0 is one-shot competition, 1 is a monopoly.

        Parameters
        ----------
        profit : Tensor [...]
            Mean profit of a firm.

        Returns
        -------
        Tensor [...]
            No unit.
        """
        prices = torch.tensor([[self.nash] * 2, [self.monopoly] * 2], dtype=torch.float64)
        low, high = self.profit(prices)[:, 0]
        return (profit - low) / (high - low)

    def _look(self, last: Tensor) -> Features:
        other = last.unflatten(-1, (-1, 2)).flip(-1).flatten(-2)
        return Features(torch.zeros(len(last), 0), torch.stack([last, other], -1))
