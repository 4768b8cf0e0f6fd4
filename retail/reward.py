"""What a learner maximises in one step."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from retail.settlement import matching_gain, tariff_bill
from retail.tariff import Tariff

Reward = Literal["own", "community", "difference"]


def step_reward(rule: Reward, fixed: Tensor, net: Tensor, bill: Tensor, cost: Tensor, prices: Tariff) -> Tensor:
    """Saving of a step, always against the bill of the inflexible net load, which no action changes.

    Parameters
    ----------
    rule : str
        See ``Game.reward``.
    fixed, net : Tensor [B, N] kWh
        Inflexible and actual net load.
    bill, cost : Tensor [B, N] $
        Cash bill, and all that counts.
    prices : Tariff [B]
        Of the step.

    Returns
    -------
    Tensor [B, N] $
        Larger is better.
    """
    without = tariff_bill(fixed, prices)
    if rule == "difference":
        return without - tariff_bill(net, prices) + matching_gain(net, fixed, prices) - (cost - bill)
    saving = without - cost
    return saving if rule == "own" else saving.mean(-1, keepdim=True).expand_as(saving).clone()
