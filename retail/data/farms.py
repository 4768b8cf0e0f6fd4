"""Dairy farms with PV and a wind turbine each, made up and seeded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from retail.data import DataError, Profiles, Window
from retail.data.standard_load import standard_load
from retail.data.weather import autocorrelated, clear_sky, cloud_factor
from retail.data.wind import turbine_power, wind_speed
from retail.streams import stream


@dataclass(frozen=True)
class Farms:
    """Dairy farms: milking load, 10 to 20 kW of PV and a 10 kW wind turbine each, in a seeded weather.

    Sizes are those of the paper; it uses load, sun and wind series that are not public, so the series are stand-ins:
    load is the standard profile of farms with dairy (BDEW L1: peaks of morning and evening milking) with noise; sun as
    in source ``synthetic``; wind is Weibull distributed with memory and goes through a turbine's power curve. Batteries
    (13.5 kWh, 5 kW in the paper) belong to section ``community`` of a study, the night, day and peak rates to its
    ``tariff`` (windows ``irish-farm-assumed``).

    Parameters
    ----------
    farms : int
        Number of farms N.
    annual_kwh : float kWh
        Mean annual use of a farm. Assumed: 26,000 kWh at 0.20 EUR/kWh make the 51,710 EUR a year that the paper's ten
        farms pay without any plant of their own.
    pv_kwp : tuple of float kWp
        Smallest and largest PV system; sizes are drawn in between.
    wind_kw : float kW
        Rated power of each turbine; 0 = none.
    wind_speed : float m/s
        Mean speed of a year at the hub. Assumed, for open farmland near Dublin.
    latitude, longitude : float degrees
        Where the farms are; County Dublin.

    Source: Shah, Barrett and Mason (2024), Reinforcement Learning Enabled Peer-to-Peer Energy Trading for Dairy Farms.
    """

    plant: ClassVar[tuple[str, ...]] = ("pv_kwp", "wind_kw")

    farms: int = 10
    annual_kwh: float = 26_000.0
    pv_kwp: tuple[float, float] = (10.0, 20.0)
    wind_kw: float = 10.0
    wind_speed: float = 6.0
    latitude: float = 53.35
    longitude: float = -6.26

    def __post_init__(self) -> None:
        rules = (
            ("farms", self.farms, self.farms >= 1, "farms, at least 1"),
            ("annual_kwh", self.annual_kwh, self.annual_kwh > 0, "kWh a year, above 0"),
            ("pv_kwp", self.pv_kwp, 0 <= self.pv_kwp[0] <= self.pv_kwp[1], "two kWp, at least 0, not falling"),
            ("wind_kw", self.wind_kw, self.wind_kw >= 0, "kW, at least 0"),
            ("wind_speed", self.wind_speed, 0 < self.wind_speed < 20, "m/s, above 0 and below 20"),
            ("latitude", self.latitude, -90 <= self.latitude <= 90, "degrees between -90 and 90"),
        )
        wrong = [f"Farms {name} is {value}; it must be {allowed}." for name, value, ok, allowed in rules if not ok]
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
            Load, PV and wind [H, N] kWh, rounded to 1 Wh as a meter would.
        """
        rng = stream(seed, "weather")
        south = self.latitude < 0
        # Drawn in a fixed order, so that another size of plant leaves the other numbers alone.
        kwp = np.round(self.pv_kwp[0] + (self.pv_kwp[1] - self.pv_kwp[0]) * rng.random(self.farms), 2)
        azimuth = rng.uniform(-45, 45, self.farms)
        annual = self.annual_kwh * rng.lognormal(-0.03, 0.25, self.farms)
        shift = rng.normal(0, 0.5, self.farms)
        clouds = cloud_factor(window, rng, self.farms)
        speed = wind_speed(window, rng, self.farms, self.wind_speed, south=south)
        noise = autocorrelated(rng, 0.6 ** (window.step_minutes / 60), (len(window.clock), self.farms))
        hours = window.step_minutes / 60
        sun = clear_sky(window, self.latitude, self.longitude, azimuth)
        # 0.85 for wiring, inverter and temperature; nobody's inverter feeds more than its PV size.
        pv = np.minimum(sun * clouds * 0.85, 1.0) * kwp * hours
        # The mean of exp(0.2 z) is exp(0.02).
        load = standard_load(window, "l1", shift, south=south) * np.exp(0.2 * noise - 0.02) * annual
        wind = turbine_power(speed, self.wind_kw) * hours
        names = tuple(f"farm {i + 1:0{len(str(self.farms))}d}" for i in range(self.farms))
        return Profiles(
            names,
            np.round(load, 3),
            np.round(pv, 3),
            kwp,
            wind=np.round(wind, 3) if self.wind_kw > 0 else None,
            notes=("Farms are made up: standard dairy load (BDEW L1), synthetic sun and wind, assumed annual use.",),
        )


__all__ = ["Farms"]
