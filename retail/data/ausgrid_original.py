"""The yearly CSV files of the Ausgrid solar homes as published: one row per customer, channel and day, 48 half hours.

Facts that the reader settles: a title may stand above the header; columns are named by the *end* of their half hour,
``0:00`` is the last one of the same date; dates read ``1-Jul-10`` (2010-11) or ``1/07/2012`` (later); the last column
``Row Quality`` is missing in 2010-11, else empty for meter readings and ``NA`` for estimates.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retail.data import DataError
from retail.data.tables import MOST

META = ("Customer", "Generator Capacity", "Postcode", "Consumption Category", "date")
QUALITY = "Row Quality"
CHANNELS = ("CL", "GC", "GG")
HALF_HOURS = 48
DATE_FORMS = ("%d/%m/%Y", "%d-%b-%y", "%d-%b-%Y", "%Y-%m-%d")


@dataclass(frozen=True)
class MeterDays:
    """One yearly file.

    Attributes
    ----------
    path : Path
        Where it was read.
    rows : DataFrame [R]
        Columns customer, capacity_kw, postcode, channel, date (datetime64), estimated (bool).
    kwh : array [R, 48] kWh per half hour
        Column 0 starts at 00:00; all finite and at least 0.
    """

    path: Path
    rows: pd.DataFrame
    kwh: NDArray[np.float64]


def read_meter_days(path: Path) -> MeterDays:
    """Read one yearly file in any of its variants.

    Parameters
    ----------
    path : Path
        CSV as published.

    Returns
    -------
    MeterDays
        Checked rows.

    Raises
    ------
    DataError
        Naming file, row (line of the file), column and value: no header, columns shifted, text or negative energy,
        rows cut short, unknown channel or date, a day given twice.
    """
    skip, header = _header(path)
    table = _fields(path, skip, header)
    ends = header[len(META) : len(META) + HALF_HOURS]
    first = skip + 2
    kwh = _energy(table[ends], path, first)
    dates = _dates(table["date"], path, first)
    customer = _integers(table["Customer"], path, first)
    channel = table["Consumption Category"].str.strip().str.upper()
    _refuse(~channel.isin(CHANNELS), channel, path, first, "a channel; it must be CL, GC or GG: correct the cell")
    quality = table[QUALITY].fillna("").str.strip().str.upper()
    rows = pd.DataFrame(
        {
            "customer": customer,
            "capacity_kw": _numbers(table["Generator Capacity"], path, first, "kWp"),
            "postcode": _integers(table["Postcode"], path, first),
            "channel": channel,
            "date": dates,
            "estimated": quality == "NA",
        }
    )
    again = rows.duplicated(["customer", "channel", "date"])
    _refuse(again, table["date"], path, first, "a new day; this customer, channel and date came before: keep one row")
    return MeterDays(path, rows, kwh)


def tidy(days: MeterDays, *, drop_estimated: bool = False) -> pd.DataFrame:
    """Turn rows of 48 half hours into the tidy form.

    Parameters
    ----------
    days : MeterDays
        As read.
    drop_estimated : bool
        Give estimated readings as NaN.

    Returns
    -------
    DataFrame [48 R]
        Columns customer, postcode, capacity_kw, channel, timestamp (start of the half hour, local wall clock), kwh;
        sorted by customer, channel and time.
    """
    order = days.rows.sort_values(["customer", "channel", "date"], kind="stable").index.to_numpy()
    rows, kwh = days.rows.iloc[order], days.kwh[order]
    if drop_estimated:
        kwh = np.where(rows["estimated"].to_numpy()[:, None], np.nan, kwh)
    half = np.arange(HALF_HOURS) * np.timedelta64(30, "m")
    made: dict[str, Any] = {
        c: np.repeat(rows[c].to_numpy(), HALF_HOURS) for c in ("customer", "postcode", "capacity_kw")
    }
    channels = pd.Index(CHANNELS)
    codes = channels.get_indexer(pd.Index(rows["channel"]))
    made["channel"] = pd.Categorical.from_codes(cast(list[int], np.repeat(codes, HALF_HOURS)), categories=channels)
    stamps = rows["date"].to_numpy().astype("datetime64[m]")[:, None] + half
    return pd.DataFrame({**made, "timestamp": stamps.ravel().astype("datetime64[us]"), "kwh": kwh.ravel()})


def _header(path: Path) -> tuple[int, list[str]]:
    """Line of the header (from 0) and its names, the last half hour and the quality column spelled one way."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            lines = [line.rstrip("\r\n") for line, _ in zip(file, range(3), strict=False)]
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); get an undamaged file.") from None
    for at, line in enumerate(lines):
        names = [name.strip().strip('"') for name in line.split(",")]
        while names and not names[-1]:
            names.pop()
        if [n.lower() for n in names[:5]] == [n.lower() for n in META]:
            _check_ends(names[5:], path, at + 1)
            return at, [*META, *names[5:]]
    raise DataError(
        f"{path}: no header in its first three rows; it must begin with {','.join(META)},0:30,1:00: get the original "
        "yearly file."
    )


