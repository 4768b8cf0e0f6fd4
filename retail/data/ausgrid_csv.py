"""Ausgrid solar homes from the original yearly CSV files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd

from retail.data import DataError, Profiles, Window
from retail.data.ausgrid import homes_of
from retail.data.ausgrid_original import HALF_HOURS, MeterDays, read_meter_days, tidy
from retail.data.gaps import Gaps, check_gaps
from retail.data.quality import HomeQuality, quality_report
from retail.data.tables import locate

FOLDER = "ausgrid/original_format"
Estimated = Literal["keep", "gap", "refuse"]


@dataclass(frozen=True)
class AusgridCsv:
    """Ausgrid solar homes as published: yearly CSV files of half hours, read in any of their variants.

    Parameters
    ----------
    folder : str
        Folder below the data folder with the yearly files; those whose name has a year of the window are read.
    files : tuple of str
        Files below that folder instead, whatever their names.
    customers : tuple of int
        Which homes, in this order; all when empty.
    controlled_load : bool
        Add channel CL (off-peak hot water) to the load of homes that have it.
    estimated : keep, gap or refuse
        What to do about estimated readings (Row Quality NA): use them, treat them as gaps, or refuse them.
    gaps : refuse, zero, interpolate or drop-home
        What to do about missing days; whatever is filled or left out is noted in the manifest.

    Source: Ratnam, Weller, Kellett and Murray (2017), doi 10.1080/14786451.2015.1100196.
    """

    folder: str = FOLDER
    files: tuple[str, ...] = ()
    customers: tuple[int, ...] = ()
    controlled_load: bool = False
    estimated: Estimated = "keep"
    gaps: Gaps = "refuse"

    def __post_init__(self) -> None:
        check_gaps(self.gaps, "AusgridCsv")
        if self.estimated not in get_args(Estimated):
            raise DataError(f"AusgridCsv estimated is {self.estimated!r}; allowed: {', '.join(get_args(Estimated))}.")

    def read(self, window: Window, data: Path | None, seed: int) -> Profiles:
        """Read the profiles of a window.

        Parameters
        ----------
        window : Window
            Days, step (30 or 60 min) and zone (Australia/Sydney).
        data : Path or None
            Folder with real data.
        seed : int
            Not used.

        Returns
        -------
        Profiles
            Load and PV [H, N] kWh; notes tell of clock changes, estimates and what was filled.

        Raises
        ------
        DataError
            If a file is absent, damaged or incomplete, or a customer or a day is not in it.
        """
        last = window.start + timedelta(days=window.days - 1)
        years = [self._inside(read_meter_days(p), window.start, last) for p in self.paths(window.start, last, data)]
        table = pd.concat([tidy(y, drop_estimated=self.estimated == "gap") for y in years], ignore_index=True)
        paths = tuple(y.path for y in years)
        label = paths[0] if len(paths) == 1 else paths[0].parent
        if table.empty:
            raise DataError(f"{label} has no day from {window.start} to {last}; choose calendar days inside it.")
        made = homes_of(
            table,
            window,
            label,
            self.customers,
            controlled_load=self.controlled_load,
            gaps=self.gaps,
            files=paths,
        )
        return Profiles(
            made.names,
            made.load,
            made.pv,
            made.pv_kwp,
            paths,
            postcodes=made.postcodes,
            notes=(*made.notes, *self._estimates(years)),
        )

    def paths(self, first: date, last: date, data: Path | None) -> tuple[Path, ...]:
        """Files that a window needs.

        Parameters
        ----------
        first, last : date
            Both included.
        data : Path or None
            Folder with real data.

        Returns
        -------
        tuple of Path
            In the order of their names.

        Raises
        ------
        DataError
            If there are none.
        """
        if self.files:
            return tuple(locate(data, f"{self.folder}/{name}") for name in self.files)
        folder = Path(self.folder) if data is None else data / self.folder
        found = sorted(folder.glob("*.csv"))
        chosen = tuple(p for p in found if _covers(p.name, first, last))
        if not chosen:
            what = f"its CSV files are {', '.join(p.name for p in found)}" if found else "it has no CSV file"
            raise DataError(
                f"{folder}: no yearly file for {first} to {last} ({what}); expected names such as '2012-2013 Solar "
                "home electricity data v2.csv'. Give the data folder with --data DIR or HMARL_DATA, or name `files`."
            )
        return chosen

    def quality(self, data: Path | None, first: date, last: date) -> tuple[HomeQuality, ...]:
        """Report on missing days, outages, absence and estimates of each customer.

        Parameters
        ----------
        data : Path or None
            Folder with real data.
        first, last : date
            Both included; files are chosen as for a window.

        Returns
        -------
        tuple of HomeQuality
            One per customer.

        Raises
        ------
        DataError
            As for `read`, but for missing days, which the report counts.
        """
        years = [self._inside(read_meter_days(p), first, last) for p in self.paths(first, last, data)]
        rows = pd.concat([y.rows for y in years], ignore_index=True)
        kwh = np.concatenate([y.kwh for y in years])
        customers = self.customers or tuple(int(c) for c in sorted(rows["customer"].unique()))
        days, count = (last - first).days + 1, len(customers)
        day = ((rows["date"] - pd.Timestamp(first)) // pd.Timedelta(days=1)).to_numpy()
        place = rows["customer"].map({c: n for n, c in enumerate(customers)})
        mine = place.notna().to_numpy()
        by_channel = {}
        for channel in ("GC", "GG"):
            at = mine & (rows["channel"] == channel).to_numpy()
            values = np.full((days, count, HALF_HOURS), np.nan)
            values[day[at], place[at].astype(int)] = kwh[at]
            by_channel[channel] = values.transpose(0, 2, 1)
        guessed = np.zeros((days, count), dtype=bool)
        at = mine & rows["estimated"].to_numpy()
        guessed[day[at], place[at].astype(int)] = True
        kwp = rows.groupby("customer")["capacity_kw"].first().reindex(list(customers)).fillna(0).to_numpy()
        names = tuple(str(c) for c in customers)
        return quality_report(names, first, by_channel["GC"], by_channel["GG"], kwp, guessed)

    def _inside(self, year: MeterDays, first: date, last: date) -> MeterDays:
        wanted = year.rows["date"].between(pd.Timestamp(first), pd.Timestamp(last))
        if not self.controlled_load:
            wanted &= year.rows["channel"] != "CL"
        present = set(year.rows["customer"])
        if self.customers and present.issuperset(self.customers):
            wanted &= year.rows["customer"].isin(self.customers)
        return MeterDays(year.path, year.rows[wanted].reset_index(drop=True), year.kwh[wanted.to_numpy()])

    def _estimates(self, years: list[MeterDays]) -> tuple[str, ...]:
        notes = []
        for year in years:
            guessed = year.rows[year.rows["estimated"]]
            if not len(guessed):
                continue
            first = guessed.iloc[0]
            told = (
                f"{year.path}: {len(guessed)} daily readings are estimated (Row Quality NA), the first of customer "
                f"{first['customer']}, {first['channel']}, on {first['date'].date()}"
            )
            if self.estimated == "refuse":
                raise DataError(f"{told}; set `estimated` to keep or gap, or choose other homes or days.")
            notes.append(f"{told}; they were {'used' if self.estimated == 'keep' else 'treated as gaps'}.")
        return tuple(notes)


def _covers(name: str, first: date, last: date) -> bool:
    """Whether a yearly file (1 July to 30 June by its name) has a day of a window; unnamed years always count."""
    years = re.search(r"(20\d\d)\s*[-_]\s*(20\d\d)", name)
    if not years:
        return True
    begin, end = date(int(years[1]), 7, 1), date(int(years[2]), 6, 30)
    return begin <= last and first <= end


__all__ = ["FOLDER", "AusgridCsv"]
