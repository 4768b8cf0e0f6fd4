"""What is odd in the meter data of a home: missing days, outages, absence, estimates, PV above its stated size."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd
from numpy.typing import NDArray

DARK_KWH = 0.02
"""PV of a day below this is none; meters show up to some Wh of noise at night."""
ABSENT_KWH = 0.5
"""Load of a day below this: nobody at home, only what is always on."""
OUTAGE_DAYS = 2
"""Dark days in a row that count as an outage of the PV system."""


@dataclass(frozen=True)
class Outage:
    """Days in a row without PV.

    Attributes
    ----------
    first, last : date
        Both included.
    days : int
        Number of days.
    """

    first: date
    last: date
    days: int


@dataclass(frozen=True)
class HomeQuality:
    """Quality report of one home.

    Attributes
    ----------
    name : str
        The home.
    first, last : date
        Days that the report covers.
    missing_days : int
        Days with at least one half hour of load or PV missing.
    zero_load_days : int
        Days without any load.
    absent_days : int
        Days with a load below ``ABSENT_KWH``, those without any included.
    dark_days : int
        Days with PV below ``DARK_KWH``.
    outages : tuple of Outage
        Dark days in a row, ``OUTAGE_DAYS`` at least.
    estimated_days : int
        Days with an estimated reading in a channel that is used.
    pv_ratio : float
        Highest mean PV power of a step over the stated size; 0 without PV.
    """

    name: str
    first: date
    last: date
    missing_days: int
    zero_load_days: int
    absent_days: int
    dark_days: int
    outages: tuple[Outage, ...]
    estimated_days: int
    pv_ratio: float

    def __str__(self) -> str:
        """One sentence for a report."""
        facts = [
            f"{self.missing_days} days missing" * bool(self.missing_days),
            f"{self.zero_load_days} days without load" * bool(self.zero_load_days),
            f"{self.absent_days} days absent (load below {ABSENT_KWH:g} kWh)" * bool(self.absent_days),
            *(f"no PV from {o.first} to {o.last} ({o.days} days)" for o in self.outages),
            f"{self.estimated_days} days estimated" * bool(self.estimated_days),
            f"PV up to {self.pv_ratio:.2f} of its stated size" * (self.pv_ratio > 1),
        ]
        told = "; ".join(f for f in facts if f)
        return f"Home {self.name}, {self.first} to {self.last}: {told or 'nothing odd'}."


def quality_report(
    names: tuple[str, ...],
    first: date,
    load: NDArray[np.float64],
    pv: NDArray[np.float64],
    pv_kwp: NDArray[np.float64],
    estimated: NDArray[np.bool_] | None = None,
) -> tuple[HomeQuality, ...]:
    """Report on homes.

    Parameters
    ----------
    names : tuple of str
        N homes.
    first : date
        First day.
    load, pv : array [D, T, N] kWh per step
        NaN where there is no reading.
    pv_kwp : array [N] kWp
        Stated size.
    estimated : array [D, N] bool, optional
        Days with an estimated reading.

    Returns
    -------
    tuple of HomeQuality
        One per home.
    """
    days, steps, count = load.shape
    last = (pd.Timestamp(first) + pd.Timedelta(days=days - 1)).date()
    guessed = np.zeros((days, count), dtype=bool) if estimated is None else estimated
    missing = np.asarray(np.isnan(load).any(axis=1) | np.isnan(pv).any(axis=1))
    used, made = load.sum(axis=1), pv.sum(axis=1)
    peak = np.nan_to_num(pv).max(axis=(0, 1)) * steps / 24
    reports = []
    for n, name in enumerate(names):
        dark = made[:, n] < DARK_KWH
        reports.append(
            HomeQuality(
                name=name,
                first=first,
                last=last,
                missing_days=int(missing[:, n].sum()),
                zero_load_days=int((used[:, n] == 0).sum()),
                absent_days=int((used[:, n] < ABSENT_KWH).sum()),
                dark_days=int(dark.sum()),
                outages=_outages(dark, first),
                estimated_days=int(guessed[:, n].sum()),
                pv_ratio=float(peak[n] / pv_kwp[n]) if pv_kwp[n] > 0 else 0.0,
            )
        )
    return tuple(reports)


def _outages(dark: NDArray[np.bool_], first: date) -> tuple[Outage, ...]:
    edges = np.diff(np.concatenate(([0], dark.astype(np.int8), [0])))
    start = pd.Timestamp(first)
    runs = zip(np.nonzero(edges == 1)[0], np.nonzero(edges == -1)[0], strict=True)
    return tuple(
        Outage((start + pd.Timedelta(days=int(a))).date(), (start + pd.Timedelta(days=int(b) - 1)).date(), int(b - a))
        for a, b in runs
        if b - a >= OUTAGE_DAYS
    )


__all__ = ["ABSENT_KWH", "DARK_KWH", "OUTAGE_DAYS", "HomeQuality", "Outage", "quality_report"]
