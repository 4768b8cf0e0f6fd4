"""Locational prices: the least-cost dispatch on a linear (DC) network.

Sources: MATPOWER user's manual section 6.3 (convention "matpower"); Babaeinejadsarookolaee et al. 2019,
arXiv:1908.02788, and PowerModels.jl (convention "pglib").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyomo.environ as pyo

from wholesale.bids import Book, check_voll, tabulate
from wholesale.hours import Changes, solve_hours
from wholesale.market import Bid, Clearing
from wholesale.network import Convention, check_convention, network
from wholesale.solve import Program
from wholesale.system import System


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
        model = build(system, book.bus, self.convention, self.voll)
        program = Program.compile(model)
        x, dual, _ = solve_hours(program, _changes(program, model, system, book), system.name)
        lmp = dual[:, program.rows(model.balance)]
        dispatch = x[:, program.columns(model.p)]
        return Clearing(
            buses=system.buses,
            units=tuple(unit.name for unit in system.units),
            lines=tuple(line.name for line in system.lines),
            lmp=lmp,
            energy=lmp[:, 0],
            congestion=lmp - lmp[:, :1],
            dispatch=dispatch,
            accepted=x[:, program.columns(model.take)],
            flow=x[:, program.columns(model.flow)],
            cost=system.generation_cost(dispatch),
            shed=x[:, program.columns(model.shed)],
            surplus=x[:, program.columns(model.surplus)],
            lower=lmp,
            upper=lmp,
            load=system.load,
            ends=system.line_ends,
        )


def build(
    system: System, bid_bus: np.ndarray, convention: Convention = "matpower", voll: float = 10_000.0
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

    Returns
    -------
    ConcreteModel
        Variables `p` [unit], `flow` [line], `take` [bid], `shed` and `surplus` [bus] in MW, `theta` [bus] in rad;
        rows `balance` [bus] and `ohm` [line] in MW; objective `cost` in $ per hour.
    """
    net = network(system, convention)
    m: Any = pyo.ConcreteModel(f"dc-opf of {system.name}")
    m.unit, m.bus = pyo.RangeSet(0, len(system.units) - 1), pyo.RangeSet(0, len(system.buses) - 1)
    m.line, m.bid = pyo.RangeSet(0, len(system.lines) - 1), pyo.RangeSet(0, len(bid_bus) - 1)
    m.p = pyo.Var(m.unit, bounds=lambda m, g: tuple(map(float, system.p_range[g])))
    m.flow = pyo.Var(m.line, bounds=lambda m, k: (float(net.low[k]), float(net.high[k])))
    m.theta, m.take = pyo.Var(m.bus), pyo.Var(m.bid)
    m.shed, m.surplus = pyo.Var(m.bus, bounds=(0, None)), pyo.Var(m.bus, bounds=(0, None))
    m.theta[0].fix(0.0)
    slack = sum(m.shed[n] + m.surplus[n] for n in m.bus)
    m.cost = pyo.Objective(expr=sum(cost_of(m.p[g], unit.cost) for g, unit in enumerate(system.units)) + voll * slack)

    @m.Constraint(m.line)
    def ohm(m: Any, k: int) -> Any:
        near, far = map(int, system.line_ends[k])
        return m.flow[k] - float(net.susceptance[k]) * (m.theta[near] - m.theta[far]) == -float(net.shifted[k])

    net_in = [m.shed[n] - m.surplus[n] for n in m.bus]
    for g, n in enumerate(system.unit_bus):
        net_in[n] += m.p[g]
    for k, (near, far) in enumerate(system.line_ends):
        net_in[near] -= m.flow[k]
        net_in[far] += m.flow[k]
    for k, n in enumerate(bid_bus):
        net_in[n] -= m.take[k]

    @m.Constraint(m.bus)
    def balance(m: Any, n: int) -> Any:
        return net_in[n] == float(system.load[0, n])

    return m


def cost_of(power: Any, cost: tuple[float, float, float]) -> Any:
    """Cost of a unit in $ per hour as a Pyomo expression of its power in MW; linear if c2 is 0."""
    c2, c1, c0 = map(float, cost)
    # a quadratic term with coefficient 0 would turn a linear program into a quadratic one
    return c1 * power + c0 + (c2 * power**2 if c2 else 0.0)


def _changes(program: Program, m: Any, system: System, book: Book) -> Changes:
    """Loads are right-hand sides; what can be shed, thrown away or taken by a bid are column bounds."""
    output = np.zeros(len(system.buses))
    np.add.at(output, system.unit_bus, np.maximum(system.p_range[:, 1], 0.0))
    take = program.columns(m.take)
    free = np.zeros_like(book.withdrawn)
    return Changes(
        rows=program.rows(m.balance),
        right=system.load,
        cols=np.concatenate([program.columns(m.shed), program.columns(m.surplus), take]),
        lower=np.hstack([free, free, book.lower]),
        upper=np.hstack([book.withdrawn, book.injected + output, book.upper]),
        priced=take,
        cost=-book.value,
    )
