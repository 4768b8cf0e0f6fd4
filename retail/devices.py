"""Physics of devices: pure functions on tensors [..., N]. The game and every planner use exactly these."""

from __future__ import annotations

import torch
from torch import Tensor

from retail.community import Battery
from retail.wear_blocks import block_wear


def by_sign(x: Tensor, above: Tensor, below: Tensor) -> Tensor:
    """Multiply by one factor where positive and by another where negative.

    The same bits and the same gradient as ``x * torch.where(x > 0, above, below)``, four times faster on a CPU, where
    comparing and choosing are slow.

    Parameters
    ----------
    x : Tensor [..., N] float
        Any unit.
    above, below : Tensor
        Factors; finite, and broadcast against ``x``.

    Returns
    -------
    Tensor [..., N]
        Unit of ``x`` times that of the factors.
    """
    positive = x.relu()
    return torch.addcmul(positive * above, x - positive, below)


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
    return by_sign(fixed, -1 / battery.eta_discharge, -battery.eta_charge)


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
    if not restore:
        return low, high
    least, most = battery.start - steps_left * charge, battery.start + steps_left * discharge
    if bool(((least <= battery.store_min) & (most >= battery.store_max)).all()):
        return low, high
    # Where the start is out of reach the window is cut to the physical range, so that it is approached.
    return torch.clamp(least - stored, low, high), torch.clamp(most - stored, low, high)


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
    return by_sign(store_change, 1 / battery.eta_charge, battery.eta_discharge)


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
    return by_sign(energy, battery.eta_charge, 1 / battery.eta_discharge)


def wear(store_change: Tensor, battery: Battery, step_hours: float) -> Tensor:
    """Cost of wear of one step (not cash).

    Parameters
    ----------
    store_change : Tensor [..., N] kWh
        Store side.
    battery : Battery
        kappa $/kWh and rho $/kWh² [N], and blocks.
    step_hours : float h
        Length of a step.

    Returns
    -------
    Tensor [..., N] $
        ``kappa |x| + rho / 2 * x² / step_hours`` and each kWh at the price of its block.
    """
    if not battery.wears:
        return torch.zeros_like(store_change)
    through = store_change.abs()
    worn = through * (battery.wear_linear + (battery.wear_quadratic / (2 * step_hours)) * through)
    if not battery.wear_blocks:
        return worn
    rated = torch.where(store_change > 0, battery.charge_kw, battery.discharge_kw) * step_hours
    return worn + block_wear(through, rated, battery.wear_blocks)
