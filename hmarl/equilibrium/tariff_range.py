"""Tariffs near the one in force, one for each day: followers that trained on them know what to do at a new price."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from hmarl.world import World
from retail.streams import stream
from retail.tariff import Tariff

if TYPE_CHECKING:
    from aggregator.leader import TariffRules
    from aggregator.price_set import PriceSet

Array = NDArray[np.float64]


def mean_price(tariff: Tariff) -> Array:
    """Buy price by step of the day, mean over days where they differ.

    Parameters
    ----------
    tariff : Tariff [T] or [D, T]
        Ticks.

    Returns
    -------
    array [T] $/kWh
    """
    price = tariff.buy_price
    return price if price.ndim == 1 else np.asarray(price.mean(axis=0))


def spread(rules: TariffRules, prices: PriceSet, tariff: Tariff, width: float, world: World, k: int) -> Tariff:
    """A different admissible tariff near the one in force for every day, for followers that shall know them all.

    Parameters
    ----------
    rules : TariffRules
        Make tariffs of prices.
    prices : PriceSet
        Admissible buy prices.
    tariff : Tariff [T]
        In force.
    width : float $/kWh
        Each step of each day moves by at most so much.
    world : World
        Its community has the days; stream ``tariffs``.
    k : int
        Round, so that each has its own draw.

    Returns
    -------
    Tariff [community days, T]
        Ticks.
    """
    rng = stream(world.seed, f"tariffs {k}")
    made = [rules.tariff(prices.clip(mean_price(tariff) + rng.uniform(-width, width, tariff.steps)))
            for _ in range(world.game.community.days)]  # fmt: skip
    parts = ("energy", "network", "levy", "sell", "fee")
    return Tariff(*(torch.stack([getattr(one, part).expand(tariff.steps) for one in made]) for part in parts))
