"""What a prosumer expects of a step before it happens: the mean of the same step over the last days."""

from __future__ import annotations

import torch
from torch import Tensor


def mean_of_last_days(daily: Tensor, window: int = 7) -> Tensor:
    """Causal forecast: day d, step t is expected at the mean of step t over the ``window`` days before d.

    Parameters
    ----------
    daily : Tensor [D, T, ...]
        Any profile by day, for example kWh.
    window : int
        Days that are averaged; fewer at the start. Nothing is known of the first day: its forecast is 0.

    Returns
    -------
    Tensor [D, T, ...]
        Same unit; row d uses rows before d only.
    """
    total = torch.cat([torch.zeros_like(daily[:1]), daily.cumsum(0)])
    day = torch.arange(daily.shape[0])
    first = (day - window).clamp(min=0)
    count = (day - first).clamp(min=1).reshape(-1, *[1] * (daily.dim() - 1))
    return (total[day] - total[first]) / count
