"""The neutral form: a wide table of load and one of PV, CSV or parquet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from retail.data import DataError, Profiles, Window
from retail.data.gaps import Cut, Gaps, check_gaps, complete, cut, dropped
from retail.data.plausible import check_load, check_sun
from retail.data.stamps import read_stamps, require_order
from retail.data.tables import locate, read_table, require_numbers


@dataclass(frozen=True)
class WideTables:
    """Your own homes: one table of load, one of PV; the first column (or ``timestamp``) is the start of each step.

    Parameters
    ----------
    load : str
        CSV or parquet below the data folder (or an absolute path): one column of kWh per step for each home.
    pv : str
        The same for generation; homes without a column have no PV. Empty: no PV at all.
    gaps : refuse, zero, interpolate or drop-home
        What to do about missing steps and empty cells; whatever is filled or left out is noted in the manifest.
    daily_kwh : tuple of float kWh
        Least and largest credible mean daily load of the median home; outside it the unit is taken for wrong (kW, W).
    """

    load: str = "load.csv"
    pv: str = ""
    gaps: Gaps = "refuse"
    daily_kwh: tuple[float, float] = (0.5, 60.0)

    def __post_init__(self) -> None:
        check_gaps(self.gaps, "WideTables")
        if not 0 <= self.daily_kwh[0] < self.daily_kwh[1]:
            raise DataError(f"WideTables daily_kwh is {self.daily_kwh}; it must be two rising numbers of kWh, from 0.")

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
            If a table is absent, damaged, incomplete or implausible, or has PV for an unknown home.
        """
        load_path = locate(data, self.load)
        load_table = read_wide(load_path)
        names = tuple(load_table.columns)
        load = cut(load_table, window, str(load_path), self.gaps)
        files: tuple[Path, ...] = (load_path,)
        pv = Cut(np.zeros_like(load.values))
        if self.pv:
            pv_path = locate(data, self.pv)
            pv = self._generation(pv_path, names, load_path, window)
            files = (load_path, pv_path)
        kept = complete((load.values, pv.values), names, str(load_path))
        notes = (*load.notes, *pv.notes, *dropped(kept, names, " and ".join(map(str, files))))
        names = tuple(names[n] for n in kept)
        made = Profiles(names, load.values[:, kept], pv.values[:, kept], np.zeros(len(kept)), files, notes=notes)
        check_load(made.load, names, window, self.daily_kwh, str(load_path))
        if not self.pv:
            return made
        check_sun(made.pv, window, str(files[-1]))
        kwp = made.pv.max(axis=0) * 60 / window.step_minutes
        return Profiles(names, made.load, made.pv, kwp, files, notes=notes)

    def _generation(self, path: Path, names: tuple[str, ...], load_path: Path, window: Window) -> Cut:
        table = read_wide(path)
        strangers = [c for c in table.columns if c not in names]
        if strangers:
            raise DataError(f"{path}: column {strangers[0]!r} has PV but no load in {load_path}; add or remove it.")
        part = cut(table, window, str(path), self.gaps)
        values = np.zeros((len(part.values), len(names)))
        values[:, [names.index(c) for c in table.columns]] = part.values
        return Cut(values, part.notes)


def read_wide(path: Path) -> pd.DataFrame:
    """Read a wide table.

    Parameters
    ----------
    path : Path
        CSV or parquet; column ``timestamp`` (else the first, else the stored index) is the start of each step.

    Returns
    -------
    DataFrame [steps, N] kWh per step
        Index: naive local start of each step, each once and in order; empty cells are NaN; column names are text.

    Raises
    ------
    DataError
        If a stamp is none, carries a zone, comes twice or out of order, or a cell holds text.
    """
    table = read_table(path)
    if isinstance(table.index, pd.DatetimeIndex):
        table = table.rename_axis(index=str(table.index.name or "timestamp")).reset_index()
    column = "timestamp" if "timestamp" in table.columns else str(table.columns[0])
    index = read_stamps(table[column], path)
    require_order(index, path, column)
    table = table.drop(columns=[column])
    if not len(table.columns):
        raise DataError(f"{path} has no column but {column!r}; give each home a column of kWh per step.")
    table.columns = table.columns.astype(str)
    require_numbers(table, tuple(table.columns), path, "kWh per step")
    return table.set_index(index)


__all__ = ["WideTables", "read_wide"]
