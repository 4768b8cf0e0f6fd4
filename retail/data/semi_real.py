"""300 homes whose sum is real and whose single profiles are recombined: semi-real, never to be called Ausgrid data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retail.data import DataError, Profiles, Window
from retail.data.ausgrid import HOURLY_FILE, homes_of, read_tidy
from retail.data.day_blocks import alike_days, choose, fit, same_season
from retail.data.gaps import cut
from retail.data.stamps import clock_change_notes, clock_changes, read_stamps, require_order
from retail.data.tables import locate, read_table, require_columns, require_energy, require_numbers
from retail.streams import stream

PV_CAP = 1.1
"""Most PV power over installed power: the highest ratio among the real homes."""
LOAD_CAP_KW = 14.5
"""Most load of a home: a single-phase connection of 63 A at 230 V."""
SEASON_DAYS = 45
ALIKE_LOAD, ALIKE_PV = 8, 5
"""How many days like the wanted one are drawn from."""


@dataclass(frozen=True)
class SemiReal:
    """Semi-real homes: their sum is the measured one of 300 homes, each single profile is put together.

    This is NOT the Ausgrid data set and must never be reported under that name: the profiles of those 300 homes are not
    public in a form that could be stored here. Real are each customer's PV size and postcode, and in every half hour
    the sum of load and the sum of PV over all homes. Everything else is made: each home borrows whole days (load and
    PV apart) from eight real homes, taken from days of the same season, the same kind of weekday (load) and nearly the
    same aggregate profile; sizes of loads are drawn; each half hour is then scaled so that the sum over homes is the
    real aggregate. Who has how much load, and when, is therefore plausible and not true; figures that depend on the sum
    alone (pooled bill, peak of the community) are true ones. Half hours of the borrowed days are halves of hours.

    Parameters
    ----------
    aggregate : str
        Below the data folder: columns timestamp, gc_kwh, gg_kwh per half hour, sums over all homes.
    customers : str
        Below the data folder: columns customer, postcode, capacity_kw (kWp), one row per home.
    donors : str
        Below the data folder: tidy table of real homes, a year at least, whose days are borrowed.
    load_spread : float
        Standard deviation of the logarithm of the homes' sizes, beside what the donors differ.
    """

    aggregate: str = "ausgrid/aggregate300_halfhourly_2010_2013.parquet"
    customers: str = "ausgrid/customers.csv"
    donors: str = HOURLY_FILE
    load_spread: float = 0.3

    def __post_init__(self) -> None:
        if not 0 <= self.load_spread <= 2:
            raise DataError(f"SemiReal load_spread is {self.load_spread:g}; it must be between 0 and 2.")

    def read(self, window: Window, data: Path | None, seed: int) -> Profiles:
        """Make the profiles of a window.

        Parameters
        ----------
        window : Window
            Days (1 Jul 2010 to 30 Jun 2013), step (30 or 60 min) and zone.
        data : Path or None
            Folder with real data.
        seed : int
            Seed of the stream ``homes``: which home borrows which days.

        Returns
        -------
        Profiles
            Load and PV [H, 300] kWh whose sums over homes are the real ones in every step.

        Raises
        ------
        DataError
            If a file is absent or damaged, or a day is outside the aggregate.
        """
        if window.step_minutes not in (30, 60):
            raise DataError(
                f"Source semi-real has steps of 30 and 60 min, not {window.step_minutes}; change the study's step."
            )
        paths = tuple(locate(data, name) for name in (self.aggregate, self.customers, self.donors))
        half = Window(window.start, window.days, 30, window.zone)
        sums = read_aggregate(paths[0])
        total = cut(sums, half, str(paths[0])).values
        names, postcodes, kwp, notes = _homes(paths[1])
        load, pv = self._made(_Year.read(paths[2], sums, window.zone, str(paths[0])), half, total, kwp, seed)
        per_step = window.step_minutes // 30
        shape = (len(window.clock), per_step, len(names))
        return Profiles(
            names,
            load.reshape(shape).sum(axis=1),
            pv.reshape(shape).sum(axis=1),
            kwp,
            paths,
            postcodes=postcodes,
            notes=(
                "Semi-real homes, not the Ausgrid data set: real are PV sizes, postcodes and the sum over homes "
                "in every half hour; the single profiles are recombined days of real homes.",
                *notes,
                *clock_change_notes(window.start, window.days, window.zone),
            ),
        )

    def _made(
        self, year: _Year, half: Window, total: NDArray[np.float64], kwp: NDArray[np.float64], seed: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        rng = stream(seed, "homes")
        count, donors = len(kwp), year.load.shape[2]
        size = rng.lognormal(0.0, self.load_spread, count)
        # As many homes per donor as possible alike; load and PV of a home come from donors of their own.
        lender = {what: rng.permutation(np.arange(count) % donors) for what in ("load", "pv")}
        days = half.clock.astype("datetime64[D]").reshape(half.days, 48)[:, 0]
        hourly = total.reshape(half.days, 24, 2, 2).sum(axis=2)
        whole = year.ordinary[None, :]
        alike_load = alike_days(
            hourly[:, :, 0],
            year.total[:, :, 0],
            same_season(days, year.days, SEASON_DAYS, weekday=True) & whole,
            ALIKE_LOAD,
        )
        alike_pv = alike_days(
            hourly[:, :, 1],
            year.total[:, :, 1],
            same_season(days, year.days, SEASON_DAYS, weekday=False) & whole,
            ALIKE_PV,
        )
        by_load = choose(rng, alike_load, lender["load"], np.ones(year.shines.shape, dtype=bool))
        by_pv = choose(rng, alike_pv, lender["pv"], year.shines)
        # [D, N, 24] -> [H, N]; a thousandth of a kWh for everybody lets a sum be met where all donors have nothing.
        load = year.load.transpose(0, 2, 1)[by_load.day, by_load.donor] * size[:, None] + 1e-3
        sun = (year.pv.transpose(0, 2, 1)[by_pv.day, by_pv.donor] + 1e-3) * kwp[:, None]
        load, sun = _halves(load), _halves(sun)
        return fit(load, total[:, 0], np.full(count, LOAD_CAP_KW / 2)), fit(sun, total[:, 1], PV_CAP * kwp / 2)


@dataclass(frozen=True)
class _Year:
    """Days of the donors: load [Y, 24, M] kWh, pv [Y, 24, M] kWh per kWp, total [Y, 24, 2] kWh of all homes."""

    days: NDArray[np.datetime64]
    load: NDArray[np.float64]
    pv: NDArray[np.float64]
    total: NDArray[np.float64]
    ordinary: NDArray[np.bool_]
    shines: NDArray[np.bool_]

    @classmethod
    def read(cls, path: Path, sums: pd.DataFrame, zone: str, where: str) -> _Year:
        table = read_tidy(path)
        first, last = (pd.Timestamp(x).date() for x in (table["timestamp"].min(), table["timestamp"].max()))
        window = Window(first, (last - first).days + 1, 60, zone)
        if window.days < 365:
            raise DataError(
                f"{path} runs from {first} to {last}; donors must cover a year, 365 days: get the whole file."
            )
        homes = homes_of(table, window, path, (), controlled_load=False, gaps="refuse", files=(path,))
        shape = (window.days, 24, -1)
        pv = (homes.pv / np.where(homes.pv_kwp > 0, homes.pv_kwp, 1.0)).reshape(shape)
        daily = pv.sum(axis=1)
        return cls(
            days=window.clock.reshape(window.days, 24)[:, 0].astype("datetime64[D]"),
            load=homes.load.reshape(shape),
            pv=pv,
            total=cut(sums, window, where).values.reshape(shape),
            # Days with 23 or 25 hours stand in for none.
            ordinary=(clock_changes(window.start, window.days, zone).reshape(window.days, 48) == 0).all(axis=1),
            # A donor far below its neighbours has an outage.
            shines=daily >= 0.2 * np.median(daily, axis=1, keepdims=True),
        )


def read_aggregate(path: Path) -> pd.DataFrame:
    """Read the sums over all homes.

    Parameters
    ----------
    path : Path
        Columns timestamp (start of the half hour), gc_kwh (load), gg_kwh (PV).

    Returns
    -------
    DataFrame [steps, 2] kWh
        Load and PV; index: naive local time.

    Raises
    ------
    DataError
        Naming file, row, column and value.
    """
    table = read_table(path)
    require_columns(table, ("timestamp", "gc_kwh", "gg_kwh"), path, "the aggregate")
    index = read_stamps(table["timestamp"], path)
    require_order(index, path, "timestamp")
    for column in ("gc_kwh", "gg_kwh"):
        require_energy(table, column, path, gaps=True)
    return table[["gc_kwh", "gg_kwh"]].astype("float64").set_index(index)


def _halves(hourly: NDArray[np.float64]) -> NDArray[np.float64]:
    """Days of hours [D, N, 24] as half hours [H, N] of the same value."""
    return np.repeat(hourly.transpose(0, 2, 1), 2, axis=1).reshape(-1, hourly.shape[1])


def _homes(path: Path) -> tuple[tuple[str, ...], tuple[str, ...], NDArray[np.float64], tuple[str, ...]]:
    """Names, postcodes, installed PV, and a note on what was assumed."""
    table = read_table(path)
    require_columns(table, ("customer", "postcode", "capacity_kw"), path, "the list of customers")
    require_numbers(table, ("capacity_kw",), path, "kWp")
    kwp = table["capacity_kw"].to_numpy(dtype=np.float64)
    unknown = np.isnan(kwp)
    if unknown.all() or (kwp <= 0).any():
        place = int(np.argmax(~(kwp > 0)))
        raise DataError(
            f"{path}: row {place + 2}, column 'capacity_kw' is {kwp[place]:g}; it must be kWp above 0: correct it."
        )
    middle = float(np.median(kwp[~unknown]))
    names = tuple(f"semi-real {c}" for c in table["customer"])
    postcodes = tuple("" if pd.isna(p) else str(int(p)) for p in table["postcode"])
    lacking = ", ".join(n for n, u in zip(names, unknown, strict=True) if u)
    notes: tuple[str, ...] = (
        (f"{path}: no PV size of {lacking}; the median, {middle:g} kWp, was taken.",) if lacking else ()
    )
    nowhere = ", ".join(n for n, place in zip(names, postcodes, strict=True) if not place)
    notes += (f"{path}: no postcode of {nowhere}; groups by location set them apart.",) if nowhere else ()
    return names, postcodes, np.where(unknown, middle, kwp), notes


__all__ = ["ALIKE_LOAD", "ALIKE_PV", "LOAD_CAP_KW", "PV_CAP", "SEASON_DAYS", "SemiReal", "read_aggregate"]
