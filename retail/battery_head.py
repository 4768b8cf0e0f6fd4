"""What the battery head of an action means: power itself, or a correction of self-consumption."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from retail.community import Battery
from retail.devices import by_sign, self_consumption

Action = Literal["residual", "raw"]


def intended(power: Tensor, base: Tensor, battery: Battery, step_hours: float, action: Action) -> Tensor:
    """Store change that a battery head asks for, before projection.

    Parameters
    ----------
    power : Tensor [B, N]
        Battery head, in units of the rating.
    base : Tensor [B, N] kWh
        Net load before the battery.
    battery : Battery
        Parameters [N].
    step_hours : float h
        Length of a step.
    action : str
        ``residual``: the head is added to self-consumption; ``raw``: it is the power itself.

    Returns
    -------
    Tensor [B, N] kWh
        Store side, + charges.
    """
    moved = by_sign(power.double(), battery.charge_kw * step_hours, battery.discharge_kw * step_hours)
    return moved + self_consumption(base, battery) if action == "residual" else moved


def head_for(store_change: Tensor, base: Tensor, battery: Battery, step_hours: float, action: Action) -> Tensor:
    """Battery head that asks for a store change; the inverse of ``intended``.

    Parameters
    ----------
    store_change : Tensor [B, N] kWh
        Store side, + charges.
    base, battery, step_hours, action
        As for ``intended``.

    Returns
    -------
    Tensor [B, N] float64
        In units of the rating; may leave [-1, 1] when self-consumption is far away.
    """
    if action == "residual":
        store_change = store_change - self_consumption(base, battery)
    rating = torch.where(store_change > 0, battery.charge_kw, battery.discharge_kw) * step_hours
    return store_change / rating.clamp(min=1e-12) * (rating > 0)
