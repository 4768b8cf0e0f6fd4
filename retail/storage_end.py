"""What the end of a day does with stored energy."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from retail.community import Battery

StorageEnd = Literal["restore", "value", "carry"]


def end_of_day(
    stored: Tensor, battery: Battery, rule: StorageEnd, dearest: Tensor, end_value: float
) -> tuple[Tensor, Tensor]:
    """Charge for a store that did not return, and worth of what is left in it.

    Parameters
    ----------
    stored : Tensor [B, N] kWh
        After the last step.
    battery : Battery
        Parameters [N].
    rule : str
        ``restore``, ``value`` or ``carry``.
    dearest : Tensor [B, 1] $/kWh
        Highest buy price of the day, at which a shortfall is charged.
    end_value : float $/kWh
        Worth of a stored kWh under ``value``.

    Returns
    -------
    shortfall, value : Tensor [B, N] $
        Cost (+ = paid) and worth (+ = gain); zero under ``carry``.
    """
    gain = stored - battery.start
    zero = torch.zeros_like(gain)
    if rule == "carry":
        return zero, zero
    if rule == "value":
        return zero, gain * end_value
    missing = torch.where(gain < -1e-9, -gain, zero)
    return missing / battery.eta_charge * dearest, zero
