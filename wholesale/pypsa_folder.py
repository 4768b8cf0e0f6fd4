"""CSV folders with the names of PyPSA: buses, generators, loads, lines, transformers, and their series.

Only the names are shared, the package is not needed. Units there: x and r of lines in ohm, of transformers per unit on
their own s_nom; limits of generators as shares of p_nom.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from wholesale.reading import reading
from wholesale.system import Line, System, Unit
from wholesale.thermal import Commitment

UNLIMITED = 1e8  # MVA; more means no limit
NO_LIMIT_MVA = 1e9
V_NOM = 380.0  # kV, given to buses on writing; it cancels out on reading
NOT_MODELLED = ("links", "stores", "storage_units", "shunt_impedances")

Row = dict[str, str]


def read_pypsa(folder: str | Path) -> System:
    """Read a system from a CSV folder.

    Parameters
    ----------
    folder : str or Path
        With buses.csv, generators.csv, loads.csv, lines.csv and transformers.csv (only buses are required) and series
        loads-p_set.csv, generators-p_max_pu.csv, generators-p_min_pu.csv, whose first column names the hour.

    Returns
    -------
    System
        Per unit on 100 MVA. Generators with `committable` carry `Commitment`.

    Raises
    ------
    FileNotFoundError
        There is no buses.csv.
    ValueError
        The folder has links, stores, storage units or shunts, or a value is not a number.
    """
    folder = Path(folder)
    if not (folder / "buses.csv").is_file():
        raise FileNotFoundError(f"No buses.csv in {str(folder)!r}; check the folder.")
    with reading(str(folder), "folder of PyPSA"):
        for kind in NOT_MODELLED:
            if _rows(folder, kind):
                raise ValueError(
                    f"{folder / (kind + '.csv')} has {len(_rows(folder, kind))} rows, which are not modelled."
                )
        bus = _rows(folder, "buses")
        buses, volts = tuple(_key(row) for row in bus), {_key(row): _get(row, "v_nom", 1.0) for row in bus}
        generators, load = _rows(folder, "generators"), _rows(folder, "loads")
        series = {name: _series(folder, name) for name in ("loads-p_set", "generators-p_max_pu", "generators-p_min_pu")}
        lengths = {len(values) for one in series.values() for values in one.values()} or {1}
        if len(lengths) != 1:
            raise ValueError(f"The series in {str(folder)!r} have {sorted(lengths)} hours; give all the same.")
        hours = lengths.pop()
        loads = np.zeros((hours, len(buses)))
        for row in load:
            loads[:, buses.index(row["bus"])] += series["loads-p_set"].get(_key(row), _get(row, "p_set", 0.0))
        units = tuple(_unit(row, series) for row in generators)
        floor, ceiling = (
            np.array([_get(row, "p_nom", 0.0) * _pu(row, name, series, hours) for row in generators])
            .reshape(-1, hours)
            .T
            for name in ("p_min_pu", "p_max_pu")
        )
        varies = bool(series["generators-p_max_pu"] or series["generators-p_min_pu"])
        lines = [_line(row, volts) for row in _rows(folder, "lines")]
        lines += [_transformer(row) for row in _rows(folder, "transformers")]
        return System(
            folder.name, buses, units, tuple(lines), loads, p_floor=floor if varies else None,
            p_ceiling=ceiling if varies else None,
        )  # fmt: skip


def write_pypsa(system: System, folder: str | Path) -> None:
    """Write a system as a CSV folder.

    Parameters
    ----------
    system : System
        Shunt conductances become loads; reserve and limits of angles are not written, PyPSA has no words for them.
    folder : str or Path
        Made if it does not exist.

    Raises
    ------
    ValueError
        A unit has break points, for which PyPSA has no words either.
    """
    folder = Path(folder)
    for g in system.pointed[:1]:
        raise ValueError(
            f"Unit {system.units[g].name!r} has a piecewise linear cost, which a PyPSA folder cannot hold."
        )
    folder.mkdir(parents=True, exist_ok=True)
    hours = range(system.hours)
    _write(folder / "buses.csv", ["name", "v_nom"], ([bus, V_NOM] for bus in system.buses))
    # every weighting is one hour; PyPSA asks for all three
    weights = ["objective", "generators", "stores"]
    _write(folder / "snapshots.csv", ["name", *weights], ([t, 1.0, 1.0, 1.0] for t in hours))
    _write(folder / "generators.csv", GENERATOR, map(_generator, system.units))
    _write(folder / "loads.csv", ["name", "bus"], ([f"load {bus}", bus] for bus in system.buses))
    loads = [[t, *system.load[t].tolist()] for t in hours]
    _write(folder / "loads-p_set.csv", ["name", *(f"load {bus}" for bus in system.buses)], loads)
    for limit, name in ((system.p_floor, "p_min_pu"), (system.p_ceiling, "p_max_pu")):
        if limit is not None:
            share = limit / np.array([_p_nom(unit) for unit in system.units])
            rows = [[t, *row] for t, row in enumerate(np.broadcast_to(share, (system.hours, share.shape[1])).tolist())]
            _write(folder / f"generators-{name}.csv", ["name", *(unit.name for unit in system.units)], rows)
    ohm = V_NOM**2 / system.base_mva
    plain = [line for line in system.lines if line.tap == 1.0 and line.shift_deg == 0.0]
    lines = (
        [e.name, e.from_bus, e.to_bus, e.x * ohm, e.r * ohm, e.b / ohm, min(e.rate_mw, NO_LIMIT_MVA)] for e in plain
    )
    _write(folder / "lines.csv", ["name", "bus0", "bus1", "x", "r", "b", "s_nom"], lines)
    others = (
        [
            e.name, e.from_bus, e.to_bus, e.x, e.r, e.b, system.base_mva,
            min(e.rate_mw, NO_LIMIT_MVA) / system.base_mva, e.tap, e.shift_deg,
        ]
        for e in system.lines if e not in plain
    )  # fmt: skip
    names = ["name", "bus0", "bus1", "x", "r", "b", "s_nom", "s_max_pu", "tap_ratio", "phase_shift"]
    _write(folder / "transformers.csv", names, others)


GENERATOR = [
    "name", "bus", "p_nom", "p_min_pu", "p_max_pu", "marginal_cost", "marginal_cost_quadratic", "stand_by_cost",
    "committable", "min_up_time", "min_down_time", "ramp_limit_up", "ramp_limit_down", "ramp_limit_start_up",
    "ramp_limit_shut_down", "start_up_cost", "shut_down_cost", "up_time_before", "down_time_before", "p_init",
]  # fmt: skip


def _generator(unit: Unit) -> list[object]:
    c2, c1, c0 = unit.cost
    nominal, c = _p_nom(unit), unit.commitment
    values: list[object] = [unit.name, unit.bus, nominal, unit.p_min / nominal, unit.p_max / nominal, c1, c2, c0]
    if c is None:
        return [*values, False, 1, 1, "", "", "", "", 0.0, 0.0, 1, 0, ""]

    def share(mw: float) -> object:
        return "" if math.isinf(mw) else mw / nominal

    values += [True, c.min_up_h, c.min_down_h, share(c.ramp_up_mw), share(c.ramp_down_mw), share(c.start_mw)]
    values += [share(c.stop_mw), c.startup[-1][1], c.shutdown]
    return [*values, max(c.before_h, 0), max(-c.before_h, 0), c.before_mw]


def _p_nom(unit: Unit) -> float:
    return max(abs(unit.p_min), abs(unit.p_max)) or 1.0


def _unit(row: Row, series: dict[str, dict[str, np.ndarray]]) -> Unit:
    nominal, name = _get(row, "p_nom", 0.0), _key(row)
    low, high = (
        nominal * pick(np.atleast_1d(_pu(row, end, series, 1)))
        for end, pick in (("p_min_pu", np.min), ("p_max_pu", np.max))
    )
    cost = (_get(row, "marginal_cost_quadratic", 0.0), _get(row, "marginal_cost", 0.0), _get(row, "stand_by_cost", 0.0))
    if row.get("committable", "").lower() not in ("true", "1"):
        return Unit(name, row["bus"], float(low), float(high), cost)
    inf = math.inf
    up, down = int(_get(row, "up_time_before", 1)), int(_get(row, "down_time_before", 0))
    before = _get(row, "p_init", float(low)) if up else 0.0
    commitment = Commitment(
        min_up_h=max(int(_get(row, "min_up_time", 1)), 1),
        min_down_h=max(int(_get(row, "min_down_time", 1)), 1),
        ramp_up_mw=nominal * _get(row, "ramp_limit_up", inf),
        ramp_down_mw=nominal * _get(row, "ramp_limit_down", inf),
        start_mw=nominal * _get(row, "ramp_limit_start_up", inf),
        stop_mw=nominal * _get(row, "ramp_limit_shut_down", inf),
        startup=((1, _get(row, "start_up_cost", 0.0)),),
        shutdown=_get(row, "shut_down_cost", 0.0),
        before_h=up if up else -max(down, 1),
        before_mw=before,
    )
    return Unit(name, row["bus"], float(low), float(high), cost, (), commitment)


def _pu(row: Row, end: str, series: dict[str, dict[str, np.ndarray]], hours: int) -> np.ndarray:
    fixed = np.full(hours, _get(row, end, 1.0 if end == "p_max_pu" else 0.0))
    return series[f"generators-{end}"].get(_key(row), fixed)


def _line(row: Row, volts: dict[str, float]) -> Line:
    ohm = volts[row["bus0"]] ** 2 / 100.0
    return Line(
        _key(row), row["bus0"], row["bus1"], x=_get(row, "x", 0.0) / ohm, r=_get(row, "r", 0.0) / ohm,
        b=_get(row, "b", 0.0) * ohm, rate_mw=_rate(row),
    )  # fmt: skip


def _transformer(row: Row) -> Line:
    base = 100.0 / _get(row, "s_nom", 100.0)
    return Line(
        _key(row), row["bus0"], row["bus1"], x=_get(row, "x", 0.0) * base, r=_get(row, "r", 0.0) * base,
        b=_get(row, "b", 0.0) / base, tap=_get(row, "tap_ratio", 1.0), shift_deg=_get(row, "phase_shift", 0.0),
        rate_mw=_rate(row),
    )  # fmt: skip


def _rate(row: Row) -> float:
    rate = _get(row, "s_nom", 0.0) * _get(row, "s_max_pu", 1.0)
    return math.inf if rate >= UNLIMITED else rate


def _key(row: Row) -> str:
    return row["name"] if "name" in row else next(iter(row.values()))


def _get(row: Row, name: str, otherwise: float) -> float:
    text = row.get(name, "")
    if text == "":
        return otherwise
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{_key(row)!r} has {name} = {text!r}; a number is needed.") from None
    return otherwise if math.isnan(value) else value


def _rows(folder: Path, name: str) -> list[Row]:
    path = folder / f"{name}.csv"
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def _series(folder: Path, name: str) -> dict[str, np.ndarray]:
    rows = _rows(folder, name)
    names = list(rows[0])[1:] if rows else []
    return {key: np.array([float(row[key]) for row in rows]) for key in names}


def _write(path: Path, names: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(rows)
