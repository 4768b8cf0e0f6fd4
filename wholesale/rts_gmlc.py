"""The Reliability Test System of the Grid Modernization Laboratory Consortium (RTS-GMLC) from its published tables.

Source: Barrows et al. 2020, doi 10.1109/TPWRS.2019.2925557; column names as in the tables `bus.csv`, `branch.csv`,
`gen.csv`. Costs follow from heat rates: the first one is an average up to the smallest output, the others are
increments.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np

from wholesale.reading import reading
from wholesale.system import Line, System, Unit
from wholesale.thermal import Commitment

THERMAL = ("CC", "CT", "STEAM", "NUCLEAR")
MUST_TAKE = ("HYDRO", "ROR", "RTPV")
SERIES = ("hydro", "pv", "rtpv", "wind")
DAY_AHEAD = "day_ahead_"
BEFORE_H = 168


def read_rts_gmlc(folder: str | Path, *, start: str = "", hours: int = 24, reserve_share: float = 0.0) -> System:
    """Read the system with its day-ahead series.

    Parameters
    ----------
    folder : str or Path
        Holds the three tables and, anywhere below it, series `day_ahead_load`, `day_ahead_wind`, ... as `.parquet` with
        a column `timestamp` or as `.csv` with Year, Month, Day, Period. Upper and lower case do not matter in names.
    start : str
        Prefix of the first time stamp, "YYYY-MM-DD" or "YYYY-MM-DD HH"; empty: the first of the series.
    hours : int >= 1
        Number of hours T.
    reserve_share : float >= 0
        Reserve as a share of the load.

    Returns
    -------
    System
        Loads of the three areas are shared among buses as in `bus.csv`. Thermal units carry `Commitment` (before the
        first hour those with an injection in `gen.csv` have been on for a week); hydro and roof-top PV must be taken,
        wind and PV may be curtailed. Left out: storage, concentrated solar power, synchronous condensers, the
        direct-current line, and units whose kind has no series in the folder.

    Raises
    ------
    FileNotFoundError
        A table or the load series is missing.
    ValueError
        The start is not in a series, or it ends too early.
    """
    folder = Path(folder)
    with reading(str(folder), "folder of RTS-GMLC"):
        bus, branch, gen = (_table(folder, name) for name in ("bus.csv", "branch.csv", "gen.csv"))
        area_load = _series(folder, "load", start, hours)
        if area_load is None:
            raise FileNotFoundError(
                f"No series day_ahead_load below {str(folder)!r}; the system has no loads without it."
            )
        available: dict[str, np.ndarray] = {}
        for kind in SERIES:
            available |= _series(folder, kind, start, hours) or {}
        buses = tuple(row["Bus ID"] for row in bus)
        nominal, areas = np.array([float(row["MW Load"]) for row in bus]), [row["Area"] for row in bus]
        loads = np.zeros((hours, len(bus)))
        for area, series in area_load.items():
            share = nominal * np.array([one == area for one in areas])
            loads += series[:, None] * share / share.sum()
        rows = [row for row in gen if row["Unit Type"] in THERMAL or row["GEN UID"] in available]
        units = tuple(_unit(row, available.get(row["GEN UID"])) for row in rows)
        floor = np.array([np.full(hours, unit.p_min) for unit in units]).T.copy()
        ceiling = np.array([np.full(hours, unit.p_max) for unit in units]).T.copy()
        for g, row in enumerate(rows):
            if row["GEN UID"] in available:
                ceiling[:, g] = available[row["GEN UID"]]
                floor[:, g] = ceiling[:, g] if row["Unit Type"] in MUST_TAKE else 0.0
        lines = tuple(_line(row) for row in branch)
        shunts = np.array([float(row["MW Shunt G"]) for row in bus])
        reserve = reserve_share * loads.sum(axis=1)
        return System("rts_gmlc", buses, units, lines, loads, shunts, p_floor=floor, p_ceiling=ceiling, reserve=reserve)


def _table(folder: Path, name: str) -> list[dict[str, str]]:
    found = [path for path in folder.rglob("*") if path.name.lower() == name] if folder.is_dir() else []
    if not found:
        raise FileNotFoundError(f"No table {name} in {str(folder)!r}; check the folder.")
    with sorted(found)[0].open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def _series(folder: Path, kind: str, start: str, hours: int) -> dict[str, np.ndarray] | None:
    """Series of one kind, MW [T] by unit or area; None where the folder has none."""
    stems = (DAY_AHEAD + kind, f"{DAY_AHEAD}regional_{kind}")
    found = [path for path in sorted(folder.rglob("*")) if path.stem.lower() in stems]
    found = [path for path in found if path.suffix.lower() in (".csv", ".parquet")]
    if not found:
        return None
    import pandas as pd  # noqa: PLC0415  only readers need it

    path = found[0]
    table = pd.read_parquet(path) if path.suffix.lower() == ".parquet" else pd.read_csv(path)
    clock = ["Year", "Month", "Day", "Period"]
    if "timestamp" in table.columns:
        stamps = [str(stamp) for stamp in table.pop("timestamp")]
    elif set(clock) <= set(table.columns):
        stamps = [f"{y:04d}-{m:02d}-{d:02d} {p - 1:02d}:00:00" for y, m, d, p in table[clock].to_numpy(int)]
        table = table.drop(columns=clock)
    else:
        raise ValueError(f"{path} has neither a column timestamp nor Year, Month, Day, Period; add one.")
    first = next((i for i, stamp in enumerate(stamps) if stamp.startswith(start)), None)
    if first is None or first + hours > len(stamps):
        raise ValueError(
            f"{path} covers {stamps[0]} to {stamps[-1]}; {hours} hours from {start or stamps[0]!r} on do not lie in it."
        )
    values = table.iloc[first : first + hours]
    return {str(name): values[name].to_numpy(float) for name in values.columns}


def _unit(row: dict[str, str], series: np.ndarray | None) -> Unit:
    name, bus = row["GEN UID"], row["Bus ID"]
    if series is not None:
        return Unit(name, bus, 0.0, max(float(row["PMax MW"]), float(series.max())), (0.0, _number(row["VOM"]), 0.0))
    low, high = float(row["PMin MW"]), float(row["PMax MW"])
    points = _points(row, high)
    constant = points[0][1] if len(points) == 1 else 0.0
    before = min(max(float(row["MW Inj"]), low), high)
    on = float(row["MW Inj"]) > 0
    ramp = 60.0 * float(row["Ramp Rate MW/Min"])
    down = max(math.ceil(float(row["Min Down Time Hr"])), 1)
    commitment = Commitment(
        min_up_h=max(math.ceil(float(row["Min Up Time Hr"])), 1),
        min_down_h=down,
        ramp_up_mw=ramp,
        ramp_down_mw=ramp,
        start_mw=low,
        stop_mw=low,
        startup=_startup(row, down),
        shutdown=_number(row["Non Fuel Shutdown Cost $"]),
        before_h=BEFORE_H if on else -BEFORE_H,
        before_mw=before if on else 0.0,
    )
    return Unit(name, bus, low, high, (0.0, 0.0, constant), points if len(points) > 1 else (), commitment)


def _points(row: dict[str, str], high: float) -> tuple[tuple[float, float], ...]:
    """Break points (MW, $ per hour) from heat rates (BTU per kWh) and the price of the fuel ($ per MMBTU)."""
    fuel, vom, average = _number(row["Fuel Price $/MMBTU"]), _number(row["VOM"]), _number(row["HR_avg_0"]) / 1000.0
    mw = [high * _number(row["Output_pct_0"])]
    cost = [mw[0] * (average * fuel + vom)]
    for i in range(1, 5):
        share = _number(row[f"Output_pct_{i}"])
        if share * high <= mw[-1]:
            break
        # an increment of 0 (nuclear) stands for "as the average"
        rate = _number(row[f"HR_incr_{i}"]) / 1000.0 or average
        cost.append(cost[-1] + (share * high - mw[-1]) * (rate * fuel + vom))
        mw.append(share * high)
    return tuple(zip(mw, cost, strict=True))


def _startup(row: dict[str, str], down: int) -> tuple[tuple[int, float], ...]:
    """Hot, warm and cold start; what holds before the shortest possible stop has ended is left out."""
    fuel, fixed = _number(row["Fuel Price $/MMBTU"]), _number(row["Non Fuel Start Cost $"])
    kinds: dict[int, float] = {}
    for kind in ("Hot", "Warm", "Cold"):
        lag = max(math.ceil(_number(row[f"Start Time {kind} Hr"])), down)
        kinds[lag] = fixed + fuel * _number(row[f"Start Heat {kind} MBTU"])
    lags = sorted(kinds)
    return tuple((down if i == 0 else lag, kinds[lag]) for i, lag in enumerate(lags))


def _line(row: dict[str, str]) -> Line:
    return Line(
        row["UID"], row["From Bus"], row["To Bus"], x=float(row["X"]), r=float(row["R"]), b=float(row["B"]),
        tap=float(row["Tr Ratio"]) or 1.0, rate_mw=float(row["Cont Rating"]),
    )  # fmt: skip


def _number(text: Any) -> float:
    return 0.0 if text in ("", "NA", None) else float(text)
