"""Time-of-use tariffs: price windows over the local wall clock."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from retail.holidays import holidays_on
from retail.tariff import TariffError

OFFPEAK, SHOULDER, PEAK = 0, 1, 2
COLUMNS = {
    "offpeak": "offpeak_per_kwh",
    "shoulder": "shoulder_per_kwh",
    "peak": "peak_per_kwh",
    "sell": "fit_per_kwh",
}
"""What a tariff needs -> its column in a tariff table."""


class Windows(Protocol):
    """Price windows: clock [H] -> level [H], 0 off-peak, 1 shoulder, 2 peak; holidays [H] bool count as weekend."""

    def __call__(self, clock: NDArray[np.datetime64], holidays: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
        """Level of each step."""
        ...


def _clock(
    clock: NDArray[np.datetime64], holidays: NDArray[np.bool_] | None
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64]]:
    date = clock.astype("datetime64[D]")
    minutes = (clock - date).astype("timedelta64[m]").astype(np.int64)
    weekday = (date.astype(np.int64) + 3) % 7 < 5
    if holidays is not None:
        weekday &= ~holidays
    month = clock.astype("datetime64[M]").astype(np.int64) % 12 + 1
    return minutes // 60, weekday, month


def _aer2019(clock: NDArray[np.datetime64], holidays: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
    hour, weekday, month = _clock(clock, holidays)
    summer = ((month >= 11) | (month <= 3)) & (hour >= 14) & (hour < 20)
    winter = (month >= 6) & (month <= 8) & (hour >= 17) & (hour < 21)
    level = np.where((hour >= 22) | (hour < 7), OFFPEAK, SHOULDER)
    return np.where(weekday & (summer | winter), PEAK, level)


def _simple(clock: NDArray[np.datetime64], holidays: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
    hour, weekday, _ = _clock(clock, holidays)
    level = np.where((hour >= 22) | (hour < 7), OFFPEAK, SHOULDER)
    return np.where(weekday & (hour >= 14) & (hour < 20), PEAK, level)


def _simple_weekend_offpeak(
    clock: NDArray[np.datetime64], holidays: NDArray[np.bool_] | None = None
) -> NDArray[np.int64]:
    _, weekday, _ = _clock(clock, holidays)
    return np.where(weekday, _simple(clock, holidays), OFFPEAK)


def _irish_farm_assumed(clock: NDArray[np.datetime64], holidays: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
    hour, _, _ = _clock(clock, holidays)
    level = np.where((hour >= 23) | (hour < 8), OFFPEAK, SHOULDER)
    return np.where((hour >= 17) & (hour < 19), PEAK, level)


def _flat(clock: NDArray[np.datetime64], holidays: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
    return np.full(len(clock), SHOULDER)


WINDOWS: dict[str, Windows] = {
    "AER2019": _aer2019,
    "simple": _simple,
    "simple_weekend_offpeak": _simple_weekend_offpeak,
    "irish-farm-assumed": _irish_farm_assumed,
    "flat": _flat,
}
"""Named windows. AER2019: off-peak 22-07 every day; peak on weekdays 14-20 in November to March and 17-21 in June to
August; shoulder otherwise. simple: off-peak 22-07, peak on weekdays 14-20 all year, shoulder otherwise;
simple_weekend_offpeak: the same with the whole weekend off-peak. irish-farm-assumed: night 23-08 (off-peak), day
(shoulder), peak 17-19, every day alike; the peak hours are those of the dairy-farm paper, night and day are an
assumption after the Irish day/night meter, since the paper gives no table."""


def time_of_use(
    clock: NDArray[np.datetime64], windows: str, offpeak: float, shoulder: float, peak: float, holidays: str = "none"
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
    holidays : str
        A name in ``retail.holidays.HOLIDAYS`` whose days count as weekend. Published figures on Ausgrid data use none.

    Returns
    -------
    array [H] $/kWh
        Price of imported energy.

    Raises
    ------
    TariffError
        If the windows or the holidays are unknown.
    """
    if windows not in WINDOWS:
        raise TariffError(f"Tariff windows {windows!r} are unknown; allowed: {', '.join(WINDOWS)}.")
    return np.array([offpeak, shoulder, peak])[WINDOWS[windows](clock, holidays_on(clock, holidays))]


def read_tariff(path: Path, name: str, given: Mapping[str, float | str | None] | None = None) -> dict[str, float | str]:
    """Read one row of a tariff table (CSV).

    Parameters
    ----------
    path : Path
        Table with columns id, offpeak_per_kwh, shoulder_per_kwh, peak_per_kwh, fit_per_kwh, windows, currency.
    name : str
        The row's ``id``.
    given : mapping, optional
        Values that stand instead of the row's: offpeak, shoulder, peak, sell in $/kWh, windows; None = as in the row.

    Returns
    -------
    dict
        offpeak, shoulder, peak, sell in $/kWh, windows, currency.

    Raises
    ------
    TariffError
        If the table is damaged, or the row is absent, comes twice, or leaves a price or the windows open.
    """
    rows = _rows(path)
    row = rows.get(name)
    if row is None:
        raise TariffError(f"No tariff {name!r} in {path}; it has {', '.join(rows)}.")
    chosen = {key: value for key, value in (given or {}).items() if value is not None}
    empty = [column for key, column in COLUMNS.items() if key not in chosen and not row[column]]
    windows = str(chosen.get("windows", row["windows"]))
    if empty or windows not in WINDOWS:
        raise TariffError(
            f"Tariff {name!r} in {path} cannot be used as it is: "
            f"{'empty ' + ', '.join(empty) if empty else 'windows ' + repr(windows)}; "
            "write what is missing into the study's tariff section."
        )
    read = {key: _price(row, column, path) for key, column in COLUMNS.items() if key not in chosen}
    return {**read, **chosen, "windows": windows, "currency": row["currency"]}


def usable_tariffs(path: Path) -> tuple[str, ...]:
    """Name the rows of a tariff table that `read_tariff` can read.

    Parameters
    ----------
    path : Path
        As for `read_tariff`.

    Returns
    -------
    tuple of str
        Ids, in the order of the table.
    """
    full = [row for row in _rows(path).values() if all(row[c] for c in COLUMNS.values()) and row["windows"] in WINDOWS]
    return tuple(row["id"] for row in full)


def _rows(path: Path) -> dict[str, dict[str, str]]:
    """Rows by id; cells that a short row lacks are empty."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="")
            names = reader.fieldnames or ()
            read = [(reader.line_num, row) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise TariffError(f"{path} cannot be read as CSV ({error}); get an undamaged tariff table.") from None
    missing = [c for c in ("id", *COLUMNS.values(), "windows", "currency") if c not in names]
    if missing:
        raise TariffError(f"{path} has no column {', '.join(missing)}; add it or get an undamaged tariff table.")
    rows: dict[str, dict[str, str]] = {}
    for line, row in read:
        if row["id"] in rows:
            raise TariffError(f"{path}: row {line}, column 'id': {row['id']!r} comes twice; keep one.")
        rows[row["id"]] = row | {"row": str(line)}
    return rows


def _price(row: dict[str, str], column: str, path: Path) -> float:
    try:
        price = float(row[column])
    except ValueError:
        price = math.nan
    if not math.isfinite(price):
        raise TariffError(
            f"{path}: row {row['row']}, column {column!r}: {row[column]!r} is no price; write a number of "
            f"{row['currency'] or 'currency'} per kWh."
        )
    return price
