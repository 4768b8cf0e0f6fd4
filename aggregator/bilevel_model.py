"""The two programs behind ``solve_bilevel``: the single level with binaries, and the follower alone at a given x."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyomo.environ as pyo
from pyomo.core.expr import LinearExpression

from aggregator.prosumers import Array
from wholesale.solve import Infeasible, Program, SolverError, Unbounded

if TYPE_CHECKING:
    from aggregator.bilevel_lp import BilevelLP
    from aggregator.multipliers import Limits

ASSUMED_SLACK = 1e4
ACTIVE = 1e-7
SAME = 1e-8


@dataclass(frozen=True, eq=False)
class Point:
    """A point of the single-level program: the leader's cost, x, y, multipliers and slacks by kind, search data."""

    status: str
    objective: float
    x: Array
    y: Array
    bound: float
    nodes: int
    multipliers: dict[str, Array]
    slacks: dict[str, Array]


class SingleLevelKKT:
    """The single-level program, written in Pyomo and compiled.

    Parameters
    ----------
    problem : BilevelLP
    limits : Limits
        Of the multipliers.
    mip_gap, node_limit
        Of the search.

    Raises
    ------
    Infeasible
        If no (x, y) satisfies the rows of both levels.
    """

    def __init__(self, problem: BilevelLP, limits: Limits, *, mip_gap: float, node_limit: int | None) -> None:
        self._p: Any = problem
        p: Any = problem
        exists = {"row": np.ones(len(p.g), bool), "low": np.isfinite(p.ly), "high": np.isfinite(p.uy)}
        self._where = {kind: np.flatnonzero(there).tolist() for kind, there in exists.items()}
        most = {"row": limits.rows, "low": limits.low, "high": limits.high}
        self._limits = {kind: np.where(exists[kind], most[kind], 0.0) for kind in most}
        self._equations = limits.equations
        self._slack_limits, self._assumed = self._widest_slacks()
        model = self._write(limits)
        self._program = Program.compile(model, mip_gap=mip_gap, node_limit=node_limit)
        self._col = {v.local_name: self._program.columns(v) for v in model.component_objects(pyo.Var) if len(v)}

    def _rows(self) -> Any:
        """Both levels without asking the follower for an optimum."""
        p = self._p
        m = pyo.ConcreteModel("bilevel")
        m.x = pyo.Var(range(len(p.cx)), bounds=lambda _, i: (p.lx[i], p.ux[i]))
        m.y = pyo.Var(range(len(p.cy)), bounds=lambda _, i: (p.ly[i], p.uy[i]))
        both = [*m.x.values(), *m.y.values()]
        m.leader = pyo.Constraint(
            range(len(p.a)), rule=lambda _, i: _linear([*p.Ax[i], *p.Ay[i]], both) <= float(p.a[i])
        )
        m.follower = pyo.Constraint(
            range(len(p.g)), rule=lambda _, i: _linear([*p.Gx[i], *p.Gy[i]], both) <= float(p.g[i])
        )
        m.equation = pyo.Constraint(
            range(len(p.e)), rule=lambda _, i: _linear([*p.Ex[i], *p.Ey[i]], both) == float(p.e[i])
        )
        return m

    def _widest_slacks(self) -> tuple[dict[str, Array], dict[str, Array]]:
        """Largest slack of each follower row and bound over all feasible (x, y), and where it had to be assumed."""
        p, m = self._p, self._rows()
        m.goal = pyo.Objective(expr=_linear(np.zeros(len(p.cx) + len(p.cy)), [*m.x.values(), *m.y.values()]))
        program = Program.compile(m)
        program.solve()  # raises Infeasible
        columns = np.concatenate([program.columns(v) for v in (m.x, m.y) if len(v)])
        none = np.zeros((len(p.cy), len(p.cx)))
        asked = {
            "row": (p.Gx, p.Gy, p.g),
            "low": (none, -np.eye(len(p.cy)), -p.ly),
            "high": (none, np.eye(len(p.cy)), p.uy),
        }
        widest: dict[str, Array] = {}
        assumed: dict[str, Array] = {}
        for kind, (left, right, most) in asked.items():
            widest[kind], assumed[kind] = np.zeros(len(most)), np.zeros(len(most), bool)
            for i, row in enumerate(np.hstack([left, right])):
                if not np.isfinite(most[i]):
                    continue
                program.change_cost(columns, row)
                try:
                    widest[kind][i] = max(most[i] - program.solve().objective, 0.0)
                except Unbounded:
                    widest[kind][i], assumed[kind][i] = ASSUMED_SLACK * (1.0 + abs(most[i])), True
        return widest, assumed

    def _write(self, limits: Limits) -> Any:
        p, m = self._p, self._rows()
        both = [*m.x.values(), *m.y.values()]
        m.nu = pyo.Var(range(len(p.e)), bounds=lambda _, i: (-limits.equations[i], limits.equations[i]))
        slack = {
            "row": lambda i: float(p.g[i]) - _linear([*p.Gx[i], *p.Gy[i]], both),
            "low": lambda i: m.y[i] - float(p.ly[i]),
            "high": lambda i: float(p.uy[i]) - m.y[i],
        }
        for kind, most in self._limits.items():
            multiplier = pyo.Var(range(len(most)), bounds=lambda _, i, most=most: (0.0, float(most[i])))
            active = pyo.Var(self._where[kind], domain=pyo.Binary)
            m.add_component(kind, multiplier)
            m.add_component(f"{kind}_active", active)

            def off(_: Any, i: int, most: Array = most, mult: Any = multiplier, on: Any = active) -> Any:
                return mult[i] <= float(most[i]) * on[i]

            def tight(_: Any, i: int, kind: str = kind, on: Any = active) -> Any:
                return slack[kind](i) <= float(self._slack_limits[kind][i]) * (1 - on[i])

            m.add_component(f"{kind}_off", pyo.Constraint(self._where[kind], rule=off))
            m.add_component(f"{kind}_tight", pyo.Constraint(self._where[kind], rule=tight))
        duals = [*m.row.values(), *m.nu.values(), *m.low.values(), *m.high.values()]

        def stationary(_: Any, j: int) -> Any:
            unit = np.eye(len(p.cy))[j]
            coefficients = [*p.Qxy[:, j], *p.Qyy[j], *p.Gy[:, j], *p.Ey[:, j], *-unit, *unit]
            return _linear(coefficients, [*both, *duals]) == -float(p.dy[j])

        m.stationary = pyo.Constraint(range(len(p.cy)), rule=stationary)
        m.cost = pyo.Objective(expr=_linear([*p.cx, *p.cy], both))
        return m

    def solve(self) -> Point:
        """Search, then solve once more as a linear program with the binaries fixed, so that they are whole exactly.

        Returns
        -------
        Point
        """
        found = self._program.solve()
        exact = self._program.relaxed()
        for name, columns in self._col.items():
            if name.endswith("_active"):
                whole = np.round(found.x[columns])
                exact.change_bounds(columns, whole, whole)
        try:
            x = exact.solve().x
        except SolverError:
            x = found.x  # the audit of the follower judges it
        p = self._p
        part = {name: x[columns] for name, columns in self._col.items()}
        at, y = part.get("x", np.zeros(0)), part.get("y", np.zeros(0))
        slacks = {"row": p.g - p.Gx @ at - p.Gy @ y, "low": y - p.ly, "high": p.uy - y}
        multipliers = {kind: part.get(kind, np.zeros(0)) for kind in slacks} | {"nu": part.get("nu", np.zeros(0))}
        cost = float(p.cx @ at + p.cy @ y)
        return Point(found.status, cost, at, y, found.bound, found.nodes, multipliers, slacks)

    def touching(self, point: Point, share: float) -> tuple[str, ...]:
        """A sentence for every multiplier within ``share`` of its limit.

        Parameters
        ----------
        point : Point
        share : float

        Returns
        -------
        tuple of str
        """
        limits = self._limits | {"nu": self._equations}
        return tuple(
            f"Multiplier {kind}[{i}] is {value:g}, at its limit {limits[kind][i]:g}, which is not proven; raise it."
            for kind, values in point.multipliers.items()
            for i, value in enumerate(values)
            if limits[kind][i] > 0.0 and abs(value) >= (1.0 - share) * limits[kind][i]
        )

    def assumed_slacks(self, point: Point, share: float) -> tuple[str, ...]:
        """A sentence for every slack within ``share`` of a limit that had to be assumed.

        Parameters
        ----------
        point : Point
        share : float

        Returns
        -------
        tuple of str
        """
        return tuple(
            f"Slack {kind}[{i}] is {values[i]:g}, at its assumed limit; give x and y bounds."
            for kind, values in point.slacks.items()
            for i in np.flatnonzero(self._assumed[kind])
            if values[i] >= (1.0 - share) * self._slack_limits[kind][i]
        )


