"""What the others did last: the mean action that stands for everyone else."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hmarl.policies.base import Spec


@dataclass(frozen=True)
class MeanAction:
    """Mean of the one-hot choices of an agent's neighbours in the step before; zeros at the start of an episode.

    Source: Yang et al. (2018), arXiv 1802.05438, eq. (7), with the previous step's empirical distribution as in the
    authors' code. In a retail game the mean is public information that the platform computes.

    Attributes
    ----------
    choices : int
        A.
    counted : Tensor [N] float32
        1 for agents that decide anything, else 0; only their choices count.
    neighbours : Tensor [N, K] int64 or None
        Whose choices count; all others when None.
    """

    choices: int
    counted: Tensor
    neighbours: Tensor | None

    @classmethod
    def of(cls, spec: Spec, heads: tuple[str, ...], choices: int) -> MeanAction:
        """Describe who is whose neighbour.

        Parameters
        ----------
        spec : Spec
            Agents and neighbours.
        heads : tuple of str
            That the learner decides.
        choices : int
            A.

        Returns
        -------
        MeanAction
            Without unit.
        """
        return cls(choices, spec.deciding(heads).float(), spec.neighbours)

    def __call__(self, chosen: Tensor) -> Tensor:
        """Average.

        Parameters
        ----------
        chosen : Tensor [..., N] int64
            Choices of the step before; -1 where there was none.

        Returns
        -------
        Tensor [..., N, A] float32
            Shares; they sum to 1 where anybody chose.
        """
        hot = torch.nn.functional.one_hot(chosen + 1, self.choices + 1)[..., 1:].float()
        hot = hot * self.counted[:, None]
        if self.neighbours is not None:
            near = self.counted[self.neighbours].sum(-1).clamp(min=1)[:, None]
            return hot[..., self.neighbours, :].sum(-2) / near
        others = (self.counted.sum() - self.counted).clamp(min=1)[:, None]
        return (hot.sum(-2, keepdim=True) - hot) / others

    def of_rollout(self, chosen: Tensor) -> Tensor:
        """What every step of a rollout saw.

        Parameters
        ----------
        chosen : Tensor [T, B, N] int64
            Choices of each step.

        Returns
        -------
        Tensor [T + 1, B, N, A] float32
            The last one is what a further step would see.
        """
        before = torch.cat([torch.full_like(chosen[:1], -1), chosen])
        return self(before)
