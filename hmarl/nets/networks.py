"""Networks of all agents in one tensor: one code path for own, per-cluster and shared weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

Sharing = Literal["agent", "cluster", "all"]
Activation = Literal["tanh", "relu", "norm-relu"]


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
        x : Tensor [R, N, P]
            Any feature of every agent.

        Returns
        -------
        Tensor [G, R, K, P]
            Padding repeats the first member of its group.
        """
        if self.members.shape[1] == 1:
            return x.transpose(0, 1)[self.members[:, 0]].unsqueeze(2)
        return x[:, self.members].transpose(0, 1)

    def scatter(self, y: Tensor) -> Tensor:
        """Bring results of groups back to the chosen agents.

        Parameters
        ----------
        y : Tensor [G, R, K, A]
            From the nets.

        Returns
        -------
        Tensor [R, M, A]
            In the order of ``agents``.
        """
        return y.transpose(0, 1).flatten(1, 2)[:, self.place]


def of_like_size(clusters: Tensor) -> list[Groups]:
    """Group all agents by cluster, in several tables of like width.

    One table of clusters with 1 to 27 homes would be padding for the most part; here every group fills more than half
    of its row.

    Parameters
    ----------
    clusters : Tensor [N] int64
        Label of every agent.

    Returns
    -------
    list of Groups
        From the largest groups to the smallest; one table where all are of like size.
    """
    label, size = torch.unique(clusters, return_inverse=True, return_counts=True)[1:]
    halvings = (size.max().double() / size).log2().floor().long()
    return [Groups.make(clusters, "cluster", halvings[label] == k) for k in torch.unique(halvings)]


def _norm_relu(x: Tensor) -> Tensor:
    return torch.layer_norm(x, x.shape[-1:]).relu_()


# In place: neither a product nor a normalisation needs its own result for its derivative.
BENDS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh_,
    "relu": torch.relu_,
    "norm-relu": _norm_relu,
}


class StackedMLP(nn.Module):
    """G multilayer perceptrons, evaluated at once by batched products.

    Parameters
    ----------
    groups : int
        Number of nets G.
    common, personal : int
        Widths of the two inputs: common to all agents, and of each agent.
    sizes : tuple of int
        Widths of the hidden layers and the output.
    generator : torch.Generator
        Stream of initial weights; orthogonal, gain sqrt(2), the last layer scaled by ``last``.
    last : float
        Scale of the last layer.
    activation : str
        Of the hidden layers: ``tanh``, ``relu``, or ``norm-relu``: layer normalisation (without gain of its own), then
        ReLU.
    """

    def __init__(
        self,
        groups: int,
        common: int,
        personal: int,
        sizes: tuple[int, ...],
        generator: torch.Generator,
        last: float = 1.0,
        activation: Activation = "tanh",
    ) -> None:
        super().__init__()
        self.common, self.bend = common, BENDS[activation]
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for i, (a, b) in enumerate(pairwise((common + personal, *sizes))):
            gain = last if i == len(sizes) - 1 else 2**0.5
            layers = [_orthogonal(a, b, generator) * gain for _ in range(groups)]
            self.weights.append(nn.Parameter(torch.stack(layers) if layers else torch.zeros(0, a, b)))
            self.biases.append(nn.Parameter(torch.zeros(groups, 1, b)))

    def forward(self, common: Tensor, personal: Tensor) -> Tensor:
        """Evaluate all nets.

        The first layer is applied to the common input once per row instead of once per agent.

        Parameters
        ----------
        common : Tensor [R, C]
            Input that all agents share.
        personal : Tensor [G, R, K, P]
            Input of the K agents of each group.

        Returns
        -------
        Tensor [G, R, K, out]
            Linear last layer.
        """
        groups, rows, width, _ = personal.shape
        return self.after(self.first(common, personal)).reshape(groups, rows, width, -1)

    def first(self, common: Tensor, personal: Tensor) -> Tensor:
        """Apply the first layer; inputs as in ``forward``, result [G, R * K, H]."""
        groups, rows, width, _ = personal.shape
        first = self.weights[0]
        own_input, own_weight = personal.reshape(groups, rows * width, -1), first[:, self.common :]
        shared = torch.matmul(common, first[:, : self.common]) + self.biases[0]
        if width == 1:
            return torch.baddbmm(shared, own_input, own_weight)
        own = torch.bmm(own_input, own_weight)
        return (own.reshape(groups, rows, width, -1) + shared.unsqueeze(2)).reshape(groups, rows * width, -1)

    def after(self, x: Tensor) -> Tensor:
        """Apply everything after the first layer, [G, rows, H] to [G, rows, out]."""
        for w, b in zip(list(self.weights)[1:], list(self.biases)[1:], strict=True):
            x = torch.baddbmm(b, self.bend(x), w)
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


def set_rate(optimizer: torch.optim.Optimizer, first: float, final: float, progress: float) -> float:
    """Set a learning rate that falls linearly over the budget.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        All its groups get the rate.
    first, final : float
        At progress 0 and from progress 1 on.
    progress : float
        Share of the training budget used, at least 0.

    Returns
    -------
    float
        The rate, no unit.
    """
    rate = first + (final - first) * min(progress, 1.0)
    for group in optimizer.param_groups:
        group["lr"] = rate
    return rate
