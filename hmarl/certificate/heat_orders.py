"""What homes bid for and offer of the heat they trade, which no outcome of a step keeps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hmarl.policies.base import Learner, Seen, Stateless
from hmarl.public import reads_public
from retail.auctions.none import NoAuction
from retail.game import Game
from retail.orders import to_wh
from retail.thermal import Thermal

Array = NDArray[np.float64]


def traded(game: Game) -> tuple[int, ...]:
    """Which carriers homes trade with each other.

    Parameters
    ----------
    game : Game

    Returns
    -------
    tuple of int
        Positions among the community's thermal carriers.
    """
    if isinstance(game.auction, NoAuction):
        return ()
    return tuple(k for k, thermal in enumerate(game.community.thermal) if thermal.traded)


@dataclass(frozen=True)
class HeatOrders:
    """Orders of others for one carrier, as each home finds them.

    Attributes
    ----------
    carrier : int
        Position among the community's thermal carriers.
    offered, wanted : array [D, T, N] kWh thermal
        Offers cost nothing at least; nobody bids more than its own back-up costs.
    price : array [T] $/kWh
        At most so much is paid, which is what the dearest back-up costs.
    """

    carrier: int
    offered: Array
    wanted: Array
    price: Array


class Noted(Stateless):
    """Acts as a learner does and notes what its homes bid for and offer of heat.

    Parameters
    ----------
    learner : Learner
        Of all homes.
    game : Game
        Traded carriers have gas as their back-up.
    """

    def __init__(self, learner: Learner, game: Game) -> None:
        self.learner, self.game, self.reads_public = learner, game, reads_public(learner)
        self.heads, self.reads_features = learner.heads, learner.reads_features
        self.lacking: list[Tensor] = []

    def act(self, seen: Seen, explore: bool) -> Tensor:
        """The learner's own actions.

        Parameters
        ----------
        seen : Seen
            Of B days.
        explore : bool
            As for the learner.

        Returns
        -------
        Tensor [B, N, A]
            Heads of the learner.
        """
        action, state = self.learner.act(seen, explore), seen.state
        asked = dict(zip(self.heads, action.unbind(-1), strict=True))
        lacking = self.game.equipment.lacking(state.levels, state.days, state.step, asked)
        self.lacking.append(torch.stack(lacking, -1))
        return action

    def orders(self, days: int) -> tuple[HeatOrders, ...]:
        """What was noted while so many days were played, one entry for each traded carrier.

        Parameters
        ----------
        days : int
            Side by side, or one after the other under ``storage_end: carry``.

        Returns
        -------
        tuple of HeatOrders
        """
        game, steps = self.game, self.game.community.steps
        noted = torch.stack(self.lacking, 1)  # rows of a batch first
        noted = noted.reshape(days, steps, *noted.shape[2:])
        noted, found = to_wh(noted).double() / 1000, []
        for k in traded(game):
            give, take = (-noted[..., k]).clamp(min=0), noted[..., k].clamp(min=0)
            offered, wanted = ((x.sum(-1, keepdim=True) - x).numpy() for x in (give, take))
            found.append(HeatOrders(k, offered, wanted, _dearest(game.community.thermal[k])))
        return tuple(found)


def _dearest(thermal: Thermal) -> Array:
    """What a kWh from the dearest gas back-up costs in each step, array [T] $/kWh."""
    return np.asarray((thermal.fuel_price * thermal.backup_use.max()).numpy())
