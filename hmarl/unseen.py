"""Trained followers on homes that nobody learned from, on days that nobody learned from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hmarl.evaluation import Played, play
from hmarl.generalise import onto
from hmarl.policies.base import Learner, Misfit, Spec
from hmarl.world import World
from retail.tariff import Tariff


def on_unseen_homes(world: World, state: Mapping[str, Any], tariff: Tariff) -> tuple[dict[str, float], str | None]:
    """Play the judged days with the held-out homes as a community of their own.

    Parameters
    ----------
    world : World
        One arm and seed.
    state : mapping
        Of the trained followers.
    tariff : Tariff [T] or [community days, T]
        Of the last round.

    Returns
    -------
    dict of float
        ``unseen_cost`` $ a day and ``unseen_peak_kw``; empty where there are no such homes or followers do not fit
        them.
    str or None
        Why they do not fit.
    """
    if world.unseen is None:
        return {}, None
    try:
        learner = _moved(world, state)
    except Misfit as why:
        return {}, str(why)
    played: Played = play(world.unseen.game, learner, world.judged, tariff, world.unseen.arrival)
    peak = float(played.net.max()) / world.game.community.step_hours
    return {"unseen_cost": float(played.cost.mean()), "unseen_peak_kw": peak}, None


def _moved(world: World, state: Mapping[str, Any]) -> Learner:
    """The followers on the unseen homes: rules with the numbers they were tuned to, nets by the nearest cluster."""
    assert world.unseen is not None
    game, days = world.unseen.game, world.training
    if world.policy.start(world.spec).training in ("none", "tune"):
        # Clusters are for nets only.
        learner = world.policy.start(Spec.of(game, world.spec.clusters.new_zeros(game.community.prosumers), world.seed))
        learner.load(dict(state))
        return learner
    return onto(world.policy, state, world.spec, days, game, days, world.seed)
