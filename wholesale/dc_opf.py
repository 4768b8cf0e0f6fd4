"""Locational prices: the least-cost dispatch on a linear (DC) network.

Sources: MATPOWER user's manual section 6.3 (convention "matpower"); Babaeinejadsarookolaee et al. 2019,
arXiv:1908.02788, and PowerModels.jl (convention "pglib").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, cast

import numpy as np
import pyomo.environ as pyo

from wholesale.active_set import dispatch
from wholesale.bids import Book, check_voll, tabulate
from wholesale.compiled import compiled
from wholesale.costs import cost_of
from wholesale.factors import factors
from wholesale.hours import Changes, solve_hours
from wholesale.market import Bid, Clearing
from wholesale.network import Convention, check_convention, network
from wholesale.offers import Offers, offers
from wholesale.solve import Infeasible, Program, SolverError
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
            An hour has no solution, e.g. because phase shifts alone overload a line. Its attribute `partial` holds the
            clearing of all hours, NaN where there is none.
        """
        return self._clear(system, bids, fresh=True)

    def clear_on(self, system: System, bids: Sequence[Bid] = ()) -> Clearing:
        """Clear as `clear` does, starting where the last clearing of the same network and bid buses ended.

        For a series of clearings that begins with `clear`: faster, but where several prices are optimal the choice
        depends on the series.
        """
        return self._clear(system, bids, fresh=False)

    def _clear(self, system: System, bids: Sequence[Bid], *, fresh: bool) -> Clearing:
        book, offer = tabulate(system, bids, self.voll), offers(system)
        parts, method = self._quadratic(system, book, offer)
        # Slack is left out at first: almost no hour needs it, and the quadratic solver cycles on its many equal prices.
        # An hour needs it if nothing else is feasible or if a price shows that shedding would be cheaper.
        failed: dict[int, SolverError] = {}
        for slack in (False, True):
            with np.errstate(invalid="ignore"):
                again = np.flatnonzero(~(np.abs(parts["lmp"]) <= self.voll).all(axis=1))
            if len(again):
                for key, values in self._solve(system, book, offer, again, failed, slack=slack, fresh=fresh).items():
                    parts[key][again] = values
                method[again] = "solver with slack" if slack else "solver"
        lmp, dispatched = parts["lmp"], offer.total(parts["p"])
        clearing = Clearing(
            buses=system.buses,
            units=tuple(unit.name for unit in system.units),
            lines=tuple(line.name for line in system.lines),
            lmp=lmp,
            energy=lmp[:, 0],
            congestion=lmp - lmp[:, :1],
            dispatch=dispatched,
            accepted=parts["take"],
            flow=parts["flow"],
            cost=system.generation_cost(dispatched),
            shed=parts["shed"],
            surplus=parts["surplus"],
            lower=lmp,
            upper=lmp,
            load=system.load,
            ends=system.line_ends,
            method=tuple(method.tolist()),
        )
        lost = [t for t in sorted(failed) if np.isnan(lmp[t]).any()]
        if lost:
            raise _with_the_rest(failed[lost[0]], lost, clearing)
        return clearing

    def _quadratic(self, system: System, book: Book, offer: Offers) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Dispatch by active sets where costs are quadratic; NaN where that is not proven or costs are linear."""
        hours, buses = system.hours, len(system.buses)
        parts = {
            "p": np.full((hours, len(offer.unit)), np.nan),
            "take": np.full((hours, len(book.bus)), np.nan),
            "flow": np.full((hours, len(system.lines)), np.nan),
            "lmp": np.full((hours, buses), np.nan),
            "shed": np.zeros((hours, buses)),
            "surplus": np.zeros((hours, buses)),
        }
        method = np.full(hours, "solver", dtype="<U17")
        if not offer.k.any():
            return parts, method
        grid = compiled(system, ("factors", self.convention), lambda: factors(system, self.convention))
        many = replace(
            offer,
            low=np.hstack([offer.low, -book.upper]),
            high=np.hstack([offer.high, -book.lower]),
            k=np.concatenate([offer.k, np.zeros(len(book.bus))]),
        )
        where = np.concatenate([system.unit_bus[offer.unit], book.bus])
        marginal = np.hstack([np.broadcast_to(offer.a, offer.low.shape), book.value])
        found = dispatch(many, where, grid, system.load, marginal)
        good = found.proven
        pieces = len(offer.unit)
        parts["p"][good], parts["take"][good] = found.p[good, :pieces], -found.p[good, pieces:]
        parts["flow"][good], parts["lmp"][good] = found.flow[good], found.lmp[good]
        method[good] = "active set"
        return parts, method

    def _solve(
        self,
        system: System,
        book: Book,
        offer: Offers,
        hours: np.ndarray,
        failed: dict[int, SolverError],
        *,
        slack: bool,
        fresh: bool,
    ) -> dict[str, np.ndarray]:
        """Solve some hours with or without slack; NaN where an hour has no solution, `failed` says why."""
        program, model = program_of(system, offer, book.bus, self.convention, self.voll, slack=slack)
        if fresh:
            program.forget()
        changes = _changes(program, model, system, book, offer).at(hours)
        errors: dict[int, SolverError] = {}
        x, dual, _ = solve_hours(program, changes, system.name, failed=errors)
        if not slack:
            # what slack may mend is no failure yet, but a solver in trouble is
            errors = {t: error for t, error in errors.items() if not isinstance(error, Infeasible)}
        failed |= {int(hours[t]): error for t, error in errors.items()}
        parts = {key: x[:, program.columns(getattr(model, key))] for key in ("p", "flow", "take")}
        parts["lmp"] = dual[:, program.rows(model.balance)]
        for key in ("shed", "surplus"):
            # a basic variable may end a rounding error beside 0, which must not read as a shed bus
            mw = x[:, program.columns(getattr(model, key))] if slack else np.zeros_like(parts["lmp"])
            parts[key] = np.where(mw > ROUNDING_MW, mw, 0.0)
        return parts


def _with_the_rest(error: SolverError, lost: list[int], clearing: Clearing) -> SolverError:
    """The error of the first lost hour, with the clearing of all others as its attribute `partial`."""
    hours = ", ".join(map(str, lost[:8])) + (", ..." if len(lost) > 8 else "")
    said = type(error)(
        f"{error} Without a solution: hour {hours} of {len(clearing.lmp)}; the others stand in the attribute `partial` "
        "of this error. Phase shifters and angle limits are the first thing to look at."
    )
    said.partial = clearing
    return said


def program_of(
    system: System, offer: Offers, bid_bus: np.ndarray, convention: Convention, voll: float, *, slack: bool
) -> tuple[Program, pyo.ConcreteModel]:
    """Compile the dispatch of a system, or take the program compiled for it before.

    Parameters
    ----------
    system : System
        Units, lines; its loads do not matter, they are changed by index.
    offer : Offers
        Its pieces.
    bid_bus, convention, voll, slack
        See `build`.

    Returns
    -------
    program : Program
        Hourly numbers and basis are those of its last use.
    model : ConcreteModel
        To find columns and rows.
    """

    def make() -> tuple[Program, pyo.ConcreteModel]:
        model = build(system, bid_bus, convention, voll, slack=slack)
        return Program.compile(model, devex=True), model

    what = ("dc-opf", bid_bus.tobytes(), convention, voll, slack)
    return cast("tuple[Program, pyo.ConcreteModel]", compiled(system, what, make))


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
        Variables `p` [piece of a unit], `flow` [line], `take` [bid], `shed` and `surplus` [bus] in MW, `theta` [bus] in
        rad x base_mva (so that coefficients are per unit and of like size);
        rows `balance` [bus] and `ohm` [line] in MW; objective `cost` in $ per hour.
    """
    net = network(system, convention)
    m: Any = pyo.ConcreteModel(f"dc-opf of {system.name}")
    offer = offers(system)
    m.piece, m.bus = pyo.RangeSet(0, len(offer.unit) - 1), pyo.RangeSet(0, len(system.buses) - 1)
    m.line, m.bid = pyo.RangeSet(0, len(system.lines) - 1), pyo.RangeSet(0, len(bid_bus) - 1)
    m.p = pyo.Var(m.piece, bounds=lambda m, j: (float(offer.low[0, j]), float(offer.high[0, j])))
    m.flow = pyo.Var(m.line, bounds=lambda m, k: (float(net.low[k]), float(net.high[k])))
    m.theta, m.take = pyo.Var(m.bus), pyo.Var(m.bid)
    m.theta[0].fix(0.0)
    cost = offer.constant + sum(
        cost_of(m.p[j], (k / 2.0, a, 0.0)) for j, (a, k) in enumerate(zip(offer.a, offer.k, strict=True))
    )
    net_in: list[Any] = [0.0] * len(system.buses)
    if slack:
        m.shed, m.surplus = pyo.Var(m.bus, bounds=(0, None)), pyo.Var(m.bus, bounds=(0, None))
        cost += voll * sum(m.shed[n] + m.surplus[n] for n in m.bus)
        net_in = [m.shed[n] - m.surplus[n] for n in m.bus]
    m.cost = pyo.Objective(expr=cost)

    per_unit = [float(b) / system.base_mva for b in net.susceptance]
    _connect(m, net_in, system, system.unit_bus[offer.unit], bid_bus)

    def ohm(m: Any, k: int) -> Any:
        near, far = map(int, system.line_ends[k])
        return m.flow[k] - per_unit[k] * (m.theta[near] - m.theta[far]) == -float(net.shifted[k])

    def balance(m: Any, n: int) -> Any:
        return net_in[n] == float(system.load[0, n])

    m.ohm = pyo.Constraint(m.line, rule=ohm)
    m.balance = pyo.Constraint(m.bus, rule=balance)

    return m


