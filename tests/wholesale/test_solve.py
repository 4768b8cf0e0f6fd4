"""One door to HiGHS: the same optimum as Pyomo's own interface, signs of duals, and no stale answers."""

import highspy
import numpy as np
import pyomo.environ as pyo
import pytest
from pyomo.contrib.solver.common.factory import SolverFactory

from wholesale.proximal import proximal
from wholesale.solve import Infeasible, NotSolved, Program, SolverError, Unbounded


def model(kind="lp", sense=pyo.minimize, seed=0):
    """A bounded program with <=, >=, = and two-sided rows, constants in bodies, and 12 columns in two dimensions."""
    rng = np.random.default_rng(seed)
    sign = 1.0 if sense == pyo.minimize else -1.0
    m = pyo.ConcreteModel(kind)
    m.I, m.J = pyo.RangeSet(0, 2), pyo.Set(initialize=["a", "b", "c", "d"])
    m.x = pyo.Var(m.I, m.J, bounds=(0, 9), domain=pyo.Integers if kind == "milp" else pyo.Reals)
    m.y = pyo.Var(bounds=(-4.5, 4.5))
    value = {(i, j): float(rng.uniform(1, 3)) for i in m.I for j in m.J}
    m.at_least = pyo.Constraint(m.I, rule=lambda m, i: sum(m.x[i, j] * value[i, j] for j in m.J) + 2 >= 9.3 + i)
    m.at_most = pyo.Constraint(m.J, rule=lambda m, j: sum(m.x[i, j] for i in m.I) <= 7.5)
    m.equal = pyo.Constraint(expr=m.y - m.x[0, "a"] + m.x[1, "b"] == 0.5)
    m.between = pyo.Constraint(expr=(1, m.x[2, "c"] + m.x[2, "d"] + 3, 8))
    m.nothing = pyo.Var(bounds=(2, 5))  # no row and no cost names it
    cost = sum(float(rng.uniform(1, 2)) * m.x[i, j] for i in m.I for j in m.J) - 0.7 * m.y + 11
    if kind == "qp":
        cost += sum(0.3 * m.x[i, j] ** 2 for i in m.I for j in m.J) + (m.y - m.x[0, "a"]) ** 2
    m.goal = pyo.Objective(expr=sign * cost, sense=sense)
    return m


def pyomo_optimum(m):
    solver = SolverFactory("highs")
    solver.config.threads = 1
    solver.config.rel_gap = 0.0
    solver.config.solver_options["qp_regularization_value"] = 0.0
    return solver.solve(m).incumbent_objective


@pytest.mark.parametrize("sense", [pyo.minimize, pyo.maximize])
@pytest.mark.parametrize("kind", ["lp", "milp", "qp"])
def test_same_objective_as_pyomo(kind, sense):
    m = model(kind, sense)
    solution = Program.compile(m, mip_gap=0.0).solve()
    assert solution.objective == pytest.approx(pyomo_optimum(m), rel=1e-9)
    assert solution.bound == pytest.approx(solution.objective, rel=1e-9)
    assert (solution.status, solution.reproducible) == ("optimal", True)
    assert np.isnan(solution.dual).all() == (kind == "milp")


@pytest.mark.parametrize("sense", [pyo.minimize, pyo.maximize])
@pytest.mark.parametrize("kind", ["lp", "qp"])
def test_duals_are_derivatives(kind, sense):
    m = model(kind, sense, seed=3)
    program = Program.compile(m)
    base = program.solve()
    step = 1e-3
    stated = {"at_least": (2.3, 3.3, 4.3), "equal": (0.5,), "at_most": (7.5,) * 4}
    stated["at_least"] = tuple(9.3 + i - 2 for i in range(3))
    for name, rights in stated.items():
        for row, right in zip(program.rows(getattr(m, name)), rights, strict=True):
            moved = []
            for change in (-step, step):
                low = -np.inf if name == "at_most" else right + change
                high = np.inf if name == "at_least" else right + change
                program.change_rows(np.array([row]), np.array([low]), np.array([high]))
                moved.append(program.solve().objective)
            low, high = -np.inf if name == "at_most" else right, np.inf if name == "at_least" else right
            program.change_rows(np.array([row]), np.array([low]), np.array([high]))
            assert base.dual[row] == pytest.approx((moved[1] - moved[0]) / (2 * step), abs=1e-4)
    assert program.solve().objective == pytest.approx(base.objective, rel=1e-9)


