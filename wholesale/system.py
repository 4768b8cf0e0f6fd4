"""A power system: buses, units and lines as a networkx graph plus arrays of loads.

A `System` is checked when it is made, so every other file may rely on names that exist, connected buses and convex
costs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import networkx as nx
import numpy as np

from wholesale.mistakes import SystemInvalid, mistakes


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
    """

    name: str
    bus: str
    p_min: float
    p_max: float
    cost: tuple[float, float, float]


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

    def __post_init__(self) -> None:
        for field in ("buses", "units", "lines"):
            object.__setattr__(self, field, tuple(getattr(self, field)))
        g_mw = np.zeros(len(self.buses)) if self.g_mw is None else np.array(self.g_mw, float)
        loads = np.atleast_2d(np.array(self.loads, float))
        for field, array in (("g_mw", g_mw), ("loads", loads)):
            array.flags.writeable = False
            object.__setattr__(self, field, array)
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
    def cost(self) -> np.ndarray:
        """Cost coefficients [unit, 3]: c2 in $/MW^2h, c1 in $/MWh, c0 in $/h."""
        return np.array([unit.cost for unit in self.units], float).reshape(-1, 3)

    def generation_cost(self, dispatch: np.ndarray) -> np.ndarray:
        """Cost [T] in $ per hour of a dispatch [T, unit] in MW."""
        c2, c1, c0 = self.cost.T
        return np.asarray((c2 * dispatch**2 + c1 * dispatch + c0).sum(axis=-1))

    def by_bus(self, values: np.ndarray, bus: np.ndarray) -> np.ndarray:
        """Sum values [..., k] that sit at the bus positions `bus` (int [k]) into [..., bus]; the unit stays."""
        where = np.zeros((len(bus), len(self.buses)))
        where[np.arange(len(bus)), bus] = 1.0
        return np.asarray(values @ where)

    def with_load(self, load: np.ndarray) -> System:
        """Return this system with other loads: MW [T, bus] (or [bus] for one hour)."""
        return replace(self, loads=load)

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