def _connect(m: Any, net_in: list[Any], system: System, piece_bus: np.ndarray, bid_bus: np.ndarray) -> None:
    """Add what flows into each bus to its sum `net_in`, MW."""
    for j, n in enumerate(piece_bus):
        net_in[n] += m.p[j]
    for k, (near, far) in enumerate(system.line_ends):
        net_in[near] -= m.flow[k]
        net_in[far] += m.flow[k]
    for k, n in enumerate(bid_bus):
        net_in[n] -= m.take[k]
    # a system of one bus may have neither unit nor bid: its balance still is a row, 0 = load
    lonely = [n for n, flow in enumerate(net_in) if isinstance(flow, float)]
    m.nothing = pyo.Var(lonely, bounds=(0.0, 0.0))
    for n in lonely:
        net_in[n] = m.nothing[n]


def _changes(program: Program, m: Any, system: System, book: Book, offer: Offers) -> Changes:
    """Write loads as right-hand sides; limits of pieces and what can be taken, shed or thrown away as column bounds."""
    take = program.columns(m.take)
    changes = Changes(
        rows=program.rows(m.balance),
        right=system.load,
        cols=np.concatenate([program.columns(m.p), take]),
        lower=np.hstack([offer.low, book.lower]),
        upper=np.hstack([offer.high, book.upper]),
        priced=take,
        cost=-book.value,
    )
    if not hasattr(m, "shed"):
        return changes
    output = np.maximum(system.p_ceiling_mw, 0.0)
    free = np.zeros_like(book.withdrawn)
    most = book.injected + system.by_bus(output, system.unit_bus)
    return replace(
        changes,
        cols=np.concatenate([changes.cols, program.columns(m.shed), program.columns(m.surplus)]),
        lower=np.hstack([changes.lower, free, free]),
        upper=np.hstack([changes.upper, book.withdrawn, most]),
    )
