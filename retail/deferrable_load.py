"""A deferrable load as a store that is filled inside a window and used up at its end."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike

from retail.timed_store import TimedStore


def deferrable_load(
    prosumers: int,
    steps: int,
    *,
    has: ArrayLike = True,
    energy_kwh: ArrayLike = 2.0,
    power_kw: ArrayLike = 2.0,
    earliest: ArrayLike = 9.0,
    latest: ArrayLike = 22.0,
    name: str = "deferrable",
) -> TimedStore:
    """One load per prosumer that must draw its energy between two hours of the day.

    Parameters
    ----------
    prosumers, steps : int
        N and T.
    has : array_like [N] bool
        Who has one.
    energy_kwh : array_like [N] kWh
        Each day.
    power_kw : array_like [N] kW
        Largest draw.
    earliest, latest : array_like [N] hour of the day
        The window, 0 <= earliest < latest <= 24.
    name : str
        Of its head.

    Returns
    -------
    TimedStore
        Tables [1, T, N] in kWh.
    """

    def each(value: ArrayLike) -> np.ndarray:
        return np.broadcast_to(np.asarray(value, dtype=np.float64), (prosumers,))

    own = np.broadcast_to(np.asarray(has, dtype=bool), (prosumers,)).astype(np.float64)
    hours = 24 / steps
    hour = (np.arange(steps) * hours)[:, None]
    inside = (hour >= each(earliest) - 1e-9) & (hour + hours <= each(latest) + 1e-9)
    energy = each(energy_kwh) * own
    last = inside & ~np.vstack([inside[1:], np.zeros((1, prosumers), dtype=bool)])
    rate = np.where(inside, each(power_kw) * own * hours, 0.0)
    tables = {
        "charge": rate,
        "discharge": 0 * rate,
        "drain": np.where(last, energy, 0.0),
        "floor": 0 * rate,
        "ceiling": np.broadcast_to(energy, rate.shape),
    }
    one = torch.ones(prosumers, dtype=torch.float64)
    tensors = {k: torch.from_numpy(np.ascontiguousarray(v))[None] for k, v in tables.items()}
    return TimedStore(name=name, start=0 * one, eta_charge=one, eta_discharge=one, **tensors)
