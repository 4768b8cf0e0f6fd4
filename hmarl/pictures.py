"""From a game to the linear or quadratic program that has exactly its costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from retail.game import Game

if TYPE_CHECKING:
    from aggregator.portfolio import Portfolio


RATINGS = ("charge", "discharge")
SLACK = 1e-6
"""kWh by which planners of a started day widen ratings; the game's own projection cuts it off."""


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
    c, b = game.community, game.community.battery
    first = b.start.numpy() if start is None else np.clip(start, b.store_min.numpy(), b.store_max.numpy())
    return _followers(game, c.daily(c.fixed)[days].transpose(1, 2).numpy(), first, pooled, fee)


def rest_of_day(
    game: Game, net: NDArray[np.float64], stored: NDArray[np.float64], *, pooled: bool, fee: float = 0.0
) -> Portfolio:
    """The followers of a game in the middle of some days.

    Parameters
    ----------
    game : Game
        Costs and rules.
    net : array [D, N, T - t] kWh per step
        Inflexible net load of the steps left, + = import.
    stored : array [D, N] kWh
        Stored energy now.
    pooled, fee
        See ``picture``.

    Returns
    -------
    Portfolio
        Ratings are ``SLACK`` kWh wider than the game's, so that a store that must move at full power to end where it
        began leaves the programs an interior.
    """
    b = game.community.battery
    inside = np.clip(stored, b.store_min.numpy(), b.store_max.numpy())
    homes = _followers(game, net, b.start.numpy(), pooled, fee)
    wider = {name: np.where(getattr(homes, name) > 0, getattr(homes, name) + SLACK, 0.0) for name in RATINGS}
    return homes.change(begin=inside, **wider)


def _followers(game: Game, net: NDArray[np.float64], start: NDArray[np.float64], pooled: bool, fee: float) -> Portfolio:
    from aggregator.portfolio import Portfolio  # noqa: PLC0415  pyomo is slow to import

    c, b = game.community, game.community.battery
    return Portfolio(
        fixed_kwh=net,
        store_min=b.store_min.numpy(),
        store_max=b.store_max.numpy(),
        start=start,
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
