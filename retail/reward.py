"""What a learner maximises in one step."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from retail.settlement import marginal_saving, tariff_bill
from retail.state import Outcome
from retail.tariff import Tariff

Reward = Literal["own", "community", "difference"]


def step_reward(rule: Reward, fixed: Tensor, outcome: Outcome, prices: Tariff) -> Tensor:
    """Saving of a step against the bill of the net load when nobody decides anything, which no action changes.

    Parameters
    ----------
    rule : str
        See ``Game.reward``; what a home's move saves at the peak of the community is added by the game.
    fixed : Tensor [B, N] kWh
        Net load when nobody decides anything.
    outcome : Outcome
        Of the step.
    prices : Tariff [B]
        Of the step.

    Returns
    -------
    Tensor [B, N] $
        Larger is better.
    """
    if rule == "difference":
        net = outcome.net if outcome.peak is None else outcome.net + outcome.peak.unserved
        saving = marginal_saving(net, fixed, prices).sub_(outcome.wear).sub_(outcome.shortfall).add_(outcome.end_value)
        return saving if outcome.used is None else saving.sub_(outcome.used.cash)
    saving = tariff_bill(fixed, prices) - outcome.cost
    return saving if rule == "own" else saving.mean(-1, keepdim=True).expand_as(saving).clone()
