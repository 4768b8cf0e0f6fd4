"""Named power systems and load shapes.

"pjm5" is the five-bus system of F. Li and R. Bo, "Small test systems for power system economic studies", IEEE PES
General Meeting 2010. The IEEE systems are read from PYPOWER's tables when they are asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np

from wholesale.matpower import from_tables
from wholesale.names import unknown
from wholesale.system import Line, System, Unit

# A working day of a mixed residential and commercial area: night trough 0.60 to 0.65 of the peak, morning ramp,
# evening peak at 19 h. Own round figures after the shape of published ISO load days.
_NIGHT_TO_NOON = [0.68, 0.64, 0.62, 0.60, 0.61, 0.66, 0.76, 0.87, 0.93, 0.95, 0.96, 0.97]
_NOON_TO_NIGHT = [0.96, 0.95, 0.94, 0.94, 0.96, 1.00, 1.04, 1.05, 1.01, 0.94, 0.85, 0.75]


def _shape(values: list[float]) -> np.ndarray:
    shape = np.array(values)
    shape.flags.writeable = False
    return shape


LOAD_SHAPES: MappingProxyType[str, np.ndarray] = MappingProxyType(
    {"flat": _shape([1.0] * 24), "daily": _shape(_NIGHT_TO_NOON + _NOON_TO_NIGHT)}
)
"""Hourly multipliers [24] of a load, by name; hour 0 begins at midnight."""


def pjm5() -> System:
    """Build the PJM five-bus system (Li and Bo 2010): 1000 MW of load, 1530 MW of units, one tight line."""
    units = (
        Unit("Alta", "A", 0.0, 40.0, (0.0, 14.0, 0.0)),
        Unit("Park City", "A", 0.0, 170.0, (0.0, 15.0, 0.0)),
        Unit("Solitude", "C", 0.0, 520.0, (0.0, 30.0, 0.0)),
        Unit("Sundance", "D", 0.0, 200.0, (0.0, 40.0, 0.0)),
        Unit("Brighton", "E", 0.0, 600.0, (0.0, 10.0, 0.0)),
    )
    lines = (
        Line("A-B", "A", "B", x=0.0281, r=0.00281, b=0.00712, rate_mw=400.0),
        Line("A-D", "A", "D", x=0.0304, r=0.00304, b=0.00658),
        Line("A-E", "A", "E", x=0.0064, r=0.00064, b=0.03126),
        Line("B-C", "B", "C", x=0.0108, r=0.00108, b=0.01852),
        Line("C-D", "C", "D", x=0.0297, r=0.00297, b=0.00674),
        Line("D-E", "D", "E", x=0.0297, r=0.00297, b=0.00674, rate_mw=240.0),
    )
    return System("pjm5", ("A", "B", "C", "D", "E"), units, lines, np.array([[0.0, 300.0, 300.0, 400.0, 0.0]]))


def from_pypower(name: str, table: str) -> System:
    """Read one of PYPOWER's tables.

    Parameters
    ----------
    name : str
        Name of the system.
    table : str
        Module of PYPOWER, e.g. "case118".

    Returns
    -------
    System
        Buses are named by their numbers; units and lines out of service and isolated buses are left out.

    Raises
    ------
    ValueError
        A cost is not a polynomial of at most second degree.
    """
    return from_tables(name, getattr(importlib.import_module(f"pypower.{table}"), table)())


_TABLES = {f"ieee{n}": f"case{n}" for n in (9, 14, 30, 39, 57, 118, 300)} | {"ieee24": "case24_ieee_rts"}

CASES: MappingProxyType[str, Callable[[], System]] = MappingProxyType(
    {"pjm5": pjm5}
    | {name: partial(from_pypower, name, _TABLES[name]) for name in sorted(_TABLES, key=lambda name: int(name[4:]))}
)
"""Builders of named systems, by name; `case` calls them."""


def case(name: str) -> System:
    """Build a named power system of one hour.

    Parameters
    ----------
    name : str
        A key of `CASES`: "pjm5", "ieee9", "ieee14", "ieee24", "ieee30", "ieee39", "ieee57", "ieee118", "ieee300".

    Returns
    -------
    System

    Raises
    ------
    ValueError
        The name is unknown.
    """
    if name not in CASES:
        raise ValueError(unknown("case", name, CASES))
    builder: Any = CASES[name]
    return builder()
