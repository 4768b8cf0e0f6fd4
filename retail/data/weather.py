"""Seeded synthetic weather: sun on roofs, clouds over them, noise with memory."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retail.data import Window, standard_offset


def _standard_time(window: Window) -> pd.DatetimeIndex:
    """Middle of each step in UTC; the clock is read as standard time, so every day has 24 h."""
    middle = pd.DatetimeIndex(window.clock) + pd.Timedelta(minutes=window.step_minutes / 2)
    return (middle - standard_offset(window.zone, window.start.year)).tz_localize("UTC")


def clear_sky(window: Window, latitude: float, longitude: float, azimuth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Clear-sky irradiance (Haurwitz) on roofs of 22 degrees.

    Parameters
    ----------
    window : Window
        Days, step and zone; the clock is read as the zone's standard time.
    latitude, longitude : float degrees
        Where the roofs are.
    azimuth : array [N] degrees
        Of each roof, counted from the side of the equator.

    Returns
    -------
    array [H, N] kW/m²
        At least 0.
    """
    import pvlib  # noqa: PLC0415  half a second that only this source needs

    times = _standard_time(window)
    sun = pvlib.solarposition.get_solarposition(times, latitude, longitude)
    total = pvlib.clearsky.haurwitz(sun["apparent_zenith"])["ghi"]
    diffuse = 0.15 * total
    direct = pvlib.irradiance.dni(total, diffuse, sun["apparent_zenith"]).fillna(0.0)
    towards = 0.0 if latitude < 0 else 180.0
    height, bearing = (sun[name].to_numpy()[:, None] for name in ("apparent_zenith", "azimuth"))
    parts = (part.to_numpy()[:, None] for part in (direct, total, diffuse))
    plane = pvlib.irradiance.get_total_irradiance(22.0, ((towards + azimuth) % 360)[None], height, bearing, *parts)
    return np.maximum(np.nan_to_num(plane["poa_global"]), 0.0) / 1000


def autocorrelated(rng: np.random.Generator, rho: float, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Standard normal noise with memory.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where numbers are drawn from.
    rho : float
        Correlation of neighbours along the first axis.
    shape : tuple of int
        Steps first.

    Returns
    -------
    array of the shape
        Mean 0, variance 1.
    """
    noise = rng.standard_normal(shape)
    for t in range(1, shape[0]):
        noise[t] = rho * noise[t - 1] + np.sqrt(1 - rho * rho) * noise[t]
    return noise


def cloud_factor(window: Window, rng: np.random.Generator, homes: int) -> NDArray[np.float64]:
    """Share of the clear-sky irradiance that comes through: sunny, mixed and overcast days, and noise within the day.

    Parameters
    ----------
    window : Window
        Days and step.
    rng : numpy.random.Generator
        Where numbers are drawn from.
    homes : int
        N places; most of the weather is common to all.

    Returns
    -------
    array [H, N]
        In 0.03..1.
    """
    level, spread = np.array([0.97, 0.65, 0.3]), np.array([0.04, 0.25, 0.15])
    change = np.array([[0.6, 0.3, 0.1], [0.35, 0.4, 0.25], [0.25, 0.4, 0.35]])
    kind = np.empty(window.days, dtype=np.int64)
    kind[0] = rng.choice(3)
    for d in range(1, window.days):
        kind[d] = rng.choice(3, p=change[kind[d - 1]])
    steps = 24 * 60 // window.step_minutes
    rho = 0.7 ** (window.step_minutes / 60)
    regional = autocorrelated(rng, rho, (window.days * steps,))
    local = autocorrelated(rng, rho, (window.days * steps, homes))
    day = np.repeat(kind, steps)
    factor = level[day][:, None] + spread[day][:, None] * (regional[:, None] + 0.3 * local)
    return np.clip(factor, 0.03, 1.0)


__all__ = ["autocorrelated", "clear_sky", "cloud_factor"]
