"""Ausgrid solar homes, tidy form: customer, postcode, capacity_kw, channel, timestamp, kwh."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from retail.data import DataError, Profiles, Window

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
    """

    file: str = HOURLY_FILE
    customers: tuple[int, ...] = ()
    controlled_load: bool = False

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
            If the file is absent or incomplete, or a customer or a day is not in it.
        """
        path = locate(data, self.file)
        table = read_table(path)
        missing = [c for c in COLUMNS if c not in table.columns]
        if missing:
            raise DataError(f"{path} has no column {', '.join(missing)}; the tidy form has {', '.join(COLUMNS)}.")
        known = tuple(int(c) for c in sorted(table["customer"].unique()))
        unknown = [c for c in self.customers if c not in known]
        if unknown:
            raise DataError(f"{path} has no customer {unknown}; it has {list(known)}.")
        chosen = self.customers or known
        first = table.groupby("customer")["capacity_kw"].first()
        channels = ("GC", "CL") if self.controlled_load else ("GC",)
        load = sum(
            (_channel(table, c, chosen, window, path) for c in channels), np.zeros((len(window.clock), len(chosen)))
        )
        pv = _channel(table, "GG", chosen, window, path)
        kwp = np.array([round(float(first[c]), 3) for c in chosen])
        return Profiles(tuple(str(c) for c in chosen), load, pv, kwp, (path,))


def locate(data: Path | None, relative: str) -> Path:
    """Find a file of real data.

    Parameters
    ----------
    data : Path or None
        Folder with real data.
    relative : str
        Path of the file below it; an absolute path is taken as it is.

    Returns
    -------
    Path
        An existing file.

    Raises
    ------
    DataError
        Naming the folder that was searched and how to set it.
    """
    path = Path(relative) if data is None else data / relative
    if not path.is_file():
        where = "no data folder is set" if data is None else f"looked in {data.resolve()}"
        raise DataError(f"Data file {relative} was not found ({where}); give the folder with --data DIR or HMARL_DATA.")
    return path


def read_table(path: Path) -> pd.DataFrame:
    """Read a table by its suffix.

    Parameters
    ----------
    path : Path
        ``.parquet``, else CSV; energy columns in kWh.

    Returns
    -------
    DataFrame
        As stored.

    Raises
    ------
    DataError
        If the file is damaged or of another kind.
    """
    try:
        return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except (ValueError, OSError) as error:
        first = str(error).splitlines()[0]
        raise DataError(f"{path} cannot be read as a table ({first}); get an undamaged CSV or parquet file.") from None


def _channel(table: pd.DataFrame, channel: str, customers: tuple[int, ...], window: Window, path: Path) -> np.ndarray:
    rows = table[table["channel"] == channel]
    # float32 in the file: 0.206 reads 0.20600000; the meter's resolution is 1 Wh.
    wide = rows.pivot_table(index="timestamp", columns="customer", values="kwh", observed=True, aggfunc="first")
    wide = wide.reindex(columns=list(customers)).astype("float64").round(3)
    if channel == "CL":
        wide = wide.fillna(0.0)
    return cut(wide, window, f"{path} channel {channel}")


def cut(wide: pd.DataFrame, window: Window, where: str) -> np.ndarray:
    """Cut a wide table (index = naive local start of step, columns = homes) to a window and sum to its step.

    Parameters
    ----------
    wide : DataFrame [steps, N] kWh
        Regular steps, no longer than the window's.
    window : Window
        Days and step.
    where : str
        File (and channel) for messages.

    Returns
    -------
    array [H, N] kWh
        Complete and non-negative.

    Raises
    ------
    DataError
        If a step is missing, duplicated, not a number or negative.
    """
    index = pd.DatetimeIndex(wide.index)
    if not index.is_unique or not index.is_monotonic_increasing:
        place = int(np.argmax(np.diff(index.to_numpy()) <= np.timedelta64(0)))
        raise DataError(f"{where}: time stamp {index[place + 1]} comes twice or out of order; sort and deduplicate.")
    source = int(np.median(np.diff(index.to_numpy()).astype("timedelta64[m]").astype(int))) if len(index) > 1 else 0
    if source == 0 or window.step_minutes % source:
        raise DataError(
            f"{where}: steps of {source} min cannot be summed to {window.step_minutes} min; change the step."
        )
    clock = pd.DatetimeIndex(Window(window.start, window.days, source, window.zone).clock)
    absent = clock.difference(index)
    if len(absent):
        raise DataError(
            f"{where}: {len(absent)} of {len(clock)} steps are missing, the first {absent[0]}; the file runs from "
            f"{index[0]} to {index[-1]}. Choose calendar days inside it (the warm-up days count too)."
        )
    values = wide.loc[clock].to_numpy(dtype=np.float64)
    bad = ~np.isfinite(values) | (values < 0)
    if bad.any():
        row, column = (int(i[0]) for i in np.nonzero(bad))
        raise DataError(
            f"{where}: {wide.columns[column]} at {clock[row]} is {values[row, column]} kWh; it must be a number >= 0."
        )
    return values.reshape(len(window.clock), -1, values.shape[1]).sum(axis=1)
