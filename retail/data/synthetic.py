"""Synthetic homes: clear-sky PV under stochastic clouds, standard load profile with occupancy noise; all seeded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retail.data import DataError, Profiles, Window
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
    """

    prosumers: int = 20
    pv: float = 0.6
    annual_kwh: float = 6500.0
    pv_kwp: float = 4.0
    latitude: float = -33.87
    longitude: float = 151.21

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
        clouds = _clouds(window, rng, self.prosumers)
        noise = _occupancy(window, rng, self.prosumers)
        kwp = np.where(evenly(self.prosumers, self.pv), size, 0.0)
        sun = _clear_sky(window, self.latitude, self.longitude, azimuth)
        # 0.85 for wiring, inverter and temperature; nobody's inverter feeds more than its PV size.
        pv = np.minimum(sun * clouds * 0.85, 1.0) * kwp * window.step_minutes / 60
        load = _household(window, self.latitude < 0, shift) * noise * annual
        names = tuple(f"home {i + 1:0{len(str(self.prosumers))}d}" for i in range(self.prosumers))
        return Profiles(names, np.round(load, 3), np.round(pv, 3), kwp)


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


def _standard_time(window: Window) -> pd.DatetimeIndex:
    """Middle of each step in UTC; the clock is read as standard time, so every day has 24 h."""
    zone = ZoneInfo(window.zone)
    offsets = []
    for month in (1, 7):
        offset = pd.Timestamp(year=window.start.year, month=month, day=1, tz=zone).utcoffset()
        offsets.append(offset if offset is not None else pd.Timedelta(0))
    middle = pd.DatetimeIndex(window.clock) + pd.Timedelta(minutes=window.step_minutes / 2)
    return (middle - min(offsets)).tz_localize("UTC")


def _clear_sky(window: Window, latitude: float, longitude: float, azimuth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Clear-sky irradiance on roofs of 22 degrees, [H, N] kW/m²; azimuth counts from the equator side."""
    import pvlib  # noqa: PLC0415  half a second that only this source needs

    times = _standard_time(window)
    sun = pvlib.solarposition.get_solarposition(times, latitude, longitude)
    total = pvlib.clearsky.haurwitz(sun["apparent_zenith"])["ghi"]
    diffuse = 0.15 * total
    direct = pvlib.irradiance.dni(total, diffuse, sun["apparent_zenith"]).fillna(0.0)
    towards = 0.0 if latitude < 0 else 180.0
    planes = [
        pvlib.irradiance.get_total_irradiance(
            22.0, (towards + a) % 360, sun["apparent_zenith"], sun["azimuth"], direct, total, diffuse
        )["poa_global"].to_numpy()
        for a in azimuth
    ]
    return np.maximum(np.nan_to_num(np.stack(planes, axis=1)), 0.0) / 1000


def _autocorrelated(rng: np.random.Generator, rho: float, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Standard normal noise with lag-one correlation rho along the first axis."""
    noise = rng.standard_normal(shape)
    for t in range(1, shape[0]):
        noise[t] = rho * noise[t - 1] + np.sqrt(1 - rho * rho) * noise[t]
    return noise


def _clouds(window: Window, rng: np.random.Generator, homes: int) -> NDArray[np.float64]:
    """Cloud factor [H, N] in 0.03..1."""
    level, spread = np.array([0.97, 0.65, 0.3]), np.array([0.04, 0.25, 0.15])
    change = np.array([[0.6, 0.3, 0.1], [0.35, 0.4, 0.25], [0.25, 0.4, 0.35]])
    kind = np.empty(window.days, dtype=np.int64)
    kind[0] = rng.choice(3)
    for d in range(1, window.days):
        kind[d] = rng.choice(3, p=change[kind[d - 1]])
    steps = 24 * 60 // window.step_minutes
    rho = 0.7 ** (window.step_minutes / 60)
    regional = _autocorrelated(rng, rho, (window.days * steps,))
    local = _autocorrelated(rng, rho, (window.days * steps, homes))
    day = np.repeat(kind, steps)
    factor = level[day][:, None] + spread[day][:, None] * (regional[:, None] + 0.3 * local)
    return np.clip(factor, 0.03, 1.0)


def _occupancy(window: Window, rng: np.random.Generator, homes: int) -> NDArray[np.float64]:
    """Factor [H, N] around 1 on the standard load profile, and runs of big appliances."""
    steps = 24 * 60 // window.step_minutes
    rho = 0.6 ** (window.step_minutes / 60)
    wave = np.exp(0.45 * _autocorrelated(rng, rho, (window.days * steps, homes)) - 0.1)
    run = rng.random((window.days * steps, homes)) < 0.05 * window.step_minutes / 60
    return np.asarray(0.9 * wave + np.where(run, rng.uniform(1.0, 3.0, run.shape), 0.0))


def _household(window: Window, south: bool, shift_hours: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard household [H, N] kWh per step for 1 kWh a year, each home shifted by some quarter hours."""
    from demandlib import bdew  # noqa: PLC0415

    # Six months later the northern profile has the southern season; whole weeks keep the days of the week.
    turn = np.timedelta64(26 * 7 * 24 * 60 if south else 0, "m")
    quarter = np.timedelta64(15, "m")
    first, last = window.clock[0] + turn - 96 * quarter, window.clock[-1] + turn + 192 * quarter
    years = range(int(str(first)[:4]), int(str(last)[:4]) + 1)
    series = pd.concat([bdew.ElecSlp(y).get_scaled_power_profiles({"h0_dyn": 1.0})["h0_dyn"] for y in years]) / 4
    start = int((window.clock[0] + turn - np.datetime64(series.index[0], "m")) / quarter)
    per_step = window.step_minutes // 15
    values = series.to_numpy()
    columns = []
    for hours in shift_hours:
        at = start + round(float(np.clip(hours, -3, 3)) * 4)
        columns.append(values[at : at + len(window.clock) * per_step].reshape(-1, per_step).sum(1))
    return np.stack(columns, axis=1)
