"""Public holidays by rule, for tariffs that count them as weekend."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from retail.tariff import TariffError

MONDAY, SATURDAY, SUNDAY = 0, 5, 6


def easter(year: int) -> date:
    """Easter Sunday of the Gregorian calendar.

    Parameters
    ----------
    year : int
        1583 or later.

    Returns
    -------
    date
        Between 22 March and 25 April.

    Source: Meeus (1998), Astronomical Algorithms, chapter 8.
    """
    golden, century, of_century = year % 19, year // 100, year % 100
    skipped = century - century // 4 - (century - (century + 8) // 25 + 1) // 3
    epact = (19 * golden + skipped + 15) % 30
    weekday = (32 + 2 * (century % 4) + 2 * (of_century // 4) - epact - of_century % 4) % 7
    late = (golden + 11 * epact + 22 * weekday) // 451
    month, day = divmod(epact + weekday - 7 * late + 114, 31)
    return date(year, month, day + 1)


def nsw_holidays(year: int) -> tuple[date, ...]:
    """Public holidays of New South Wales for the whole state.

    Days by proclamation (a day of mourning), local holidays and the bank holiday are not among them. The act is of
    December 2010; before it the Monday after an Anzac Day at a weekend was free too (26 April 2010).

    Parameters
    ----------
    year : int
        2010 or later.

    Returns
    -------
    tuple of date
        Rising, each once.

    Raises
    ------
    TariffError
        For years before 2010, when other rules held.

    Source: Public Holidays Act 2010 (NSW), sections 4 and 5.
    """
    if year < 2010:
        raise TariffError(f"Holidays NSW are known from 2010 on, not for {year}; set holidays: none.")
    sunday = easter(year)
    new_year, australia, anzac = date(year, 1, 1), date(year, 1, 26), date(year, 4, 25)
    christmas, boxing = date(year, 12, 25), date(year, 12, 26)
    found = {sunday + timedelta(days=d) for d in (-2, -1, 0, 1)}
    found |= {new_year, anzac, christmas, boxing, _nth_monday(year, 6, 2), _nth_monday(year, 10, 1)}
    found.add(_weekday_or_monday(australia))
    found.add(_weekday_or_monday(new_year))
    if anzac == sunday + timedelta(days=1):
        found.add(anzac + timedelta(days=1))
    if year in (2026, 2027):
        # Declared for these two years only.
        found.add(_weekday_or_monday(anzac))
    # Each of the two gets a weekday of its own.
    if christmas.weekday() >= SATURDAY:
        found.add(date(year, 12, 27))
    if boxing.weekday() >= SATURDAY:
        found.add(date(year, 12, 28))
    return tuple(sorted(found))


def _nth_monday(year: int, month: int, n: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=(MONDAY - first.weekday()) % 7 + 7 * (n - 1))


def _weekday_or_monday(day: date) -> date:
    return day + timedelta(days={SATURDAY: 2, SUNDAY: 1}.get(day.weekday(), 0))


def _none(year: int) -> tuple[date, ...]:
    return ()


HOLIDAYS: dict[str, Callable[[int], tuple[date, ...]]] = {"none": _none, "NSW": nsw_holidays}
"""Named calendars: year -> public holidays."""


def holidays_on(clock: NDArray[np.datetime64], calendar: str) -> NDArray[np.bool_]:
    """Flag the steps that lie on public holidays.

    Parameters
    ----------
    clock : array [H] datetime64
        Start of each step, local wall clock.
    calendar : str
        A name in ``HOLIDAYS``.

    Returns
    -------
    array [H] bool
        True on holidays.

    Raises
    ------
    TariffError
        If the calendar is unknown.
    """
    if calendar not in HOLIDAYS:
        raise TariffError(f"Holidays {calendar!r} are unknown; allowed: {', '.join(HOLIDAYS)}.")
    if calendar == "none" or not len(clock):
        return np.zeros(len(clock), dtype=bool)
    days = clock.astype("datetime64[D]")
    first, last = (int(str(d)[:4]) for d in (days.min(), days.max()))
    free = [np.datetime64(d, "D") for year in range(first, last + 1) for d in HOLIDAYS[calendar](year)]
    return np.isin(days, np.array(free))


__all__ = ["HOLIDAYS", "easter", "holidays_on", "nsw_holidays"]
