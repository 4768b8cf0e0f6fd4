"""Followers answer a tariff: they learn at it, then play all training days with exploration off, and all is settled."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hmarl.equilibrium.iterate import learns
from hmarl.evaluation import play
from hmarl.policies.base import Learner
from hmarl.settlement import Settled, settle_days
from hmarl.training import Row, train
from hmarl.world import World
from retail.tariff import Tariff


def teach(
    world: World,
    learner: Learner,
    tariff: Tariff,
    rng: np.random.Generator,
    *,
    k: int,
    episodes: int,
    done: int,
    report: Callable[[str, float], None],
) -> tuple[list[Row], int]:
    """Let followers learn at a tariff.

    Parameters
    ----------
    world : World
        One arm and seed.
    learner : Learner
        Changed in place.
    tariff : Tariff [T] or [community days, T]
        Ticks.
    rng : numpy.random.Generator
        Stream ``days``.
    k : int
        Round, for the log.
    episodes : int
        Training days to play.
    done : int
        Training days played before.
    report : callable
        Gets a label and the share of this training done, 0..1.

    Returns
    -------
    rows : list of dict
        Of the training log.
    done : int
        Training days played in all.
    """
    policy = world.policy
    rows = train(
        learner,
        world.ground,
        tariff,
        episodes,
        rng,
        batch_days=int(getattr(policy, "batch_days", 1)),
        done=done,
        budget=int(getattr(policy, "episodes", 0)),
        report=report,
    )
    numbered: list[Row] = [{"round": float(k), **row} for row in rows]
    if not learns(learner) or not rows:
        return numbered, done
    return numbered, int(float(rows[-1]["episode"]))


def settle(world: World, learner: Learner, tariff: Tariff, shares: NDArray[np.float64] | None = None) -> Settled:
    """Play and settle all training days: the same days and arrivals at every tariff, so that differences are paired.

    Parameters
    ----------
    world : World
        One arm and seed.
    learner : Learner
        Acts with exploration off.
    tariff : Tariff [T] or [community days, T]
        Ticks.
    shares : array [T], optional
        What the offer in force buys day-ahead, as a share of the forecast (``Offer.shares``).

    Returns
    -------
    Settled
        Money in $, energy in kWh.
    """
    return settle_days(world, play(world.game, learner, world.training, tariff, world.arrival), shares)
