"""CityLearn-style building tables: electric load, solar per installed kW, thermal demand, hour by hour."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retail.data import DataError, Profiles, Window
from retail.data.gaps import Cut, Gaps, check_gaps, complete, cut, dropped
from retail.data.plausible import check_pv
from retail.data.tables import MOST, locate, read_table, require_columns, require_numbers, row_number

COLUMNS = ("month", "hour", "non_shiftable_load")
HEAT, COLD, SOLAR = ("dhw_demand", "heating_demand"), ("cooling_demand",), "solar_generation"
OLD_NAMES = {
    "Month": "month",
    "Hour": "hour",
    "Day Type": "day_type",
    "Equipment Electric Power [kWh]": "non_shiftable_load",
    "DHW Heating [kWh]": "dhw_demand",
    "Cooling Load [kWh]": "cooling_demand",
    "Heating Load [kWh]": "heating_demand",
    "Solar Generation [W/kW]": SOLAR,
}
"""Headers of the older building files."""


@dataclass(frozen=True)
class CityLearn:
    """Buildings of a CityLearn data set: electric load, PV from W per installed kW, heat and cooling demand.

    Parameters
    ----------
    file : str
        Below the data folder: a table (parquet, CSV) with a column ``building``, or a folder of ``Building_1.csv`` ...
    first : date
        Day of the first row; the tables know only month, hour and day type, which are checked against it.
    devices : str
        JSON below the data folder: ``{"Building_1": {"pv_kw": 4.0}, ...}``. Empty: ``pv_kw`` counts.
    pv_kw : float kWp
        Installed PV of every building where ``devices`` is empty.
    buildings : tuple of int
        Which buildings, in this order; all when empty.
    gaps : refuse, zero, interpolate or drop-home
        What to do about empty cells and hours outside the table; noted in the manifest.

    Source: Vazquez-Canteli et al. (2019), CityLearn v1.0, doi 10.1145/3360322.3360998.
    """

    file: str = "multienergy/citylearn2022_17homes_hourly.parquet"
    first: date = date(2016, 7, 31)
    devices: str = "multienergy/citylearn2022_devices.json"
    pv_kw: float = 0.0
    buildings: tuple[int, ...] = ()
    gaps: Gaps = "refuse"

    def __post_init__(self) -> None:
        check_gaps(self.gaps, "CityLearn")
        if not 0 <= self.pv_kw < np.inf:
            raise DataError(f"CityLearn pv_kw is {self.pv_kw:g}; it must be kWp, at least 0.")

    def read(self, window: Window, data: Path | None, seed: int) -> Profiles:
        """Read the profiles of a window.

        Parameters
        ----------
        window : Window
            Days, step (60 min) and zone; the table's hours are taken as that wall clock.
        data : Path or None
            Folder with real data.
        seed : int
            Not used.

        Returns
        -------
        Profiles
            Load and PV [H, N] kWh; ``heat`` (rooms and hot water) and ``cold`` [H, N] kWh thermal where the table has
            them: demand, not electricity.

        Raises
        ------
        DataError
            If a file is absent or damaged, or rows do not follow the calendar.
        """
        table, path, files = self._table(data)
        known = tuple(int(b) for b in sorted(table["building"].unique()))
        unknown = [b for b in self.buildings if b not in known]
        if unknown:
            raise DataError(f"{path} has no building {unknown}; it has {list(known)}.")
        chosen = self.buildings or known
        names = tuple(f"building {b}" for b in chosen)
        index = {b: _calendar(table[table["building"] == b], b, self.first, path) for b in chosen}
        columns = [c for c in (COLUMNS[2], SOLAR, *HEAT, *COLD) if c in table.columns]
        require_numbers(table, tuple(columns), path, "kWh per hour")
        parts = {c: self._cut(table, c, index, window, path) for c in columns}
        kept = complete(tuple(p.values for p in parts.values()), names, str(path))
        notes = (*(n for p in parts.values() for n in p.notes), *dropped(kept, names, str(path)))
        value = {c: p.values[:, kept] for c, p in parts.items()}
        kwp, more = self._installed(data, [chosen[n] for n in kept], value.get(SOLAR), path)
        load = value[COLUMNS[2]]
        # Solar is W per installed kW: an hour of it is Wh per kWp.
        pv = value[SOLAR] / 1000 * kwp if SOLAR in value else np.zeros_like(load)
        kept_names = tuple(names[n] for n in kept)
        check_pv(pv, kwp, kept_names, window, f"{path} channel {SOLAR}")
        return Profiles(
            kept_names,
            load,
            pv,
            kwp,
            (*files, *more),
            heat=sum((value[c] for c in HEAT if c in value), np.zeros_like(load)),
            cold=sum((value[c] for c in COLD if c in value), np.zeros_like(load)),
            notes=notes,
        )

    def _table(self, data: Path | None) -> tuple[pd.DataFrame, Path, tuple[Path, ...]]:
        folder = Path(self.file) if data is None else data / self.file
        if not folder.is_dir():
            path = locate(data, self.file)
            table = _named(read_table(path))
            require_columns(table, ("building", *COLUMNS), path, "a table of buildings")
            return table, path, (path,)
        numbered = {int(m[1]): p for p in folder.glob("*.csv") if (m := re.fullmatch(r"\D*(\d+)\.csv", p.name))}
        if not numbered:
            raise DataError(f"{folder} has no file Building_1.csv, Building_2.csv ...; name a folder that has.")
        tables = []
        for number in sorted(numbered):
            part = _named(read_table(numbered[number]))
            require_columns(part, COLUMNS, numbered[number], "a building table")
            tables.append(part.assign(building=number))
        return pd.concat(tables, ignore_index=True), folder, tuple(numbered[n] for n in sorted(numbered))

    def _cut(
        self, table: pd.DataFrame, column: str, index: dict[int, pd.DatetimeIndex], window: Window, path: Path
    ) -> Cut:
        series = {
            f"building {b}": pd.Series(table.loc[table["building"] == b, column].to_numpy(np.float64), index=index[b])
            for b in index
        }
        return cut(pd.DataFrame(series), window, f"{path} column {column}", self.gaps)

    def _installed(
        self, data: Path | None, buildings: list[int], solar: NDArray[np.float64] | None, path: Path
    ) -> tuple[NDArray[np.float64], tuple[Path, ...]]:
        if not self.devices:
            shines = np.zeros(len(buildings), dtype=bool) if solar is None else solar.any(axis=0)
            return np.where(shines, float(self.pv_kw), 0.0), ()
        source = locate(data, self.devices)
        try:
            known = json.loads(source.read_text(encoding="utf-8", errors="replace"))
            sizes = [float(known[f"Building_{b}"]["pv_kw"]) for b in buildings]
        except json.JSONDecodeError as error:
            raise DataError(
                f"{source}: row {error.lineno}, column {error.colno}: {error.msg}; repair the JSON."
            ) from None
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            why = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise DataError(
                f"{source} has no pv_kw for every building of {path} ({why}); give "
                '{"Building_1": {"pv_kw": 4.0}, ...}, or leave `devices` empty and set `pv_kw`.'
            ) from None
        for building, size in zip(buildings, sizes, strict=True):
            if not 0 <= size <= MOST:
                raise DataError(f"{source}: pv_kw of Building_{building} is {size:g}; it must be kWp, 0 to {MOST:g}.")
        return np.array(sizes), (source,)


def _named(table: pd.DataFrame) -> pd.DataFrame:
    return table.rename(columns=OLD_NAMES)


def _calendar(rows: pd.DataFrame, building: int, first: date, path: Path) -> pd.DatetimeIndex:
    """Start of each row's hour; column ``hour`` is 1..24, the hour that ends then."""
    require_numbers(rows, tuple(c for c in ("month", "hour", "day_type") if c in rows.columns), path, "the calendar")
    hour = rows["hour"].iloc[0]
    start = pd.Timestamp(first) + pd.Timedelta(hours=int(hour) - 1 if 1 <= hour <= 24 else 0)
    index = pd.date_range(start, periods=len(rows), freq="h")
    wanted = {"hour": index.hour + 1, "month": index.month}
    if "day_type" in rows.columns:
        # 1 Monday .. 7 Sunday, 8 holiday
        wanted["day_type"] = index.dayofweek + 1
    for name, should in wanted.items():
        found = rows[name].to_numpy()
        off = (found != should.to_numpy()) & ~((name == "day_type") & (found == 8))
        if off.any():
            place = int(np.argmax(off))
            raise DataError(
                f"{path}: row {row_number(path, int(rows.index[place]))}, column {name!r}, building {building}: "
                f"{found[place]} where {index[place]} has {should[place]}; rows must follow hour by hour: sort them, "
                f"fill missing hours, or correct `first` ({first})."
            )
    return index


__all__ = ["CityLearn"]
