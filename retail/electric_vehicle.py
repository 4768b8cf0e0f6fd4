"""An electric vehicle as a store that is away for some hours and must be ready when it leaves."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike

from retail.timed_store import TimedStore


def electric_vehicle(
    prosumers: int,
    steps: int,
    *,
    has: ArrayLike = True,
    capacity_kwh: ArrayLike = 50.0,
    power_kw: ArrayLike = 7.0,
    efficiency: ArrayLike = 0.95,
    leaves: ArrayLike = 8.0,
    returns: ArrayLike = 17.0,
    drive_kwh: ArrayLike = 8.0,
    ready_kwh: ArrayLike | None = None,
    start_kwh: ArrayLike | None = None,
    feeds_back: bool = False,
    name: str = "vehicle",
) -> TimedStore:
    """One vehicle per prosumer with a daily trip.

    Parameters
    ----------
    prosumers, steps : int
        N and T.
    has : array_like [N] bool
        Who owns one.
    capacity_kwh, drive_kwh : array_like [N] kWh
        Of the battery, and used by the daily trip (store side).
    power_kw : array_like [N] kW
        Of the charger, store side.
    efficiency : array_like [N]
        One way, in (0, 1].
    leaves, returns : array_like [N] hour of the day
        Away from the step that holds ``leaves`` until the one before ``returns``.
    ready_kwh : array_like [N] kWh, optional
        Least content when it leaves; full when absent.
    start_kwh : array_like [N] kWh, optional
        At midnight, and again at the next; full less the trip when absent.
    feeds_back : bool
        Whether it may discharge into the home (vehicle to grid), at the same power.
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
    full, trip = each(capacity_kwh) * own, each(drive_kwh) * own
    ready = full if ready_kwh is None else each(ready_kwh) * own
    start = full - trip if start_kwh is None else each(start_kwh) * own
    hour = (np.arange(steps) * 24 / steps)[:, None]
    hours = 24 / steps
    # The step that holds the hour of departure is the first one away.
    away = (hour > each(leaves) - hours) & (hour < each(returns) - 1e-9)
    first_away = away & ~np.vstack([np.zeros((1, prosumers), dtype=bool), away[:-1]])
    leaving = np.vstack([first_away[1:], np.zeros((1, prosumers), dtype=bool)])
    rate = np.where(away, 0.0, each(power_kw) * own * hours)
    table = {
        "charge": rate,
        "discharge": rate if feeds_back else 0 * rate,
        "drain": np.where(first_away, trip, 0.0),
        "floor": np.where(leaving, ready, 0.0),
        "ceiling": np.broadcast_to(full, rate.shape),
    }
    eta = torch.from_numpy(each(efficiency).copy())
    tensors = {k: torch.from_numpy(np.ascontiguousarray(v))[None] for k, v in table.items()}
    return TimedStore(name=name, start=torch.from_numpy(start), eta_charge=eta, eta_discharge=eta, **tensors)
