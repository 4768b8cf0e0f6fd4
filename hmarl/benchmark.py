"""What no follower can beat and what every follower should: the community optimum and the tuned rule."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hmarl.evaluation import Played, play
from hmarl.pictures import picture, solved
from hmarl.policies.base import Learner, Seen, Spec, Stateless
from hmarl.policies.rule_based import RuleBased
from hmarl.training import Ground, train
from retail.auctions.none import NoAuction
from retail.game import Game
from retail.streams import stream
from retail.tariff import Tariff


def community_optimum(game: Game, days: Tensor, tariff: Tariff) -> NDArray[np.float64]:
    """Least cost of the whole community with perfect foresight, under exactly the game's costs and ``storage_end``.

    Without an auction no energy changes hands, so homes are optimised alone; with one, internal payments are transfers
    and one balance faces the tariff. Under ``carry`` days without a gap are one horizon with a free end, a lower
    bound.

    Parameters
    ----------
    game : Game
        Costs and rules.
    days : Tensor [D] int64
        Days of the community.
    tariff : Tariff [T] or [community days, T]
        Prices in ticks.

    Returns
    -------
    array [D] $
        Cost by day, wear included; under ``carry`` each day holds the mean over its horizon.
    """
    prices = tariff.on(days)
    pooled = not isinstance(game.auction, NoAuction)
    fee = float(prices.fee_price.min())
    homes = picture(game, days, pooled=pooled, fee=fee)
    cost = solved(game, homes, days, prices.buy_price, prices.sell_price).cost
    return cost if cost.ndim == 1 else cost.sum(axis=1)


def tuned_rule(ground: Ground, clusters: Tensor, tariff: Tariff, seed: int) -> Learner:
    """The rule-based policy, tuned on training days at a tariff.

    Parameters
    ----------
    ground : Ground
        Game, training days, arrivals.
    clusters : Tensor [N] int64
        Labels of prosumers.
    tariff : Tariff [T] or [community days, T]
        Prices in ticks.
    seed : int
        Seed of the run.

    Returns
    -------
    Learner
        Ready to play.
    """
    learner = RuleBased().start(Spec.of(ground.game, clusters, seed))
    train(learner, ground, tariff, 1, stream(seed, "tuning"))
    return learner


def no_battery(game: Game, days: Tensor, tariff: Tariff, arrival: Tensor) -> Played:
    """Play with all batteries idle and truthful prices: the baseline without any decision.

    Parameters
    ----------
    game : Game
        Rules.
    days : Tensor [D] int64
        Days of the community.
    tariff : Tariff [T] or [community days, T]
        Prices in ticks.
    arrival : Tensor [community days, T, N] int64
        From ``arrivals``.

    Returns
    -------
    Played
        Outcomes in kWh and $.
    """
    b = game.community.battery
    empty = replace(b, store_max=b.store_min, start=b.store_min)
    idle = replace(game, community=game.community.with_battery(empty))
    return play(idle, Idle(), days, tariff, arrival)


class Idle(Stateless):
    """Followers who never move a battery."""

    def act(self, seen: Seen, explore: bool) -> Tensor:
        """Ask for no correction of self-consumption, which an empty battery range turns into nothing.

        Parameters
        ----------
        seen : Seen
            State in kWh.
        explore : bool
            No difference.

        Returns
        -------
        Tensor [B, N, 1]
            Zeros.
        """
        return torch.zeros(*seen.state.stored.shape, 1)
