"""The nine macro-actions of MAPDES, in terms of what a store can do."""

from __future__ import annotations

import torch
from torch import Tensor

from retail.battery_head import intended
from retail.devices import at_meter, self_consumption
from retail.game import Game
from retail.state import State

NAMES = (
    "buy",
    "sell",
    "self-consume",
    "charge and sell",
    "charge and buy",
    "discharge and sell",
    "discharge and buy",
    "self-consume and charge",
    "self-consume and discharge",
)
TRADE = torch.tensor([1, -1, 0, -1, 1, -1, 1, 0, 0])
"""What each says it does at the meter: + buys, - sells."""


def store_changes(game: Game, state: State) -> Tensor:
    """What each macro-action asks of the stores.

    One meter closes the balance of a home, so nine names stand for five moves: rest (the first three), charge from own
    surplus only (``charge and sell``, ``self-consume and charge``), charge at the rating, discharge at the rating and
    discharge what the home needs (``discharge and buy``, ``self-consume and discharge``).

    Parameters
    ----------
    game : Game
        Physics.
    state : State
        Of B days.

    Returns
    -------
    Tensor [B, N, 9] kWh
        Store side, + charges, before projection; in the order of ``NAMES``.
    """
    battery, hours = game.community.battery, game.community.step_hours
    follow = self_consumption(game.base(state), battery)
    most, least = battery.charge_kw * hours, -battery.discharge_kw * hours
    surplus = torch.minimum(follow.clamp(min=0), most)
    need = torch.maximum(follow.clamp(max=0), least)
    rest, full, empty = torch.zeros_like(follow), most.expand_as(follow), least.expand_as(follow)
    return torch.stack([rest, rest, rest, surplus, full, empty, need, surplus, need], -1)


def at_the_meter(game: Game, state: State, head: Tensor) -> tuple[Tensor, Tensor]:
    """What a battery head comes to.

    Parameters
    ----------
    game : Game
        Physics; committed dispatch.
    state : State
        Of B days.
    head : Tensor [B, N]
        In units of the rating.

    Returns
    -------
    net : Tensor [B, N] kWh
        At the meter, + = import.
    cut : Tensor [B, N] kWh
        How much of the move was not possible, store side, at least 0.
    """
    low, high = game.feasible(state)
    c, base = game.community, game.base(state)
    wish = intended(head, base, c.battery, c.step_hours, game.action)
    change = torch.minimum(torch.maximum(wish, low), high)
    return base + at_meter(change, c.battery), (wish - change).abs()
