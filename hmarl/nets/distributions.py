"""How a net's output becomes a random action in [-1, 1]: Beta, squashed Gaussian, or categories."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.distributions.utils import clamp_probs

HeadName = Literal["beta", "gaussian", "categorical"]
LOG_TWO_PI = math.log(2 * math.pi)
EDGE = 1e-6
"""Actions this close to -1 or 1 are moved in before their density is taken."""
WIDEST = 3**-0.5
"""Standard deviation of the uniform density on [-1, 1]."""


class Distribution(Protocol):
    """Random actions of A heads, given a net's output and free numbers that do not depend on the observation."""

    @property
    def width(self) -> int:
        """Outputs of the net for each head."""
        ...

    def free(self, spread: Tensor) -> Tensor:
        """Initial free numbers for standard deviations ``spread`` [A]; Tensor [A]."""
        ...

    def best(self, output: Tensor, free: Tensor) -> Tensor:
        """Most likely action; output [..., A * width] -> [..., A]."""
        ...

    def sample(self, output: Tensor, free: Tensor, generator: torch.Generator) -> Tensor:
        """A random action [..., A]."""
        ...

    def log_probability(self, output: Tensor, free: Tensor, action: Tensor) -> Tensor:
        """Log density of actions, summed over heads, [..., 1]."""
        ...

    def entropy(self, output: Tensor, free: Tensor) -> Tensor:
        """Entropy summed over heads, [..., 1]."""
        ...


@dataclass(frozen=True)
class Beta:
    """Beta density on [-1, 1] with its mode at ``tanh(output)`` and a free concentration.

    With parameters ``1 + m c`` and ``1 + (1 - m) c`` it has one peak, at m, for every c > 0 (Chou, Maturana and Scherer
    2017, ICML). Giving mode and concentration apart keeps the mode as easy to move when the spread is small.
    """

    width: int = 1

    def free(self, spread: Tensor) -> Tensor:
        """Log concentration [A] at which a symmetric density has standard deviation ``spread`` < 0.577."""
        return torch.log((1 / spread.square() - 3).clamp(min=1e-3))

    def _parameters(self, output: Tensor, free: Tensor) -> tuple[Tensor, Tensor]:
        mode, c = torch.sigmoid(2 * output), free.exp()
        return 1 + mode * c, 1 + (1 - mode) * c

    def best(self, output: Tensor, free: Tensor) -> Tensor:
        """The mode."""
        return torch.tanh(output)

    def sample(self, output: Tensor, free: Tensor, generator: torch.Generator) -> Tensor:
        """Ratio of two Gamma draws."""
        a, b = (torch._standard_gamma(x, generator=generator) for x in self._parameters(output, free))
        return 2 * a / (a + b) - 1

    def log_probability(self, output: Tensor, free: Tensor, action: Tensor) -> Tensor:
        """Log density with respect to the action in [-1, 1]."""
        a, b = self._parameters(output, free)
        x = ((action + 1) / 2).clamp(EDGE, 1 - EDGE)
        normal = torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)
        density = (a - 1) * x.log() + (b - 1) * torch.log1p(-x) - normal - math.log(2)
        return density.sum(-1, keepdim=True)

    def entropy(self, output: Tensor, free: Tensor) -> Tensor:
        """Closed form."""
        a, b = self._parameters(output, free)
        normal = torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)
        rest = (a + b - 2) * torch.digamma(a + b) - (a - 1) * torch.digamma(a) - (b - 1) * torch.digamma(b)
        return (normal + rest + math.log(2)).sum(-1, keepdim=True)


@dataclass(frozen=True)
class TanhGaussian:
    """``tanh`` of a Gaussian with free spread; its entropy is taken before squashing, which has no closed form."""

    width: int = 1

    def free(self, spread: Tensor) -> Tensor:
        """Log standard deviation [A]."""
        return spread.log()

    def best(self, output: Tensor, free: Tensor) -> Tensor:
        """The squashed mean."""
        return torch.tanh(output)

    def sample(self, output: Tensor, free: Tensor, generator: torch.Generator) -> Tensor:
        """A squashed draw."""
        return torch.tanh(output + free.exp() * torch.randn(output.shape, generator=generator))

    def log_probability(self, output: Tensor, free: Tensor, action: Tensor) -> Tensor:
        """Log density with respect to the action in [-1, 1]."""
        inside = action.clamp(EDGE - 1, 1 - EDGE)
        z = (torch.atanh(inside) - output) * torch.exp(-free)
        density = -0.5 * z.square() - free - 0.5 * LOG_TWO_PI - torch.log1p(-inside.square())
        return density.sum(-1, keepdim=True)

    def entropy(self, output: Tensor, free: Tensor) -> Tensor:
        """Of the Gaussian before squashing."""
        return (free + 0.5 * LOG_TWO_PI + 0.5).expand_as(output).sum(-1, keepdim=True)


@dataclass(frozen=True)
class Categories:
    """One of ``width`` equally spaced actions from -1 to 1; logits start as a bell around 0."""

    width: int = 11

    @property
    def _values(self) -> Tensor:
        return torch.linspace(-1, 1, self.width)

    def _log_shares(self, output: Tensor, free: Tensor) -> Tensor:
        """Log probabilities [..., A, width]."""
        bell = -0.5 * (self._values / free.exp().unsqueeze(-1)).square()
        return torch.log_softmax(output.unflatten(-1, (-1, self.width)) + bell, -1)

    def free(self, spread: Tensor) -> Tensor:
        """Log standard deviation of the bell [A], at least half a category."""
        return spread.clamp(min=1 / (self.width - 1)).log()

    def best(self, output: Tensor, free: Tensor) -> Tensor:
        """The likeliest category."""
        return self._values[self._log_shares(output, free).argmax(-1)]

    def sample(self, output: Tensor, free: Tensor, generator: torch.Generator) -> Tensor:
        """Draw by the Gumbel trick."""
        shares = self._log_shares(output, free)
        uniform = clamp_probs(torch.rand(shares.shape, generator=generator))
        return self._values[(shares - torch.log(-torch.log(uniform))).argmax(-1)]

    def log_probability(self, output: Tensor, free: Tensor, action: Tensor) -> Tensor:
        """Log probability of the nearest category."""
        place = ((action + 1) / 2 * (self.width - 1)).round().long().clamp(0, self.width - 1)
        return self._log_shares(output, free).gather(-1, place.unsqueeze(-1)).squeeze(-1).sum(-1, keepdim=True)

    def entropy(self, output: Tensor, free: Tensor) -> Tensor:
        """Exact."""
        shares = self._log_shares(output, free)
        return -(shares.exp() * shares).sum(-1).sum(-1, keepdim=True)


DISTRIBUTIONS: dict[HeadName, Distribution] = {
    "beta": Beta(),
    "gaussian": TanhGaussian(),
    "categorical": Categories(),
}
"""Name -> distribution."""

__all__ = ["DISTRIBUTIONS", "WIDEST", "Beta", "Categories", "Distribution", "HeadName", "TanhGaussian"]
