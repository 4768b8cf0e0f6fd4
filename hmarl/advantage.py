"""How much better an action was than expected."""

from __future__ import annotations

import torch
from torch import Tensor


def generalised_advantage(reward: Tensor, value: Tensor, gamma: float, decay: float, terminated: bool) -> Tensor:
    """Generalised advantage estimate (Schulman et al. 2016, arXiv 1506.02438); ``decay`` 1 gives full returns minus V.

    Parameters
    ----------
    reward : Tensor [T, ...]
        In the unit of the value.
    value : Tensor [T + 1, ...]
        Of the state before each step, and after the last.
    gamma : float
        Discount per step.
    decay : float
        Lambda, 0..1.
    terminated : bool
        Whether nothing comes after the last step (else it is bootstrapped).

    Returns
    -------
    Tensor [T, ...]
        In the unit of the value.
    """
    after = torch.cat([value[1:-1], torch.zeros_like(value[-1:]) if terminated else value[-1:]])
    surprise = reward + gamma * after - value[:-1]
    advantage, running = torch.empty_like(surprise), torch.zeros_like(surprise[0])
    for t in reversed(range(len(reward))):
        running = surprise[t] + gamma * decay * running
        advantage[t] = running
    return advantage
