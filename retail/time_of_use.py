"""Time-of-use tariffs: price windows over the local wall clock."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retail.tariff import TariffError

OFFPEAK, SHOULDER, PEAK = 0, 1, 2


def _clock(clock: NDArray[np.datetime64]) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64]]:
    date = clock.astype("datetime64[D]")
    minutes = (clock - date).astype("timedelta64[m]").astype(np.int64)
    weekday = (date.astype(np.int64) + 3) % 7 < 5
    month = clock.astype("datetime64[M]").astype(np.int64) % 12 + 1
    return minutes // 60, weekday, month


def _aer2019(clock: NDArray[np.datetime64]) -> NDArray[np.int64]:
    hour, weekday, month = _clock(clock)
    summer = ((month >= 11) | (month <= 3)) & (hour >= 14) & (hour < 20)
    winter = (month >= 6) & (month <= 8) & (hour >= 17) & (hour < 21)
    level = np.where((hour >= 22) | (hour < 7), OFFPEAK, SHOULDER)
    return np.where(weekday & (summer | winter), PEAK, level)


def _simple(clock: NDArray[np.datetime64]) -> NDArray[np.int64]:
    hour, weekday, _ = _clock(clock)
    level = np.where((hour >= 22) | (hour < 7), OFFPEAK, SHOULDER)
    return np.where(weekday & (hour >= 14) & (hour < 20), PEAK, level)


def _simple_weekend_offpeak(clock: NDArray[np.datetime64]) -> NDArray[np.int64]:
    _, weekday, _ = _clock(clock)
    return np.where(weekday, _simple(clock), OFFPEAK)


def _flat(clock: NDArray[np.datetime64]) -> NDArray[np.int64]:
    return np.full(len(clock), SHOULDER)


WINDOWS: dict[str, Callable[[NDArray[np.datetime64]], NDArray[np.int64]]] = {
    "AER2019": _aer2019,
    "simple": _simple,
    "simple_weekend_offpeak": _simple_weekend_offpeak,
    "flat": _flat,
}
"""Named windows: clock [H] -> level [H], 0 off-peak, 1 shoulder, 2 peak. AER2019: off-peak 22-07 every day; peak on
weekdays 14-20 in November to March and 17-21 in June to August; shoulder otherwise."""


def time_of_use(
    clock: NDArray[np.datetime64], windows: str, offpeak: float, shoulder: float, peak: float
) -> NDArray[np.float64]:
    """Buy price of every step of a calendar.

    Parameters
    ----------
    clock : array [H] datetime64
        Start of each step, local wall clock.
    windows : str
        A name in ``WINDOWS``.
    offpeak, shoulder, peak : float $/kWh
        Prices of the three levels.

    Returns
    -------
    array [H] $/kWh
        Price of imported energy.

    Raises
    ------
    TariffError
        If the windows are unknown.
    """
    if windows not in WINDOWS:
        raise TariffError(f"Tariff windows {windows!r} are unknown; allowed: {', '.join(WINDOWS)}.")
    return np.array([offpeak, shoulder, peak])[WINDOWS[windows](clock)]


def read_tariff(path: Path, name: str) -> dict[str, float | str]:
    """Read one row of a tariff table (CSV).

    Parameters
    ----------
    path : Path
        Table with columns id, offpeak_per_kwh, shoulder_per_kwh, peak_per_kwh, fit_per_kwh, windows, currency.
    name : str
        The row's ``id``.

    Returns
    -------
    dict
        offpeak, shoulder, peak, sell in $/kWh, windows, currency.

    Raises
    ------
    TariffError
        If the row is absent or one of its prices is empty.
    """
    with path.open(newline="", encoding="utf-8") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    if name not in rows:
        raise TariffError(f"No tariff {name!r} in {path}; it has {', '.join(rows)}.")
    row = rows[name]
    columns = {
        "offpeak": "offpeak_per_kwh",
        "shoulder": "shoulder_per_kwh",
        "peak": "peak_per_kwh",
        "sell": "fit_per_kwh",
    }
    empty = [column for column in columns.values() if not row[column]]
    if empty or row["windows"] not in WINDOWS:
        raise TariffError(
            f"Tariff {name!r} in {path} cannot be used as it is: "
            f"{'empty ' + ', '.join(empty) if empty else 'windows ' + row['windows']!r}; "
            "write its prices into the study's tariff section."
        )
    prices: dict[str, float | str] = {key: float(row[column]) for key, column in columns.items()}
    return prices | {"windows": row["windows"], "currency": row["currency"]}
