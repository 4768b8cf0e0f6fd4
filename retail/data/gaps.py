"""Cutting a table to a window and dealing with its gaps, only as the study says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retail.data import DataError, Window

Gaps = Literal["refuse", "zero", "interpolate", "drop-home"]
"""What to do about steps without a value: refuse, fill with 0, draw a straight line between the neighbours (the nearest
value at the ends), or leave out the whole home."""


@dataclass(frozen=True)
class Cut:
    """A table cut to a window.

    Attributes
    ----------
    values : array [H, N] kWh per step
        Finite and at least 0, unless gaps were left for `drop-home`: NaN there.
    notes : tuple of str
        What was filled.
    """

    values: NDArray[np.float64]
    notes: tuple[str, ...] = ()


def check_gaps(gaps: str, owner: str) -> None:
    """Refuse an unknown way to treat gaps.

    Parameters
    ----------
    gaps : str
        As given.
    owner : str
        Name of the source.

    Raises
    ------
    DataError
        Naming the allowed ones.
    """
    if gaps not in get_args(Gaps):
        raise DataError(f"{owner} gaps is {gaps!r}; allowed: {', '.join(get_args(Gaps))}.")


def cut(wide: pd.DataFrame, window: Window, where: str, gaps: Gaps = "refuse") -> Cut:
    """Cut a wide table (index = naive local start of step, columns = homes) to a window and sum to its step.

    Parameters
    ----------
    wide : DataFrame [steps, N] kWh
        Regular steps, no longer than the window's; stamps unique and in order.
    window : Window
        Days and step.
    where : str
        File (and channel) for messages.
    gaps : str
        See ``Gaps``. With ``drop-home`` gaps come back as NaN, for `complete`, which sees load and PV together.

    Returns
    -------
    Cut
        Values [H, N] kWh and what was filled.

    Raises
    ------
    DataError
        If the steps do not fit, a value is negative or infinite, no day of the window is in the file, or there are
        gaps that may not be treated.
    """
    index = pd.DatetimeIndex(wide.index)
    source = int(np.median(np.diff(index.to_numpy()).astype("timedelta64[m]").astype(int))) if len(index) > 1 else 0
    if source <= 0 or window.step_minutes % source:
        raise DataError(
            f"{where}: steps of {source} min cannot be summed to {window.step_minutes} min; change the study's step."
        )
    clock = pd.DatetimeIndex(Window(window.start, window.days, source, window.zone).clock)
    inside = clock.isin(index)
    if not inside.all() and (gaps == "refuse" or not inside.any()):
        absent = clock[~inside]
        raise DataError(
            f"{where}: {len(absent)} of {len(clock)} steps are missing, the first {absent[0]}; the file runs from "
            f"{index[0]} to {index[-1]}. Choose calendar days inside it (the calendar.warm_up days before the "
            f"start count too){_or(gaps)}."
        )
    values = wide.reindex(clock).to_numpy(dtype=np.float64)
    _refuse(values, clock, wide.columns, where, gaps)
    notes: tuple[str, ...] = ()
    if gaps in ("zero", "interpolate"):
        values, notes = _fill(values, clock, wide.columns, where, gaps)
    return Cut(values.reshape(len(window.clock), -1, values.shape[1]).sum(axis=1), notes)


def _or(gaps: Gaps) -> str:
    return ", or set `gaps` to zero, interpolate or drop-home" if gaps == "refuse" else ""


def _refuse(values: NDArray[np.float64], clock: pd.DatetimeIndex, columns: pd.Index, where: str, gaps: Gaps) -> None:
    bad = (values < 0) | np.isinf(values) | (np.isnan(values) & (gaps == "refuse"))
    if bad.any():
        row, column = (int(i[0]) for i in np.nonzero(bad))
        value = values[row, column]
        cure = f"fill or drop it in the file{_or(gaps)}" if np.isnan(value) else "correct it in the file"
        raise DataError(
            f"{where}: row {clock[row]}, column {columns[column]}: {value:g} kWh; it must be a number >= 0: {cure}."
        )


def _fill(
    values: NDArray[np.float64], clock: pd.DatetimeIndex, columns: pd.Index, where: str, gaps: Gaps
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    notes = []
    filled = values.copy()
    steps = np.arange(len(values))
    for n in np.nonzero(np.isnan(values).any(axis=0))[0].tolist():
        gap = np.isnan(values[:, n])
        if gap.all():
            raise DataError(
                f"{where}: column {columns[n]} has no value in the window; drop it from the file or choose other days."
            )
        filled[gap, n] = 0.0 if gaps == "zero" else np.interp(steps[gap], steps[~gap], values[~gap, n])
        how = "with 0" if gaps == "zero" else "by straight lines"
        notes.append(
            f"{where}: {int(gap.sum())} of {len(gap)} values of {columns[n]} were filled {how}, the first "
            f"{clock[int(np.argmax(gap))]}, at most {longest_run(gap)} steps in a row."
        )
    return filled, tuple(notes)


def longest_run(flags: NDArray[np.bool_]) -> int:
    """Length of the longest run of true values.

    Parameters
    ----------
    flags : array [H] bool
        In order.

    Returns
    -------
    int
        0 if none is true.
    """
    edges = np.diff(np.concatenate(([0], flags.astype(np.int8), [0])))
    runs = np.nonzero(edges == -1)[0] - np.nonzero(edges == 1)[0]
    return int(runs.max(initial=0))


def complete(arrays: tuple[NDArray[np.float64], ...], names: tuple[str, ...], where: str) -> NDArray[np.int64]:
    """Choose the homes without any gap.

    Parameters
    ----------
    arrays : tuple of array [H, N] kWh
        Load, PV and so on, NaN where there is no value.
    names : tuple of str
        N homes.
    where : str
        File for the message.

    Returns
    -------
    array [M] int64
        Places of the homes to keep.

    Raises
    ------
    DataError
        If no home is complete.
    """
    whole = np.all([~np.isnan(a).any(axis=0) for a in arrays], axis=0)
    if not whole.any():
        raise DataError(
            f"{where}: all of the {len(names)} homes have gaps in the window, so gaps: drop-home leaves none; choose "
            "other days, or set `gaps` to zero or interpolate."
        )
    return np.nonzero(whole)[0]


def dropped(kept: NDArray[np.int64], names: tuple[str, ...], where: str) -> tuple[str, ...]:
    """Say which homes were left out.

    Parameters
    ----------
    kept : array [M] int64
        What `complete` returned.
    names : tuple of str
        All N homes.
    where : str
        File for the sentence.

    Returns
    -------
    tuple of str
        One sentence, or nothing if all were kept.
    """
    gone = [name for n, name in enumerate(names) if n not in set(kept.tolist())]
    return (f"{where}: homes {', '.join(gone)} have gaps and were left out.",) if gone else ()


__all__ = ["Cut", "Gaps", "check_gaps", "complete", "cut", "dropped", "longest_run"]
