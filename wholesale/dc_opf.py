"""Locational prices: the least-cost dispatch on a linear (DC) network.

Sources: MATPOWER user's manual section 6.3 (convention "matpower"); Babaeinejadsarookolaee et al. 2019,
arXiv:1908.02788, and PowerModels.jl (convention "pglib").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pyomo.environ as pyo

from wholesale.bids import Book, check_voll, tabulate
from wholesale.costs import cost_of
from wholesale.hours import Changes, solve_hours
from wholesale.market import Bid, Clearing
from wholesale.network import Convention, check_convention, network
from wholesale.solve import Program
from wholesale.system import System

ROUNDING_MW = 1e-9


@dataclass(frozen=True)
class DCOPF:
    """DC optimal power flow in bus angles; the price of a bus is the dual of its balance.

    Parameters
    ----------
    convention : {"matpower", "pglib"}
        How a line becomes a susceptance: "matpower" b = 1 / (x tap) with phase shifts; "pglib" b = x / (r^2 + x^2)
        without taps and shifts. In both, limits of the angle difference act as flow limits and shunt conductances
        as loads. Published objectives of one convention are not reproduced by the other.
    voll : float
        $/MWh paid for load that is not served and for power that must be thrown away.

    Raises
    ------
    ValueError
        Unknown convention; voll not > 0.
    """

    convention: Convention = "matpower"
    voll: float = 10_000.0
    name: ClassVar[str] = "dc-opf"

    def __post_init__(self) -> None:
        check_convention(self.convention)
        check_voll(self.voll)

    def clear(self, system: System, bids: Sequence[Bid] = ()) -> Clearing:
        """Clear all hours; hours are independent of each other.

        Parameters
        ----------
        system : System
            T hours of loads.
        bids : sequence of Bid
            Withdrawals (+) and injections (-) of outsiders.

        Returns
        -------
        Clearing
            Where several prices are optimal (a load exactly at a step of the supply), one of them.

        Raises
        ------
        ValueError
            See `wholesale.bids.tabulate`.
        SolverError
            An hour has no solution, e.g. because phase shifts alone overload a line.
        """
        book = tabulate(system, bids, self.voll)
        parts = self._solve(system, book, np.arange(system.hours), slack=False)
        # Slack is left out at first: almost no hour needs it, and the quadratic solver cycles on its many equal prices.
        # An hour needs it if nothing else is feasible or if a price shows that shedding would be cheaper.
        with np.errstate(invalid="ignore"):
            again = np.flatnonzero(~(np.abs(parts["lmp"]) <= self.voll).all(axis=1))
        if len(again):
            for key, values in self._solve(system, book, again, slack=True).items():
                parts[key][again] = values
        lmp = parts["lmp"]
        return Clearing(
            buses=system.buses,
            units=tuple(unit.name for unit in system.units),
            lines=tuple(line.name for line in system.lines),
            lmp=lmp,
            energy=lmp[:, 0],
            congestion=lmp - lmp[:, :1],
            dispatch=parts["p"],
            accepted=parts["take"],
            flow=parts["flow"],
            cost=system.generation_cost(parts["p"]),
            shed=parts["shed"],
            surplus=parts["surplus"],
            lower=lmp,
            upper=lmp,
            load=system.load,
            ends=system.line_ends,
        )

    def _solve(self, system: System, book: Book, hours: np.ndarray, *, slack: bool) -> dict[str, np.ndarray]:
        """Solve some hours with or without slack; NaN where an hour without slack is infeasible."""
        model = build(system, book.bus, self.convention, self.voll, slack=slack)
        program = Program.compile(model)
        changes = _changes(program, model, system, book).at(hours)
        x, dual, _ = solve_hours(program, changes, system.name, skip_infeasible=not slack)
        parts = {key: x[:, program.columns(getattr(model, key))] for key in ("p", "flow", "take")}
        parts["lmp"] = dual[:, program.rows(model.balance)]
        for key in ("shed", "surplus"):
            # a basic variable may end a rounding error beside 0, which must not read as a shed bus
            mw = x[:, program.columns(getattr(model, key))] if slack else np.zeros_like(parts["lmp"])
            parts[key] = np.where(mw > ROUNDING_MW, mw, 0.0)
        return parts


def build(
    system: System,
    bid_bus: np.ndarray,
    convention: Convention = "matpower",
    voll: float = 10_000.0,
    *,
    slack: bool = True,
) -> pyo.ConcreteModel:
    """Write the dispatch of the first hour in Pyomo; other hours are filled in by index after compilation.

    Parameters
    ----------
    system : System
        Units, lines and first hour of loads.
    bid_bus : ndarray [bid] of int
        Positions of the bids' buses; the bids' bounds and prices are left open.
    convention, voll
        See `DCOPF`.
    slack : bool
        With `shed` and `surplus`, or without, where an hour may be infeasible.

    Returns
    -------
    ConcreteModel
        Variables `p` [unit], `flow` [line], `take` [bid], `shed` and `surplus` [bus] in MW, `theta` [bus] in
        rad x base_mva (so that coefficients are per unit and of like size);
        rows `balance` [bus] and `ohm` [line] in MW; objective `cost` in $ per hour.
    """
    net = network(system, convention)
    m: Any = pyo.ConcreteModel(f"dc-opf of {system.name}")
    m.unit, m.bus = pyo.RangeSet(0, len(system.units) - 1), pyo.RangeSet(0, len(system.buses) - 1)
    m.line, m.bid = pyo.RangeSet(0, len(system.lines) - 1), pyo.RangeSet(0, len(bid_bus) - 1)
    m.p = pyo.Var(m.unit, bounds=lambda m, g: tuple(map(float, system.p_range[g])))
    m.flow = pyo.Var(m.line, bounds=lambda m, k: (float(net.low[k]), float(net.high[k])))
    m.theta, m.take = pyo.Var(m.bus), pyo.Var(m.bid)
    m.theta[0].fix(0.0)
    cost = sum(cost_of(m.p[g], unit.cost) for g, unit in enumerate(system.units))
    net_in: list[Any] = [0.0] * len(system.buses)
    if slack:
        m.shed, m.surplus = pyo.Var(m.bus, bounds=(0, None)), pyo.Var(m.bus, bounds=(0, None))
        cost += voll * sum(m.shed[n] + m.surplus[n] for n in m.bus)
        net_in = [m.shed[n] - m.surplus[n] for n in m.bus]
    m.cost = pyo.Objective(expr=cost)

    per_unit = [float(b) / system.base_mva for b in net.susceptance]
    _connect(m, net_in, system, bid_bus)

    def ohm(m: Any, k: int) -> Any:
        near, far = map(int, system.line_ends[k])
        return m.flow[k] - per_unit[k] * (m.theta[near] - m.theta[far]) == -float(net.shifted[k])

    def balance(m: Any, n: int) -> Any:
        return net_in[n] == float(system.load[0, n])

    m.ohm = pyo.Constraint(m.line, rule=ohm)
    m.balance = pyo.Constraint(m.bus, rule=balance)

    return m


def _connect(m: Any, net_in: list[Any], system: System, bid_bus: np.ndarray) -> None:
    """Add what flows into each bus to its sum `net_in`, MW."""
    for g, n in enumerate(system.unit_bus):
        net_in[n] += m.p[g]
    for k, (near, far) in enumerate(system.line_ends):
        net_in[near] -= m.flow[k]
        net_in[far] += m.flow[k]
    for k, n in enumerate(bid_bus):
        net_in[n] -= m.take[k]


def _changes(program: Program, m: Any, system: System, book: Book) -> Changes:
    """Write loads as right-hand sides, and what can be shed, thrown away or taken as column bounds."""
    take = program.columns(m.take)
    changes = Changes(
        rows=program.rows(m.balance),
        right=system.load,
        cols=take,
        lower=book.lower,
        upper=book.upper,
        priced=take,
        cost=-book.value,
    )
    if not hasattr(m, "shed"):
        return changes
    output = system.by_bus(np.maximum(system.p_range[:, 1], 0.0), system.unit_bus)
    free = np.zeros_like(book.withdrawn)
    return replace(
        changes,
        cols=np.concatenate([program.columns(m.shed), program.columns(m.surplus), take]),
        lower=np.hstack([free, free, book.lower]),
        upper=np.hstack([book.withdrawn, book.injected + output, book.upper]),
    )
