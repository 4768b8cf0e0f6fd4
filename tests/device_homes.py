"""Small communities with every device, for tests."""

import numpy as np
import torch

from retail import Battery, Community, Tariff
from retail.deferrable_load import deferrable_load
from retail.electric_vehicle import electric_vehicle
from retail.thermal import Thermal

HOMES, DAYS, STEPS = 6, 4, 24


def thermal(carrier, rng, *, traded=True, backup="gas", rate=2.5):
    """Half of the homes with a pump, every third with CHP, all with a store of some size."""
    homes = np.arange(HOMES)

    def t(x):
        return torch.from_numpy(np.broadcast_to(np.asarray(x, dtype=np.float64), (HOMES,)).copy())

    return Thermal(
        carrier=carrier,
        demand=torch.from_numpy(rng.uniform(0, 4, (DAYS, STEPS, HOMES))),
        pump=t(np.where(homes % 2 == 0, 1.0, 0.0)),
        cop=torch.from_numpy(rng.uniform(2, 4, (1, STEPS, HOMES))),
        chp=t(np.where(homes % 3 == 0, 1.5, 0.0)),
        chp_heat=t(1.6),
        chp_fuel=t(3.0),
        backup_use=t(1.1 if backup == "gas" else 0.4),
        backup=backup,
        store_max=t(np.where(homes % 4 == 3, 0.0, 6.0)),
        store_start=t(np.where(homes % 4 == 3, 0.0, 2.0)),
        store_rate=t(np.where(homes % 4 == 3, 0.0, rate)),
        keep=t(0.98),
        fuel_price=torch.full((STEPS,), 0.08, dtype=torch.float64),
        traded=traded,
    )


def community(seed=0, rate=2.5, **changes):
    rng = np.random.default_rng(seed)
    hours = STEPS * DAYS
    load, pv = rng.uniform(0, 2, (hours, HOMES)), np.maximum(rng.normal(0, 1.5, (hours, HOMES)), 0)
    clock = np.datetime64("2012-07-02", "m") + np.arange(hours) * np.timedelta64(60, "m")
    given = {
        "timed": (
            electric_vehicle(HOMES, STEPS, has=np.arange(HOMES) < 4, feeds_back=seed % 2 == 1),
            deferrable_load(HOMES, STEPS, has=np.arange(HOMES) % 2 == 1),
        ),
        "thermal": (thermal("heat", rng, rate=rate), thermal("cold", rng, rate=rate, backup="electricity")),
    } | changes
    store = Battery.make(HOMES, has=np.arange(HOMES) % 2 == 0, wear_quadratic=0.03)
    profiles = (torch.from_numpy(load), torch.from_numpy(pv))
    names = tuple(f"h{i}" for i in range(HOMES))
    return Community(names, clock, "UTC", 60, *profiles, store, torch.ones(HOMES).double(), **given)


PRICES = Tariff.make(energy=np.tile([0.10, 0.25, 0.40], 8), sell=np.full(24, 0.04), network=0.05, levy=0.02)
