"""Time stamps of tables: start of the step, local wall clock, without a zone, each once and in order."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retail.data import DataError
from retail.data.tables import row_number


def read_stamps(column: pd.Series, path: Path) -> pd.DatetimeIndex:
    """Turn a column into naive local time stamps.

    Parameters
    ----------
    column : Series [rows]
        Text such as ``2012-07-01 00:30`` or datetimes, start of each step.
    path : Path
        For messages.

    Returns
    -------
    DatetimeIndex [rows]
        Without a zone, in the order of the file.

    Raises
    ------
    DataError
        If a cell is no time stamp or carries a zone.
    """
    name = str(column.name)
    if pd.api.types.is_numeric_dtype(column):
        raise DataError(
            f"{path}: row {row_number(path, 0)}, column {name!r}: {column.iloc[0]!r} is no time stamp; the first "
            "column (or `timestamp`) must hold local times such as 2012-07-01 00:30."
        )
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        raise DataError(_zoned(path, row_number(path, 0), name, column.iloc[0]))
    if not pd.api.types.is_datetime64_dtype(column):
        text = column.astype(str)
        # A zone at the end of a time: Z, UTC or an offset such as +10:00.
        zoned = text.str.contains(r"\d{1,2}:\d{2}.*(?:Z|UTC|GMT|[+-]\d{2}:?\d{2})\s*$", regex=True).to_numpy()
        if zoned.any():
            place = int(np.argmax(zoned))
            raise DataError(_zoned(path, row_number(path, place), name, text.iloc[place]))
    # ISO only: 1/07/2012 would be the 7th of January to some readers and the 1st of July to others.
    stamps = pd.to_datetime(column, format="ISO8601", errors="coerce")
    wrong = stamps.isna().to_numpy()
    if wrong.any():
        place = int(np.argmax(wrong))
        raise DataError(
            f"{path}: row {row_number(path, place)}, column {name!r}: {column.iloc[place]!r} is no time stamp; write "
            "it as year-month-day: 2012-07-01 00:30."
        )
    return pd.DatetimeIndex(stamps)


def _zoned(path: Path, row: int, column: str, value: object) -> str:
    return (
        f"{path}: row {row}, column {column!r}: {value} carries a zone; time stamps carry no zone here: convert them "
        "to the local wall clock of the study's zone and write them without one."
    )


def require_order(index: pd.DatetimeIndex, path: Path, column: str) -> None:
    """Insist that each stamp comes once, in order.

    Parameters
    ----------
    index : DatetimeIndex [rows]
        In the order of the file.
    path : Path
        For messages.
    column : str
        Name of the column.

    Raises
    ------
    DataError
        Naming row and value of the first stamp that comes twice or out of order.
    """
    late = np.diff(index.to_numpy()) <= np.timedelta64(0)
    if late.any():
        place = int(np.argmax(late)) + 1
        raise DataError(
            f"{path}: row {row_number(path, place)}, column {column!r}: time stamp {index[place]} comes twice or out "
            "of order; sort the rows and keep one of each (clocks going back give an hour twice: keep 24 h a day)."
        )


def clock_changes(first: date, days: int, zone: str, step_minutes: int = 30) -> NDArray[np.int8]:
    """Flag the steps of a wall clock that do not exist or happen twice.

    Parameters
    ----------
    first : date
        First day.
    days : int
        Number of days of 24 h.
    zone : str
        IANA time zone.
    step_minutes : int
        15, 30 or 60.

    Returns
    -------
    array [H] int8
        0 ordinary; -1 skipped when clocks go forward (meters show zero); +1 passed twice when they go back (meters
        show the energy of both passes).
    """
    naive = pd.date_range(pd.Timestamp(first), periods=days * 24 * 60 // step_minutes, freq=f"{step_minutes}min")
    once = np.ones(len(naive), dtype=bool)
    skipped = np.asarray(naive.tz_localize(zone, nonexistent="NaT", ambiguous=once).isna())
    twice = np.asarray(naive.tz_localize(zone, nonexistent="shift_forward", ambiguous="NaT").isna())
    return np.where(twice, 1, np.where(skipped, -1, 0)).astype(np.int8)


def clock_change_notes(first: date, days: int, zone: str) -> tuple[str, ...]:
    """Say which days of a calendar have a clock change.

    Parameters
    ----------
    first : date
        First day.
    days : int
        Number of days.
    zone : str
        IANA time zone.

    Returns
    -------
    tuple of str
        One sentence per clock change; empty without any.
    """
    flags = clock_changes(first, days, zone).reshape(days, 48)
    notes = []
    for day in np.nonzero(flags.any(axis=1))[0]:
        which = np.nonzero(flags[day])[0]
        start = int(which[0])
        what = "do not exist and hold zero" if flags[day, start] < 0 else "hold the energy of two passes"
        notes.append(
            f"Clock change on {first + timedelta(days=int(day))}: {len(which)} half hours from "
            f"{start // 2:02d}:{start % 2 * 30:02d} {what}; they are kept as metered."
        )
    return tuple(notes)


__all__ = ["clock_change_notes", "clock_changes", "read_stamps", "require_order"]
