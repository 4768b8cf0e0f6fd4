"""Ausgrid solar homes, tidy form: customer, postcode, capacity_kw, channel, timestamp, kwh."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from retail.data import DataError, Profiles, Window
from retail.data.gaps import Cut, Gaps, check_gaps, complete, cut, dropped
from retail.data.plausible import check_pv, check_sun
from retail.data.stamps import clock_change_notes, read_stamps
from retail.data.tables import locate, read_table, require_columns, require_energy, require_finite, row_number

HOURLY_FILE = "ausgrid/hourly_8customers_2012_2013.parquet"
COLUMNS = ("customer", "postcode", "capacity_kw", "channel", "timestamp", "kwh")


@dataclass(frozen=True)
class Ausgrid:
    """Real homes of the Ausgrid solar-home data: general consumption (GC) and gross generation (GG).

    Parameters
    ----------
    file : str
        Path below the data folder; tidy columns, ``timestamp`` is the start of the step, local wall clock.
    customers : tuple of int
        Which homes, in this order; all when empty.
    controlled_load : bool
        Add channel CL (off-peak hot water) to the load where the file has it.
    gaps : refuse, zero, interpolate or drop-home
        What to do about missing steps and empty cells; whatever is filled or left out is noted in the manifest.

    Source: Ratnam, Weller, Kellett and Murray (2017), doi 10.1080/14786451.2015.1100196.
    """

    file: str = HOURLY_FILE
    customers: tuple[int, ...] = ()
    controlled_load: bool = False
    gaps: Gaps = "refuse"

    def __post_init__(self) -> None:
        check_gaps(self.gaps, "Ausgrid")

    def read(self, window: Window, data: Path | None, seed: int) -> Profiles:
        """Read the profiles of a window.

        Parameters
        ----------
        window : Window
            Days, step (a multiple of the file's step) and zone.
        data : Path or None
            Folder with real data.
        seed : int
            Not used.

        Returns
        -------
        Profiles
            Load and PV [H, N] kWh.

        Raises
        ------
        DataError
            If the file is absent, damaged or incomplete, or a customer or a day is not in it.
        """
        path = locate(data, self.file)
        table = read_tidy(path)
        return homes_of(
            table, window, path, self.customers, controlled_load=self.controlled_load, gaps=self.gaps, files=(path,)
        )


def read_tidy(path: Path) -> pd.DataFrame:
    """Read a tidy table of meter channels and check every row.

    Parameters
    ----------
    path : Path
        CSV or parquet with ``COLUMNS``.

    Returns
    -------
    DataFrame
        As stored, with ``timestamp`` as naive datetimes.

    Raises
    ------
    DataError
        Naming file, row, column and value.
    """
    table = read_table(path)
    require_columns(table, COLUMNS, path, "the tidy form")
    stamps = read_stamps(table["timestamp"], path)
    require_energy(table, "kwh", path, gaps=True)
    require_finite(table, ("customer", "postcode", "capacity_kw"), path, "a number")
    table = table.assign(timestamp=stamps)
    again = table.duplicated(["customer", "channel", "timestamp"]).to_numpy()
    if again.any():
        place = int(np.argmax(again))
        row = table.iloc[place]
        raise DataError(
            f"{path}: row {row_number(path, place)}, column 'timestamp': {row['timestamp']} of customer "
            f"{row['customer']}, channel {row['channel']}, comes twice; keep one of them."
        )
    return table


def homes_of(
    table: pd.DataFrame,
    window: Window,
    path: Path,
    customers: tuple[int, ...],
    *,
    controlled_load: bool,
    gaps: Gaps,
    files: tuple[Path, ...],
) -> Profiles:
    """Make homes of a tidy table.

    Parameters
    ----------
    table : DataFrame
        Columns ``COLUMNS``; kWh per step.
    window : Window
        Days, step and zone.
    path : Path
        For messages.
    customers : tuple of int
        Which homes; all when empty.
    controlled_load : bool
        Whether CL counts as load.
    gaps : str
        See ``retail.data.gaps.Gaps``.
    files : tuple of Path
        What was read.

    Returns
    -------
    Profiles
        Load and PV [H, N] kWh, with postcodes and notes.

    Raises
    ------
    DataError
        If a customer or a day is not in the table, or PV does not fit the installed power.
    """
    known = tuple(int(c) for c in sorted(table["customer"].unique()))
    unknown = [c for c in customers if c not in known]
    if unknown:
        raise DataError(f"{path} has no customer {unknown}; it has {list(known)}.")
    chosen = customers or known
    names = tuple(str(c) for c in chosen)
    load = _channel(table, "GC", chosen, window, path, gaps)
    if controlled_load and (table["channel"] == "CL").any():
        extra = _channel(table, "CL", chosen, window, path, gaps)
        load = Cut(load.values + extra.values, (*load.notes, *extra.notes))
    pv = _channel(table, "GG", chosen, window, path, gaps)
    kept = complete((load.values, pv.values), names, str(path))
    first = table.groupby("customer")[["capacity_kw", "postcode"]].first().loc[[chosen[n] for n in kept]]
    made = Profiles(
        tuple(names[n] for n in kept),
        load.values[:, kept],
        pv.values[:, kept],
        np.array([round(float(x), 3) for x in first["capacity_kw"]]),
        files,
        postcodes=tuple(str(int(x)) for x in first["postcode"]),
        notes=(
            *load.notes,
            *pv.notes,
            *dropped(kept, names, str(path)),
            *clock_change_notes(window.start, window.days, window.zone),
        ),
    )
    check_pv(made.pv, made.pv_kwp, made.names, window, f"{path} channel GG")
    check_sun(made.pv, window, f"{path} channel GG")
    return made


def _channel(
    table: pd.DataFrame, channel: str, customers: tuple[int, ...], window: Window, path: Path, gaps: Gaps
) -> Cut:
    rows = table[table["channel"] == channel]
    if rows.empty:
        raise DataError(f"{path}, column 'channel': no row is {channel}; every home needs GC (load) and GG (PV).")
    wide = rows.pivot(index="timestamp", columns="customer", values="kwh").sort_index()
    # float32 in the file: 0.206 reads 0.20600000; the meter's resolution is 1 Wh.
    wide = wide.reindex(columns=list(customers)).astype("float64").round(3)
    if channel == "CL":
        # Homes without off-peak hot water have no such rows.
        without = wide.columns[wide.isna().all()]
        wide[without] = 0.0
    return cut(wide, window, f"{path} channel {channel}", gaps)


__all__ = ["COLUMNS", "HOURLY_FILE", "Ausgrid", "homes_of", "read_tidy"]
