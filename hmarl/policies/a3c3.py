"""A3C3: asynchronous advantage actors with a centralised critic and learned communication."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from hmarl.nets.bodies import BodyName
from hmarl.nets.distributions import WIDEST, HeadName
from hmarl.nets.networks import Activation, Sharing
from hmarl.policies.base import Blocks, Price, Spec
from hmarl.policies.ranges import check_ranges

if TYPE_CHECKING:
    from hmarl.policies.a3c3_learner import A3C3Learner

Pooling = Literal["auto", "mean", "concat"]
Critic = Literal["auto", "joint", "set"]
JOINT_LIMIT = 16
"""Above so many agents ``auto`` pools messages and observations, so that no net grows with their number."""


@dataclass(frozen=True)
class A3C3:
    """Actors that send each other learned messages, and a critic that sees everybody while training.

    Each agent n has an actor, a communicator and a critic, stacked over agents or shared within clusters:

        m_n,t = tanh(comm(o_n,t));   inbox_n,t = mix of m_k,t-1 over k != n (0 in the first step of a day)
        a_n,t ~ pi(. | o_n,t, inbox_n,t);   V_n,t = critic(all o_t, o_n,t)
        L = -log pi(a) A - entropy H(pi) + 0.5 (R - V)²,  A = R - V (or its generalised estimate)

    The derivative of the actors' loss runs through the inboxes back to the senders, summed over receivers; the critic
    reads no messages. An actor needs nothing in the step that it acts in but its own observation and what has arrived.

    Source: Simões, Lau and Reis (2020), Neurocomputing 390:40-56, doi 10.1016/j.neucom.2019.11.095; bodies and use in
    peer-to-peer energy trading: Sanayha and Vateekul (2022), doi 10.1109/ACCESS.2022.3224460.

    Deviations (paper or its code / ours / why):

    ============== ================================ ================================ ==================================
    what           paper                            ours                             why
    ============== ================================ ================================ ==================================
    updates        asynchronous                     synchronous; ``workers`` = n     same seed, same bytes
    passes         one gradient step a rollout      4 passes in 4 parts, ratio       one step a rollout was 3 to 4
                                                    clipped (Schulman et al. 2017)   times slower per CPU second
    returns        n-step, lambda 1                 lambda 0.95                      less variance
    actions        softmax (MPE); not given (P2P)   Beta by mode and concentration   bounded; starts narrow, around
                                                                                     self-consumption
    critic input   joint; set encoder (2020b)       joint up to 16 agents, else a    O(N), any number of homes
                                                    mean over encoded observations
    messages       concatenated                     concatenated up to 16 agents,    O(N)
                                                    else the mean over the others
    message loss   regression on m - dL/dm          back-propagation through m       the same up to a constant
    discount       0.001 to 0.95 by task            1                                one-day episodes
    rate           1e-4, one Adam                   2e-3 falling to 2e-4             larger batches
    clipping       40, over all, sum loss           0.5 an agent or cluster, mean    independent of batch and of others
    ============== ================================ ================================ ==================================

    ``A3C3.paper()`` has the paper's values where they are known.

    Parameters
    ----------
    episodes, retrain_episodes : int
        Training days in the first and in each later round of a study.
    batch_days : int
        Parallel days per rollout, of each worker.
    workers : int
        0: synchronous. n: n processes play and learn on their own, on nets in shared memory; 1 gives the same bytes as
        0, more are not reproducible.
    body : str
        Actor that sees the step (``ff``), the last 8 steps (``conv1d``) or the day so far (``lstm``).
    head : str
        Density of actions: ``beta``, ``gaussian`` (squashed) or ``categorical`` (11 values a head).
    message : int
        Width of a message; 0 for none.
    pooling, critic : str
        How messages arrive, and what the critic reads of the others: ``concat`` and ``joint`` keep agents apart,
        ``mean`` and ``set`` do not depend on their number; ``auto`` switches above 16 agents.
    passes, parts : int
        Passes over a rollout, and parts of a pass (whole days). With 1 and 1 an update is that of the paper.
    clip : float
        Range of the probability ratio from the second gradient step on.
    learning_rate, final_learning_rate : float
        Adam, falling linearly over ``episodes``.
    gamma, gae : float
        Discount per step; lambda of the advantage, of which 0.8 learns more in long trainings (studies/real_homes).
    entropy : float
        Weight of the entropy.
    noise : float
        Initial standard deviation of actions, in units of the battery rating; that of prices starts wide.
    gradient_limit : float
        Largest gradient norm of the actor, and of the critic, of one agent or cluster.
    normalise : bool
        Whether advantages are brought to mean 0 and spread 1 within each group.
    hidden : tuple of int
        Widths of the hidden layers of actor and critic; communicators have one of the first width.
    encoder : tuple of int
        Widths of the critic's encoder of each agent, under ``set``.
    activation : str
        Of hidden layers: ``tanh``, or ``relu`` as in the code of 2020, which is faster.
    sharing : str
        ``all``, ``cluster`` or ``agent``.
    price : str
        ``truthful``: no price head; ``learned``.
    blocks : str
        Under contingent dispatch: ``usual``, each home offers its store by the game's own rule; ``learned``.
    """

    episodes: int = 4000
    retrain_episodes: int = 400
    batch_days: int = 96
    workers: int = 0
    body: BodyName = "ff"
    head: HeadName = "beta"
    message: int = 8
    pooling: Pooling = "auto"
    critic: Critic = "auto"
    passes: int = 4
    parts: int = 4
    clip: float = 0.2
    learning_rate: float = 2e-3
    final_learning_rate: float = 2e-4
    gamma: float = 1.0
    gae: float = 0.95
    entropy: float = 0.0
    noise: float = 0.13
    gradient_limit: float = 0.5
    normalise: bool = True
    hidden: tuple[int, ...] = (64, 64)
    encoder: tuple[int, ...] = (64, 32)
    activation: Activation = "tanh"
    sharing: Sharing = "cluster"
    price: Price = "truthful"
    blocks: Blocks = "usual"

    def __post_init__(self) -> None:
        counts = {"batch_days": 1, "passes": 1, "parts": 1}
        check_ranges(
            self,
            least={"episodes": 0, "retrain_episodes": 0, "workers": 0, "message": 0, "entropy": 0, **counts},
            positive=("learning_rate", "final_learning_rate", "clip", "noise", "gradient_limit"),
            shares=("gamma", "gae"),
            widths=("hidden", "encoder"),
        )
        for name in ("hidden", "encoder"):
            if not getattr(self, name):
                raise ValueError(f"{name} is empty; it must have at least one width, as (64, 64)")
        if self.noise >= WIDEST:
            raise ValueError(f"noise is {self.noise}; it must be below {WIDEST:.3f}, the spread of uniform actions")

    @classmethod
    def paper(cls) -> A3C3:
        """The published values where they are known: 24-step rollouts, 4,000 episodes, one gradient step each.

        Returns
        -------
        A3C3
            Synchronous, four days at once; set ``workers`` for the asynchronous form.
        """
        return cls(
            batch_days=4,
            message=10,
            passes=1,
            parts=1,
            learning_rate=1e-4,
            final_learning_rate=1e-4,
            gamma=0.95,
            gae=1.0,
            entropy=0.01,
            noise=0.45,
            gradient_limit=40.0,
            normalise=False,
            hidden=(160, 80),
            encoder=(80, 40),
            activation="relu",
        )

    def start(self, spec: Spec) -> A3C3Learner:
        """Start the learners.

        Parameters
        ----------
        spec : Spec
            Of any environment (streams ``weights`` and ``exploration``).

        Returns
        -------
        A3C3Learner
            With a policy close to zero action (self-consumption under ``residual``).
        """
        from hmarl.policies.a3c3_learner import A3C3Learner  # noqa: PLC0415  the learner needs the recipe

        return A3C3Learner(self, spec)
