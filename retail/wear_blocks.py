"""Wear in blocks: a kWh through a battery costs more the nearer to its rated power it is moved.

The cost of a step is convex and piecewise linear: game, dynamic programme and linear programs have exactly the same.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    Energy = TypeVar("Energy", Tensor, NDArray[np.float64])

WearBlocks = tuple[tuple[float, float], ...]
"""By block: the share of the rated power at which it ends, and the price of its kWh in $/kWh; () = no blocks."""

FEWEST, MOST = 2, 3


def block_wear(through: Energy, rated: Energy, blocks: WearBlocks) -> Energy:
    """Wear of one step in one direction.

    Parameters
    ----------
    through : Tensor or array [...] kWh
        Through the store, at least 0, store side.
    rated : Tensor or array, broadcast against it, kWh
        Through the store at rated power in this direction.
    blocks : tuple of (share, $/kWh)
        See ``WearBlocks``.

    Returns
    -------
    Tensor or array [...] $
        Each kWh at the price of the block it falls into; above rated power at the last price.
    """
    cost, begin, before = 0.0 * through, 0.0, 0.0
    for end, price in blocks:
        cost = cost + (price - before) * (through - begin * rated).clip(min=0.0)
        begin, before = end, price
    return cost


def least_price(blocks: WearBlocks) -> float:
    """What blocks add to the wear of the first kWh.

    Parameters
    ----------
    blocks : tuple of (share, $/kWh)

    Returns
    -------
    float $/kWh
    """
    return blocks[0][1] if blocks else 0.0


def block_mistakes(blocks: WearBlocks) -> list[str]:
    """What is wrong with wear in blocks.

    Parameters
    ----------
    blocks : tuple of (share, $/kWh)

    Returns
    -------
    list of str
        One sentence for each mistake; empty for ``()``.
    """
    if not blocks:
        return []
    if not FEWEST <= len(blocks) <= MOST:
        return [
            f"wear_blocks has {len(blocks)} block(s); give {FEWEST} or {MOST} pairs of a share of rated power and a "
            "price in $/kWh (one price at all powers is wear_linear)."
        ]
    found = []
    for k, (share, price) in enumerate(blocks, start=1):
        if not 0.0 < share <= 1.0:
            found.append(f"wear_blocks: the share of block {k} is {share:g} of rated power; it must be in (0, 1].")
        if not (math.isfinite(price) and price >= 0.0):
            found.append(f"wear_blocks: the price of block {k} is {price:g} $/kWh; it must be finite and at least 0.")
    for k, ((share, price), (next_share, next_price)) in enumerate(pairwise(blocks), start=1):
        if next_share <= share:
            found.append(f"wear_blocks: block {k} ends at {share:g}, the next at {next_share:g}; shares must rise.")
        if next_price <= price:
            found.append(
                f"wear_blocks: block {k} costs {price:g} $/kWh, the next {next_price:g}; prices must rise, since wear "
                "is convex in the power."
            )
    if blocks[-1][0] != 1.0:
        found.append(f"wear_blocks: the last share is {blocks[-1][0]:g}; it must be 1, the rated power itself.")
    return found
