"""Random views of a leader: small markets in which every rule, cost and shape of the followers occurs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from aggregator.leader import TariffRules, View
from aggregator.meter import Meter
from aggregator.prosumers import Portfolio
from retail.streams import stream
from retail.tariff import Tariff


@dataclass(frozen=True)
class Trial:
    """A view and what it is called in messages."""

    name: str
    view: View


def random_views(count: int, seed: int) -> Iterator[Trial]:
    """Draw views of 1 to 4 prosumers over 1 to 3 days of 6 to 12 steps.

    Rules with and without cap, ramp, blocks and menu, pooled followers with and without a fee and lonely ones,
    linear, quadratic and block-convex wear, ``restore`` and ``value`` ends, a default tariff that differs by day,
    negative wholesale prices.

    Parameters
    ----------
    count : int
    seed : int
        At least 0.

    Yields
    ------
    Trial
    """
    rng = stream(seed, "leader trials")
    for k in range(count):
        days, prosumers, steps = int(rng.integers(1, 4)), int(rng.integers(1, 5)), int(rng.integers(6, 13))
        capacity = rng.uniform(0.0, 5.0, prosumers) * (rng.random(prosumers) < 0.7)
        shape = (2 * days, steps) if k % 3 == 2 else (steps,)
        network, levy, sell = 0.05, 0.02, 0.04
        default = Tariff.make(energy=rng.uniform(0.08, 0.25, shape), network=network, levy=levy, sell=sell)
        flat, alike = np.ones(steps), np.ones(prosumers)
        rules = TariffRules(
            default, floor=0.1 * flat, ceiling=rng.uniform(0.3, 0.45) * flat, sell=sell * flat,
            network=network * flat, levy=levy * flat,
            average_cap=float(rng.uniform(0.2, 0.3)) if k % 2 else None, ramp=0.08 if k % 5 == 3 else None,
            blocks=np.arange(steps) // 3 % 3 if k % 4 == 3 else None,
            menu=np.linspace(0.12, 0.28, 5)[:, None] * flat + 0.02 * (np.arange(steps) % 2) if k % 6 == 4 else None,
        )  # fmt: skip
        portfolio = Portfolio(
            rng.normal(0.3, 1.0, (days, prosumers, steps)), store_min=0.1 * capacity, store_max=capacity,
            start=rng.uniform(0.1, 0.9) * capacity, charge=0.4 * capacity, discharge=0.35 * capacity,
            eta_charge=0.95 * alike, eta_discharge=0.93 * alike, wear_linear=0.01 * alike,
            wear_quadratic=(0.0, 0.03)[k // 2 % 2] * alike,
            storage_end=("restore", "value")[k // 3 % 2], end_value=0.12, pooled=k % 4 != 1, fee=0.02 * (k % 4 == 2),
            wear_blocks=((0.4, 0.0), (1.0, 0.04)) if k % 5 == 4 else (),
        )  # fmt: skip
        lmp = rng.uniform(-20.0 if k % 7 == 6 else 15.0, 150.0, (days, steps))
        yield Trial(
            f"view {k} ({prosumers} prosumers, {days} days of {steps} steps)",
            View(
                0,
                rules,
                portfolio,
                lmp,
                Meter(1000),
                seed=int(rng.integers(1000)),
                days=np.arange(days) * 2 % (2 * days),
            ),
        )


def broken_rules() -> Iterator[tuple[str, TariffRules]]:
    """Rules that contradict themselves; every leader must refuse them.

    Yields
    ------
    name : str
    rules : TariffRules
        Of 6 steps.
    """
    default, flat = Tariff.make(energy=np.full(6, 0.15), network=0.05, levy=0.02, sell=0.04), np.ones(6)
    good = TariffRules(default, 0.1 * flat, 0.4 * flat, 0.04 * flat, 0.05 * flat, 0.02 * flat)
    changes: dict[str, dict[str, Any]] = {
        "a cap below the lowest price": {"average_cap": 0.05},
        "a floor below the feed-in price": {"sell": 0.2},
        "a ceiling below the floor": {"ceiling": 0.05},
        "an unbounded price": {"ceiling": np.inf},
        "an empty menu": {"menu": np.zeros((0, 6))},
        "a menu of which every tariff breaks the cap": {"menu": np.full((2, 6), 0.3), "average_cap": 0.2},
        "blocks without a common price": {
            "blocks": np.zeros(6, np.intp),
            "floor": np.linspace(0.1, 0.3, 6),
            "ceiling": np.linspace(0.15, 0.4, 6),
        },
        "negative charges": {"network": -0.5},
    }
    for name, change in changes.items():
        yield name, replace(good, **change)
