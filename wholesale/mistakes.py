"""Everything that can be wrong with a power system, as sentences, all of them at once."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import networkx as nx
import numpy as np

from wholesale.names import unknown
from wholesale.thermal import commitment_mistakes

if TYPE_CHECKING:
    from wholesale.system import Line, System, Unit


MOST_MW = 1e9  # a hundred times all plants of the world; beside more than this the MW of others are lost in rounding
SLOPE_ROUNDING = 1e-9  # of a slope: what printed break points of a straight line may miss


_sound: deque[tuple[tuple[str, ...], tuple[Unit, ...], tuple[Line, ...]]] = deque(maxlen=8)


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
    parts = (system.buses, system.units, system.lines)
    known = any(all(a is b for a, b in zip(parts, sound, strict=True)) for sound in _sound)
    found = [] if known else _parts(system)
    if not known and not found:
        _sound.append(parts)
    return found + list(_arrays(system))


def _parts(system: System) -> list[str]:
    """Mistakes of buses, units and lines; these stay sound when only loads change, so they are checked once."""
    found = list(_names(system))
    for unit in system.units:
        found += _unit(unit, system.buses)
    for line in system.lines:
        found += _line(line, system.buses)
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
    yield from _points(unit)
    yield from commitment_mistakes(unit)
    if not (math.isfinite(unit.p_min) and math.isfinite(unit.p_max)):
        yield f"Unit {unit.name!r} has p_min {unit.p_min:g} MW and p_max {unit.p_max:g} MW; both must be finite."
    elif max(-unit.p_min, unit.p_max) > MOST_MW:
        yield (
            f"Unit {unit.name!r} has p_min {unit.p_min:g} MW and p_max {unit.p_max:g} MW; both must lie within "
            f"{MOST_MW:g} MW: give MW, not W, and a smaller stand-in for a unit without limit."
        )
    elif unit.p_min > unit.p_max:
        yield f"Unit {unit.name!r} has p_min {unit.p_min:g} MW above p_max {unit.p_max:g} MW; exchange or correct them."


def _points(unit: Unit) -> Iterator[str]:
    """Break points: two or more, finite, of positive width, convex."""
    if not unit.points:
        return
    points = np.array(unit.points, float)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 2:
        yield f"Unit {unit.name!r} has break points of shape {list(points.shape)}; give at least two (MW, $ per hour)."
        return
    if not np.isfinite(points).all():
        yield f"Unit {unit.name!r} has a break point that is not finite; give (MW, $ per hour)."
        return
    width, height = np.diff(points, axis=0).T
    for j in np.flatnonzero(width <= 0):
        yield f"Unit {unit.name!r} has a block of {width[j]:g} MW from {points[j, 0]:g} MW on; widths must be > 0."
    if (width > 0).all():
        slope = height / width
        for j in np.flatnonzero(np.diff(slope) < -SLOPE_ROUNDING * (1.0 + np.abs(slope[1:]))):
            yield (
                f"Unit {unit.name!r} has a non-convex cost: {slope[j]:g} $/MWh up to {points[j + 1, 0]:g} MW, then "
                f"{slope[j + 1]:g} $/MWh; slopes must not fall."
            )


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
    yield from _limits(system)
    g_mw = np.asarray(system.g_mw)
    if g_mw.shape != (n,):
        yield f"The shunt conductances have shape {list(g_mw.shape)}; give MW of shape [{n}]."
    else:
        for i in np.flatnonzero(~np.isfinite(g_mw)):
            yield f"The shunt conductance at bus {system.buses[i]!r} is {g_mw[i]} MW; it must be finite."
    if not (math.isfinite(system.base_mva) and system.base_mva > 0):
        yield f"The base is {system.base_mva:g} MVA; it must be > 0."


def _limits(system: System) -> Iterator[str]:
    """Hourly floors and ceilings of units."""
    reserve = system.reserve
    if reserve is not None and (
        reserve.shape not in ((len(np.atleast_1d(system.loads)),), (1,)) or not (reserve >= 0).all()
    ):
        yield f"The reserve has shape {list(reserve.shape)}; give [T] values in MW, all finite and >= 0."
    given = {"p_floor": system.p_floor, "p_ceiling": system.p_ceiling}
    hours, many = len(np.atleast_1d(system.loads)), len(system.units)
    sound = True
    for field, limit in given.items():
        if limit is not None and (limit.shape not in ((hours, many), (1, many)) or not np.isfinite(limit).all()):
            sound = False
            yield f"The limits {field} have shape {list(limit.shape)}; give finite MW of shape [{hours}, {many}]."
    if not sound or all(limit is None for limit in given.values()):
        return
    floor = system.p_range[:, 0] if system.p_floor is None else system.p_floor
    ceiling = system.p_range[:, 1] if system.p_ceiling is None else system.p_ceiling
    floor, ceiling = (np.broadcast_to(limit, (hours, many)) for limit in (floor, ceiling))
    for g, unit in enumerate(system.units):
        for t in np.flatnonzero(ceiling[:, g] > unit.p_max + 1e-9 * (1.0 + abs(unit.p_max)))[:1]:
            yield f"Unit {unit.name!r} offers {ceiling[t, g]:g} MW in hour {t}, above its p_max of {unit.p_max:g} MW."
        if unit.p_min <= unit.p_max:
            for t in np.flatnonzero(floor[:, g] > ceiling[:, g])[:1]:
                yield (
                    f"Unit {unit.name!r} must give at least {floor[t, g]:g} MW in hour {t} but can give "
                    f"{ceiling[t, g]:g} MW; lower the floor."
                )


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
