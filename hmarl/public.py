"""What the platform publishes of a step: outcomes of the market, and mean actions of buyers and of sellers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hmarl.policies.base import Spec
from retail.game import Game
from retail.orders import NANO_PER_TICK_WH
from retail.state import Outcome, State

MARKET = ("demand", "supply", "price", "price_spread", "matched", "net")
"""Market outcomes of the retail game: demand and supply (mean per home, in mean home sizes), volume-weighted price and
its spread (0 at the feed-in price, 1 at the buy price), matched share of the shorter side, net import (as demand)."""


class Published(NamedTuple):
    """What is kept of a step for learners that ask.

    Attributes
    ----------
    vector : Tensor [B, Z] float32
        What everybody may know after the step, no unit.
    position : Tensor [B, N] float32
        Net load at the meter in mean home sizes, + = import: known to its owner, and to the platform while training.
    """

    vector: Tensor
    position: Tensor


def reads_public(learner: Any) -> bool:
    """Whether a learner wants what is published.

    Parameters
    ----------
    learner : Learner
        Says so by its attribute ``reads_public``; without one it does not.

    Returns
    -------
    bool
        True while ``Seen.public`` and ``Rollout.public`` are to be filled.
    """
    return bool(getattr(learner, "reads_public", False))


def public_width(heads: int, retail: bool) -> int:
    """Length Z of the published vector.

    Parameters
    ----------
    heads : int
        Heads A that a learner decides.
    retail : bool
        Whether it plays the retail game.

    Returns
    -------
    int
        Market outcomes, if any, and mean actions.
    """
    return 4 * heads + 1 + (len(MARKET) if retail else 0)


def mean_actions(action: Tensor, buying: Tensor) -> Tensor:
    """Mean and spread of the actions of buyers and of sellers; an empty side counts zero.

    A single mean over both sides would be near 0 and say nothing.

    Parameters
    ----------
    action : Tensor [..., N, A]
        In [-1, 1].
    buying : Tensor [..., N] bool
        Side of each agent.

    Returns
    -------
    Tensor [..., 4 A + 1]
        Mean and spread of buyers, mean and spread of sellers (A each), share of buyers; no unit.
    """
    action, parts = action.clamp(-1, 1), []
    for side in (buying, ~buying):
        weight = side.unsqueeze(-1).to(action.dtype)
        count = weight.sum(-2).clamp(min=1)
        mean = (action * weight).sum(-2) / count
        spread = ((action - mean.unsqueeze(-2)) * weight).square().sum(-2) / count
        parts += [mean, spread.sqrt()]
    return torch.cat([*parts, buying.to(action.dtype).mean(-1, keepdim=True)], -1)


def market_summary(game: Game, before: State, outcome: Outcome) -> Tensor:
    """Outcomes of the market in one step.

    Parameters
    ----------
    game : Game
        Scales.
    before : State
        Before the step; its tariff in ticks.
    outcome : Outcome
        Of the step, kWh, Wh and nano-currency.

    Returns
    -------
    Tensor [B, 6] float32
        As named in ``MARKET``, no unit.
    """
    prices, size = before.tariff[:, before.step], game.observer.size.mean()
    demand, supply = (x.clamp(min=0).mean(-1) / size for x in (outcome.net, -outcome.net))
    wh, cash = outcome.trade_wh.double(), outcome.trade_cash.double()
    bought = wh.clamp(min=0)
    volume = bought.sum(-1)
    # Prices in ticks, then on the range from feed-in to buy price.
    price = torch.where(wh == 0, 0.0, cash / torch.where(wh == 0, 1.0, wh * NANO_PER_TICK_WH))
    share = bought / volume.clamp(min=1).unsqueeze(-1)
    mean = (price * share).sum(-1)
    spread = (((price - mean.unsqueeze(-1)).square() * share).sum(-1)).sqrt()
    room = (prices.buy - prices.sell).clamp(min=1).double()
    shorter = torch.minimum(demand, supply) * size * wh.shape[-1] * 1000
    traded = volume > 0
    parts = (
        demand,
        supply,
        torch.where(traded, (mean - prices.sell) / room, 0.0),
        torch.where(traded, spread / room, 0.0),
        volume / shorter.clamp(min=1),
        demand - supply,
    )
    return torch.stack(parts, -1).float()


def publish(game: Game, before: State, outcome: Outcome, action: Tensor) -> Published:
    """Everything the platform knows of one step of the retail game.

    Parameters
    ----------
    game : Game
        Scales.
    before : State
        Before the step.
    outcome : Outcome
        Of the step, kWh.
    action : Tensor [B, N, A]
        As chosen.

    Returns
    -------
    Published
        ``market_summary`` (6), then ``mean_actions`` of those that import and of those that export (4 A + 1).
    """
    means = mean_actions(action.float(), outcome.net > 0)
    position = (outcome.net / game.observer.size.mean()).float()
    return Published(torch.cat([market_summary(game, before, outcome), means], -1), position)


def publish_actions(action: Tensor) -> Published:
    """What is published outside the retail game, where all agents are on one side.

    Parameters
    ----------
    action : Tensor [B, N, A]
        As chosen.

    Returns
    -------
    Published
        ``mean_actions`` (4 A + 1), all positions 0.
    """
    nobody = torch.zeros(action.shape[:-1], dtype=torch.bool)
    return Published(mean_actions(action, nobody), nobody.float())


def unpublished(learner: Any, batch: int, agents: int, retail: bool = True) -> Published:
    """What is known of the market before the first step: zeros, of no width for a learner that does not ask.

    Parameters
    ----------
    learner : Learner
        Of any policy.
    batch, agents : int
        Days B and agents N.
    retail : bool
        Whether the retail game is played.

    Returns
    -------
    Published
        Zeros, no unit.
    """
    if not reads_public(learner):
        return Published(torch.zeros(batch, 0), torch.zeros(batch, 0))
    width = public_width(len(learner.heads), retail)
    return Published(torch.zeros(batch, width), torch.zeros(batch, agents))


@dataclass(frozen=True)
class OwnEffect:
    """How an agent's own action changes what is published, the others as they were.

    Exact for every published mean of actions; demand, supply and net move along the rating of the battery, which is
    exact while the store has room and its losses are left out. Prices, shares and spreads stay as they were.

    Attributes
    ----------
    agents : int
        All agents N, over whom means are taken.
    slope : Tensor [N, A]
        Change of position, in mean home sizes, for each unit of a head; 0 outside the retail game.
    market : bool
        Whether the published vector begins with market outcomes.
    """

    agents: int
    slope: Tensor
    market: bool

    @classmethod
    def of(cls, spec: Spec, heads: tuple[str, ...]) -> OwnEffect:
        """Effects in the environment of a learner.

        Parameters
        ----------
        spec : Spec
            With or without a retail game.
        heads : tuple of str
            Of the learner.

        Returns
        -------
        OwnEffect
            No unit.
        """
        slope = torch.zeros(spec.agents, len(heads))
        if spec.game is not None and "battery" in heads:
            community = spec.game.community
            rating = (community.battery.charge_kw + community.battery.discharge_kw) / 2 * community.step_hours
            slope[:, heads.index("battery")] = (rating / spec.game.observer.size.mean()).float()
        return cls(spec.agents, slope, spec.game is not None)

    def shift(self, public: Tensor, position: Tensor, slope: Tensor, change: Tensor) -> Tensor:
        """Change of what is published, for each agent on its own.

        Parameters
        ----------
        public : Tensor [R, Z]
            As published.
        position : Tensor [G, R, K, 1]
            Net load of each agent, in mean home sizes.
        slope : Tensor [G, 1, K, A]
            Rows of ``slope``, by group.
        change : Tensor [G, R, K, A]
            Of its action.

        Returns
        -------
        Tensor [G, R, K, Z]
            With the derivative of ``change``.
        """
        parts = []
        if self.market:
            after = position + (slope * change).sum(-1, keepdim=True)
            demand, supply = ((x(after) - x(position)) / self.agents for x in (_bought, _sold))
            still = torch.zeros_like(demand)
            parts = [demand, supply, still, still, still, demand - supply]
        if public.shape[-1] > len(parts):
            share = public[:, -1, None, None]
            buying = (position > 0).float()
            for side, part in ((buying, share), (1 - buying, 1 - share)):
                # At least one agent is on its own side.
                mean = change * side / (part * self.agents).clamp(min=1.0)
                parts += [mean, torch.zeros_like(mean)]
            parts.append(torch.zeros_like(buying))
        return torch.cat(parts, -1)


def _bought(position: Tensor) -> Tensor:
    return position.clamp(min=0)


def _sold(position: Tensor) -> Tensor:
    return (-position).clamp(min=0)
