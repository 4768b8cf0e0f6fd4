"""Deterministic policy gradient for all prosumers at once: the hyper-parameters of iddpg, maddpg and their kin."""

from __future__ import annotations

from dataclasses import dataclass

from hmarl.nets.networks import Sharing
from hmarl.policies.base import Blocks, Price
from hmarl.policies.ranges import check_ranges


@dataclass(frozen=True)
class Deterministic:
    """Hyper-parameters of the family.

    Actors a = tanh(f(o)); critics Q trained on returns G; each step

        critic: min mean (Q(., a) - G)^2
        actor:  max mean Q(., a_n = mu(o_n)) - anchor |mu(o_n) - a_n|^2 / (A noise^2)

    Parameters
    ----------
    episodes : int
        Training days in the first round of a study.
    retrain_episodes : int
        Training days in each later round, when the tariff has moved.
    batch_days : int
        Parallel days between two sessions of updates.
    memory_days : int
        Days kept for replay. Days of the actors as they were long ago mislead.
    warm_up_days : int
        First days, played with random actions and without updates.
    critic_first : int
        Updates of the critics before the actors move.
    updates_per_day : float
        Updates for each day played.
    batch : int
        Joint steps of an update.
    actor_rate, critic_rate : float
        Learning rates of Adam, falling linearly over ``episodes`` to ``final_share`` of themselves.
    final_share : float
        See above.
    gamma : float
        Discount per step; 1 suits one-day episodes.
    trace : float
        Above 0: lambda of the lambda-returns that are worked out anew for all days in memory before each session; 0.8
        learns more in long trainings (studies/real_homes).
        0: n-step returns, continued by slowly moving target nets, as in the papers.
    n_step : int
        Rewards summed before target nets take over; an episode's length makes returns complete. Only with ``trace`` 0.
    target_rate : float
        Share by which target nets follow in each update. Only with ``trace`` 0.
    noise, final_noise : float
        Standard deviation of exploration, in units of the battery rating, falling linearly over the first 60 % of
        ``episodes``. Critics read actions in units of ``noise``.
    actor_every : int
        Critic updates for each actor update.
    twin : bool
        Two critics; the smaller value makes the target.
    target_noise, target_clip : float
        Noise on the actions whose values continue a return, and its largest size.
    anchor : float
        Weight that holds the actor near the replayed actions, where critics have data; 0 as in the papers.
    action_penalty : float
        Weight of the squared output before its tanh.
    clip : float
        Largest gradient norm of each net, over all its tensors.
    hidden, critic_hidden : tuple of int
        Widths of the hidden layers.
    sharing : str
        Actors of ``all``, of a ``cluster`` (by portfolio) or of one ``agent`` share weights.
    price : str
        ``truthful``: no price head; ``learned``.
    blocks : str
        Under contingent dispatch: ``usual``, each home offers its store by the game's own rule; ``learned``.
    """

    episodes: int = 4000
    retrain_episodes: int = 400
    batch_days: int = 96
    memory_days: int = 192
    warm_up_days: int = 0
    critic_first: int = 200
    updates_per_day: float = 0.25
    batch: int = 512
    actor_rate: float = 1e-3
    critic_rate: float = 2e-3
    final_share: float = 0.1
    gamma: float = 1.0
    trace: float = 0.95
    n_step: int = 24
    target_rate: float = 0.005
    noise: float = 0.13
    final_noise: float = 0.1
    actor_every: int = 1
    twin: bool = False
    target_noise: float = 0.0
    target_clip: float = 0.5
    anchor: float = 0.03
    action_penalty: float = 1e-3
    clip: float = 0.5
    hidden: tuple[int, ...] = (64, 64)
    critic_hidden: tuple[int, ...] = (128, 128)
    sharing: Sharing = "cluster"
    price: Price = "truthful"
    blocks: Blocks = "usual"

    def __post_init__(self) -> None:
        ones = ("batch_days", "memory_days", "batch", "n_step", "actor_every")
        zeros = ("episodes", "retrain_episodes", "warm_up_days", "critic_first", "final_noise", "target_noise")
        check_ranges(
            self,
            least=dict.fromkeys(ones, 1) | dict.fromkeys((*zeros, "target_clip", "action_penalty", "anchor"), 0),
            positive=("updates_per_day", "actor_rate", "critic_rate", "target_rate", "noise", "clip"),
            shares=("gamma", "final_share", "target_rate", "trace"),
            widths=("hidden", "critic_hidden"),
        )
        updates = self.episodes * self.updates_per_day
        if 0 < updates <= self.critic_first:
            raise ValueError(
                f"episodes is {self.episodes}, which gives {updates:g} updates, and only critics learn in the first "
                f"{self.critic_first} (critic_first): no actor would ever move; give more episodes or fewer of these."
            )
