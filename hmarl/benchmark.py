"""What no follower can beat and what every follower should: the community optimum and the tuned rule."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hmarl.evaluation import Played, follows, play
from hmarl.pictures import picture
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
    from aggregator.portfolio import BestResponse  # noqa: PLC0415  pyomo is slow to import

    prices = tariff.on(days)
    pooled = not isinstance(game.auction, NoAuction)
    fee = float(prices.fee_price.min())
    homes = picture(game, days, pooled=pooled, fee=fee)
    if game.storage_end != "carry":
        cost = BestResponse(homes).solve(prices.buy_price, prices.sell_price).cost
        return cost if cost.ndim == 1 else cost.sum(axis=1)
    by_day = []
    for first, last in _stretches(days):
        length = last - first
        whole = homes.fixed_kwh[first:last].transpose(1, 0, 2).reshape(1, homes.prosumers, -1)
        tanks = tuple(tank.strung(first, last) for tank in homes.reservoirs)
        horizon = replace(homes, fixed_kwh=whole, end_value=np.zeros(homes.prosumers), reservoirs=tanks)
        buy, sell = (x[first:last].reshape(1, -1) for x in (prices.buy_price, prices.sell_price))
        by_day.append(np.full(length, float(BestResponse(horizon).solve(buy, sell).cost.sum()) / length))
    return np.concatenate(by_day)


def _stretches(days: Tensor) -> list[tuple[int, int]]:
    """Stretches of days without a gap, as positions [first, last)."""
    cuts = [0, *(i + 1 for i, next_day in enumerate(follows(days)) if not next_day), len(days)]
    return list(pairwise(cuts))


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
