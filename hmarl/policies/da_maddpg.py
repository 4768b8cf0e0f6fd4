"""DA-MADDPG: critics see the public outcome of the market instead of the other agents."""

from __future__ import annotations

from dataclasses import dataclass

from hmarl.nets.networks import Sharing
from hmarl.policies.base import Spec
from hmarl.policies.deterministic import Deterministic
from hmarl.policies.deterministic_learner import DeterministicLearner


@dataclass(frozen=True)
class DAMADDPG(Deterministic):
    """DA-MADDPG: a net for each home, critics on own observation and action and on what the market published.

    Critic Q_n(o_n, a_n, z_t): demand, supply, price, its spread, matched share and net import of the step
    (``hmarl.public.MARKET``); outside the retail game the mean action. Its size does not depend on N.

    Source: Qiu, Wang, Wang, Strbac (2021), IJCAI, doi 10.24963/ijcai.2021/401 (abstract; vector and sizes are ours).

    Parameters
    ----------
    self_consistent : bool
        Whether an actor's step counts how its own action moves z. Without it agents are price takers.
    Others
        Those of ``hmarl.policies.deterministic.Deterministic``.

    Notes
    -----
    Deviations: those of ``iddpg``. With ``trace`` 0 targets use the z that was published after the next joint action
    (a lag of one step), since positions depend on the state of the stores.
    """

    sharing: Sharing = "agent"
    self_consistent: bool = True

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
        return DeterministicLearner(self, spec, "market", self.self_consistent)
