"""Independent deep Q-networks over a few levels of every head."""

from __future__ import annotations

from dataclasses import dataclass

from hmarl.policies.base import Spec
from hmarl.policies.ranges import check_ranges
from hmarl.policies.value_learning import Valued, ValueLearner


@dataclass(frozen=True)
class DQN(Valued):
    """Deep Q-network of each agent on its own observation, choosing among a few levels of every head.

    ``y = r + gamma Q'(o', argmax_a Q(o', a))`` (double), ``min (Q(o, a) - y)^2``; with ``n_steps`` n > 1 the first n
    rewards are summed. While learning, a random level with probability epsilon.

    Source: Mnih et al. (2015), doi 10.1038/nature14236; double targets: van Hasselt et al. (2016), arXiv 1509.06461.

    ============ ========================= ============================ ==========================================
    what         paper                     ours                         why
    ============ ========================= ============================ ==========================================
    net          convolutions on pixels    64-64 tanh, stacked          a handful of named features
    replay       1e6 steps, uniform        1,000 whole days             other agents learn too: old days mislead
    target net   copied each 1e4 steps     follows by ``tau``           smoother with few updates
    batch        32 steps                  64 joint steps               one step holds all agents of a net
    optimiser    RMSprop, 2.5e-4           Adam, 1e-3 falling           no tuning to games
    reward       cut to [-1, 1]            divided by a constant        bills stay comparable
    gamma        0.99                      1                            an evening sale must be worth its price at noon
    epsilon      1 to 0.1 in 1e6 steps     1 to 0.02 over ``explore``   a few thousand days in all
    ============ ========================= ============================ ==========================================

    Parameters
    ----------
    first_epsilon, last_epsilon : float
        Share of random choices, falling linearly.
    explore : float
        Share of the training budget after which it has fallen.
    """

    first_epsilon: float = 1.0
    last_epsilon: float = 0.02
    explore: float = 0.6

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self, shares=("first_epsilon", "last_epsilon"), positive=("explore",))

    def start(self, spec: Spec) -> DQNLearner:
        """Start the learners.

        Parameters
        ----------
        spec : Spec
            Agents, clusters and seed (streams ``weights`` and ``exploration``).

        Returns
        -------
        DQNLearner
            With values close to 0.
        """
        return DQNLearner(self, spec)


class DQNLearner(ValueLearner):
    """Live deep Q-networks."""

    policy: DQN

    def __init__(self, policy: DQN, spec: Spec) -> None:
        super().__init__(policy, spec, "epsilon", "double", uses_mean=False)

    def heat_at(self, progress: float) -> float:
        """Share of random choices at a share of the training budget."""
        p = self.policy
        return p.first_epsilon + (p.last_epsilon - p.first_epsilon) * min(progress / p.explore, 1.0)
