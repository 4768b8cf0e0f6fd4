"""Independent DDPG: deterministic actors and critics that see their own observation and action only."""

from __future__ import annotations

from dataclasses import dataclass

from hmarl.policies.base import Spec
from hmarl.policies.deterministic import Deterministic
from hmarl.policies.deterministic_learner import DeterministicLearner


@dataclass(frozen=True)
class IDDPG(Deterministic):
    """Independent DDPG: deterministic actors, critics on the own observation and action.

    Source: Lillicrap et al. (2016), arXiv 1509.02971; as a baseline of Qiu et al. (2021), doi 10.24963/ijcai.2021/401.

    Parameters
    ----------
    Those of ``hmarl.policies.deterministic.Deterministic``.

    Notes
    -----
    Deviations (paper / ours / why):

    * one-step target nets / lambda-returns renewed before each session / actions pay off many hours later;
    * no tie to the data / ``anchor`` / actors ran to saturation where critics have no data;
    * actions as they are / divided by ``noise`` in critics / critics have to resolve corrections far below 1;
    * batch normalisation / layer normalisation in critics / small batches;
    * own actors / actors of one portfolio share weights, ``sharing: agent`` separates them / eight times the data;
    * Ornstein-Uhlenbeck / white noise / no inertia to overcome.
    """

    @classmethod
    def paper(cls) -> IDDPG:
        """Hyper-parameters of Lillicrap et al. (2016), as far as they apply."""
        return cls(
            batch_days=1,
            memory_days=41_667,
            critic_first=0,
            updates_per_day=24,
            batch=64,
            actor_rate=1e-4,
            critic_rate=1e-3,
            final_share=1,
            gamma=0.99,
            trace=0,
            n_step=1,
            target_rate=0.001,
            noise=0.2,
            final_noise=0.2,
            sharing="agent",
            anchor=0,
            action_penalty=0,
            hidden=(400, 300),
            critic_hidden=(400, 300),
        )

    def start(self, spec: Spec) -> DeterministicLearner:
        """Start the learners.

        Parameters
        ----------
        spec : Spec
            Heads, features, clusters and seed.

        Returns
        -------
        DeterministicLearner
            With a policy close to zero action (self-consumption under ``residual``).
        """
        return DeterministicLearner(self, spec, "own")
