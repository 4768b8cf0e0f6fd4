"""Prices near the one in force and what they would earn, if followers answer as they are and wholesale prices stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hmarl.evaluation import play_rows
from hmarl.policies.base import Learner
from hmarl.world import World
from retail.streams import stream
from retail.tariff import TICKS_PER_UNIT, Tariff

Array = NDArray[np.float64]
ROWS = 40_000
"""Homes times parallel days of one batch."""


def deviations(prices: Any, price: Array, count: int, seed: int) -> list[tuple[str, Array]]:
    """Structured deviations from a price: single steps by 1 and 3 cents, swaps that keep the mean, all steps at random.

    Parameters
    ----------
    prices : PriceSet
        Admissible buy prices; each deviation is cut into them.
    price : array [T] $/kWh
        In force.
    count : int
        How many; fewer only where the rules leave no room.
    seed : int
        Stream ``deviations``.

    Returns
    -------
    list of (str, array [T] $/kWh)
        Kind and price; all differ from each other and from ``price``.
    """
    rng, steps = stream(seed, "deviations"), len(price)
    if prices.menu is not None:
        others = [one for one in prices.menu if np.abs(one - price).max() > 1e-6]
        chosen = rng.permutation(len(others))[:count]
        return [("another tariff of the menu", others[k]) for k in sorted(chosen)]
    wishes: list[tuple[str, Array]] = []
    moves = [(t, cents) for cents in (0.01, -0.01, 0.03, -0.03) for t in rng.permutation(steps)[: max(count // 8, 1)]]
    for t, cents in moves:
        wishes.append((f"{100 * cents:+.0f} cent at one step", price + cents * np.eye(steps)[t]))
    while len(wishes) < 10 * count:
        t, u = rng.choice(steps, 2, replace=False)
        wishes.append(("2 cents from one step to another", price + 0.02 * (np.eye(steps)[t] - np.eye(steps)[u])))
        wishes.append(("all steps, up to 2 cents", price + rng.uniform(-0.02, 0.02, steps)))
    found: list[tuple[str, Array]] = []
    for kind, wish in wishes:
        here = prices.clip(wish)
        if len(found) < count and all(np.abs(here - one).max() > 1e-6 for one in (price, *(p for _, p in found))):
            found.append((kind, here))
    return found


def lanes(world: World, learner: Learner, tariffs: Sequence[Tariff], days: torch.Tensor) -> tuple[Array, Array]:
    """Play the same days at several tariffs side by side, exploration off.

    Parameters
    ----------
    world : World
        Game and arrivals.
    learner : Learner
        As it is.
    tariffs : sequence of Tariff
        K of them.
    days : Tensor [D] int64
        Days of the community.

    Returns
    -------
    importing, exporting : array [K, D, T] kWh
        Energy of the community bought from and sold to the tariff.
    """
    game, per = world.game, len(days)
    each = max(1, ROWS // (per * game.community.prosumers))
    parts = []
    for first in range(0, len(tariffs), each):
        some = [tariff.on(days) for tariff in tariffs[first : first + each]]
        rows = Tariff(*(torch.cat([getattr(one, f.name) for one in some]) for f in fields(Tariff)))
        which = days.repeat(len(some))
        grid = play_rows(game, learner, which, rows, world.arrival[which])[0].grid
        flows = torch.stack([grid.clamp(min=0).sum(-1), (-grid).clamp(min=0).sum(-1)])
        parts.append(flows.unflatten(1, (len(some), per)))
    both = torch.cat(parts, 1).numpy()
    return both[0], both[1]


def earned(tariff: Tariff, importing: Array, exporting: Array, wholesale: Array) -> Array:
    """What a tariff earns by day at given wholesale prices, without forecast errors.

    Parameters
    ----------
    tariff : Tariff [D, T]
        Ticks.
    importing, exporting : array [D, T] kWh
    wholesale : array [D, T] $/kWh

    Returns
    -------
    array [D] $
    """
    energy = tariff.energy.numpy() / TICKS_PER_UNIT
    return np.asarray(((energy - wholesale) * importing - (tariff.sell_price - wholesale) * exporting).sum(axis=1))


def gains(world: World, learner: Learner, tariffs: Sequence[Tariff], wholesale: Array) -> tuple[Array, float]:
    """What tariffs would earn more than the first of them, on training days.

    Parameters
    ----------
    world : World
        Game and arrivals.
    learner : Learner
        As it is; it learns nothing here.
    tariffs : sequence of Tariff
        1 + K of them, the one in force first.
    wholesale : array [D, T] $/kWh
        Of the training days.

    Returns
    -------
    array [K] $/day
    float
        Profit of the first, $/day.
    """
    flows = lanes(world, learner, tariffs, world.training)
    profits = [
        float(earned(tariff.on(world.training), importing, exporting, wholesale).mean())
        for tariff, importing, exporting in zip(tariffs, *flows, strict=True)
    ]
    return np.array(profits[1:]) - profits[0], profits[0]
