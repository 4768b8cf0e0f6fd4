"""What an arm of a study is played on: homes with their devices, and the rules between them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from hmarl.devices import thermal_carriers, timed_stores
from hmarl.study_file.arm import Arm
from retail.community import Battery, Community
from retail.data import Profiles, Window
from retail.data.synthetic import evenly
from retail.game import Game
from retail.peak import Peak


def window_of(arm: Arm) -> Window:
    """Days and step of an arm, its warm-up included.

    Parameters
    ----------
    arm : Arm
        Resolved.

    Returns
    -------
    Window
        On the clock of the arm's zone.
    """
    calendar = arm.calendar
    return Window(calendar.first, calendar.warm_up + calendar.days, 24 * 60 // calendar.steps, calendar.zone)


def profiles_of(arm: Arm, seed: int, data: Path | None) -> Profiles:
    """Read the homes of an arm.

    Parameters
    ----------
    arm : Arm
        Resolved.
    seed : int
        Of the run.
    data : Path or None
        Folder with real data.

    Returns
    -------
    Profiles
        kWh per step.
    """
    found: Profiles = arm.community.source.make().read(window_of(arm), data, seed)
    return found


def community_of(arm: Arm, profiles: Profiles) -> Community:
    """Give homes their devices.

    Parameters
    ----------
    arm : Arm
        Resolved.
    profiles : Profiles
        kWh per step of all days of the arm.

    Returns
    -------
    Community
        Stores in kWh.
    """
    calendar, homes, window = arm.calendar, arm.community, window_of(arm)
    count, store = len(profiles.names), homes.store
    battery = Battery.make(
        count,
        has=evenly(count, homes.battery),
        min_kwh=store.min_kwh,
        max_kwh=store.max_kwh,
        power_kw=store.power_kw,
        efficiency=store.efficiency,
        start_kwh=store.start,
        wear_linear=store.wear_linear,
        wear_quadratic=store.wear_quadratic,
        wear_blocks=store.wear_blocks,
    )
    # Wind feeds in behind the same meter as PV.
    load, pv, kwp = (torch.from_numpy(x) for x in (profiles.load, profiles.generation, profiles.pv_kwp))
    return Community(
        profiles.names,
        window.clock,
        calendar.zone,
        window.step_minutes,
        load,
        pv,
        battery,
        kwp,
        warm_up=calendar.warm_up,
        timed=timed_stores(homes.vehicle, homes.deferrable, count, calendar.steps),
        thermal=thermal_carriers(homes.heat, homes.cold, profiles, calendar.steps, arm.tariff.gas),
    )


def game_of(arm: Arm, community: Community, training: Tensor, size: float = 1.0) -> Game:
    """The rules of an arm for a community.

    Parameters
    ----------
    arm : Arm
        Resolved.
    community : Community
        Of the arm, or of homes that nobody learns from.
    training : Tensor [D] int64
        Days whose profiles set the scales of observations.
    size : float
        A cap on the import (kW) is that of the arm times this.

    Returns
    -------
    Game
        Not yet begun.
    """
    rules = arm.game
    peak = None if rules.peak is None else Peak(**rules.peak.model_dump())
    return Game(
        community,
        arm.auction.make(),
        public=rules.public,
        reward=rules.reward,
        storage_end=rules.storage_end,
        dispatch=rules.dispatch,
        keep=rules.keep,
        end_value=rules.end_value,
        action=rules.action,
        peak=None if peak is None else replace(peak, cap_kw=peak.cap_kw * size),
        curtail=rules.curtail,
        scale_days=training,
    )


__all__ = ["community_of", "game_of", "profiles_of", "window_of"]
