"""Cells of a table: features cut into a few ranges each."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hmarl.policies.base import Misfit, Spec
from retail.observation import Features

MOST_CELLS = 1_000_000
"""Largest number of cells of a table of one agent."""


@dataclass(frozen=True)
class Cells:
    """Which cell of its table every agent is in.

    Attributes
    ----------
    common, personal : Tensor int64
        Columns of the features that count.
    edges : Tensor [N, F, K] float32
        Ascending bounds between the ranges of each of these features, padded by infinity.
    sizes : tuple of int
        Ranges of each feature.
    steps : int
        Steps of an episode that are told apart; 1 leaves the clock out.
    """

    common: Tensor
    personal: Tensor
    edges: Tensor
    sizes: tuple[int, ...]
    steps: int

    def __post_init__(self) -> None:
        if self.count > MOST_CELLS:
            ranges = " x ".join(map(str, (*self.sizes, self.steps)))
            raise Misfit(
                f"A table of {ranges} cells is too large, at most {MOST_CELLS}; use coarser bins, or choose dqn or a "
                "learner with nets."
            )

    @classmethod
    def of_game(cls, spec: Spec, bins: tuple[int, int, int]) -> Cells:
        """Load, generation, stored energy and hour of a retail game, as in MAPDES.

        Load and generation are cut at quantiles of the training days of each home, generation of 0 being a range of
        its own; stored energy is cut evenly.

        Parameters
        ----------
        spec : Spec
            With a retail game.
        bins : tuple of int
            Ranges of load, generation and stored energy.

        Returns
        -------
        Cells
            One table for each home, features scaled as in the observation.
        """
        game = spec.retail
        c, size = game.community, game.observer.size
        days = torch.arange(c.days) if game.scale_days is None else game.scale_days
        load, generation = ((c.daily(x)[days].flatten(0, 1) / size).float() for x in (c.load, c.pv))
        width = max(bins) - 1
        edges = torch.full((spec.agents, 3, width), torch.inf)
        for n in range(spec.agents):
            for row, (x, ranges) in enumerate(((load[:, n], bins[0]), (generation[:, n], bins[1]))):
                edges[n, row, : ranges - 1] = _quantiles(x, ranges) if row == 0 else _positive_quantiles(x, ranges)
        edges[:, 2, : bins[2] - 1] = torch.arange(1, bins[2]) / bins[2]
        first = spec.common
        names = game.observation_names[first:]
        personal = torch.tensor([names.index(name) for name in ("load", "pv", "stored")])
        return cls(torch.empty(0, dtype=torch.int64), personal, edges, bins, spec.steps)

    @classmethod
    def of_arena(cls, spec: Spec, cells: tuple[int, ...], clock: bool) -> Cells:
        """All features of an arena, each cut evenly between -1 and 1.

        Parameters
        ----------
        spec : Spec
            Of an arena.
        cells : tuple of int
            Ranges of each feature, common ones first; one number stands for all.
        clock : bool
            Whether the step of an episode is told apart.

        Returns
        -------
        Cells
            The same edges for all agents.

        Raises
        ------
        Misfit
            If there is another number of features, or too many cells.
        """
        features = spec.common + spec.personal
        sizes = cells * features if len(cells) == 1 else cells
        if len(sizes) != features:
            raise Misfit(f"cells gives {len(cells)} numbers of ranges, there are {features} features; give one each.")
        edges = torch.full((features, max((1, *sizes)) - 1), torch.inf)
        for row, ranges in enumerate(sizes):
            edges[row, : ranges - 1] = torch.arange(1, ranges) * 2 / ranges - 1
        wide = edges.expand(spec.agents, *edges.shape).contiguous()
        return cls(torch.arange(spec.common), torch.arange(spec.personal), wide, sizes, spec.steps if clock else 1)

    @property
    def count(self) -> int:
        """Cells of a table of one agent."""
        count = self.steps
        for size in self.sizes:
            count *= size
        return count

    def __call__(self, features: Features, step: int) -> Tensor:
        """Find the cells.

        Parameters
        ----------
        features : Features
            Common [B, C], personal [B, N, P].
        step : int
            Step of the episode; after the last one the next episode begins.

        Returns
        -------
        Tensor [B, N] int64
            0..count-1.
        """
        batch, agents, _ = features.personal.shape
        shared = features.common[:, None, self.common].expand(batch, agents, len(self.common))
        seen = torch.cat([shared, features.personal[..., self.personal]], -1)
        places = (seen.unsqueeze(-1) >= self.edges).sum(-1)
        cell = torch.full((batch, agents), step % self.steps)
        for column, size in enumerate(self.sizes):
            cell = cell * size + places[..., column]
        return cell


def _quantiles(x: Tensor, ranges: int) -> Tensor:
    return torch.quantile(x.double(), torch.arange(1, ranges, dtype=torch.float64) / ranges).float()


def _positive_quantiles(x: Tensor, ranges: int) -> Tensor:
    """Bounds of which the first parts nothing from something."""
    if ranges == 1:
        return torch.empty(0)
    some = x[x > 0]
    tiny = torch.tensor([1e-6])
    if not len(some):
        return torch.cat([tiny, torch.full((ranges - 2,), torch.inf)])
    return torch.cat([tiny, _quantiles(some, ranges - 1)])
