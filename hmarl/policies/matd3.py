"""MATD3: MADDPG with twin critics, smoothed targets and later actors."""

from __future__ import annotations

from dataclasses import dataclass

from hmarl.policies.base import Spec
from hmarl.policies.deterministic import Deterministic
from hmarl.policies.deterministic_learner import DeterministicLearner
from hmarl.policies.maddpg import refuse_crowds


@dataclass(frozen=True)
class MATD3(Deterministic):
    """Multi-agent TD3: as maddpg with twin critics, noise on target actions, and an actor step every second time.

    Source: Ackermann et al. (2019), arXiv 1910.01465; Fujimoto et al. (2018), arXiv 1802.09477.

    Parameters
    ----------
    force : bool
        Start with more than 64 agents too.
    Others
        Those of ``hmarl.policies.deterministic.Deterministic``.

    Notes
    -----
    Deviations (paper / ours / why): those of ``maddpg``, and

    * target noise 0.2 / as ``noise`` / 0.2 of 5 kW is far more than a home's load.
    """

    twin: bool = True
    actor_every: int = 2
    target_noise: float = 0.05
    target_clip: float = 0.1
    force: bool = False

    @classmethod
    def paper(cls) -> MATD3:
        """Hyper-parameters of Ackermann et al. (2019) and the reference code of MADDPG, as far as they apply."""
        return cls(
            batch_days=4,
            memory_days=41_667,
            warm_up_days=1067,
            critic_first=0,
            updates_per_day=0.25,
            batch=1024,
            actor_rate=1e-2,
            critic_rate=1e-2,
            final_share=1,
            gamma=0.95,
            trace=0,
            n_step=1,
            target_rate=0.01,
            noise=0.1,
            final_noise=0.1,
            target_noise=0.2,
            target_clip=0.5,
            sharing="agent",
            anchor=0,
            critic_hidden=(64, 64),
        )

    def start(self, spec: Spec) -> DeterministicLearner:
        """Start the learners; as ``MADDPG.start``."""
        refuse_crowds(self, spec, self.force)
        return DeterministicLearner(self, spec, "joint")
