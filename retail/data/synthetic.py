"""Synthetic homes: clear-sky PV under stochastic clouds, standard load profile with occupancy noise; all seeded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from retail.data import DataError, Profiles, Window
from retail.data.standard_load import standard_load
from retail.data.thermal_demand import thermal_demand
from retail.data.weather import autocorrelated, clear_sky, cloud_factor
from retail.streams import stream


@dataclass(frozen=True)
class Synthetic:
    """Made-up homes for quick starts and tests.

    PV is pvlib's clear-sky irradiance (Haurwitz) on tilted roofs of different azimuth, times a cloud factor: a Markov
    chain over sunny, mixed and overcast days and autocorrelated noise within the day, common to all homes up to a small
    local part. Load is demandlib's dynamic household profile H0 (turned by half a year south of the equator), scaled
    to a lognormal annual use, shifted in time, with autocorrelated occupancy noise and appliance runs.

    Parameters
    ----------
    prosumers : int
        Number of homes N.
    pv : float
        Share of homes with PV, 0..1; spread evenly over the order of homes.
    annual_kwh : float kWh
        Mean annual use of a home.
    pv_kwp : float kWp
        Mean size of a PV system; single systems lie between 0.5 and 1.5 of it.
    latitude, longitude : float degrees
        Where the sun shines.
    thermal : bool
        Whether homes have demand for heat and cold (degree hours of a made-up temperature, and hot water).
    """

    plant: ClassVar[tuple[str, ...]] = ("pv", "pv_kwp")

    prosumers: int = 20
    pv: float = 0.6
    annual_kwh: float = 6500.0
    pv_kwp: float = 4.0
    latitude: float = -33.87
    longitude: float = 151.21
    thermal: bool = False

    def __post_init__(self) -> None:
        rules = (
            ("prosumers", self.prosumers, self.prosumers >= 1, "homes, at least 1"),
            ("pv", self.pv, 0 <= self.pv <= 1, "a share between 0 and 1"),
            ("annual_kwh", self.annual_kwh, self.annual_kwh > 0, "kWh a year, above 0"),
            ("pv_kwp", self.pv_kwp, self.pv_kwp >= 0, "kWp, at least 0"),
            ("latitude", self.latitude, -90 <= self.latitude <= 90, "degrees between -90 and 90"),
        )
        wrong = [f"Synthetic {name} is {value}; it must be {allowed}." for name, value, ok, allowed in rules if not ok]
        if wrong:
            raise DataError("\n".join(wrong))

    def read(self, window: Window, data: Path | None, seed: int) -> Profiles:
        """Make the profiles of a window.

        Parameters
        ----------
        window : Window
            Days, step and zone; the clock is taken as the zone's standard time.
        data : Path or None
            Not used.
        seed : int
            Seed of the stream ``weather``.

        Returns
        -------
        Profiles
            Load and PV [H, N] kWh, rounded to 1 Wh as a meter would.
        """
        rng = stream(seed, "weather")
        # Drawn in a fixed order and for every home, so that a larger share of PV leaves the other numbers alone.
        size = np.round(self.pv_kwp * rng.uniform(0.5, 1.5, self.prosumers), 2)
        azimuth = rng.uniform(-60, 60, self.prosumers)
        annual = self.annual_kwh * rng.lognormal(-0.06, 0.35, self.prosumers)
        shift = rng.normal(0, 1.0, self.prosumers)
        clouds = cloud_factor(window, rng, self.prosumers)
        noise = _occupancy(window, rng, self.prosumers)
        kwp = np.where(evenly(self.prosumers, self.pv), size, 0.0)
        sun = clear_sky(window, self.latitude, self.longitude, azimuth)
        # 0.85 for wiring, inverter and temperature; nobody's inverter feeds more than its PV size.
        pv = np.minimum(sun * clouds * 0.85, 1.0) * kwp * window.step_minutes / 60
        load = standard_load(window, "h0_dyn", shift, south=self.latitude < 0) * noise * annual
        names = tuple(f"home {i + 1:0{len(str(self.prosumers))}d}" for i in range(self.prosumers))
        south = self.latitude < 0
        heat, cold = (
            thermal_demand(window, stream(seed, "temperature"), self.prosumers, south) if self.thermal else (None, None)
        )
        return Profiles(names, np.round(load, 3), np.round(pv, 3), kwp, heat=heat, cold=cold)


def evenly(count: int, share: float) -> NDArray[np.bool_]:
    """Choose a share of ``count`` places, spread evenly over their order.

    Parameters
    ----------
    count : int
        Places.
    share : float
        Between 0 and 1; ``round(share * count)`` places are chosen.

    Returns
    -------
    array [count] bool
        True where chosen.
    """
    chosen = round(share * count)
    place = np.arange(count)
    return (place + 1) * chosen // count > place * chosen // count


def _occupancy(window: Window, rng: np.random.Generator, homes: int) -> NDArray[np.float64]:
    """Factor [H, N] around 1 on the standard load profile, and runs of big appliances."""
    steps = 24 * 60 // window.step_minutes
    rho = 0.6 ** (window.step_minutes / 60)
    wave = np.exp(0.45 * autocorrelated(rng, rho, (window.days * steps, homes)) - 0.1)
    run = rng.random((window.days * steps, homes)) < 0.05 * window.step_minutes / 60
    return np.asarray(0.9 * wave + np.where(run, rng.uniform(1.0, 3.0, run.shape), 0.0))


__all__ = ["Synthetic", "evenly"]
