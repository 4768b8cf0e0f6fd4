"""Recombining days of a few real homes into many homes whose sum is given."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Choice:
    """Which day of the donors serves which home on which day.

    Attributes
    ----------
    day : array [D, N] int64
        Day of the donors' year.
    donor : array [D, N] int64
        Donor home.
    """

    day: NDArray[np.int64]
    donor: NDArray[np.int64]


def alike_days(
    wanted: NDArray[np.float64],
    offered: NDArray[np.float64],
    allowed: NDArray[np.bool_],
    count: int,
) -> NDArray[np.int64]:
    """Find for each wanted day the offered days that are most like it.

    Parameters
    ----------
    wanted : array [D, 24] kWh
        Profiles of the days to be made.
    offered : array [Y, 24] kWh
        Profiles of the donors' days.
    allowed : array [D, Y] bool
        Which days may stand in for which; at least one each.
    count : int
        How many to find.

    Returns
    -------
    array [D, count] int64
        Nearest first; repeated where fewer than ``count`` are allowed.
    """
    apart = ((wanted[:, None, :] - offered[None, :, :]) ** 2).sum(axis=2)
    order = np.argsort(np.where(allowed, apart, np.inf), axis=1, kind="stable")
    enough = np.minimum(allowed.sum(axis=1), count)
    return np.take_along_axis(order, np.arange(count)[None, :] % enough[:, None], axis=1)


def same_season(
    wanted: NDArray[np.datetime64], offered: NDArray[np.datetime64], days: int, *, weekday: bool
) -> NDArray[np.bool_]:
    """Say which offered days are of the same season and, if asked, of the same kind of weekday.

    Parameters
    ----------
    wanted : array [D] datetime64[D]
        Days to be made.
    offered : array [Y] datetime64[D]
        Days of the donors, at least a year of them.
    days : int
        Largest distance within the year.
    weekday : bool
        Keep Monday to Friday, Saturday and Sunday apart.

    Returns
    -------
    array [D, Y] bool
        True where a day may stand in.
    """

    def of_year(day: NDArray[np.datetime64]) -> NDArray[np.int64]:
        return (day - day.astype("datetime64[Y]")).astype(np.int64)

    def kind(day: NDArray[np.datetime64]) -> NDArray[np.int64]:
        return np.maximum((day.astype(np.int64) + 3) % 7, 4)

    apart = np.abs(of_year(wanted)[:, None] - of_year(offered)[None, :])
    near = np.minimum(apart, 365 - apart) <= days
    return near & (kind(wanted)[:, None] == kind(offered)[None, :]) if weekday else near


def choose(
    rng: np.random.Generator, candidates: NDArray[np.int64], donor: NDArray[np.int64], usable: NDArray[np.bool_]
) -> Choice:
    """Draw a day for every home and day; a donor that is not usable on it gives way to the next one.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where days are drawn from.
    candidates : array [D, K] int64
        Days of the donors.
    donor : array [N] int64
        Donor of each home.
    usable : array [Y, M] bool
        Donors by day; every candidate day has one at least.

    Returns
    -------
    Choice
        Days and donors [D, N].
    """
    drawn = rng.integers(candidates.shape[1], size=(len(candidates), len(donor)))
    day = np.take_along_axis(candidates, drawn, axis=1)
    donors = usable.shape[1]
    ahead = (np.arange(donors)[:, None] + np.arange(donors)[None, :]) % donors
    # First usable donor at or after each one, for every day.
    instead = np.take_along_axis(ahead[None], usable[:, ahead].argmax(axis=2)[:, :, None], axis=2)[:, :, 0]
    return Choice(day, instead[day, donor[None, :]])


def fit(
    shape: NDArray[np.float64], total: NDArray[np.float64], cap: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Scale homes, step by step, so that their sum is exactly the given one.

    Parameters
    ----------
    shape : array [H, N] kWh
        Above 0 for some home in every step.
    total : array [H] kWh
        Wanted sum, at least 0.
    cap : array [N] kWh, optional
        Most that a home may have; what it cannot take goes to the others in proportion to their room. Left aside in
        steps whose total is above the sum of caps.

    Returns
    -------
    array [H, N] kWh
        Sums to ``total`` up to rounding errors.
    """
    value = shape * (total / shape.sum(axis=1))[:, None]
    if cap is not None:
        below = np.minimum(value, cap)
        room = cap - below
        rest = total - below.sum(axis=1)
        fits = (rest > 0) & (rest <= room.sum(axis=1))
        share = np.divide(rest, room.sum(axis=1), out=np.zeros_like(rest), where=fits)
        value = np.where(fits[:, None], below + room * share[:, None], value)
    made = value.sum(axis=1)
    return value * np.divide(total, made, out=np.zeros_like(total), where=made > 0)[:, None]


__all__ = ["Choice", "alike_days", "choose", "fit", "same_season"]
