"""The peak of a community: a cap on its net import, and what happens above it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

PeakRule = Literal["penalty", "curtail", "report"]


class PeakError(ValueError):
    """A peak rule that cannot be; the message says which number."""


@dataclass(frozen=True)
class Peak:
    """Cap on the net import of a community.

    Parameters
    ----------
    cap_kw : float kW
        Net import that the network carries.
    rule : str
        ``penalty``: importers pay ``rate`` for each kWh above the cap, to the network. ``curtail``: imports are cut to
        the cap, and each kWh that is not served counts ``rate`` as a cost that is no cash. ``report``: nothing happens.
        Penalty and cut are shared in proportion to what each home imports.
    rate : float $/kWh
        Penalty (S1), or value of lost load.

    Notes
    -----
    Sources: system-peak penalty of each prosumer's contribution, PS-MADDPG (Qiu et al., 2021); threshold of 600 kW for
    300 homes, MB-A3C3 (Sanayha and Vateekul). The formulas are not in the texts and are our own.
    """

    cap_kw: float
    rule: PeakRule = "penalty"
    rate: float = 1.0

    def __post_init__(self) -> None:
        if not self.cap_kw >= 0:
            raise PeakError(f"peak.cap_kw is {self.cap_kw} kW; it must be at least 0.")
        if not self.rate >= 0:
            raise PeakError(f"peak.rate is {self.rate} $/kWh; it must be at least 0.")


class Excess(NamedTuple):
    """What a step pays for its peak; all Tensor [B, N].

    Attributes
    ----------
    charge : $
        Cash to the network.
    unserved : kWh
        Import that was cut.
    lost : $
        Value of what was cut, no cash.
    """

    charge: Tensor
    unserved: Tensor
    lost: Tensor


def excess(peak: Peak | None, net: Tensor, step_hours: float) -> Excess:
    """Apply the rule to one step.

    Parameters
    ----------
    peak : Peak or None
        None: no cap.
    net : Tensor [B, N] kWh
        At the meters, + = import.
    step_hours : float h
        Length of a step.

    Returns
    -------
    Excess
        Shares of all homes.
    """
    zero = torch.zeros_like(net)
    if peak is None or peak.rule == "report":
        return Excess(zero, zero, zero)
    imports = net.clamp(min=0)
    above = (net.sum(-1, keepdim=True) - peak.cap_kw * step_hours).clamp(min=0)
    mine = above * imports / imports.sum(-1, keepdim=True).clamp(min=1e-12)
    if peak.rule == "penalty":
        return Excess(peak.rate * mine, zero, zero)
    return Excess(zero, mine, peak.rate * mine)


def peak_relief(peak: Peak | None, net: Tensor, idle: Tensor, step_hours: float) -> Tensor:
    """What one home's move saves the community at the peak, the others as they are.

    Parameters
    ----------
    peak : Peak or None
        None: no cap.
    net, idle : Tensor [B, N] kWh
        At the meters as moved, and of the same home with its own devices idle.
    step_hours : float h
        Length of a step.

    Returns
    -------
    Tensor [B, N] $
        + = saved.
    """
    if peak is None or peak.rule == "report":
        return torch.zeros_like(net)
    total, cap = net.sum(-1, keepdim=True), peak.cap_kw * step_hours
    return peak.rate * ((total - net + idle - cap).clamp(min=0) - (total - cap).clamp(min=0))
