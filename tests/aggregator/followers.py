"""Small random followers for the tests of this folder."""

import numpy as np

from aggregator.portfolio import Portfolio


def draw(rng, *, days=2, prosumers=3, steps=8, batteries=2, equal=False, rho=0.0, **changes):
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


def prices(rng, steps, days=None):
    shape = (steps,) if days is None else (days, steps)
    buy = rng.uniform(0.12, 0.4, shape)
    return buy, np.full(shape, 0.05)
