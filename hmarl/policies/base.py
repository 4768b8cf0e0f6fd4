"""What a follower policy is: a frozen recipe that starts a live learner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from retail.game import Game
from retail.observation import Features
from retail.state import State

Training = Literal["none", "tune", "on-policy", "gradient"]


@dataclass(frozen=True)
class Spec:
    """What a learner is started for.

    Attributes
    ----------
    game : Game
        The game it will play.
    clusters : Tensor [N] int64
        Label of each prosumer; prosumers of one label may share a net.
    seed : int
        Seed of the run; a learner draws from its own named streams.
    """

    game: Game
    clusters: Tensor
    seed: int

    @property
    def agents(self) -> int:
        """Number of prosumers N."""
        return self.game.community.prosumers

    @property
    def common(self) -> int:
        """Number of features that are the same for all prosumers, C."""
        return len(self.game.observer.common_names)

    @property
    def personal(self) -> int:
        """Number of features of each prosumer, P."""
        return len(self.game.observation_names) - self.common


@dataclass(frozen=True)
class Seen:
    """What is there to act on.

    Attributes
    ----------
    features : Features
        Observations, common [B, C] and personal [B, N, P]; ``features.flat`` is [B, N, C + P]. Empty for policies that
        declare ``reads_features = False``.
    state : State
        The state itself, in kWh and ticks: for rules and planners, which read what belongs to their own home and what
        is public.
    """

    features: Features
    state: State


@dataclass(frozen=True)
class Rollout:
    """A batch of days, time first.

    Attributes
    ----------
    features : Features
        Observations, common [T + 1, B, C] and personal [T + 1, B, N, P], the last one after the day.
    action : Tensor [T, B, N, A] float32
        As chosen, before projection.
    reward : Tensor [T, B, N] float32
        $, larger is better.
    terminated : bool
        Whether the last step ended the task (else it is cut and its value is bootstrapped).
    """

    features: Features
    action: Tensor
    reward: Tensor
    terminated: bool


class Learner(Protocol):
    """A live policy of all prosumers at once."""

    training: Training
    """``none``: acts as it is. ``tune``: searches its parameters on training days. ``on-policy``: learns from
    rollouts. ``gradient``: descends through the game."""
    reads_features: bool
    """Whether ``act`` needs ``Seen.features``."""

    def act(self, seen: Seen, explore: bool) -> Tensor:
        """Choose actions.

        Parameters
        ----------
        seen : Seen
            Of B days and N prosumers.
        explore : bool
            True only while learning.

        Returns
        -------
        Tensor [B, N, A]
            Battery head (rating units), then optionally the price head in [-1, 1].
        """
        ...

    def learn(self, rollout: Rollout, progress: float) -> Mapping[str, float]:
        """Improve on a batch of days.

        Parameters
        ----------
        rollout : Rollout
            Of B days, collected with ``explore=True`` by this learner.
        progress : float
            Share of the training budget used, 0..1.

        Returns
        -------
        mapping of str to float
            Scalars for the training log.
        """
        ...

    def state(self) -> dict[str, Any]:
        """Everything needed to go on: tensors and numbers only."""
        ...

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state.

        Parameters
        ----------
        state : dict
            Of a learner of the same policy and spec.
        """
        ...


class Tunable(Learner, Protocol):
    """A learner with ``training = "tune"``: a few numbers, searched on training days.

    Attributes
    ----------
    candidates : list of tuple of float
        All combinations to try.
    numbers : Tensor [K, k]
        In use, one row for each row of a batch, or one for all.
    """

    candidates: list[tuple[float, ...]]
    numbers: Tensor

    def choose(self, cost: Tensor) -> Mapping[str, float]:
        """Take the best candidate.

        Parameters
        ----------
        cost : Tensor [K] $
            Cost of each candidate on training days.

        Returns
        -------
        mapping of str to float
            What was chosen, for the training log.
        """
        ...


class Descending(Learner, Protocol):
    """A learner with ``training = "gradient"``: it follows the game's own derivative."""

    def descend(self, state: State, progress: float) -> Mapping[str, float]:
        """Play a batch of days and follow its cost back to the weights.

        Parameters
        ----------
        state : State
            Before the first step of B days.
        progress : float
            Share of the training budget used, 0..1.

        Returns
        -------
        mapping of str to float
            Scalars for the training log.
        """
        ...


class Policy(Protocol):
    """A frozen dataclass of hyper-parameters."""

    def start(self, spec: Spec) -> Learner:
        """Start a learner.

        Parameters
        ----------
        spec : Spec
            Game, clusters and seed.

        Returns
        -------
        Learner
            Fresh.
        """
        ...


class Stateless:
    """What learners without anything to learn share."""

    training: Training = "none"
    reads_features = False

    def learn(self, rollout: Rollout, progress: float) -> Mapping[str, float]:
        """Learn nothing; rollout rewards ($) are ignored."""
        return {}

    def state(self) -> dict[str, Any]:
        """Nothing to keep."""
        return {}

    def load(self, state: dict[str, Any]) -> None:
        """Nothing to restore."""


def portfolio_clusters(game: Game) -> Tensor:
    """Cluster prosumers by what they own: PV or not, battery or not.

    Parameters
    ----------
    game : Game
        Its community has installed PV (kWp) and batteries (kWh).

    Returns
    -------
    Tensor [N] int64
        Labels 0..G-1 without gaps.
    """
    c = game.community
    key = (c.pv_kwp > 0).long() * 2 + c.battery.has.long()
    return torch.unique(key, return_inverse=True)[1]