def _check_ends(names: list[str], path: Path, row: int) -> None:
    if names and names[-1].lower() == QUALITY.lower():
        names = names[:-1]
    wanted = [f"{m // 60 % 24}:{m % 60:02d}" for m in range(30, 24 * 60 + 1, 30)]
    found = [re.sub(r"^24:00$", "0:00", re.sub(r"^0(\d)", r"\1", re.sub(r"^(\d+:\d\d):00$", r"\1", n))) for n in names]
    wrong = [n for n, (a, b) in enumerate(zip(found, wanted, strict=False)) if a != b]
    if wrong or len(found) != HALF_HOURS:
        at = wrong[0] if wrong else min(len(found), HALF_HOURS)
        value = names[at] if at < len(names) else "missing"
        should = wanted[at] if at < HALF_HOURS else "absent"
        raise DataError(
            f"{path}: row {row}, column {len(META) + at + 1} of the header is {value!r}; it must be {should!r}: "
            "columns are named by the end of their half hour, 0:30 to 0:00. Get the original yearly file."
        )


def _fields(path: Path, skip: int, header: list[str]) -> pd.DataFrame:
    """All rows; a header without quality column gets one, since rows may end with a comma all the same."""
    names = [*header[: len(META) + HALF_HOURS], QUALITY]
    text: dict[Hashable, type[str]] = dict.fromkeys((*META, QUALITY), str)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(
                path,
                skiprows=skip + 1,
                header=None,
                names=names,
                dtype=text,
                keep_default_na=False,
                index_col=False,
                skip_blank_lines=False,
                encoding="utf-8-sig",
            )
    except (ValueError, pd.errors.ParserWarning) as error:
        first = str(error).splitlines()[0]
        raise DataError(f"{path} cannot be read as a table ({first}); get the original yearly file.") from None
    # Blank lines at the end are no rows.
    while len(table) and (table.iloc[-1].isna() | (table.iloc[-1] == "")).all():
        table = table.iloc[:-1]
    if table.empty:
        raise DataError(f"{path} has a header and no rows; it is cut short: get the original yearly file.")
    _require_whole_end(path, skip, skip + 1 + len(table), names)
    return table


def _require_whole_end(path: Path, skip: int, row: int, names: list[str]) -> None:
    """Insist that the last row has as many fields as the first; a file cut short mostly ends within a row."""
    with path.open("rb") as file:
        first = [file.readline() for _ in range(skip + 2)][-1]
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 10_000))
        last = file.read().rstrip().rsplit(b"\n", 1)[-1]
    fields, wanted = last.count(b",") + 1, first.count(b",") + 1
    if fields < wanted:
        column = names[min(fields, len(names)) - 1]
        raise DataError(
            f"{path}: row {row}, column {column!r}: {last[-12:].decode(errors='replace')!r} is the end of the file; "
            f"the row is cut short ({fields} of {wanted} fields): get the original yearly file."
        )


def _refuse(wrong: pd.Series, values: pd.Series, path: Path, first: int, is_no: str) -> None:
    if wrong.any():
        place = int(np.argmax(wrong.to_numpy()))
        value = values.iloc[place]
        empty = pd.isna(value) or value == ""
        shown = "nothing (is the row cut short?)" if empty else repr(value) if isinstance(value, str) else f"{value:g}"
        raise DataError(f"{path}: row {first + place}, column {values.name!r}: {shown} is not {is_no}.")


def _numbers(column: pd.Series, path: Path, first: int, unit: str) -> NDArray[np.float64]:
    values = pd.to_numeric(column, errors="coerce")
    bad = values.isna() | (values < 0) | np.isinf(values)
    _refuse(bad, column, path, first, f"a number of {unit}, at least 0: correct the cell or leave out the row")
    return values.to_numpy(dtype=np.float64)


def _integers(column: pd.Series, path: Path, first: int) -> NDArray[np.int64]:
    values = pd.to_numeric(column, errors="coerce")
    _refuse(values.isna() | (values % 1 != 0), column, path, first, "a whole number: correct the cell")
    return values.to_numpy(dtype=np.int64)


def _energy(cells: pd.DataFrame, path: Path, first: int) -> NDArray[np.float64]:
    """Half-hourly energy; the first bad cell in reading order is named."""
    numbers = cells.apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64)
    bad = ~np.isfinite(numbers) | (numbers < 0) | (numbers > MOST)
    if bad.any():
        row = int(np.argmax(bad.any(axis=1)))
        column = int(np.argmax(bad[row]))
        only = np.arange(len(cells)) == row
        what = "kWh, a number >= 0: correct the cell, or leave out the row and choose `gaps`"
        _refuse(pd.Series(only), cells.iloc[:, column], path, first, what)
    return numbers


def _dates(column: pd.Series, path: Path, first: int) -> pd.Series:
    """Dates in the one form that fits the first row; a file does not change its form."""
    text = column.fillna("").str.strip()
    for form in DATE_FORMS:
        if not pd.isna(pd.to_datetime(text.iloc[0], format=form, errors="coerce")):
            days = pd.to_datetime(text, format=form, errors="coerce")
            _refuse(days.isna(), column, path, first, f"a date like {text.iloc[0]}: correct the cell")
            return days
    raise DataError(
        f"{path}: row {first}, column {column.name!r}: {text.iloc[0]!r} is not a date; it must read 1/07/2012 or "
        "1-Jul-10: get the original yearly file."
    )


__all__ = ["CHANNELS", "MeterDays", "read_meter_days", "tidy"]