def test_reduced_cost_is_derivative():
    m = model("lp", pyo.maximize)
    program = Program.compile(m)
    base = program.solve()
    columns = program.columns(m.x)
    at_bound = np.flatnonzero(np.abs(base.reduced_cost[columns.ravel()]) > 1e-6)
    column = columns.ravel()[at_bound[0]]
    fixed = base.x[column]
    values = []
    for change in (-1e-4, 1e-4):
        program.change_bounds([column], [fixed + change], [fixed + change])
        values.append(program.solve().objective)
    assert base.reduced_cost[column] == pytest.approx((values[1] - values[0]) / 2e-4, abs=1e-5)


def test_columns_and_rows_follow_index_sets():
    m = model()
    program = Program.compile(m)
    assert program.columns(m.x).shape == (3, 4)
    assert program.columns(m.y).shape == (1,)
    assert program.rows(m.at_most).shape == (4,)
    solution = program.solve()
    program.change_bounds(program.columns(m.x)[1, 2:3], [4.0], [4.0])
    assert program.solve().x[program.columns(m.x)[1, 2]] == 4.0
    assert solution.x.shape == (program.shape[1],)
    assert 2.0 <= solution.x[program.columns(m.nothing)[0]] <= 5.0
    with pytest.raises(KeyError, match="at_most"):
        other = model()
        program.rows(other.at_most)


def test_two_sided_row_is_one_row():
    m = model()
    program = Program.compile(m)
    assert program.shape[0] == 3 + 4 + 1 + 1
    assert program.rows(m.between).shape == (1,)


def test_change_of_cost_keeps_the_sense():
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(2), bounds=(0, 1))
    m.r = pyo.Constraint(expr=m.x[0] + m.x[1] <= 1)
    m.o = pyo.Objective(expr=2 * m.x[0] + m.x[1], sense=pyo.maximize)
    program = Program.compile(m)
    assert program.solve().objective == pytest.approx(2)
    program.change_cost(program.columns(m.x), np.array([2.0, 5.0]))
    solution = program.solve()
    assert solution.objective == pytest.approx(5)
    assert solution.dual == pytest.approx([5.0])


def test_the_primal_method_gives_the_same_optimum_after_costs_change():
    m = model()
    usual, primal = Program.compile(m), Program.compile(m, primal=True)
    rng = np.random.default_rng(0)
    for _ in range(5):
        costs = rng.uniform(0.5, 3.0, usual.columns(m.x).shape)
        for program in (usual, primal):
            program.change_cost(program.columns(m.x), costs)
        assert primal.solve().objective == pytest.approx(usual.solve().objective, rel=1e-9)


@pytest.mark.parametrize("sense", [pyo.minimize, pyo.maximize])
@pytest.mark.parametrize("kind", ["lp", "milp", "qp"])
def test_rows_added_later_are_rows(kind, sense):
    m = model(kind, sense)
    program = Program.compile(m, mip_gap=0.0)
    before = program.solve().objective
    rng, added = np.random.default_rng(1), []
    columns = program.columns(m.x)
    m.more = pyo.ConstraintList()
    for _ in range(3):
        weights = rng.uniform(0.5, 2.0, columns.shape)
        program.add_row(columns, weights, 20.0, np.inf)
        m.more.add(sum(w * m.x[i] for w, i in zip(weights.ravel(), m.x, strict=True)) >= 20.0)
        whole = Program.compile(m, mip_gap=0.0).solve()
        found = program.solve()
        assert found.objective == pytest.approx(whole.objective, rel=1e-9)
        assert len(found.dual) == len(whole.dual) == program.shape[0]
        added.append(found.objective)
    assert abs(added[-1] - before) > 1e-3  # they bind
    relaxed = program.relaxed().solve().objective
    assert relaxed == pytest.approx(added[-1], rel=1e-9) or kind == "milp"
    with pytest.raises(NotSolved, match="would take for zero"):
        program.add_row(columns[0, :2], np.array([1e-4, 5e-10]), 0.0, 1.0)
    assert program.solve().objective == pytest.approx(added[-1], rel=1e-9)


