"""A small actor-critic for one decision at a time: Gaussian actor, value critic, mirrored exploration.

Policy gradient with a learned baseline (Williams 1992; Sutton et al. 2000); explored actions come in mirrored pairs,
which cancels the even part of the noise (Salimans et al. 2017, section 3.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aggregator.prosumers import Array
from retail.streams import torch_stream

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class ActorCritic:
    """Nets of one leader; ``weights`` change in place, their sizes never.

    Attributes
    ----------
    weights : dict of str to Tensor
        Two layers each of ``actor`` [S -> H -> A] and ``critic`` [S -> H -> 1].
    scale : dict of str to float
        Running ``mean`` and ``spread`` of rewards, and their ``count``.
    """

    weights: Weights
    scale: dict[str, float]

    @classmethod
    def start(cls, seen: int, actions: int, hidden: int, seed: int) -> ActorCritic:
        """Fresh nets whose actor begins at 0.

        Parameters
        ----------
        seen, actions, hidden : int
            Sizes S, A and H.
        seed : int

        Returns
        -------
        ActorCritic
        """
        generator = torch_stream(seed, "leader weights")
        weights: Weights = {}
        for name, out in (("actor", actions), ("critic", 1)):
            first = torch.randn(seen, hidden, generator=generator, dtype=torch.float64) / seen**0.5
            last = torch.randn(hidden, out, generator=generator, dtype=torch.float64) * 0.01 / hidden**0.5
            weights |= {f"{name}.in": first, f"{name}.in_bias": torch.zeros(hidden, dtype=torch.float64)}
            weights |= {f"{name}.out": last, f"{name}.out_bias": torch.zeros(out, dtype=torch.float64)}
        return cls(weights, {"mean": 0.0, "spread": 1.0, "count": 0.0})

    @classmethod
    def load(cls, state: dict[str, Any]) -> ActorCritic:
        """The inverse of ``state``."""
        weights = {name: torch.from_numpy(np.array(value)) for name, value in state["weights"].items()}
        return cls(weights, dict(state["scale"]))

    def state(self) -> dict[str, Any]:
        """Plain arrays and numbers that ``load`` takes."""
        return {"weights": {k: v.numpy().copy() for k, v in self.weights.items()}, "scale": dict(self.scale)}

    def act(self, seen: NDArray[np.float32]) -> Array:
        """The actor's action without exploration.

        Parameters
        ----------
        seen : array [S]

        Returns
        -------
        array [A] in (-1, 1)
        """
        with torch.no_grad():
            return np.asarray(self._forward("actor", self.weights, torch.from_numpy(seen).double()).tanh().numpy())

    @staticmethod
    def _forward(name: str, weights: Weights, seen: Tensor) -> Tensor:
        hidden = (seen @ weights[f"{name}.in"] + weights[f"{name}.in_bias"]).tanh()
        return hidden @ weights[f"{name}.out"] + weights[f"{name}.out_bias"]

    def explore(self, seen: NDArray[np.float32], pairs: int, sigma: float, rng: np.random.Generator) -> Array:
        """Mirrored explored actions, array [2 * pairs, A]; not cut to [-1, 1], so that their density is known."""
        noise = rng.normal(0.0, sigma, (pairs, self.weights["actor.out"].shape[1]))
        return np.asarray(self.act(seen) + np.concatenate([noise, -noise]))

    def learn(
        self,
        optimiser: torch.optim.Optimizer,
        leaves: Weights,
        seen: NDArray[np.float32],
        actions: Array,
        rewards: Array,
        sigma: float,
    ) -> None:
        """One gradient step on what several actions earned in one situation.

        Parameters
        ----------
        optimiser : Optimizer
            Over ``leaves``.
        leaves : dict
            From ``leaves``.
        seen : array [S]
        actions : array [B, A]
            From ``explore``.
        rewards : array [B] $/day
        sigma : float
            Of the exploration.
        """
        scaled = torch.from_numpy(self._scaled(rewards))
        context = torch.from_numpy(seen).double()
        value = self._forward("critic", leaves, context)[0]
        advantage = scaled - value.detach()
        advantage = advantage / (scaled.std(correction=0) + 1e-6)
        middle = self._forward("actor", leaves, context).tanh()
        log_density = -((torch.from_numpy(actions) - middle) ** 2).sum(-1) / (2.0 * sigma**2)
        loss = -(advantage * log_density).mean() * sigma + (scaled - value).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    def leaves(self) -> Weights:
        """The weights as leaves of a gradient; they share memory with ``weights``."""
        return {name: value.requires_grad_(True) for name, value in self.weights.items()}

    def settle(self) -> None:
        """End learning: the weights are plain tensors again."""
        for value in self.weights.values():
            value.requires_grad_(False)
            value.grad = None

    def _scaled(self, rewards: Array) -> Array:
        """Rewards centred and scaled by what was seen so far."""
        scale = self.scale
        scale["count"] += 1.0
        rate = max(1.0 / scale["count"], 0.05)
        scale["mean"] += rate * (float(rewards.mean()) - scale["mean"])
        spread = float(np.sqrt(((rewards - scale["mean"]) ** 2).mean())) + 1e-6
        scale["spread"] = spread if scale["count"] == 1.0 else scale["spread"] + rate * (spread - scale["spread"])
        return np.asarray((rewards - scale["mean"]) / scale["spread"])
