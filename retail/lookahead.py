"""Looking ahead without an auction: a step of the game that can be differentiated."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from retail.auctions.none import NoAuction
from retail.devices import at_meter, wear
from retail.game import Game
from retail.heads import named
from retail.settlement import matched_worth, tariff_bill
from retail.state import State


def pooled_step(game: Game, state: State, action: Tensor, heads: tuple[str, ...]) -> tuple[State, Tensor]:
    """Where stores would be after a step, and what the community would pay.

    The same physics, projection and costs as ``Game.step``, with every overlapping kWh matched; differentiable in the
    action and in the content of all stores. Thermal carriers are not traded here.

    Parameters
    ----------
    game : Game
        Rules.
    state : State
        Of B days, not over.
    action : Tensor [B, N, A]
        Heads of the battery and of other devices, in [-1, 1].
    heads : tuple of str
        Names of its columns.

    Returns
    -------
    after : State
        With the content of all stores (kWh) after the step; its last trades are those of ``state``.
    cost : Tensor [B] $
        Bill of the community at the tariff, fee, fuel, peak, wear, and at the end of the day shortfall less end value.
    """
    c, prices = game.community, state.tariff[:, state.step]
    asked = named(action, heads, game.heads)
    base, fuel, levels = game.inflexible(state), torch.zeros(()), state.levels
    if game.equipment.present:
        used = game.equipment.move(levels, state.days, state.step, asked, None, None, None)
        base, fuel, levels = base + used.use, used.fuel.sum(-1), used.levels
    change, _, _ = game.move(state, base, asked)
    net = base + at_meter(change, c.battery)
    after = replace(state, step=state.step + 1, stored=state.stored + change, levels=levels)
    shortfall, value = game.end_of_day(after)
    own = tariff_bill(net, prices) + wear(change, c.battery, c.step_hours) + shortfall - value
    bought, sold = net.clamp(min=0).sum(-1), (-net).clamp(min=0).sum(-1)
    worth = matched_worth(prices) * torch.minimum(bought, sold) * (not isinstance(game.auction, NoAuction))
    above = torch.zeros(())
    if game.peak is not None and game.peak.rule != "report":
        above = game.peak.rate * (net.sum(-1) - game.peak.cap_kw * c.step_hours).clamp(min=0)
    return after, own.sum(-1) - worth + fuel + above
