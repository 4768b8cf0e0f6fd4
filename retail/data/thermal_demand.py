"""Made-up demand for heat and cold: a simple outdoor temperature, degree hours, and hot water."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from retail.data import Window
from retail.data.weather import autocorrelated

HEATS_BELOW, COOLS_ABOVE = 16.0, 24.0
"""Outdoor temperatures, °C, below and above which rooms are heated and cooled."""


def outdoor(window: Window, rng: np.random.Generator, south: bool) -> NDArray[np.float64]:
    """Temperature of a temperate climate: a yearly and a daily wave and slow noise.

    Parameters
    ----------
    window : Window
        Days and step.
    rng : numpy.random.Generator
        Stream ``temperature``.
    south : bool
        Whether summer is in January.

    Returns
    -------
    array [H] °C
        17 on average, 7 more in summer than in spring, 4 more in the afternoon than in the evening.
    """
    clock = window.clock
    day = (clock.astype("datetime64[D]") - clock.astype("datetime64[Y]").astype("datetime64[D]")).astype(float)
    hour = (clock - clock.astype("datetime64[D]")).astype("timedelta64[m]").astype(float) / 60
    season = np.cos(2 * np.pi * (day - (20 if south else 202)) / 365.25)
    slow = autocorrelated(rng, 0.98 ** (window.step_minutes / 60), (len(clock), 1))[:, 0]
    return np.asarray(17 + 7 * season + 4 * np.cos(2 * np.pi * (hour - 15) / 24) + 2.5 * slow)


def thermal_demand(
    window: Window, rng: np.random.Generator, homes: int, south: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Demand for heat and cold of homes of different size.

    Parameters
    ----------
    window : Window
        Days and step.
    rng : numpy.random.Generator
        Stream ``temperature``.
    homes : int
        N.
    south : bool
        Whether summer is in January.

    Returns
    -------
    heat, cold : array [H, N] kWh thermal per step
        Rooms lose 0.15 kW per °C (0.5 to 1.5 of it by home); hot water takes 5 kWh a day in the morning and evening.
    """
    hours = window.step_minutes / 60
    temperature = outdoor(window, rng, south)[:, None]
    size = 0.15 * rng.uniform(0.5, 1.5, homes)
    water = 5.0 * rng.uniform(0.5, 1.5, homes)
    hour = (window.clock - window.clock.astype("datetime64[D]")).astype("timedelta64[m]").astype(float) / 60
    draw = np.exp(-((hour - 7) ** 2) / 3) + np.exp(-((hour - 19) ** 2) / 5)
    daily = draw.reshape(window.days, -1)
    draw = (daily / daily.sum(axis=1, keepdims=True)).reshape(-1, 1)
    heat = np.maximum(HEATS_BELOW - temperature, 0) * size * hours + draw * water
    cold = np.maximum(temperature - COOLS_ABOVE, 0) * size * hours
    return np.round(heat, 3), np.round(cold, 3)
