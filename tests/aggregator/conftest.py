"""Small random followers for the tests of this folder."""

import numpy as np
import pytest
import torch

from aggregator.leader import TariffRules, View
from aggregator.meter import Meter
from aggregator.portfolio import Portfolio
from aggregator.reservoirs import Port, Reservoir
from retail.tariff import Tariff

torch.set_num_threads(1)


def _draw(rng, *, days=2, prosumers=3, steps=8, batteries=2, equal=False, rho=0.0, **changes):
    fixed = rng.normal(0.2, 1.2, (days, prosumers, steps))
    spread = np.ones(prosumers) if equal else rng.uniform(0.7, 1.3, prosumers)
    cap = np.where(np.arange(prosumers) < batteries, 4.0 * spread, 0.0)
    values = {
        "store_min": 0.1 * cap,
        "store_max": cap,
        "start": 0.4 * cap,
        "charge": 0.3 * cap,
        "discharge": 0.35 * cap,
        "eta_charge": 0.95,
        "eta_discharge": 0.92,
        "wear_linear": 0.01,
        "wear_quadratic": rho,
        "end_value": 0.12,
    }
    return Portfolio(fixed, **{**values, **changes})


def _flexible(rng, *, homes, steps, days=1, curve=0.0):
    """A deferrable load in each home: a store that fills within a window and is emptied at its end."""
    tanks = []
    for home in range(homes):
        begin = int(rng.integers(0, steps - 3))
        end, needed = begin + int(rng.integers(3, steps - begin + 1)), rng.uniform(0.5, 2.0)
        limit, drain = np.zeros((1, steps)), np.zeros((1, steps))
        limit[0, begin:end], drain[0, end - 1] = needed / 1.7, needed
        none = np.zeros((1, steps))
        port = Port(1.0, limit, none + 1.0, none, none + curve)
        tanks.append(Reservoir(home, none, none + needed, drain, 0.0, 1.0, (port,)))
    return tuple(tanks)


def _prices(rng, steps, days=None):
    shape = (steps,) if days is None else (days, steps)
    buy = rng.uniform(0.12, 0.4, shape)
    return buy, np.full(shape, 0.05)


def _view(rng, *, steps=8, days=2, rules=None, **followers):
    default = Tariff.make(
        energy=np.where(np.arange(steps) < steps // 2, 0.14, 0.28), network=0.06, levy=0.02, sell=0.05
    )
    limits = {"floor": 0.14, "ceiling": 0.4, "sell": 0.05, "network": 0.06, "levy": 0.02, "average_cap": 0.28}
    portfolio = _draw(rng, steps=steps, days=days, **followers)
    lmp = rng.uniform(20.0, 160.0, (days, steps))
    return View(0, TariffRules(**{"default": default, **limits, **(rules or {})}), portfolio, lmp, Meter())


@pytest.fixture
def draw():
    return _draw


@pytest.fixture
def flexible():
    return _flexible


@pytest.fixture
def prices():
    return _prices


@pytest.fixture
def make_view():
    return _view
