"""The neutral form: a wide table of load and one of PV, CSV or parquet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from retail.data import DataError, Profiles, Window
from retail.data.ausgrid import cut, locate, read_table


@dataclass(frozen=True)
class WideTables:
    """Your own homes: one table of load, one of PV; the first column (or ``timestamp``) is the start of each step.

    Parameters
    ----------
    load : str
        CSV or parquet below the data folder (or an absolute path): one column of kWh per step for each home.
    pv : str
        The same for generation; homes without a column have no PV. Empty: no PV at all.
    """

    load: str = "load.csv"
    pv: str = ""

    def read(self, window: Window, data: Path | None, seed: int) -> Profiles:
        """Read the profiles of a window.

        Parameters
        ----------
        window : Window
            Days, step (a multiple of the file's) and zone.
        data : Path or None
            Folder with the tables.
        seed : int
            Not used.

        Returns
        -------
        Profiles
            Load and PV [H, N] kWh; installed PV is taken as the highest mean power of a step.

        Raises
        ------
        DataError
            If a table is absent, incomplete, or has PV for an unknown home.
        """
        load_path = locate(data, self.load)
        load_table = _read(load_path)
        names = tuple(str(c) for c in load_table.columns)
        load = cut(load_table, window, str(load_path))
        if not self.pv:
            return Profiles(names, load, np.zeros_like(load), np.zeros(len(names)), (load_path,))
        pv_path = locate(data, self.pv)
        pv_table = _read(pv_path)
        strangers = [c for c in pv_table.columns if str(c) not in names]
        if strangers:
            raise DataError(f"{pv_path}: column {strangers[0]!r} has PV but no load in {load_path}; add or remove it.")
        pv_table = pv_table.reindex(columns=list(names), fill_value=0.0)
        pv = cut(pv_table, window, str(pv_path))
        return Profiles(names, load, pv, pv.max(axis=0) * 60 / window.step_minutes, (load_path, pv_path))


def _read(path: Path) -> pd.DataFrame:
    table = read_table(path)
    if not isinstance(table.index, pd.DatetimeIndex):
        column = "timestamp" if "timestamp" in table.columns else str(table.columns[0])
        stamps = pd.to_datetime(table[column], errors="coerce")
        if stamps.isna().any():
            row = int(np.argmax(stamps.isna().to_numpy()))
            raise DataError(f"{path}: row {row + 2}, column {column}: {table[column].iloc[row]!r} is no time stamp.")
        table = table.drop(columns=[column]).set_index(stamps)
    if pd.DatetimeIndex(table.index).tz is not None:
        raise DataError(f"{path}: time stamps carry a zone; write them as local wall clock without one.")
    wrong = [c for c in table.columns if not pd.api.types.is_numeric_dtype(table[c])]
    if wrong:
        raise DataError(f"{path}: column {wrong[0]!r} holds text; every column but the first must be kWh per step.")
    return table
