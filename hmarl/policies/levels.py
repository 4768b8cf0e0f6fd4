"""Discrete choices for learners that compare values of actions: a few levels of every head."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise, product

import torch
from torch import Tensor

from hmarl.policies.base import Misfit

MOST_CHOICES = 1024


@dataclass(frozen=True)
class Choices:
    """All combinations of the levels of every head.

    Attributes
    ----------
    points : Tensor [A, H] float32
        Actions in [-1, 1], the last head fastest.
    """

    points: Tensor

    @classmethod
    def of(cls, levels: tuple[float, ...], heads: int) -> Choices:
        """Combine levels.

        Parameters
        ----------
        levels : tuple of float
            In [-1, 1], the same for every head.
        heads : int
            H.

        Returns
        -------
        Choices
            ``len(levels) ** heads`` of them.

        Raises
        ------
        Misfit
            If there would be more than 1,024.
        """
        count = len(levels) ** heads
        if count > MOST_CHOICES:
            raise Misfit(
                f"{len(levels)} levels of {heads} heads make {count} choices, at most {MOST_CHOICES}; give fewer "
                "levels, or choose a learner of continuous actions (ippo, mappo)."
            )
        return cls(torch.tensor(list(product(levels, repeat=heads)), dtype=torch.float32))

    def __len__(self) -> int:
        return len(self.points)

    def nearest(self, action: Tensor) -> Tensor:
        """Which choice an action is.

        Parameters
        ----------
        action : Tensor [..., H]
            In [-1, 1].

        Returns
        -------
        Tensor [...] int64
            Index of the nearest choice.
        """
        return (action.float().unsqueeze(-2) - self.points).square().sum(-1).argmin(-1)


def check_levels(levels: tuple[float, ...]) -> None:
    """Refuse levels that are no set of choices.

    Parameters
    ----------
    levels : tuple of float
        Of one head.

    Raises
    ------
    ValueError
        If there are fewer than two, one is outside [-1, 1], or they are not ascending.
    """
    ascending = all(a < b for a, b in pairwise(levels))
    if len(levels) < 2 or not ascending or levels[0] < -1 or levels[-1] > 1:
        raise ValueError(f"levels is {levels}; give at least two ascending numbers between -1 and 1")
