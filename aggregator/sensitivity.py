"""How the optimum of a day problem moves with its costs: the implicit function theorem at the interior point's end.

At an optimum the columns that touch a bound stay there and the others keep their rows, so that a change dc of the
costs moves x by dx = Theta (A' dy - dc) with A dx = 0: one more system of the very kind that every Newton step solves.
Where a bound is only just touched there is no derivative, and what is given lies between the two sides.

References
----------
A. V. Fiacco, "Introduction to Sensitivity and Stability Analysis in Nonlinear Programming", Academic Press, 1983.
"""

from __future__ import annotations

import numpy as np

from aggregator.blocks import Rows
from aggregator.interior import PROXIMAL, Task
from aggregator.normal import factorised
from aggregator.prosumers import Array

TOUCHING = 1e-12  # kWh, the least distance to a bound that is told apart from none
REFINEMENTS = 1


class Sensitivity:
    """Derivatives of the minimum of a batch; factorised once, for as many changes of the costs as asked.

    Parameters
    ----------
    task : Task
    x : array [n, T, B]
    multipliers : tuple of array
        As ``interior.minimise`` returns them.
    """

    def __init__(self, task: Task, x: Array, multipliers: Rows) -> None:
        slope = task.curvature * x + task.cost - task.block.columns(*multipliers)
        pull = np.maximum(slope, 0.0) / np.maximum(x - task.lower, TOUCHING)
        pull += np.maximum(-slope, 0.0) / np.maximum(task.upper - x, TOUCHING)
        self._block = task.block
        self._theta = (task.upper > task.lower) / (task.curvature + pull + PROXIMAL)
        self._normal = factorised(task.block, self._theta)

    def along(self, change: Array) -> Array:
        """Derivative of x along a change of the costs.

        Parameters
        ----------
        change : array [n, T, B] or broadcastable
            Per unit of what moves.

        Returns
        -------
        array [n, T, B]
        """
        block, theta = self._block, self._theta
        rest = block.rows(theta * change)
        dy = [np.zeros_like(part) for part in rest]
        for k in range(1 + REFINEMENTS):
            more = self._normal.solve(*rest)
            dy = [a + b for a, b in zip(dy, more, strict=True)]
            if k < REFINEMENTS:
                made = block.rows(theta * block.columns(*more))
                rest = (rest[0] - made[0], rest[1] - made[1], rest[2] - made[2])
        return np.asarray(theta * (block.columns(dy[0], dy[1], dy[2]) - change))
