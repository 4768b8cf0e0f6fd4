"""Unit and zone mix-ups that numbers alone betray."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from retail.data import DataError, Window

PV_LIMIT = 1.3
"""Highest credible mean PV power of a step over installed power; real homes reach 1.1 of what is stated."""
METER_NOISE = 0.1
"""PV of a home and day below this says nothing about the sun, kWh."""


def check_load(
    load: NDArray[np.float64], names: tuple[str, ...], window: Window, daily_kwh: tuple[float, float], where: str
) -> None:
    """Refuse loads whose level betrays another unit.

    kW taken for kWh makes a 30 min table twice and a 15 min table four times too large; W or Wh a thousand times; MWh a
    thousand times too small. The median home decides, so that one absent or one large home is no mistake.

    Parameters
    ----------
    load : array [H, N] kWh per step
        Complete.
    names : tuple of str
        N homes.
    window : Window
        Days and step.
    daily_kwh : tuple of float kWh
        Least and largest credible mean daily energy of the median home.
    where : str
        File and column for the message.

    Raises
    ------
    DataError
        Naming the home in the middle, its energy and what the unit may be.
    """
    daily = load.sum(axis=0) / window.days
    middle = int(np.argsort(daily)[(len(daily) - 1) // 2])
    value, (least, largest) = float(daily[middle]), daily_kwh
    if least <= value <= largest:
        return
    if value > 20 * largest:
        guess = "as W or Wh (divide by 1000)"
    elif value > largest:
        guess = f"as kW (multiply by {window.step_minutes / 60:g} h at {window.step_minutes} min steps)"
    else:
        guess = "as MWh (multiply by 1000), or the load is missing"
    raise DataError(
        f"{where}, column {names[middle]}: the mean daily energy is {value:,.4g} kWh, and between {least:g} and "
        f"{largest:g} is credible for the median home; the values look {guess}: convert them to kWh per step, or widen "
        "`daily_kwh` if they are right."
    )


def check_pv(
    pv: NDArray[np.float64], kwp: NDArray[np.float64], names: tuple[str, ...], window: Window, where: str
) -> None:
    """Refuse PV that is far above what is installed.

    Parameters
    ----------
    pv : array [H, N] kWh per step
        Complete.
    kwp : array [N] kWp
        Installed; 0 or NaN where unknown (not checked).
    names : tuple of str
        N homes.
    window : Window
        Days and step.
    where : str
        File and column for the message.

    Raises
    ------
    DataError
        If more than 1 in 1000 steps is above ``PV_LIMIT`` of the installed power.
    """
    installed = np.where(kwp > 0, kwp, np.inf) * window.step_minutes / 60  # kWh in a step at full power
    high = pv > PV_LIMIT * installed
    often = high.sum(axis=0) > len(pv) / 1000
    if often.any():
        n = int(np.argmax(often))
        step = int(np.argmax(high[:, n]))
        raise DataError(
            f"{where}: row {window.clock[step]}, column {names[n]}: PV of {pv[step, n]:.4g} kWh in "
            f"{window.step_minutes} min is {pv[step, n] / installed[n]:.3g} times the installed {kwp[n]:g} kWp; the "
            "values look as kW or Wh: convert them to kWh per step, or correct the installed power."
        )


def check_sun(pv: NDArray[np.float64], window: Window, where: str) -> None:
    """Refuse PV whose middle of the day is not around noon: the stamps are of another zone.

    Parameters
    ----------
    pv : array [H, N] kWh per step
        Complete; nothing is checked where there is hardly any.
    window : Window
        Days, step and zone.
    where : str
        File for the message.

    Raises
    ------
    DataError
        Naming the hour around which generation centres.
    """
    steps = 24 * 60 // window.step_minutes
    profile = pv.sum(axis=1).reshape(window.days, steps).sum(axis=0)
    if profile.sum() < METER_NOISE * pv.shape[1] * window.days:
        return
    angle = (np.arange(steps) + 0.5) / steps * 2 * np.pi
    centre = np.sum(profile * np.exp(1j * angle)) / profile.sum()
    hour = float(np.angle(centre) / (2 * np.pi) * 24 % 24)
    # A flat profile is no sun at all; wall clocks put noon between 11 and 15 h.
    if abs(centre) > 0.3 and not 8.5 <= hour <= 16.5:
        raise DataError(
            f"{where}, column timestamp: PV centres on {hour:04.1f} h, and around 12 h is credible on the wall clock "
            f"of {window.zone}; the stamps look as UTC or another zone: convert them, or correct the study's zone."
        )


__all__ = ["METER_NOISE", "PV_LIMIT", "check_load", "check_pv", "check_sun"]
