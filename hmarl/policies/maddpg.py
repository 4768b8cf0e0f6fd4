"""MADDPG: deterministic actors on their own observation, critics on everybody's observation and action."""

from __future__ import annotations

from dataclasses import dataclass

from hmarl.policies.base import Misfit, Spec, learned_heads
from hmarl.policies.deterministic import Deterministic
from hmarl.policies.deterministic_learner import DeterministicLearner

JOINT_AGENTS = 64
"""Largest number of agents for which a joint critic starts without ``force``: its weights grow as N^2."""


@dataclass(frozen=True)
class MADDPG(Deterministic):
    """Multi-agent DDPG: one joint critic for each agent, on all observations and actions.

    y_i = r_i + gamma Q_i'(x', mu_1'(o_1'), ..), critic min (Q_i(x, a) - y_i)^2, actor max Q_i(x, .., mu_i(o_i), ..)
    with the others' actions from the replay. All actors improve in one pass (``hmarl.nets.critics.JointCritic``).

    Source: Lowe et al. (2017), arXiv 1706.02275.

    Parameters
    ----------
    force : bool
        Start with more than 64 agents too.
    Others
        Those of ``hmarl.policies.deterministic.Deterministic``.

    Notes
    -----
    Deviations (paper / ours / why): those of ``iddpg``, and

    * gradients clipped for each tensor / for each net / the usual meaning of the limit;
    * time limit always bootstrapped / only where a day is cut / one-day episodes end;
    * learned spread of exploration / fixed / boxes need no more;
    * x of all agents / of those with something to decide / the others are part of the environment.
    """

    force: bool = False

    @classmethod
    def paper(cls) -> MADDPG:
        """Hyper-parameters of the reference code openai/maddpg, as far as they apply."""
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
            noise=0.3,
            final_noise=0.3,
            sharing="agent",
            anchor=0,
            critic_hidden=(64, 64),
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

        Raises
        ------
        Misfit
            With more than 64 deciding agents, unless forced.
        """
        refuse_crowds(self, spec, self.force)
        return DeterministicLearner(self, spec, "joint")


def refuse_crowds(policy: Deterministic, spec: Spec, force: bool) -> None:
    """Refuse joint critics of many agents.

    Parameters
    ----------
    policy : Deterministic
        Says which heads are learned.
    spec : Spec
        Agents.
    force : bool
        Do not refuse.

    Raises
    ------
    Misfit
        With the number of agents and what to choose instead.
    """
    count = int(spec.deciding(learned_heads(spec, policy.price, policy.blocks)).sum())
    if count > JOINT_AGENTS and not force:
        raise Misfit(
            f"The joint critics of {count} agents grow as the square of their number, and more than {JOINT_AGENTS} "
            "are refused; choose da-maddpg, ps-maddpg or mean-field, or say force: true."
        )
