"""PS-MADDPG: homes of a cluster share actor, critic and experience; critics see the public outcome of the market."""

from __future__ import annotations

from dataclasses import dataclass

from hmarl.policies.base import Spec
from hmarl.policies.deterministic import Deterministic
from hmarl.policies.deterministic_learner import DeterministicLearner


@dataclass(frozen=True)
class PSMADDPG(Deterministic):
    """PS-MADDPG: da-maddpg with one actor and one critic for each cluster of homes.

    Members differ by the static features of the observation (size, storage, PV). One cluster for each home is
    da-maddpg, bit for bit.

    Source: Qiu, Ye, Papadaskalopoulos, Strbac (2021), Applied Energy 292, 116940, doi 10.1016/j.apenergy.2021.116940
    (abstract; public vector and sizes are ours).

    Parameters
    ----------
    self_consistent : bool
        Whether an actor's step counts how its own action moves z. Without it agents are price takers.
    Others
        Those of ``hmarl.policies.deterministic.Deterministic``.

    Notes
    -----
    Deviations: those of ``da-maddpg``.
    """

    self_consistent: bool = True

    def start(self, spec: Spec) -> DeterministicLearner:
        """Start the learners; as ``DAMADDPG.start``."""
        return DeterministicLearner(self, spec, "market", self.self_consistent)
