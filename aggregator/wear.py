"""Wear of batteries in programs: what a schedule costs, and the ports into which blocks of wear cut each direction.

A block is one more port of the store, with a limit and a price of its own. Prices rise, so a dearer port is used only
where the cheaper ones are full: the sum over ports is the flow, and costs what the game charges. Quadratic wear stays
separable, since a flow y > a that fills the first ports up to a costs rho / 2 y^2 = rho / 2 a^2 + rho a (y - a) +
rho / 2 (y - a)^2: each port has the curve rho and the linear cost rho times its begin.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from aggregator.pools import Group
from aggregator.prosumers import Array, Portfolio
from retail.wear_blocks import WearBlocks, block_wear

ONE_BLOCK: WearBlocks = ((1.0, 0.0),)


def wear(one: Group | Portfolio, gain: Array, loss: Array) -> Array:
    """Wear of schedules.

    Parameters
    ----------
    one : Group or Portfolio
        One battery, or those of N homes.
    gain, loss : array [...] or [..., N] kWh per step
        Store side, >= 0.

    Returns
    -------
    array, same shape, $
    """
    worn = one.wear_linear * (gain + loss) + one.wear_quadratic / 2.0 * (gain**2 + loss**2)
    if one.wear_blocks:
        for flow, rated in ((gain, one.charge), (loss, one.discharge)):
            worn = worn + block_wear(flow, np.asarray(rated, dtype=np.float64), one.wear_blocks)
    return np.asarray(worn)


def ports_each_way(blocks: WearBlocks) -> int:
    """Number K of ports in each direction.

    Parameters
    ----------
    blocks : tuple of (share, $/kWh)

    Returns
    -------
    int
        1 without blocks.
    """
    return len(blocks or ONE_BLOCK)


def ports(
    rated: ArrayLike, wear_linear: ArrayLike, wear_quadratic: ArrayLike, blocks: WearBlocks
) -> tuple[Array, Array]:
    """Ports of batteries in one direction.

    Parameters
    ----------
    rated : array_like [...] kWh per step
        Largest flow, store side.
    wear_linear, wear_quadratic : array_like [...] $/kWh, $/kWh^2
    blocks : tuple of (share, $/kWh)

    Returns
    -------
    limit : array [..., K] kWh per step
    cost : array [..., K] $/kWh
        Linear; the quadratic cost of each port is ``wear_quadratic`` itself.
    """
    end, price = (np.array(part) for part in zip(*(blocks or ONE_BLOCK), strict=True))
    begin = np.concatenate([[0.0], end[:-1]])
    rated, linear, quadratic = (
        np.asarray(a, dtype=np.float64)[..., None] for a in (rated, wear_linear, wear_quadratic)
    )
    return rated * (end - begin), linear + price + quadratic * rated * begin


def through_ports(flow: Array, rated: float, blocks: WearBlocks) -> Array:
    """How a flow runs through the ports of its direction: cheap ones first.

    Parameters
    ----------
    flow : array [T] kWh per step
    rated : float kWh per step
        Its largest value.
    blocks : tuple of (share, $/kWh)

    Returns
    -------
    array [K, T] kWh per step
    """
    limit, _ = ports(rated, 0.0, 0.0, blocks)
    before = np.concatenate([[0.0], np.cumsum(limit)[:-1]])
    return np.clip(flow - before[:, None], 0.0, limit[:, None])
