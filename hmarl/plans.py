"""Plans of a portfolio as moves of the game: what every device should do in every step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hmarl.policies.base import Misfit
from retail.game import Game
from retail.heads import Asked
from retail.state import State

if TYPE_CHECKING:
    from aggregator.portfolio import Response

Plan = dict[str, Tensor]


def plan_of(
    game: Game, days: Tensor, response: Response, *, pooled: bool, homes: NDArray[np.int64] | None = None
) -> Plan:
    """Moves of all devices.

    Parameters
    ----------
    game : Game
        The portfolio is its picture (``hmarl.pictures.picture``) of these days.
    days : Tensor [D] int64
        Days of the community.
    response : Response
        Best response of that portfolio, kWh.
    pooled : bool
        Whether the portfolio was solved as one.
    homes : array of int [N], optional
        The portfolio holds these homes only (``Portfolio.some``), ascending; all when absent.

    Returns
    -------
    dict of str to Tensor [D, T, N] kWh
        ``battery`` and timed stores as change of the content, ``<carrier>_pump`` and ``<carrier>_chp`` as electricity,
        ``<carrier>_store`` as change of the content.

    Raises
    ------
    Misfit
        If a traded carrier was planned as one store for all homes.
    """
    c = game.community
    who = np.arange(c.prosumers) if homes is None else homes
    if pooled and any(thermal.traded for thermal in c.thermal):
        raise Misfit(
            "A plan for the whole community has one store of traded heat or cold, which cannot be told apart by homes; "
            "choose scope home, or traded: false."
        )
    plan = {"battery": torch.from_numpy(response.store_change).transpose(1, 2)}
    flows = iter(response.flows)
    like = torch.zeros_like(plan["battery"])
    for store in c.timed:
        change = like.clone()
        for k in store.has[who].nonzero().flatten().tolist():
            flow = torch.from_numpy(next(flows))
            change[:, :, k] = flow[:, 0] - flow[:, 1]
        plan[store.name] = change
    for thermal in c.thermal:
        parts = {name: like.clone() for name in ("pump", "chp", "store")}
        for k, n in enumerate(who.tolist()):
            flow = torch.from_numpy(next(flows))
            cop, demand = (x[0 if len(x) == 1 else days][..., n] for x in (thermal.cop, thermal.demand))
            parts["pump"][:, :, k] = flow[:, 0] / cop
            parts["chp"][:, :, k] = flow[:, 1] / thermal.chp_heat[n].clamp(min=1e-12)
            parts["store"][:, :, k] = flow[:, 0] + flow[:, 1] + flow[:, 2] - flow[:, 3] - demand
        plan |= {f"{thermal.carrier}_{name}": part for name, part in parts.items()}
    return plan


def heads_of(game: Game) -> tuple[str, ...]:
    """Heads of an action that ``follow`` fills.

    Parameters
    ----------
    game : Game
        With its devices.

    Returns
    -------
    tuple of str
        Battery first.
    """
    return ("battery", *game.equipment.heads)


def follow(game: Game, state: State, plan: Plan) -> Tensor:
    """Action that makes the moves of a plan.

    Parameters
    ----------
    game : Game
        Rules.
    state : State
        Of B days.
    plan : dict of str to Tensor [B, N] kWh
        Moves of this step, as named by ``plan_of``.

    Returns
    -------
    Tensor [B, N, A]
        Columns as in ``heads_of``, in units of ratings.
    """
    equipment = game.equipment
    if not equipment.present:
        return game.action_for(state, plan["battery"]).unsqueeze(-1)
    heads = equipment.heads_for(state.levels, state.days, state.step, plan)
    battery = game.action_for(state, plan["battery"], load_of(game, state, heads))
    return torch.stack([battery, *(heads[head] for head in equipment.heads)], -1)


def load_of(game: Game, state: State, asked: Asked) -> Tensor:
    """Net load before the battery at the heads of other devices, without what trade of heat changes about it.

    Parameters
    ----------
    game : Game
        Rules.
    state : State
        Of B days.
    asked : dict of str to Tensor [B, N]
        Heads; devices without one follow their own rule.

    Returns
    -------
    Tensor [B, N] kWh
        + = import.
    """
    load = game.inflexible(state)
    if game.equipment.present:
        load = load + game.equipment.move(state.levels, state.days, state.step, asked, None, None, None).use
    if "curtail" in asked:
        pv = game.community.daily(game.community.pv)[state.days, state.step]
        load = load + asked["curtail"].double().clamp(0, 1) * pv
    return load
