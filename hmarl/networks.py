"""Networks of all agents in one tensor: one code path for own, per-cluster and shared weights."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

Sharing = Literal["agent", "cluster", "all"]


@dataclass(frozen=True)
class Groups:
    """Which agents share weights.

    Attributes
    ----------
    members : Tensor [G, K] int64
        Agents of each group, padded by repeating the first member.
    real : Tensor [G, K] bool
        False on padding.
    place : Tensor [M] int64
        Position of each of the M chosen agents in the flattened [G * K] table.
    agents : Tensor [M] int64
        The chosen agents, ascending.
    """

    members: Tensor
    real: Tensor
    place: Tensor
    agents: Tensor

    @classmethod
    def make(cls, clusters: Tensor, sharing: Sharing, chosen: Tensor) -> Groups:
        """Group the chosen agents.

        Parameters
        ----------
        clusters : Tensor [N] int64
            Label of every agent.
        sharing : str
            ``agent``: one net each; ``cluster``: one per label; ``all``: one net.
        chosen : Tensor [N] bool
            Agents that have a net at all.

        Returns
        -------
        Groups
            Tables without unit.
        """
        agents = chosen.nonzero().flatten()
        label = {
            "agent": torch.arange(len(agents)),
            "cluster": torch.unique(clusters[agents], return_inverse=True)[1],
            "all": torch.zeros(len(agents), dtype=torch.int64),
        }[sharing]
        count = torch.bincount(label) if len(agents) else torch.zeros(0, dtype=torch.int64)
        groups, width = len(count), int(count.max()) if len(count) else 0
        members, real = torch.zeros(groups, width, dtype=torch.int64), torch.zeros(groups, width, dtype=torch.bool)
        place = torch.zeros(len(agents), dtype=torch.int64)
        for g in range(groups):
            mine = (label == g).nonzero().flatten()
            members[g] = agents[mine[0]]
            members[g, : len(mine)] = agents[mine]
            real[g, : len(mine)] = True
            place[mine] = g * width + torch.arange(len(mine))
        return cls(members, real, place, agents)

    def gather(self, x: Tensor) -> Tensor:
        """Bring rows of agents into groups.

        Parameters
        ----------
        x : Tensor [R, N, F]
            Any feature of every agent.

        Returns
        -------
        Tensor [G, R * K, F]
            Row-major in (R, K).
        """
        groups, width = self.members.shape
        return x[:, self.members].permute(1, 0, 2, 3).reshape(groups, x.shape[0] * width, x.shape[-1])

    def scatter(self, y: Tensor, rows: int) -> Tensor:
        """Bring results of groups back to the chosen agents.

        Parameters
        ----------
        y : Tensor [G, R * K, A]
            Row-major in (R, K).
        rows : int
            R.

        Returns
        -------
        Tensor [R, M, A]
            In the order of ``agents``.
        """
        groups, width = self.members.shape
        flat = y.reshape(groups, rows, width, -1).permute(1, 0, 2, 3).reshape(rows, groups * width, -1)
        return flat[:, self.place]


class StackedMLP(nn.Module):
    """G multilayer perceptrons with tanh, evaluated at once by batched products.

    Parameters
    ----------
    groups : int
        Number of nets G.
    sizes : tuple of int
        Widths from input to output.
    generator : torch.Generator
        Stream of initial weights; orthogonal, gain sqrt(2), the last layer scaled by ``last``.
    last : float
        Scale of the last layer.
    """

    def __init__(self, groups: int, sizes: tuple[int, ...], generator: torch.Generator, last: float = 1.0) -> None:
        super().__init__()
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for i, (a, b) in enumerate(pairwise(sizes)):
            gain = last if i == len(sizes) - 2 else 2**0.5
            layers = [_orthogonal(a, b, generator) * gain for _ in range(groups)]
            self.weights.append(nn.Parameter(torch.stack(layers)))
            self.biases.append(nn.Parameter(torch.zeros(groups, 1, b)))

    def forward(self, x: Tensor) -> Tensor:
        """Evaluate all nets.

        Parameters
        ----------
        x : Tensor [G, R, in]
            Inputs of each group.

        Returns
        -------
        Tensor [G, R, out]
            Linear last layer.
        """
        for i, (w, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(b, x, w)
            if i < len(self.weights) - 1:
                x = torch.tanh(x)
        return x


def _orthogonal(a: int, b: int, generator: torch.Generator) -> Tensor:
    flat = torch.randn(max(a, b), min(a, b), generator=generator)
    q, r = torch.linalg.qr(flat)
    q = q * torch.sign(torch.diagonal(r))
    return q.T if a < b else q


def clip_per_group(parameters: list[Tensor], limit: float) -> None:
    """Clip the gradient norm of each group on its own.

    Parameters
    ----------
    parameters : list of Tensor [G, ...]
        All parameters of the stacked nets, with gradients.
    limit : float
        Largest norm over all tensors of one group.
    """
    grads = [p.grad for p in parameters if p.grad is not None]
    if not grads:
        return
    norm = torch.stack([g.flatten(1).square().sum(1) for g in grads]).sum(0).sqrt()
    scale = (limit / norm.clamp(min=1e-12)).clamp(max=1.0)
    for g in grads:
        g.mul_(scale.reshape(-1, *[1] * (g.dim() - 1)))
