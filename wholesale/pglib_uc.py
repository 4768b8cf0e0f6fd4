"""Unit-commitment cases of PGLib-UC and of Egret, both JSON, plain or gzipped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from wholesale.reading import content, reading
from wholesale.system import Line, System, Unit
from wholesale.thermal import Commitment

SERVICES = ("spinning_", "non_spinning_", "supplemental_", "regulation_", "flexible_ramp_")


def read_pglib_uc(path: str | Path) -> System:
    """Read a case of PGLib-UC: one zone, thermal and renewable units, demand and reserve.

    Parameters
    ----------
    path : str or Path
        A `.json` or `.json.gz` file.

    Returns
    -------
    System
        One bus "zone", T hours. Thermal units carry `Commitment`; renewable units have hourly floors and ceilings.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file is no such case.
    """
    data, name = _load(path)
    with reading(name, "PGLib-UC case"):
        hours = int(data["time_periods"])
        thermal = [_thermal(key, unit) for key, unit in data["thermal_generators"].items()]
        green = data["renewable_generators"]
        floor = np.array([unit["power_output_minimum"] for unit in green.values()], float).reshape(-1, hours).T
        ceiling = np.array([unit["power_output_maximum"] for unit in green.values()], float).reshape(-1, hours).T
        free = [
            Unit(key, "zone", float(floor[:, i].min()), float(ceiling[:, i].max()), (0.0, 0.0, 0.0))
            for i, key in enumerate(green)
        ]
        ends = [np.tile([getattr(unit, end) for unit in thermal], (hours, 1)) for end in ("p_min", "p_max")]
        return System(
            name, ("zone",), (*thermal, *free), (), np.array(data["demand"], float)[:, None],
            p_floor=np.hstack([ends[0], floor]), p_ceiling=np.hstack([ends[1], ceiling]),
            reserve=np.array(data["reserves"], float),
        )  # fmt: skip


def read_egret(path: str | Path) -> System:
    """Read a unit-commitment case of Egret: buses, lines, thermal units, loads, one reserve requirement.

    Parameters
    ----------
    path : str or Path
        A `.json` or `.json.gz` file.

    Returns
    -------
    System
        T hours. Quadratic costs stay quadratic; Egret itself cuts them into two equal pieces, which is
        `market("unit-commitment", pieces=2)`.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file is no such case, or asks for what is not modelled (other reserves, storage, renewable units,
        steps other than one hour).
    """
    data, name = _load(path)
    with reading(name, "case of Egret"):
        elements, rules = data["elements"], data["system"]
        asked = [
            key for area in [rules, *elements.get("area", {}).values()] for key in area if key.startswith(SERVICES)
        ]
        others = [u["generator_type"] for u in elements["generator"].values() if u["generator_type"] != "thermal"]
        for what in (*asked, *elements.get("storage", {}), *others):
            raise ValueError(f"Case {name} asks for {what!r}, which is not modelled; remove it from the file.")
        if rules.get("time_period_length_minutes", 60) != 60:
            raise ValueError(f"Case {name} has steps of {rules['time_period_length_minutes']} min; allowed is 60.")
        hours, buses = len(rules["time_keys"]), tuple(elements["bus"])
        loads = np.zeros((hours, len(buses)))
        for load in elements["load"].values():
            loads[:, buses.index(load["bus"])] += _series(load["p_load"], hours)
        units = tuple(_egret_unit(key, unit) for key, unit in elements["generator"].items())
        lines = tuple(_egret_line(key, line) for key, line in elements.get("branch", {}).items())
        reserve = _series(rules.get("reserve_requirement", 0.0), hours)
        return System(name, buses, units, lines, loads, base_mva=float(rules.get("baseMVA", 100.0)), reserve=reserve)


def _load(path: str | Path) -> tuple[Any, str]:
    path = Path(path)
    raw = content(path)
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path.name} is no JSON file: {error}.") from error
    return data, path.name.removesuffix(".gz").removesuffix(".json")


def _thermal(key: str, unit: dict[str, Any]) -> Unit:
    on = bool(unit["unit_on_t0"])
    points = tuple((float(p["mw"]), float(p["cost"])) for p in unit["piecewise_production"])
    constant = points[0][1] if len(points) == 1 else 0.0
    return Unit(
        key, "zone", float(unit["power_output_minimum"]), float(unit["power_output_maximum"]), (0.0, 0.0, constant),
        points if len(points) > 1 else (),
        Commitment(
            min_up_h=max(int(unit["time_up_minimum"]), 1),
            min_down_h=max(int(unit["time_down_minimum"]), 1),
            ramp_up_mw=float(unit["ramp_up_limit"]),
            ramp_down_mw=float(unit["ramp_down_limit"]),
            start_mw=float(unit["ramp_startup_limit"]),
            stop_mw=float(unit["ramp_shutdown_limit"]),
            startup=tuple((int(s["lag"]), float(s["cost"])) for s in unit["startup"]),
            must_run=bool(unit["must_run"]),
            before_h=int(unit["time_up_t0"]) if on else -int(unit["time_down_t0"]),
            before_mw=float(unit["power_output_t0"]),
        ),
    )  # fmt: skip


def _egret_unit(key: str, unit: dict[str, Any]) -> Unit:
    curve = unit["p_cost"]
    cost = (0.0, 0.0, 0.0)
    points: tuple[tuple[float, float], ...] = ()
    if curve["cost_curve_type"] == "polynomial":
        terms = {int(power): float(value) for power, value in curve["values"].items()}
        cost = (terms.get(2, 0.0), terms.get(1, 0.0), terms.get(0, 0.0))
        if any(value for power, value in terms.items() if power > 2):
            raise ValueError(f"Unit {key!r} has a cost of degree {max(terms)}; allowed is at most 2.")
    else:
        points = tuple((float(x), float(y)) for x, y in curve["values"])
    low, inf = float(unit["p_min"]), float("inf")
    return Unit(
        key, unit["bus"], low, float(unit["p_max"]), cost, points,
        Commitment(
            min_up_h=max(int(unit.get("min_up_time", 1)), 1),
            min_down_h=max(int(unit.get("min_down_time", 1)), 1),
            ramp_up_mw=float(unit.get("ramp_up_60min", inf)),
            ramp_down_mw=float(unit.get("ramp_down_60min", inf)),
            start_mw=max(float(unit.get("startup_capacity", inf)), low),
            stop_mw=max(float(unit.get("shutdown_capacity", inf)), low),
            startup=tuple((int(lag), float(cost)) for lag, cost in unit.get("startup_cost", [(1, 0.0)])),
            shutdown=float(unit.get("shutdown_cost", 0.0)),
            must_run=bool(unit.get("must_run", 0)) or unit.get("fixed_commitment") == 1,
            before_h=int(unit["initial_status"]),
            before_mw=float(unit["initial_p_output"]),
        ),
    )  # fmt: skip


def _egret_line(key: str, line: dict[str, Any]) -> Line:
    return Line(
        key, line["from_bus"], line["to_bus"], x=float(line["reactance"]), r=float(line.get("resistance", 0.0)),
        rate_mw=float(line.get("rating_long_term") or float("inf")),
        tap=float(line.get("transformer_tap_ratio", 1.0)),
        shift_deg=float(line.get("transformer_phase_shift", 0.0)),
    )  # fmt: skip


def _series(value: Any, hours: int) -> np.ndarray:
    values = value["values"] if isinstance(value, dict) else value
    return np.array(np.broadcast_to(np.asarray(values, float), (hours,)))
