"""Sources of profiles, one file each; the table of their names is ``retail.SOURCES``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray


class DataError(ValueError):
    """Data that cannot be used; the message names file, row, column, value and what to do."""


class DataMissing(DataError):
    """A data file that is not there; the message names the folder that was searched and how to set it."""


@dataclass(frozen=True)
class Window:
    """The days that a study wants, warm-up included.

    Parameters
    ----------
    start : date
        First day, local.
    days : int
        Number of days.
    step_minutes : int
        15, 30 or 60.
    zone : str
        IANA time zone.
    """

    start: date
    days: int
    step_minutes: int
    zone: str

    @property
    def clock(self) -> NDArray[np.datetime64]:
        """Start of each step, array [H] datetime64[m]; every day has 24 h."""
        first = np.datetime64(self.start, "m")
        steps = self.days * 24 * 60 // self.step_minutes
        return first + np.arange(steps) * np.timedelta64(self.step_minutes, "m")


def standard_offset(zone: str, year: int) -> timedelta:
    """Offset of a zone's standard time, at which every day has 24 h.

    Parameters
    ----------
    zone : str
        IANA time zone.
    year : int
        In which daylight saving is looked for.

    Returns
    -------
    timedelta
        To UTC, the smaller of January's and July's.
    """
    offsets = (datetime(year, month, 1, tzinfo=ZoneInfo(zone)).utcoffset() for month in (1, 7))
    return min(offset or timedelta(0) for offset in offsets)


@dataclass(frozen=True)
class Profiles:
    """What a source delivers.

    Attributes
    ----------
    names : tuple of str
        N prosumers.
    load, pv : array [H, N] kWh per step
        At least 0.
    pv_kwp : array [N] kWp
        Installed PV, 0 = none.
    files : tuple of Path
        Files that were read, for the manifest.
    wind : array [H, N] kWh per step, or None
        Wind generation, at least 0; None without turbines.
    heat, cold : array [H, N] kWh thermal per step, or None
        Demand for heat (rooms and hot water) and for cooling, at least 0; None where the source knows nothing of it.
    postcodes : tuple of str
        One per home, empty where unknown; empty without any.
    notes : tuple of str
        Sentences on what was filled, dropped, flagged or assumed, for the manifest.
    """

    names: tuple[str, ...]
    load: NDArray[np.float64]
    pv: NDArray[np.float64]
    pv_kwp: NDArray[np.float64]
    files: tuple[Path, ...] = ()
    wind: NDArray[np.float64] | None = None
    heat: NDArray[np.float64] | None = None
    cold: NDArray[np.float64] | None = None
    postcodes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def generation(self) -> NDArray[np.float64]:
        """PV and wind together, array [H, N] kWh per step."""
        return self.pv if self.wind is None else self.pv + self.wind

    def only(self, chosen: NDArray[np.bool_]) -> Profiles:
        """Some of the homes, as if there were no others.

        Parameters
        ----------
        chosen : array [N] bool
            Which.

        Returns
        -------
        Profiles
            Files and notes are those of all.
        """

        def some(table: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
            return None if table is None else table[:, chosen]

        return replace(
            self,
            names=tuple(n for n, kept in zip(self.names, chosen, strict=True) if kept),
            postcodes=tuple(p for p, kept in zip(self.postcodes, chosen, strict=False) if kept),
            pv_kwp=self.pv_kwp[chosen],
            load=self.load[:, chosen],
            pv=self.pv[:, chosen],
            wind=some(self.wind),
            heat=some(self.heat),
            cold=some(self.cold),
        )


class Source(Protocol):
    """A frozen dataclass of parameters that reads or makes profiles."""

    def read(self, window: Window, data: Path | None, seed: int) -> Profiles:
        """Deliver the profiles of a window.

        Parameters
        ----------
        window : Window
            Days, step and zone.
        data : Path or None
            Folder with real data.
        seed : int
            Seed of the stream ``weather``; readers of real data ignore it.

        Returns
        -------
        Profiles
            Load and PV [H, N] kWh.
        """
        ...


__all__ = ["DataError", "DataMissing", "Profiles", "Source", "Window", "standard_offset"]
