"""A power system: buses, units and lines as a networkx graph plus arrays of loads.

A `System` is checked when it is made, so every other file may rely on names that exist, connected buses and convex
costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import networkx as nx
import numpy as np

from wholesale.mistakes import SystemInvalid, mistakes
from wholesale.names import position, unknown
from wholesale.offers import piecewise
from wholesale.thermal import Commitment


@dataclass(frozen=True)
class Unit:
    """A generator.

    Attributes
    ----------
    name, bus : str
        Own name and the bus it feeds.
    p_min, p_max : float
        MW, generator's view; p_min > 0 is a must-run amount, p_min < 0 a unit that may also consume.
    cost : tuple of 3 floats
        (c2, c1, c0): c2 P^2 + c1 P + c0 in $ per hour at P MW; c2 >= 0, the others may have any sign.
    points : tuple of (MW, $ per hour)
        Break points of a convex piecewise linear cost that is added to `cost`; none or at least two, MW increasing.
        The first and the last slope go on beyond their points.
    commitment : Commitment or None
        What switching the unit takes; read by the market `unit-commitment` only.
    """

    name: str
    bus: str
    p_min: float
    p_max: float
    cost: tuple[float, float, float]
    points: tuple[tuple[float, float], ...] = ()
    commitment: Commitment | None = None


@dataclass(frozen=True)
class Line:
    """A line or transformer between two buses; flow counts + from `from_bus` to `to_bus`.

    Attributes
    ----------
    name, from_bus, to_bus : str
        Own name and its ends; parallel lines are legal.
    x, r, b : float
        Series reactance (not 0; < 0 is a series capacitor), resistance and line charging, per unit.
    tap : float
        Off-nominal turns ratio at the from side, 1 for a line.
    shift_deg : float
        Phase shift, degrees.
    rate_mw : float
        Limit of |flow|, MW; inf = unlimited.
    angle_min_deg, angle_max_deg : float
        Limits of the voltage angle at `from_bus` minus that at `to_bus`, degrees; -360 and 360 mean none.
    """

    name: str
    from_bus: str
    to_bus: str
    x: float
    r: float = 0.0
    b: float = 0.0
    tap: float = 1.0
    shift_deg: float = 0.0
    rate_mw: float = float("inf")
    angle_min_deg: float = -360.0
    angle_max_deg: float = 360.0


@dataclass(frozen=True, eq=False)
class System:
    """Buses with loads over T >= 1 hours, units and lines.

    Parameters
    ----------
    name : str
        Name, for messages and results.
    buses : tuple of str
        Names; the first one is the reference for angles and for the energy part of prices.
    units : tuple of Unit
        Generators.
    lines : tuple of Line
        Network; it must connect all buses.
    loads : array_like [T, bus] or [bus]
        MW withdrawn; negative values are fixed injections.
    g_mw : array_like [bus], optional
        Shunt conductance: MW withdrawn at nominal voltage; default 0.
    base_mva : float
        Base of the per-unit values of the lines, MVA.
    p_floor, p_ceiling : array_like [T, unit] or [unit], optional
        Hourly limits of output, MW, e.g. what sun and wind allow; default each unit's p_min and p_max. A ceiling is at
        most p_max.
    reserve : array_like [T] or float, optional
        MW that switched units hold back above their output; read by the market `unit-commitment` only; default 0.

    Raises
    ------
    SystemInvalid
        Lists all mistakes at once.
    """

    name: str
    buses: tuple[str, ...]
    units: tuple[Unit, ...]
    lines: tuple[Line, ...]
    loads: np.ndarray
    g_mw: np.ndarray | None = None
    base_mva: float = 100.0
    p_floor: np.ndarray | None = None
    p_ceiling: np.ndarray | None = None
    reserve: np.ndarray | None = None

    def __post_init__(self) -> None:
        for field in ("buses", "units", "lines"):
            object.__setattr__(self, field, tuple(getattr(self, field)))
        g_mw = np.zeros(len(self.buses)) if self.g_mw is None else np.array(self.g_mw, float)
        loads = np.atleast_2d(np.array(self.loads, float))
        for field, array in (("g_mw", g_mw), ("loads", loads)):
            array.flags.writeable = False
            object.__setattr__(self, field, array)
        for field in ("p_floor", "p_ceiling"):
            if getattr(self, field) is not None:
                limit = np.atleast_2d(np.array(getattr(self, field), float))
                limit.flags.writeable = False
                object.__setattr__(self, field, limit)
        if self.reserve is not None:
            reserve = np.atleast_1d(np.array(self.reserve, float))
            reserve.flags.writeable = False
            object.__setattr__(self, "reserve", reserve)
        self.validate()

    def validate(self) -> None:
        """Check names, numbers and connection; runs by itself whenever a system is made.

        Raises
        ------
        SystemInvalid
            Its `mistakes` hold one sentence for each mistake found.
        """
        found = mistakes(self)
        if found:
            raise SystemInvalid(self.name, found)

    @property
    def hours(self) -> int:
        """Number T of hours."""
        return len(self.loads)

    @cached_property
    def graph(self) -> nx.MultiGraph:
        """Graph with buses as nodes and lines as edges, keyed by the line's name; each edge holds its `line`."""
        graph: nx.MultiGraph = nx.MultiGraph(name=self.name)
        graph.add_nodes_from(self.buses)
        for line in self.lines:
            graph.add_edge(line.from_bus, line.to_bus, key=line.name, line=line)
        return graph

    @cached_property
    def load(self) -> np.ndarray:
        """MW withdrawn [T, bus] by loads and shunt conductances together."""
        return np.asarray(self.loads + self.g_mw)

    @cached_property
    def unit_bus(self) -> np.ndarray:
        """Position in `buses` of each unit's bus, int [unit]."""
        where = {bus: i for i, bus in enumerate(self.buses)}
        return np.array([where[unit.bus] for unit in self.units], int)

    @cached_property
    def line_ends(self) -> np.ndarray:
        """Positions in `buses` of both ends of each line, int [line, 2]: from, to."""
        where = {bus: i for i, bus in enumerate(self.buses)}
        return np.array([(where[line.from_bus], where[line.to_bus]) for line in self.lines], int).reshape(-1, 2)

    @cached_property
    def p_range(self) -> np.ndarray:
        """Smallest and largest output of each unit, MW [unit, 2]."""
        return np.array([(unit.p_min, unit.p_max) for unit in self.units], float).reshape(-1, 2)

    @cached_property
    def p_floor_mw(self) -> np.ndarray:
        """Smallest output of each unit in each hour, MW [T, unit]."""
        return self._limit(self.p_floor, 0)

    @cached_property
    def p_ceiling_mw(self) -> np.ndarray:
        """Largest output of each unit in each hour, MW [T, unit]."""
        return self._limit(self.p_ceiling, 1)

    @cached_property
    def reserve_mw(self) -> np.ndarray:
        """Reserve to hold in each hour, MW [T]."""
        wanted = np.zeros(1) if self.reserve is None else self.reserve
        return np.broadcast_to(wanted, (self.hours,))

    def _limit(self, given: np.ndarray | None, end: int) -> np.ndarray:
        limit = self.p_range[:, end] if given is None else given
        return np.broadcast_to(limit, (self.hours, len(self.units)))

    @cached_property
    def pointed(self) -> tuple[int, ...]:
        """Positions of the units whose cost has break points."""
        return tuple(g for g, unit in enumerate(self.units) if unit.points)

    @cached_property
    def cost(self) -> np.ndarray:
        """Cost coefficients [unit, 3]: c2 in $/MW^2h, c1 in $/MWh, c0 in $/h."""
        return np.array([unit.cost for unit in self.units], float).reshape(-1, 3)

    def generation_cost(self, dispatch: np.ndarray) -> np.ndarray:
        """Cost [T] in $ per hour of a dispatch [T, unit] in MW."""
        c2, c1, c0 = self.cost.T
        cost = np.asarray((c2 * dispatch**2 + c1 * dispatch + c0).sum(axis=-1))
        for g in self.pointed:
            cost = cost + piecewise(self.units[g], dispatch[..., g])
        return cost

    def by_bus(self, values: np.ndarray, bus: np.ndarray) -> np.ndarray:
        """Sum values [..., k] that sit at the bus positions `bus` (int [k]) into [..., bus]; the unit stays."""
        where = np.zeros((len(bus), len(self.buses)))
        where[np.arange(len(bus)), bus] = 1.0
        return np.asarray(values @ where)

    def with_load(self, load: np.ndarray) -> System:
        """Return this system with other loads: MW [T, bus] (or [bus] for one hour)."""
        return replace(self, loads=load)

    def with_fuel_cost(self, factor: float) -> System:
        """Return this system with every unit's energy cost, $ per hour, times a factor > 0."""
        units = tuple(
            replace(
                unit,
                cost=(unit.cost[0] * factor, unit.cost[1] * factor, unit.cost[2] * factor),
                points=tuple((mw, dollars * factor) for mw, dollars in unit.points),
            )
            for unit in self.units
        )
        return self if factor == 1.0 else replace(self, units=units)

    def at(self, hours: np.ndarray) -> System:
        """Return this system with some of its hours only (int [k], any order, repeated if wished)."""
        floor, ceiling, reserve = self.p_floor, self.p_ceiling, self.reserve
        return replace(
            self,
            loads=self.loads[hours],
            p_floor=None if floor is None else self.p_floor_mw[hours],
            p_ceiling=None if ceiling is None else self.p_ceiling_mw[hours],
            reserve=None if reserve is None else self.reserve_mw[hours],
        )

    def with_profiles(
        self, load: Mapping[str, np.ndarray] | None = None, available: Mapping[str, np.ndarray] | None = None
    ) -> System:
        """Return this system with series of loads and of what units can give.

        Parameters
        ----------
        load : mapping of bus to array_like [T], optional
            MW withdrawn; buses that are not named keep their load (of one hour, repeated, or of T hours).
        available : mapping of unit to array_like [T], optional
            Largest output, MW, 0 <= value <= p_max; where it is below p_min the floor goes down with it. Units that
            are not named keep their limits.

        Raises
        ------
        ValueError
            Unknown bus or unit, or series of different lengths.
        SystemInvalid
            A value is not finite or above p_max.
        """
        series = {**{f"load at {k}": v for k, v in (load or {}).items()}, **(available or {})}
        lengths = {len(np.atleast_1d(values)) for values in series.values()} or {self.hours}
        hours = max(lengths)
        if lengths != {hours} or self.hours not in (1, hours):
            raise ValueError(
                f"Profiles for the {self.hours} hours of system {self.name!r} have lengths {sorted(lengths)}; give all "
                "the same length, that of the system unless it has one hour."
            )
        loads = np.array(np.broadcast_to(self.loads, (hours, len(self.buses))))
        for bus, values in (load or {}).items():
            loads[:, position(bus, self.buses)] = values
        floor, ceiling = (
            np.array(np.broadcast_to(limit, (hours, len(self.units)))) for limit in (self.p_floor_mw, self.p_ceiling_mw)
        )
        names = [unit.name for unit in self.units]
        for name, values in (available or {}).items():
            if name not in names:
                raise ValueError(unknown("unit", name, names))
            g = names.index(name)
            ceiling[:, g] = values
            floor[:, g] = np.minimum(floor[:, g], ceiling[:, g])
        return replace(self, loads=loads, p_floor=floor, p_ceiling=ceiling)

    def over(self, shape: np.ndarray) -> System:
        """Return this system with every load scaled by a profile.

        Parameters
        ----------
        shape : array_like [T]
            Multipliers without unit; the system has one hour, which is repeated, or T hours.

        Raises
        ------
        ValueError
            The system has neither 1 nor T hours.
        """
        factors = np.atleast_1d(np.array(shape, float))
        if self.hours not in (1, len(factors)) or factors.ndim != 1:
            raise ValueError(
                f"A profile of shape {list(factors.shape)} does not fit the {self.hours} hours of system "
                f"{self.name!r}; give [{self.hours}] multipliers or start from one hour."
            )
        return self.with_load(self.loads * factors[:, None])
