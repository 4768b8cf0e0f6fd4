"""From a game to the linear or quadratic program that has exactly its costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from retail.game import Game

if TYPE_CHECKING:
    from aggregator.portfolio import Portfolio


def picture(
    game: Game,
    days: Tensor,
    *,
    pooled: bool,
    fee: float = 0.0,
    start: NDArray[np.float64] | None = None,
) -> Portfolio:
    """The followers of a game as a portfolio.

    Parameters
    ----------
    game : Game
        Costs and rules.
    days : Tensor [D] int64
        Days of the community.
    pooled : bool
        Whether all trade is inside one balance (an efficient peer-to-peer market) or each home is alone.
    fee : float $/kWh
        Network fee on peer-to-peer energy, the largest of the day.
    start : array [N] kWh, optional
        Stored energy at the start of the day; the battery's own start when absent.

    Returns
    -------
    Portfolio
        Under ``storage_end: carry`` the end of the day is free and stored energy is worth ``game.end_value``.
    """
    from aggregator.portfolio import Portfolio  # noqa: PLC0415  pyomo is slow to import

    c, b = game.community, game.community.battery
    return Portfolio(
        fixed_kwh=c.daily(c.fixed)[days].transpose(1, 2).numpy(),
        store_min=b.store_min.numpy(),
        store_max=b.store_max.numpy(),
        start=b.start.numpy() if start is None else np.clip(start, b.store_min.numpy(), b.store_max.numpy()),
        charge=b.charge_kw.numpy() * c.step_hours,
        discharge=b.discharge_kw.numpy() * c.step_hours,
        eta_charge=b.eta_charge.numpy(),
        eta_discharge=b.eta_discharge.numpy(),
        wear_linear=b.wear_linear.numpy(),
        # The game charges rho / 2 * x² / hours for x kWh in a step.
        wear_quadratic=b.wear_quadratic.numpy() / c.step_hours,
        storage_end="restore" if game.storage_end == "restore" else "value",
        end_value=np.full(c.prosumers, game.end_value),
        pooled=pooled,
        fee=fee,
    )
