"""Mean-field learners: everybody else is the mean action of buyers and of sellers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from hmarl.policies.base import Learner, Rollout, Seen, Spec, Training, learned_heads
from hmarl.policies.deterministic import Deterministic
from hmarl.policies.deterministic_learner import DeterministicLearner
from hmarl.policies.ppo import IPPO
from hmarl.public import public_width


@dataclass(frozen=True)
class MeanField(Deterministic):
    """Mean-field MADDPG: actors see the two-sided mean actions of the last step, critics also those of this step.

    Published: market outcomes, mean and spread of the actions of buyers and of sellers, share of buyers
    (``hmarl.public``): one mean of both sides would be near 0 and say nothing. Actors read them one step late.

    Source: Yang et al. (2018), arXiv 1802.05438; for peer-to-peer trade Qiu, Wang, Dong, Wang, Strbac (2023), IEEE
    TPWRS, doi 10.1109/TPWRS.2022.3217922 (abstract; base learner and sizes are ours).

    Parameters
    ----------
    base : str
        ``ddpg``: as da-maddpg. ``ppo``: as ippo, which takes ``episodes``, ``retrain_episodes``, ``batch_days``,
        ``gamma``, ``noise``, ``hidden``, ``sharing``, ``price`` and ``blocks`` from here and the rest from its own
        defaults.
    self_consistent : bool
        Whether an actor's step counts how its own action moves the published means (``ddpg``).
    Others
        Those of ``hmarl.policies.deterministic.Deterministic``.

    Notes
    -----
    Deviations: those of ``da-maddpg``; no inner iterations to a fixed point of the means.
    """

    base: Literal["ddpg", "ppo"] = "ddpg"
    self_consistent: bool = True

    def start(self, spec: Spec) -> MeanFieldLearner:
        """Start the learners.

        Parameters
        ----------
        spec : Spec
            Heads, features, clusters and seed.

        Returns
        -------
        MeanFieldLearner
            With a policy close to zero action (self-consumption under ``residual``).
        """
        heads = learned_heads(spec, self.price, self.blocks)
        wide = replace(spec, common=spec.common + public_width(len(heads), spec.game is not None))
        if self.base == "ddpg":
            return MeanFieldLearner(DeterministicLearner(self, wide, "everything", self.self_consistent))
        names = ("episodes", "retrain_episodes", "batch_days", "gamma", "noise", "hidden", "sharing", "price", "blocks")
        return MeanFieldLearner(IPPO(**{name: getattr(self, name) for name in names}).start(wide))


class MeanFieldLearner:
    """A learner that also sees what was published of the step before.

    Parameters
    ----------
    inner : Learner
        Started for observations that are wider by the published vector.
    """

    training: Training = "on-policy"
    reads_features = True
    reads_public = True

    def __init__(self, inner: Learner) -> None:
        self.inner, self.heads = inner, inner.heads

    def act(self, seen: Seen, explore: bool) -> Tensor:
        """Action of the inner learner.

        Parameters
        ----------
        seen : Seen
            Features (scaled) and what was published of the step before.
        explore : bool
            As the inner learner.

        Returns
        -------
        Tensor [B, N, A]
            One column for each of ``heads``.
        """
        common = torch.cat([seen.features.common, seen.public], -1)
        return self.inner.act(replace(seen, features=seen.features._replace(common=common)), explore)

    def learn(self, rollout: Rollout, progress: float) -> Mapping[str, float]:
        """Let the inner learner learn.

        Parameters
        ----------
        rollout : Rollout
            Of B days; rewards in $.
        progress : float
            Share of ``episodes`` used.

        Returns
        -------
        mapping of str to float
            Of the inner learner.
        """
        known = torch.cat([torch.zeros_like(rollout.public[:1]), rollout.public])
        features = rollout.features._replace(common=torch.cat([rollout.features.common, known], -1))
        return self.inner.learn(replace(rollout, features=features), progress)

    def state(self) -> dict[str, Any]:
        """Of the inner learner."""
        return self.inner.state()

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state.

        Parameters
        ----------
        state : dict
            From ``state`` of the same policy and spec.
        """
        self.inner.load(state)