def test_fixed_variables_keep_their_column():
    m = model()
    m.x[0, "a"].fix(3.0)
    program = Program.compile(m)
    column = program.columns(m.x)[0, 0]
    assert program.solve().x[column] == 3.0
    assert m.x[0, "a"].fixed  # the model is left as it was
    program.change_bounds([column], [0.0], [9.0])
    m.x[0, "a"].unfix()
    assert program.solve().objective == pytest.approx(pyomo_optimum(m), rel=1e-9)


def test_failures_raise_and_leave_no_old_answer():
    m = model()
    program = Program.compile(m)
    good = program.solve().objective
    rows = program.rows(m.at_least)
    program.change_rows(rows, np.full(3, 1e6), np.full(3, np.inf))
    for _ in range(2):
        with pytest.raises(Infeasible):
            program.solve()
    program.change_rows(rows, 9.3 + np.arange(3) - 2, np.full(3, np.inf))
    assert program.solve().objective == pytest.approx(good, rel=1e-9)
    program.change_bounds(program.columns(m.nothing), [-np.inf], [np.inf])
    program.change_cost(program.columns(m.nothing), [1.0])
    with pytest.raises(Unbounded):
        program.solve()


def test_row_without_variables():
    m = model()
    m.never = pyo.Constraint(expr=0 * m.y <= -1)
    with pytest.raises(Infeasible):
        Program.compile(m).solve()


def knapsack(seed=0):
    rng = np.random.default_rng(seed)
    m = pyo.ConcreteModel("knapsack")
    weight, n = rng.integers(100, 1000, (30, 60)), 60
    m.x = pyo.Var(range(n), domain=pyo.Binary)
    m.c = pyo.Constraint(range(30), rule=lambda m, i: sum(int(weight[i, j]) * m.x[j] for j in range(n)) <= 11_000)
    m.o = pyo.Objective(expr=sum(int(rng.integers(100, 1000)) * m.x[j] for j in range(n)), sense=pyo.maximize)
    return m


def test_limits_are_named():
    by_nodes = Program.compile(knapsack(), node_limit=1).solve()
    assert (by_nodes.status, by_nodes.reproducible) == ("limit", True)
    assert by_nodes.bound > by_nodes.objective
    assert by_nodes.gap == pytest.approx((by_nodes.bound - by_nodes.objective) / by_nodes.objective, rel=1e-6)
    by_clock = Program.compile(knapsack(), mip_gap=0.0, seconds=0.2).solve()
    assert (by_clock.status, by_clock.reproducible) == ("limit", False)
    with pytest.raises(NotSolved):
        Program.compile(knapsack(), seconds=0.0).solve()


def test_integer_start_is_used_and_checked():
    m = knapsack()
    first = Program.compile(m, node_limit=1).solve()
    program = Program.compile(m, node_limit=1)
    assert program.solve(np.round(first.x)).objective >= first.objective - 1e-6
    with pytest.raises(ValueError, match="60 finite values"):
        program.solve(np.zeros(3))


def test_other_threads_do_not_harm():
    other = highspy.Highs()
    other.setOptionValue("output_flag", False)
    other.run()
    assert Program.compile(model()).solve().status == "optimal"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda m: m.goal.deactivate(), "0 active objectives"),
        (lambda m: m.y.fix(), "no value"),
        (lambda m: m.goal.set_value(m.y**3), "beyond the quadratic"),
        (lambda m: m.goal.set_value(-(m.y**2)), "not convex"),
        (lambda m: m.goal.set_value(m.y * m.x[0, "a"]), "not convex"),
        (lambda m: m.equal.set_value(m.y**2 == 1), "must be linear"),
    ],
)
def test_mistakes_are_sentences(change, sentence):
    m = model()
    change(m)
    with pytest.raises(ValueError, match=sentence):
        Program.compile(m)


