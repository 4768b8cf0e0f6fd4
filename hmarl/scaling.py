"""Observations brought to mean 0 and spread 1 by constants of the first training batch, frozen from then on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from retail.observation import Features

LIMIT = 5.0
"""Scaled features are cut to [-5, 5]."""


def spread(values: Tensor) -> Tensor:
    """Scale of what a learner predicts: the standard deviation, or the size where there is a single number.

    Parameters
    ----------
    values : Tensor
        Rewards or returns of the first training batch, in the unit of the reward.

    Returns
    -------
    Tensor float32
        Above 0.
    """
    return (values.std() if values.numel() > 1 else values.abs().sum()).clamp(min=1e-6)


@dataclass(frozen=True)
class Standard:
    """Constants of a learner's observation.

    Attributes
    ----------
    mean, scale : Features
        Common [C] and personal [P], float32; no unit.
    """

    mean: Features
    scale: Features

    @classmethod
    def unscaled(cls, common: int, personal: int) -> Standard:
        """Leave features as they are.

        Parameters
        ----------
        common, personal : int
            Numbers of features C and P.

        Returns
        -------
        Standard
            Mean 0 and scale 1.
        """
        zeros = Features(torch.zeros(common), torch.zeros(personal))
        return cls(zeros, Features(torch.ones(common), torch.ones(personal)))

    @classmethod
    def of(cls, common: Tensor, personal: Tensor) -> Standard:
        """Measure a batch of training days.

        Parameters
        ----------
        common : Tensor [R, C]
            Features that all prosumers share.
        personal : Tensor [R', P]
            Features of the prosumers that learn.

        Returns
        -------
        Standard
            Spreads are at least 1e-3.
        """
        rows = (common, personal)
        # An arena may have no personal features at all, and only one row of common ones: then there is no spread.
        scale = (x.std(0).clamp(min=1e-3) if x.numel() and len(x) > 1 else torch.ones(x.shape[1]) for x in rows)
        return cls(Features(*(x.mean(0) for x in rows)), Features(*scale))

    @classmethod
    def of_rollout(cls, features: Features, agents: Tensor) -> Standard:
        """Measure what agents saw on a batch of training days before they acted.

        Parameters
        ----------
        features : Features
            Common [T + 1, B, C] and personal [T + 1, B, N, P]; those after the last step are left out.
        agents : Tensor [K] int64
            That learn.

        Returns
        -------
        Standard
            As ``of``.
        """
        common, personal = (part[:-1] for part in features)
        return cls.of(common.flatten(0, 1), personal[..., agents, :].flatten(0, 2))

    def __call__(self, features: Features) -> Features:
        """Scale features and cut them to [-5, 5]; other numbers of them than were measured are refused."""
        given, known = (tuple(part.shape[-1] for part in parts) for parts in (features, self.mean))
        if given != known:
            # Tensors of width 1 would be broadcast without a word.
            raise ValueError(
                f"An observation has {given[0]} common and {given[1]} personal features; this learner was started for "
                f"{known[0]} and {known[1]}, so start another one."
            )
        parts = zip(features, self.mean, self.scale, strict=True)
        return Features(*(((x - mean) / scale).clamp(-LIMIT, LIMIT) for x, mean, scale in parts))

    def state(self) -> dict[str, Any]:
        """Plain tensors for a checkpoint."""
        return {"mean": tuple(self.mean), "scale": tuple(self.scale)}

    @classmethod
    def load(cls, state: dict[str, Any]) -> Standard:
        """Take over constants.

        Parameters
        ----------
        state : dict
            From ``state``.

        Returns
        -------
        Standard
            Equal constants.
        """
        return cls(Features(*state["mean"]), Features(*state["scale"]))
