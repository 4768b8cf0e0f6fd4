"""Small wind turbines: a power curve, and a seeded synthetic wind to drive it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from retail.data import Window
from retail.data.weather import autocorrelated

CUT_IN, RATED, CUT_OUT = 3.0, 11.0, 25.0
"""Wind speeds at the hub of a typical 10 kW turbine, m/s."""
SHAPE = 2.0
"""Weibull shape of wind speeds (2: Rayleigh), usual where no measurement is at hand."""
SEASON = 0.15
"""Mean speed of mid-winter is this much above the year's, mid-summer below."""


def turbine_power(speed: NDArray[np.float64], rated_kw: float) -> NDArray[np.float64]:
    """Power of a turbine: the cube of the speed between cut-in and rated speed, constant up to cut-out.

    Parameters
    ----------
    speed : array [...] m/s
        At the hub, at least 0.
    rated_kw : float kW
        Rated power, at least 0.

    Returns
    -------
    array [...] kW
        0 below cut-in (3 m/s) and from cut-out (25 m/s) on; ``rated_kw`` from 11 m/s.
    """
    rise = (speed**3 - CUT_IN**3) / (RATED**3 - CUT_IN**3)
    return np.where((speed < CUT_IN) | (speed >= CUT_OUT), 0.0, rated_kw * np.minimum(rise, 1.0))


def wind_speed(
    window: Window, rng: np.random.Generator, places: int, mean: float, *, south: bool = False
) -> NDArray[np.float64]:
    """Wind that is Weibull distributed, lasts for hours and is much the same for neighbours.

    Parameters
    ----------
    window : Window
        Days and step.
    rng : numpy.random.Generator
        Where numbers are drawn from.
    places : int
        N turbines; nine tenths of the variance are common to all.
    mean : float m/s
        Mean speed of a year at the hub.
    south : bool
        South of the equator: winter in July.

    Returns
    -------
    array [H, N] m/s
        At least 0.
    """
    from scipy.special import gamma, ndtr  # noqa: PLC0415  only turbines need it

    steps = len(window.clock)
    rho = 0.95 ** (window.step_minutes / 60)
    regional = autocorrelated(rng, rho, (steps,))[:, None]
    local = autocorrelated(rng, rho, (steps, places))
    share = ndtr(np.sqrt(0.9) * regional + np.sqrt(0.1) * local)
    day = window.clock.astype("datetime64[D]")
    of_year = (day - day.astype("datetime64[Y]")).astype(np.int64)
    season = 1 + (-SEASON if south else SEASON) * np.cos(2 * np.pi * (of_year - 15) / 365)
    scale = mean / gamma(1 + 1 / SHAPE)
    speed = scale * season[:, None] * (-np.log1p(-np.minimum(share, 1 - 1e-12))) ** (1 / SHAPE)
    return np.asarray(speed, dtype=np.float64)


__all__ = ["CUT_IN", "CUT_OUT", "RATED", "turbine_power", "wind_speed"]
