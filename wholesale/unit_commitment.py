"""Day-ahead market with commitment: which units run is decided for the whole horizon at once.

Prices cannot come from a program with integers. Two ways are in use and both are offered: fix the commitment and take
the duals of the remaining linear program, or relax the integers and take the duals of that. Neither need cover the
costs of a unit; what is missing is its uplift (make-whole payment).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import pyomo.environ as pyo

from wholesale.bids import Book, check_voll, tabulate
from wholesale.commitment_model import Plant, build
from wholesale.market import Bid, Clearing
from wholesale.names import unknown
from wholesale.network import Convention, check_convention, network
from wholesale.offers import offers, piecewise
from wholesale.solve import Program, Solution
from wholesale.system import System

Prices = Literal["fixed-commitment", "relaxed"]
ROUNDING_MW = 1e-6


@dataclass(frozen=True, eq=False)
class Schedule:
    """A cleared horizon of T hours.

    Attributes
    ----------
    clearing : Clearing
        Prices, dispatch, cost with starts and stops in the hour in which they happen, uplift.
    on, start, stop : ndarray [T, unit] of bool
        Commitment; units without commitment data are on.
    reserve : ndarray [T, unit]
        MW held back.
    reserve_price : ndarray [T]
        $ per MW and hour.
    reserve_short : ndarray [T]
        MW of reserve that is missing.
    objective, bound : float
        $ with all penalties and less the value of elastic bids; no schedule is cheaper than the bound.
    gap : float
        (objective - bound) / |objective|.
    reproducible : bool
        False when the emergency clock ended the search.
    """

    clearing: Clearing
    on: np.ndarray
    start: np.ndarray
    stop: np.ndarray
    reserve: np.ndarray
    reserve_price: np.ndarray
    reserve_short: np.ndarray
    objective: float
    bound: float
    gap: float
    reproducible: bool


@dataclass(frozen=True)
class UnitCommitment:
    """Least-cost commitment and dispatch over the whole horizon, with reserve; prices by rule.

    Parameters
    ----------
    prices : {"fixed-commitment", "relaxed"}
        Duals with the commitment fixed, or with its integers relaxed.
    zone : bool
        Whether all buses are one zone without lines.
    convention : {"matpower", "pglib"}
        See `DCOPF`.
    pieces : int >= 1
        Straight pieces of equal width between p_min and p_max for a quadratic cost.
    gap : float >= 0
        Relative gap at which the search may stop.
    node_limit : int or None
        Branch-and-bound nodes: the reproducible limit of work.
    seconds : float or None
        Emergency clock for the search; a schedule it cut short says so.
    voll : float
        $/MWh paid for load that is not served and for power that must be thrown away.
    shortfall : float
        $ per MW and hour paid for missing reserve.

    Raises
    ------
    ValueError
        A value is not allowed.
    """

    prices: Prices = "fixed-commitment"
    zone: bool = False
    convention: Convention = "matpower"
    pieces: int = 4
    gap: float = 1e-3
    node_limit: int | None = None
    seconds: float | None = None
    voll: float = 10_000.0
    shortfall: float = 1_000.0
    name: ClassVar[str] = "unit-commitment"

    def __post_init__(self) -> None:
        if self.prices not in get_args(Prices):
            raise ValueError(unknown("kind of prices", self.prices, get_args(Prices)))
        check_convention(self.convention)
        check_voll(self.voll)
        if self.pieces < 1:
            raise ValueError(f"pieces is {self.pieces}; a quadratic cost needs >= 1 straight piece (4 is usual).")
        if not 0 <= self.gap < 1:
            raise ValueError(f"gap is {self.gap}; it must be >= 0 and < 1 (0.001 = 0.1 % is usual).")
        if not self.shortfall >= 0:
            raise ValueError(f"shortfall is {self.shortfall} $/MWh; it must be >= 0.")

    def clear(self, system: System, bids: Sequence[Bid] = ()) -> Clearing:
        """Clear the horizon; see `schedule`, of which this is the clearing."""
        return self.schedule(system, bids).clearing

    def schedule(self, system: System, bids: Sequence[Bid] = ()) -> Schedule:
        """Commit and dispatch all hours together.

        Parameters
        ----------
        system : System
            Units with commitment data are switched, all others are always on; T hours of loads and reserve.
        bids : sequence of Bid
            Withdrawals (+) and injections (-) of outsiders.

        Returns
        -------
        Schedule

        Raises
        ------
        ValueError
            See `wholesale.bids.tabulate`; a quadratic cost of a unit that is not switched.
        Infeasible
            E.g. initial output that no ramp can leave; loads and reserve alone never make a horizon infeasible.
        NotSolved
            The limit of nodes or seconds was met before any schedule was found.
        """
        book, offer = tabulate(system, bids, self.voll), offers(system)
        plant = Plant(system, offer, self.pieces)
        for j in plant.steady:
            if offer.k[j]:
                unit = system.units[offer.unit[j]]
                raise ValueError(
                    f"Unit {unit.name!r} has a quadratic cost and no commitment data; give it `Commitment()` (then its "
                    "cost is cut into pieces) or a linear cost."
                )
        net = None if self.zone or not system.lines else network(system, self.convention)
        model = build(plant, book, net, self.voll, self.shortfall)
        program = Program.compile(model, mip_gap=self.gap, node_limit=self.node_limit, seconds=self.seconds)
        best = program.solve()
        priced, final = self._prices(program, model, best)
        return _Reading(plant, book, model, program, final, priced).schedule(best)

    def _prices(self, program: Program, model: Any, best: Solution) -> tuple[Solution, Solution]:
        """Solution whose duals are the prices, and the dispatch (the exact optimum for this commitment)."""
        if not len(model.g):
            return best, best
        linear = program.relaxed()
        relaxed = linear.solve() if self.prices == "relaxed" else None
        for binary in (model.on, model.start, model.stop):
            cols = linear.columns(binary)
            whole = np.round(best.x[cols])
            linear.change_bounds(cols, whole, whole)
        fixed = linear.solve()
        return (fixed if relaxed is None else relaxed), fixed


@dataclass(frozen=True, eq=False)
class _Reading:
    """Columns and rows of a solved model as arrays with the hour first."""

    plant: Plant
    book: Book
    model: pyo.ConcreteModel
    program: Program
    final: Solution
    priced: Solution

    def _hourly(self, variable: Any, many: int, x: np.ndarray) -> np.ndarray:
        hours = self.plant.system.hours
        if not many:
            return np.zeros((hours, 0))
        return np.asarray(x[self.program.columns(variable).reshape(many, hours)].T)

    def _units(self, variable: Any, otherwise: float) -> np.ndarray:
        system, switched = self.plant.system, list(self.plant.switched)
        full = np.full((system.hours, len(system.units)), otherwise)
        full[:, switched] = self._hourly(variable, len(switched), self.final.x)
        return full

    def schedule(self, best: Solution) -> Schedule:
        """Read everything.

        Parameters
        ----------
        best : Solution
            Of the search over integers.
        """
        system, plant, x = self.plant.system, self.plant, self.final.x
        m: Any = self.model
        on, start, stop = (self._units(v, default) > 0.5 for v, default in ((m.on, 1.0), (m.start, 0.0), (m.stop, 0.0)))
        reserve = self._units(m.reserve, 0.0)
        pieces = np.zeros(plant.offer.low.shape)
        pieces[:, list(plant.steady)] = self._hourly(m.steady, len(plant.steady), x)
        dispatch = plant.offer.total(pieces)
        switched = list(plant.switched)
        least = np.array([unit.p_min for unit in system.units])
        dispatch[:, switched] = (self._units(m.above, 0.0) + on * least)[:, switched]
        spent = self._spent(dispatch, on, start, stop)
        lmp, reserve_price = self._duals()
        received = (lmp[:, system.unit_bus] * dispatch).sum(axis=0) + reserve_price @ reserve
        uplift = np.zeros(len(system.units))
        uplift[switched] = np.maximum(spent.sum(axis=0) - received, 0.0)[switched]
        shed, surplus = (self._slack(v) for v in (m.shed, m.surplus))
        lines = tuple(line.name for line in system.lines) if len(m.line) else ()
        clearing = Clearing(
            buses=system.buses, units=tuple(unit.name for unit in system.units), lines=lines, lmp=lmp,
            energy=lmp[:, 0], congestion=lmp - lmp[:, :1], dispatch=dispatch,
            accepted=self._hourly(m.take, len(self.book.bus), x), flow=self._hourly(m.flow, len(lines), x),
            cost=spent.sum(axis=1), shed=shed, surplus=surplus, lower=lmp, upper=lmp, load=system.load,
            ends=system.line_ends if lines else np.zeros((0, 2), int), uplift=uplift,
        )  # fmt: skip
        objective = self.final.objective
        return Schedule(
            clearing=clearing, on=on, start=start, stop=stop, reserve=reserve, reserve_price=reserve_price,
            reserve_short=x[self.program.columns(m.short)], objective=objective, bound=best.bound,
            gap=max(0.0, (objective - best.bound) / max(abs(objective), 1e-9)), reproducible=best.reproducible,
        )  # fmt: skip

    def _duals(self) -> tuple[np.ndarray, np.ndarray]:
        """Prices of energy [T, bus] and of reserve [T]."""
        system = self.plant.system
        m: Any = self.model
        rows = self.program.rows(m.balance).reshape(len(m.n), system.hours)
        lmp = self.priced.dual[rows].T
        reserve = self.priced.dual[self.program.rows(m.enough)] if len(self.plant.switched) else np.zeros(system.hours)
        return np.array(np.broadcast_to(lmp, (system.hours, len(system.buses)))), reserve

    def _slack(self, variable: Any) -> np.ndarray:
        """MW [T, bus]; what one zone misses is shared pro rata to the loads."""
        system = self.plant.system
        m: Any = self.model
        mw = self._hourly(variable, len(m.n), self.final.x)
        mw = np.where(mw > ROUNDING_MW, mw, 0.0)
        if mw.shape[1] == len(system.buses):
            return mw
        weight = np.maximum(system.load, 0.0) + 1e-12
        return np.asarray(mw * weight / weight.sum(axis=1, keepdims=True))

    def _spent(self, dispatch: np.ndarray, on: np.ndarray, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
        """Cost [T, unit] in $: running on the model's own cost curves, starts, stops."""
        system, plant = self.plant.system, self.plant
        m: Any = self.model
        spent = np.zeros(dispatch.shape)
        for g, unit in enumerate(system.units):
            if g not in plant.curves:
                alone = dispatch[:, g]
                spent[:, g] = unit.cost[1] * alone + unit.cost[2] + piecewise(unit, alone)
                continue
            least, width, slope = plant.curves[g]
            edge = np.concatenate([[0.0], np.cumsum(width)[:-1]]) if len(width) else np.zeros(0)
            above = np.maximum(dispatch[:, g] - unit.p_min, 0.0) * on[:, g]
            c: Any = unit.commitment
            spent[:, g] = least * on[:, g] + np.clip(above[:, None] - edge, 0.0, width) @ slope
            spent[:, g] += c.shutdown * stop[:, g]
            if len(c.startup) == 1:
                spent[:, g] += c.startup[0][1] * start[:, g]
        for (g, s, t), col in zip(m.kind, self.program.columns(m.kind).ravel(), strict=True):
            spent[t, g] += system.units[g].commitment.startup[s][1] * self.final.x[col]
        return spent
