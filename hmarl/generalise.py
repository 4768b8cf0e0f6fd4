"""Trained policies on other homes: those never seen join the cluster that they resemble most."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from hmarl.nets.networks import Groups
from hmarl.policies.base import Learner, Misfit, Policy, Spec
from retail.game import Game


class Grouped(Learner, Protocol):
    """A learner whose nets are stacked by group.

    Attributes
    ----------
    groups : Groups
        Which agents share a net.
    per_group : tuple of str
        Parts of its ``state`` in which tensors have the group axis first.
    """

    groups: Groups
    per_group: tuple[str, ...]


def home_features(game: Game, days: Tensor) -> Tensor:
    """What a home is like: its mean day and what it owns, all relative to its own size.

    Parameters
    ----------
    game : Game
        Its community has profiles (kWh per step), PV (kWp) and batteries (kWh).
    days : Tensor [D] int64
        Days that may be looked at: training days.

    Returns
    -------
    Tensor [N, T + 2]
        Mean inflexible net load by step, installed PV, storage; no unit.
    """
    c, size = game.community, game.observer.size
    day = c.daily(c.fixed)[days].mean(0) / size
    return torch.cat([day.T, (c.pv_kwp / size)[:, None], (c.battery.capacity / size)[:, None]], 1)


def nearest_clusters(known: Tensor, labels: Tensor, unseen: Tensor, allowed: Collection[int] | None = None) -> Tensor:
    """The cluster whose mean each unseen home is nearest to.

    Parameters
    ----------
    known : Tensor [N, F]
        Features of the homes that were clustered; each is brought to spread 1 over them.
    labels : Tensor [N] int64
        Their clusters.
    unseen : Tensor [M, F]
        Features of other homes.
    allowed : collection of int, optional
        Labels to choose from; all when absent.

    Returns
    -------
    Tensor [M] int64
        Labels; of equally near ones the smallest.
    """
    names = [int(x) for x in labels.unique() if allowed is None or int(x) in allowed]
    spread = known.std(0, correction=0).clamp(min=1e-9)
    centres = torch.stack([known[labels == label].mean(0) for label in names])
    distance = torch.cdist(unseen / spread, centres / spread)
    return torch.tensor(names, dtype=torch.int64)[distance.argmin(1)]


def onto(
    policy: Policy, state: Mapping[str, Any], trained: Spec, known_days: Tensor, game: Game, days: Tensor, seed: int
) -> Grouped:
    """Put a trained policy onto other homes, which use the net of the nearest cluster.

    Parameters
    ----------
    policy : Policy
        As it was trained, with nets shared by cluster or by all.
    state : mapping
        Of the trained learner.
    trained : Spec
        What it was trained for.
    known_days : Tensor [D] int64
        Training days of those homes, for what they are like.
    game : Game
        Of the other homes, with the same rules.
    days : Tensor [D'] int64
        Their days that may be looked at.
    seed : int
        Of the run.

    Returns
    -------
    Grouped
        Ready to play; also to learn on, but for deterministic gradients, which begin with new critics.

    Raises
    ------
    Misfit
        If each home has a net of its own, if nets are not stacked by group, or if observations or heads differ.
    """
    if getattr(policy, "sharing", None) == "agent":
        raise Misfit(
            "followers.sharing is 'agent': a net of one home fits no other; train with sharing cluster or all."
        )
    source: Any = policy.start(trained)
    if not hasattr(source, "per_group") and not hasattr(source, "adopt"):
        raise Misfit(f"{type(policy).__name__} has no nets shared between homes; choose ippo, mappo or ps-maddpg.")
    with_net = source.groups.agents
    labels = trained.clusters[with_net]
    known = home_features(trained.retail, known_days)[with_net]
    clusters = nearest_clusters(known, labels, home_features(game, days))
    spec = Spec.of(game, clusters, seed, trained.forecast)
    if (spec.common, spec.personal, spec.heads) != (trained.common, trained.personal, trained.heads):
        raise Misfit("The other homes play under other rules (public, dispatch): observations or heads differ.")
    learner: Any = policy.start(spec)
    places = _places(source, learner, labels, clusters)
    if hasattr(learner, "adopt"):  # critics of these know the homes that they were trained with
        learner.adopt(state, places)
    else:
        learner.load(_chosen(state, learner.per_group, places))
    return learner


def _places(source: Grouped, learner: Grouped, labels: Tensor, clusters: Tensor) -> Tensor:
    """Group of the trained nets that each group of the new learner takes over, [G'] int64."""
    net_of = dict(zip(labels.tolist(), _group_of(source.groups).tolist(), strict=True))
    found = {}
    for agent, group in zip(learner.groups.agents.tolist(), _group_of(learner.groups).tolist(), strict=True):
        found[group] = net_of[int(clusters[agent])]
    return torch.tensor([found[g] for g in range(learner.groups.members.shape[0])], dtype=torch.int64)


def _group_of(groups: Groups) -> Tensor:
    """Group of each chosen agent, [M] int64."""
    return torch.div(groups.place, max(groups.members.shape[1], 1), rounding_mode="floor")


def _chosen(state: Mapping[str, Any], per_group: tuple[str, ...], places: Tensor) -> dict[str, Any]:
    """The state with the group axis of stacked parts replaced by the chosen groups."""

    def pick(part: Any) -> Any:
        if isinstance(part, Tensor):
            return part[places] if part.dim() > 0 else part
        if isinstance(part, Mapping):
            return {key: pick(value) for key, value in part.items()}
        return part

    return {key: pick(value) if key in per_group else value for key, value in state.items()}
