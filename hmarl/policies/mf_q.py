"""Mean-field Q-learning: everyone else is one virtual agent that plays the mean action."""

from __future__ import annotations

from dataclasses import dataclass

from hmarl.policies.base import Spec
from hmarl.policies.ranges import check_ranges
from hmarl.policies.value_learning import Target, Valued, ValueLearner


@dataclass(frozen=True)
class MFQ(Valued):
    """Mean-field Q-learning: values of own choices given the mean choice of the neighbours in the step before.

    ``y = r + gamma v(o')``, ``v(o') = sum_a pi(a | o', m') Q'(o', a, m')``, ``pi(a | o, m) = softmax(Q(o, a, m) /
    temperature)``, m the mean of the neighbours' one-hot choices. ``pi`` is also how choices are drawn while learning;
    when judged, the best choice is taken.

    Source: Yang et al. (2018), Mean Field Multi-Agent Reinforcement Learning, ICML, arXiv 1802.05438.

    ============= ============================== =========================== ======================================
    what          paper or the authors' code     ours                        why
    ============= ============================== =========================== ======================================
    mean action   of the step before             the same                    it is public when agents act
    net           convolutions, 64-32, 128-64    64-64 tanh, stacked         a handful of named features
    target        paper soft, code double        soft, ``target: double``    the paper's equation
    temperature   1 to 0.2 (80 %), to 0.1        0.05 to 0.002, falling      in units of the spread of returns: one
                                                 geometrically               choice of an hour moves little of them
    acting        argmax in the authors' code    draws from ``pi``           argmax explores nothing
    gamma         0.95                           1                           an evening sale must be worth its price
    learning rate 1e-4                           1e-3 falling                thousands of days, not millions
    tau, batch    0.005, 64                      0.02, 64 joint steps        fewer updates
    ============= ============================== =========================== ======================================

    Parameters
    ----------
    target : str
        What follows a step: ``soft`` (mean over ``pi``) or ``double`` (best choice of the learning net).
    temperature, final_temperature : float
        Of ``pi``, in units of scaled rewards; falling geometrically over ``episodes``.
    """

    target: Target = "soft"
    temperature: float = 0.05
    final_temperature: float = 0.002

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self, positive=("temperature", "final_temperature"))

    def start(self, spec: Spec) -> MFQLearner:
        """Start the learners.

        Parameters
        ----------
        spec : Spec
            Agents, clusters, neighbours and seed (streams ``weights`` and ``exploration``).

        Returns
        -------
        MFQLearner
            With values close to 0.
        """
        return MFQLearner(self, spec)


class MFQLearner(ValueLearner):
    """Live mean-field learners."""

    policy: MFQ

    def __init__(self, policy: MFQ, spec: Spec) -> None:
        super().__init__(policy, spec, "boltzmann", policy.target, uses_mean=True)
        self.heat = self.heat * policy.temperature

    def heat_at(self, progress: float) -> float:
        """Temperature at a share of the training budget."""
        p = self.policy
        return p.temperature * (p.final_temperature / p.temperature) ** min(progress, 1.0)
