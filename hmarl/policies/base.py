"""What a follower policy is: a frozen recipe that starts a live learner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from hmarl.forecasts import Forecast, Persistence
from retail.game import Game
from retail.heads import BLOCK_HEADS
from retail.observation import Features
from retail.state import State

Training = Literal["none", "tune", "on-policy", "gradient"]


class Misfit(ValueError):
    """A policy that cannot play what it is started for; the message says why and what to choose instead."""


@dataclass(frozen=True)
class Spec:
    """What a learner is started for.

    Attributes
    ----------
    agents : int
        Number of prosumers N.
    common, personal : int
        Numbers of features: the same for all agents (C), and of each agent (P).
    heads : tuple of str
        Names of everything an agent may decide, each in [-1, 1]; a learner takes some or all of them.
    controls : Tensor [N, heads] bool
        Whether a head moves anything for an agent.
    clusters : Tensor [N] int64
        Label of each agent; agents of one label may share a net.
    steps : int
        Steps of an episode T.
    seed : int
        Seed of the run; a learner draws from its own named streams.
    game : Game or None
        The retail game, for rules and planners; None in any other environment (``hmarl.arena``).
    neighbours : Tensor [N, K] int64 or None
        Whose actions a mean field averages for each agent; all others when None.
    forecast : Forecast
        What planners expect of load, PV and prices; the study's section ``forecast``.
    postcodes : tuple of str
        Of each prosumer, where the source knows them.
    """

    agents: int
    common: int
    personal: int
    heads: tuple[str, ...]
    controls: Tensor
    clusters: Tensor
    steps: int
    seed: int
    game: Game | None = None
    neighbours: Tensor | None = None
    forecast: Forecast = field(default_factory=Persistence)
    postcodes: tuple[str, ...] = ()

    @classmethod
    def of(cls, game: Game, clusters: Tensor, seed: int, forecast: Forecast | None = None) -> Spec:
        """Describe a retail game.

        Parameters
        ----------
        game : Game
            The game that will be played.
        clusters : Tensor [N] int64
            Labels.
        seed : int
            Seed of the run.
        forecast : Forecast, optional
            Of planners; ``persistence`` when absent.

        Returns
        -------
        Spec
            Heads and features of the game; kWh and $ stay in the game.
        """
        c, common = game.community, len(game.observer.common_names)
        return cls(
            agents=c.prosumers,
            common=common,
            personal=len(game.observation_names) - common,
            heads=game.heads,
            controls=game.controls(game.heads),
            clusters=clusters,
            steps=c.steps,
            seed=seed,
            game=game,
            forecast=Persistence() if forecast is None else forecast,
        )

    @property
    def retail(self) -> Game:
        """The retail game; raises ``Misfit`` where there is none."""
        if self.game is None:
            raise Misfit("This policy reads kWh and tariffs and plays the retail game only; choose a learner.")
        return self.game

    def deciding(self, heads: tuple[str, ...]) -> Tensor:
        """Agents for which at least one of the heads moves something.

        Parameters
        ----------
        heads : tuple of str
            Of a learner, each in ``Spec.heads``.

        Returns
        -------
        Tensor [N] bool
            Only these need a net.
        """
        return self.controls[:, [self.heads.index(h) for h in heads]].any(1)


@dataclass(frozen=True)
class Seen:
    """What is there to act on.

    Attributes
    ----------
    features : Features
        Observations, common [B, C] and personal [B, N, P]; ``features.flat`` is [B, N, C + P]. Empty for policies that
        declare ``reads_features = False``.
    whole : State or None
        The state itself, in kWh and ticks: for rules and planners, which read what belongs to their own home and what
        is public. None outside the retail game.
    step : int
        Step of the episode, 0 at its start: learners that remember within an episode begin anew there.
    public : Tensor [B, Z] float32
        What was published of the step before (``hmarl.public``), zeros at the start of an episode; empty for learners
        without ``reads_public``.
    """

    features: Features
    whole: State | None
    step: int = 0
    public: Tensor = field(default_factory=lambda: torch.empty(0))

    @property
    def state(self) -> State:
        """The state of the retail game; raises ``Misfit`` where there is none."""
        if self.whole is None:
            raise Misfit("There is no retail state here; this policy plays the retail game only.")
        return self.whole


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
    public : Tensor [T, B, Z] float32
        What was published of each step (``hmarl.public``); no width for learners without ``reads_public``.
    position : Tensor [T, B, N] float32
        Net load at the meter in mean home sizes, + = import, and 0 outside the retail game; as ``public``.
    """

    features: Features
    action: Tensor
    reward: Tensor
    terminated: bool
    public: Tensor = field(default_factory=lambda: torch.empty(0))
    position: Tensor = field(default_factory=lambda: torch.empty(0))


class Learner(Protocol):
    """A live policy of all prosumers at once."""

    training: Training
    """``none``: acts as it is. ``tune``: searches its parameters on training days. ``on-policy``: learns from
    rollouts. ``gradient``: plays the days it is given by itself, to descend through the game or to learn alone."""
    reads_features: bool
    """Whether ``act`` needs ``Seen.features``."""
    heads: tuple[str, ...]
    """Names of the columns of its actions, of those in ``Spec.heads``."""

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
            One column for each of ``heads``, in [-1, 1].
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


class Assisted(Learner, Protocol):
    """A learner that leaves part of the play to a rule; training tunes the rule first.

    Attributes
    ----------
    rule : Tunable
        Its numbers are searched on training days, played by everybody.
    """

    rule: Tunable


class Descending(Learner, Protocol):
    """A learner with ``training = "gradient"``: it plays by itself, e.g. to follow the game's own derivative."""

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
    """A frozen dataclass of hyper-parameters.

    A policy whose agents read what is private to others when they act (pooled planners, messages within a step) says so
    by a class attribute ``private: ClassVar[bool] = False`` (or a property, where a parameter decides), and one that
    knows load and PV of steps to come by ``foresight: ClassVar[bool] = True``: both are yardsticks and no strategies.
    ``hmarl.contracts.check_policy`` holds all others to their own and to public information, of now and of before.
    """

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
    heads: tuple[str, ...] = ("battery",)

    def learn(self, rollout: Rollout, progress: float) -> Mapping[str, float]:
        """Learn nothing; rollout rewards ($) are ignored."""
        return {}

    def state(self) -> dict[str, Any]:
        """Nothing to keep."""
        return {}

    def load(self, state: dict[str, Any]) -> None:
        """Nothing to restore."""


Price = Literal["truthful", "learned"]
Blocks = Literal["usual", "learned"]


def learned_heads(spec: Spec, price: Price, blocks: Blocks = "usual") -> tuple[str, ...]:
    """Heads that a learner decides; the others follow the game's own rule.

    Parameters
    ----------
    spec : Spec
        Heads of the environment.
    price : str
        ``truthful``: limit prices are left to the game; ``learned``.
    blocks : str
        ``usual``: what a home offers of its store under contingent dispatch is left to the game; ``learned``.

    Returns
    -------
    tuple of str
        In the order of ``spec.heads``.

    Raises
    ------
    Misfit
        If prices are to be learned from a reward that does not depend on them.
    """
    if price == "learned" and spec.game is not None and spec.game.reward == "difference":
        raise Misfit(
            "followers.price is 'learned', but game.reward 'difference' does not depend on limit prices; choose "
            "reward own or community, or price truthful."
        )
    left = {"price"} if price == "truthful" else set()
    return tuple(h for h in spec.heads if h not in left | (set(BLOCK_HEADS) if blocks == "usual" else set()))


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
