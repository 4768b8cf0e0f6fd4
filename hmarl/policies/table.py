"""Values of choices in tables, one for each agent."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

Decay = Literal["constant", "visits"]


class Table:
    """Action values Q [N, S, A], float64.

    Parameters
    ----------
    agents, cells, choices : int
        N, S, A.
    rate : float
        Learning rate of ``constant``.
    decay : str
        ``constant``, or ``visits``: 1 / number of visits of a cell and choice.
    first : float
        Values at the start.
    """

    def __init__(self, agents: int, cells: int, choices: int, rate: float, decay: Decay, first: float) -> None:
        self.cells, self.choices, self.rate, self.decay = cells, choices, rate, decay
        self.values = torch.full((agents, cells, choices), first, dtype=torch.float64)
        self.visits = torch.zeros(agents * cells * choices if decay == "visits" else 0)
        self._first = torch.arange(agents) * cells

    def at(self, cell: Tensor) -> Tensor:
        """Values of all choices.

        Parameters
        ----------
        cell : Tensor [..., N] int64
            Of each agent.

        Returns
        -------
        Tensor [..., N, A]
            In the unit of rewards.
        """
        return self.values.flatten(0, 1)[cell + self._first]

    def update(self, cell: Tensor, choice: Tensor, target: Tensor) -> None:
        """Move values towards targets.

        Several rows of a batch that meet in one cell and choice count as so many updates towards their mean, in any
        order: ``Q + (1 - (1 - rate)^k) (mean - Q)``, which for ``visits`` is the mean of all targets ever seen.

        Parameters
        ----------
        cell, choice : Tensor [B, N] int64
            Where.
        target : Tensor [B, N]
            ``r + gamma max Q``.
        """
        found, mean = ((cell + self._first) * self.choices + choice).flatten(), target.double().flatten()
        count = torch.ones(())
        if len(cell) > 1:  # tables are apart, so only rows of a batch can meet
            found, row, count = torch.unique(found, return_inverse=True, return_counts=True)
            mean = torch.zeros(len(found), dtype=torch.float64).index_add_(0, row, mean) / count
        if self.decay == "visits":
            self.visits[found] += count
            share = count / self.visits[found].double()
        else:
            share = 1 - (1 - self.rate) ** count.double()
        flat = self.values.view(-1)
        flat[found] += share * (mean - flat[found])

    def state(self) -> dict[str, Any]:
        """Values and visits."""
        return {"values": self.values.clone(), "visits": self.visits.clone()}

    def load(self, state: dict[str, Any]) -> None:
        """Take over values and visits.

        Parameters
        ----------
        state : dict
            From ``state`` of a table of the same size.
        """
        self.values, self.visits = state["values"].clone(), state["visits"].clone()


def epsilon_greedy(value: Tensor, epsilon: float, generator: torch.Generator) -> Tensor:
    """Best choice, or with probability epsilon any.

    Parameters
    ----------
    value : Tensor [..., A]
        Of each choice.
    epsilon : float
        0..1.
    generator : torch.Generator
        Of the chance.

    Returns
    -------
    Tensor [...] int64
        Choices.
    """
    anything = torch.randint(value.shape[-1], value.shape[:-1], generator=generator)
    random = torch.rand(value.shape[:-1], generator=generator) < epsilon
    return torch.where(random, anything, value.argmax(-1))
