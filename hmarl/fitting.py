"""Whether followers can play at all, tried before any long work on a stand-in of the community."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from hmarl.policies.base import Misfit, Spec
from hmarl.stage import community_of, game_of, window_of
from hmarl.study import Study
from hmarl.study_file.arm import Arm
from hmarl.study_file.problems import Problem, StudyError
from retail.data import Profiles
from retail.data.synthetic import evenly
from retail.game import GameError

FEW, MANY = 4, 60
"""Homes of the stand-ins where only the data say how many there are."""

DAYS = 3


def misfits(arms: Iterable[Arm]) -> list[Problem]:
    """Find followers that refuse to play, each with its own reason.

    The stand-in has the arm's rules, devices and number of homes, but chance for data and three days. What depends on
    the data themselves is found when they are read.

    Parameters
    ----------
    arms : iterable of Arm
        Resolved.

    Returns
    -------
    list of Problem
        At most one for each arm.
    """
    found = []
    for arm in arms:
        for count in _homes(arm):
            reason = _refusal(arm, count)
            if reason is None:
                break
        else:
            found.append(Problem("followers", arm.followers.name, reason=f"cannot play in arm {arm.name}: {reason}"))
    return found


def check_followers(study: Study, arms: Iterable[Arm]) -> None:
    """Refuse a study in which followers cannot play.

    Parameters
    ----------
    study : Study
        Checked.
    arms : iterable of Arm
        Those that are to run.

    Raises
    ------
    StudyError
        With one line for each arm whose followers refuse.
    """
    found = misfits(arms)
    if found:
        raise StudyError(found, study.where)


def _homes(arm: Arm) -> tuple[int, ...]:
    """How many homes there will be; two guesses where only the data know, of which one must do."""
    source = arm.community.source.make()
    for name in ("prosumers", "farms", "customers", "buildings"):
        given: Any = getattr(source, name, None)
        if isinstance(given, int):
            return (given,)
        if isinstance(given, tuple) and given:
            return (len(given),)
    return FEW, MANY


def _refusal(arm: Arm, count: int) -> str | None:
    """Why the followers do not fit a community of so many homes; None if they do."""
    policy: Any = arm.followers.make()
    # Forced joint critics of hundreds of homes take gigabytes, and being forced they refuse no number.
    count = min(count, FEW) if getattr(policy, "force", False) else count
    arm = arm.model_copy(update={"calendar": arm.calendar.model_copy(update={"days": DAYS, "warm_up": 0})})
    try:
        community = community_of(arm, _by_chance(arm, count).only(~evenly(count, arm.community.hold_out)))
        game, homes = game_of(arm, community, torch.arange(DAYS)), community.prosumers
        spec = Spec.of(game, torch.zeros(homes, dtype=torch.int64), 0, arm.forecast.make())
        policy.start(replace(spec, postcodes=tuple(str(n) for n in range(homes))))
    except (Misfit, GameError) as why:
        return str(why)
    except Exception:  # of the stand-in perhaps; if not, it is said when the study runs
        return None
    return None


def _by_chance(arm: Arm, count: int) -> Profiles:
    """Homes with every kind of plant and demand."""
    clock = window_of(arm).clock
    rng = np.random.default_rng(0)
    load, pv, heat, cold = rng.uniform(0.1, 1, (4, len(clock), count))
    return Profiles(tuple(f"home {n}" for n in range(count)), load, pv, np.ones(count), heat=heat, cold=cold)


__all__ = ["check_followers", "misfits"]
