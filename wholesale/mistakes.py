"""Everything that can be wrong with a power system, as sentences, all of them at once."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import networkx as nx
import numpy as np

from wholesale.names import unknown

if TYPE_CHECKING:
    from wholesale.system import Line, System, Unit


class SystemInvalid(ValueError):
    """A power system cannot be used.

    Attributes
    ----------
    mistakes : tuple of str
        One sentence each: object, value, unit, what is allowed.
    """

    def __init__(self, name: str, mistakes: Sequence[str]) -> None:
        self.mistakes = tuple(mistakes)
        lines = "\n".join(f"- {m}" for m in self.mistakes)
        super().__init__(f"System {name!r} has {len(self.mistakes)} mistake(s):\n{lines}")


def mistakes(system: System) -> list[str]:
    """Collect all mistakes of a system.

    Parameters
    ----------
    system : System
        Possibly wrong.

    Returns
    -------
    list of str
        Sentences; empty for a sound system.
    """
    found = list(_names(system))
    for unit in system.units:
        found += _unit(unit, system.buses)
    for line in system.lines:
        found += _line(line, system.buses)
    found += _arrays(system)
    found += _islands(system)
    return found


def _names(system: System) -> Iterator[str]:
    if not system.buses:
        yield "The system has no bus; give at least one."
    kinds = {"bus": system.buses, "unit": [u.name for u in system.units], "line": [line.name for line in system.lines]}
    for kind, names in kinds.items():
        for name, count in Counter(names).items():
            if count > 1:
                yield f"The {kind} name {name!r} is used {count} times; names must differ."


def _unit(unit: Unit, buses: Sequence[str]) -> Iterator[str]:
    if unit.bus not in buses:
        yield f"Unit {unit.name!r}: {unknown('bus', unit.bus, buses)}"
    if len(unit.cost) != 3:
        yield f"Unit {unit.name!r} has {len(unit.cost)} cost coefficients; give (c2, c1, c0)."
    elif not all(map(math.isfinite, unit.cost)):
        yield f"Unit {unit.name!r} has cost {unit.cost}; (c2, c1, c0) must be finite."
    elif unit.cost[0] < 0:
        yield f"Unit {unit.name!r} has a non-convex cost: c2 = {unit.cost[0]:g} $/MW^2h; it must be >= 0."
    if not (math.isfinite(unit.p_min) and math.isfinite(unit.p_max)):
        yield f"Unit {unit.name!r} has p_min {unit.p_min:g} MW and p_max {unit.p_max:g} MW; both must be finite."
    elif unit.p_min > unit.p_max:
        yield f"Unit {unit.name!r} has p_min {unit.p_min:g} MW above p_max {unit.p_max:g} MW; exchange or correct them."


def _line(line: Line, buses: Sequence[str]) -> Iterator[str]:
    for bus in dict.fromkeys((line.from_bus, line.to_bus)):
        if bus not in buses:
            yield f"Line {line.name!r}: {unknown('bus', bus, buses)}"
    if line.from_bus == line.to_bus:
        yield f"Line {line.name!r} begins and ends at bus {line.from_bus!r}; its ends must differ."
    for field in ("x", "r", "b", "tap", "shift_deg"):
        value = getattr(line, field)
        if not math.isfinite(value):
            yield f"Line {line.name!r} has {field} = {value}; it must be finite."
        elif value == 0 and field in ("x", "tap"):
            allowed = "any other value, 1 for a line" if field == "tap" else "any other value, per unit"
            yield f"Line {line.name!r} has {field} = 0; allowed is {allowed}."
    if not line.rate_mw >= 0:  # also true for NaN
        yield f"Line {line.name!r} has a rating of {line.rate_mw:g} MW; it must be >= 0, inf for unlimited."
    if not line.angle_min_deg <= line.angle_max_deg:
        yield (
            f"Line {line.name!r} has angle limits {line.angle_min_deg:g} to {line.angle_max_deg:g} degrees; "
            "the lower must not exceed the upper."
        )


def _arrays(system: System) -> Iterator[str]:
    n = len(system.buses)
    if system.loads.ndim != 2 or system.loads.shape[1] != n or not len(system.loads):
        yield f"The loads have shape {list(system.loads.shape)}; give MW of shape [T, {n}] with T >= 1."
    else:
        for t, i in np.argwhere(~np.isfinite(system.loads)):
            yield f"The load at bus {system.buses[i]!r} in hour {t} is {system.loads[t, i]} MW; it must be finite."
    g_mw = np.asarray(system.g_mw)
    if g_mw.shape != (n,):
        yield f"The shunt conductances have shape {list(g_mw.shape)}; give MW of shape [{n}]."
    else:
        for i in np.flatnonzero(~np.isfinite(g_mw)):
            yield f"The shunt conductance at bus {system.buses[i]!r} is {g_mw[i]} MW; it must be finite."
    if not (math.isfinite(system.base_mva) and system.base_mva > 0):
        yield f"The base is {system.base_mva:g} MVA; it must be > 0."


def _islands(system: System) -> Iterator[str]:
    if not system.buses:
        return
    graph: nx.Graph = nx.Graph()
    graph.add_nodes_from(system.buses)
    known = set(system.buses)
    graph.add_edges_from((e.from_bus, e.to_bus) for e in system.lines if {e.from_bus, e.to_bus} <= known)
    reached = nx.node_connected_component(graph, system.buses[0])
    for bus in dict.fromkeys(system.buses):
        if bus not in reached:
            yield f"Bus {bus!r} is islanded: no line connects it to bus {system.buses[0]!r}; add one or remove the bus."