class FollowerModel:
    """The follower at a given x: its optimum, and the range of a linear cost over all its optimal answers.

    The set of optimal answers is the face on which every column with a reduced cost, and every row with a multiplier,
    sits at its bound; with curvature, Qyy y is also the same for all of them.

    Parameters
    ----------
    problem : BilevelLP
    x : array [n]

    Attributes
    ----------
    optimum : float
        The follower's cost.

    Raises
    ------
    SolverError
        If it has no optimum.
    """

    def __init__(self, problem: BilevelLP, x: Array) -> None:
        p: Any = problem
        self._curve, self._linear = p.Qyy, p.dy + p.Qxy.T @ x
        slope, flat = self._linear, None
        if p.Qyy.any():
            program, y, _ = self._compile(p, x, self._linear, curved=True)
            flat = program.solve().x[y]
            slope = slope + p.Qyy @ flat
        self._program, self._y, rows = self._compile(p, x, slope, curved=False)
        if flat is not None:
            same = p.Qyy[rows["curve"][1]] @ flat
            self._program.change_rows(rows["curve"][0], same - SAME, same + SAME)
        found = self._program.solve()
        self.optimum = self.cost(found.x[self._y] if flat is None else flat)
        at = found.x[self._y]
        fixed = np.abs(found.reduced_cost[self._y]) > ACTIVE
        self._program.change_bounds(self._y, np.where(fixed, at, p.ly), np.where(fixed, at, p.uy))
        index, which = rows["follower"]
        right = (p.g - p.Gx @ x)[which]
        tight = np.abs(found.dual[index]) > ACTIVE
        self._program.change_rows(index, np.where(tight, right, -np.inf), right)
        self._leader, which = rows["leader"]
        self._rows, self._room = p.Ay[which], (p.a - p.Ax @ x)[which]
        self._broken = bool(((p.Ay == 0.0).all(axis=1) & (p.a - p.Ax @ x < -SAME)).any())

    @staticmethod
    def _compile(p: Any, x: Array, slope: Array, *, curved: bool) -> tuple[Program, Array, dict[str, Any]]:
        """The follower's program, where its columns are, and index and origin of its rows that contain y."""
        m = pyo.ConcreteModel("follower")
        m.y = pyo.Var(range(len(p.cy)), bounds=lambda _, i: (p.ly[i], p.uy[i]))
        y = list(m.y.values())
        right = {"follower": p.g - p.Gx @ x, "leader": p.a - p.Ax @ x, "curve": np.zeros(len(p.cy))}
        left = {"follower": p.Gy, "leader": p.Ay, "curve": p.Qyy}
        for name, matrix in left.items():
            # rows without y only limit x, which is given
            rows = pyo.Constraint(
                np.flatnonzero((matrix != 0.0).any(axis=1)).tolist(),
                rule=lambda _, i, a=matrix, b=right[name]: _linear(a[i], y) <= float(b[i]),
            )
            m.add_component(name, rows)
        m.equation = pyo.Constraint(
            range(len(p.e)), rule=lambda _, i: _linear(p.Ey[i], y) == float(p.e[i] - p.Ex[i] @ x)
        )
        expression = _linear(slope, y)
        if curved:
            expression += sum(0.5 * p.Qyy[i, j] * m.y[i] * m.y[j] for i, j in np.argwhere(p.Qyy != 0.0).tolist())
        m.cost = pyo.Objective(expr=expression)
        program = Program.compile(m)
        found: dict[str, Any] = {}
        for name, matrix in left.items():
            which = np.flatnonzero((matrix != 0.0).any(axis=1))
            index = program.rows(getattr(m, name)) if len(which) else np.zeros(0, np.int32)
            found[name] = index, which
            if name != "follower":  # asked for later
                program.change_rows(index, np.full(len(index), -np.inf), np.full(len(index), np.inf))
        return program, program.columns(m.y), found

    def cost(self, y: Array) -> float:
        """The follower's cost of an answer, array [m]."""
        return float(self._linear @ y + 0.5 * y @ self._curve @ y)

    def range(self, c: Array) -> tuple[float, float]:
        """Smallest and largest c y over the optimal answers.

        Parameters
        ----------
        c : array [m]

        Returns
        -------
        low : float
            Over the answers that the leader's rows allow; infinity if there is none.
        high : float
            Over all; infinity if one of them breaks a row of the leader.
        """
        program = self._program
        free = np.full(len(self._leader), np.inf)
        program.change_rows(self._leader, -free, free)
        worst = self._most(c)
        for i in range(len(self._leader)):
            if self._most(self._rows[i]) > self._room[i] + 1e-6 * (1.0 + abs(self._room[i])):
                worst = np.inf
        program.change_rows(self._leader, -free, self._room + SAME)
        program.change_cost(self._y, c)
        try:
            best = np.inf if self._broken else program.solve().objective
        except Infeasible:
            best = np.inf
        return best, (np.inf if self._broken else worst)

    def _most(self, c: Array) -> float:
        self._program.change_cost(self._y, -c)
        return -self._program.solve().objective


def _linear(coefficients: Any, variables: Any) -> Any:
    return LinearExpression(constant=0.0, linear_coefs=[float(c) for c in coefficients], linear_vars=list(variables))