def test_integers_with_quadratic_cost_are_refused():
    m = model("milp")
    m.goal.set_value(m.y**2)
    with pytest.raises(ValueError, match="tangents"):
        Program.compile(m)


def test_bad_numbers_are_refused():
    program = Program.compile(model())
    with pytest.raises(ValueError, match="column bounds"):
        program.change_bounds([10_000], [0.0], [1.0])
    assert issubclass(Infeasible, SolverError)


@pytest.mark.parametrize("seed", range(5))
def test_random_quadratic_programs_satisfy_kkt(seed):
    rng = np.random.default_rng(seed)
    n, k = 15, 6
    root, a, c = rng.normal(size=(n, 5)), rng.normal(size=(k, n)), rng.normal(size=n)
    q = root @ root.T
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(n), bounds=(-1, 1))
    m.r = pyo.Constraint(range(k), rule=lambda m, i: sum(a[i, j] * m.x[j] for j in range(n)) == 0.1)
    m.o = pyo.Objective(
        expr=sum(c[j] * m.x[j] for j in range(n))
        + 0.5 * sum(q[i, j] * m.x[i] * m.x[j] for i in range(n) for j in range(n))
    )
    s = Program.compile(m).solve()
    assert a @ s.x == pytest.approx(np.full(k, 0.1), abs=1e-7)
    assert c + q @ s.x - a.T @ s.dual == pytest.approx(s.reduced_cost, abs=1e-6)
    free = np.abs(s.x) < 1 - 1e-7
    assert np.abs(s.reduced_cost[free]).max(initial=0) < 1e-6
    assert (s.reduced_cost[s.x > 1 - 1e-7] < 1e-6).all() and (s.reduced_cost[s.x < -1 + 1e-7] > -1e-6).all()


def test_second_attempt_is_exact_and_leaves_no_trace():
    """Two equal convex offers and an open slack: HiGHS' active-set method cycles on this one (1.15.1)."""
    m = pyo.ConcreteModel()
    m.p, m.slack = pyo.Var(range(2), bounds=(0, 1)), pyo.Var(range(2), bounds=(0, None))
    m.r = pyo.Constraint(expr=m.p[0] + m.p[1] + m.slack[0] - m.slack[1] == 0.06)
    m.o = pyo.Objective(
        expr=7 + sum(0.01 * m.p[g] ** 2 - 5 * m.p[g] + 10_000 * m.slack[g] for g in range(2)), sense=pyo.minimize
    )
    program = Program.compile(m)
    for _ in range(2):
        solution = program.solve()
        assert solution.x == pytest.approx([0.03, 0.03, 0, 0], abs=1e-5)
        assert solution.dual == pytest.approx([-5 + 0.02 * 0.03], abs=1e-6)
        assert solution.objective == pytest.approx(7 - 0.3 + 0.01 * 2 * 0.03**2, abs=1e-9)
    program.change_rows(program.rows(m.r), [1.0], [1.0])
    assert program.solve().x[:2] == pytest.approx([0.5, 0.5], abs=1e-5)


@pytest.mark.parametrize("sense", [pyo.minimize, pyo.maximize])
def test_proximal_agrees_with_the_first_attempt(sense, monkeypatch):
    m = model("qp", sense)
    first = Program.compile(m).solve()
    program = Program.compile(m)
    program._option("qp_iteration_limit", 1)  # the first attempt ends at once; rounds of the second need more
    monkeypatch.setattr("wholesale.solve.proximal", _with_iterations)
    second = program.solve()
    assert second.objective == pytest.approx(first.objective, rel=1e-9)
    assert second.dual == pytest.approx(first.dual, abs=1e-5)
    assert second.x == pytest.approx(first.x, abs=1e-4)


def _with_iterations(highs, hessian):
    highs.setOptionValue("qp_iteration_limit", 10_000)
    return proximal(highs, hessian)
