"""Physics of devices: pure functions on tensors [..., N]. The game and every planner use exactly these."""

from __future__ import annotations

import torch
from torch import Tensor

from retail.community import Battery


def self_consumption(fixed: Tensor, battery: Battery) -> Tensor:
    """Store change that would bring the meter to zero, before any limit.

    Parameters
    ----------
    fixed : Tensor [..., N] kWh
        Inflexible net load of the step, + = import.
    battery : Battery
        Parameters [N].

    Returns
    -------
    Tensor [..., N] kWh
        Store side, + charges (surplus), - discharges (need).
    """
    return torch.where(fixed > 0, -fixed / battery.eta_discharge, -fixed * battery.eta_charge)


def feasible_range(
    stored: Tensor, battery: Battery, step_hours: float, steps_left: int, restore: bool
) -> tuple[Tensor, Tensor]:
    """Least and largest store change of this step.

    Rating, range of the store and, with ``restore``, the rule that the store can still return to its start in the
    steps left after this one (DESIGN.md section 3, ``storage_end``).

    Parameters
    ----------
    stored : Tensor [..., N] kWh
        Stored energy before the step.
    battery : Battery
        Parameters [N].
    step_hours : float h
        Length of a step.
    steps_left : int
        Steps after this one in the day.
    restore : bool
        Whether the day ends at ``battery.start``.

    Returns
    -------
    low, high : Tensor [..., N] kWh
        Store side, ``low <= high``; where the start is out of reach both lead as near to it as possible.
    """
    charge, discharge = battery.charge_kw * step_hours, battery.discharge_kw * step_hours
    low = torch.maximum(battery.store_min - stored, -discharge)
    high = torch.minimum(battery.store_max - stored, charge)
    if restore:
        # The target band comes last and is cut to the physical range, so an unreachable start is approached.
        need = battery.start - steps_left * charge - stored
        most = battery.start + steps_left * discharge - stored
        low, high = torch.minimum(torch.maximum(low, need), high), torch.maximum(torch.minimum(high, most), low)
    return low, high


def at_meter(store_change: Tensor, battery: Battery) -> Tensor:
    """Energy at the meter for a change of stored energy.

    Parameters
    ----------
    store_change : Tensor [..., N] kWh
        Store side, + charges.
    battery : Battery
        Parameters [N].

    Returns
    -------
    Tensor [..., N] kWh
        + = drawn from the meter.
    """
    return torch.where(store_change > 0, store_change / battery.eta_charge, store_change * battery.eta_discharge)


def from_meter(energy: Tensor, battery: Battery) -> Tensor:
    """Change of stored energy for energy at the meter; the inverse of ``at_meter``.

    Parameters
    ----------
    energy : Tensor [..., N] kWh
        + = drawn from the meter.
    battery : Battery
        Parameters [N].

    Returns
    -------
    Tensor [..., N] kWh
        Store side, + charges.
    """
    return torch.where(energy > 0, energy * battery.eta_charge, energy / battery.eta_discharge)


def wear(store_change: Tensor, battery: Battery, step_hours: float) -> Tensor:
    """Cost of wear of one step (not cash).

    Parameters
    ----------
    store_change : Tensor [..., N] kWh
        Store side.
    battery : Battery
        kappa $/kWh and rho $/kWh² [N].
    step_hours : float h
        Length of a step.

    Returns
    -------
    Tensor [..., N] $
        ``kappa |x| + rho / 2 * x² / step_hours``.
    """
    through = store_change.abs()
    return battery.wear_linear * through + battery.wear_quadratic / 2 * through * through / step_hours
