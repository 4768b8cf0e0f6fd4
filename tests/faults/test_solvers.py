"""Solvers in trouble: every failure has its name, nothing stale is used, the run stops or goes on as the study says."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import highspy
import numpy as np
import pyomo.environ as pyo
import pytest
from faults.small_study import text

from hmarl.equilibrium.coordinator import Coordinator
from hmarl.run import run_study
from hmarl.study import Study
from hmarl.world import build
from wholesale import case, market
from wholesale.solve import Infeasible, NotSolved, Program, Unbounded


def knapsack(n=40, **options):
    rng = np.random.default_rng(0)
    m = pyo.ConcreteModel(name="bag")
    m.i = pyo.RangeSet(0, n - 1)
    m.x = pyo.Var(m.i, domain=pyo.Binary)
    weight = rng.integers(1, 100, (15, n))
    m.row = pyo.Constraint(
        pyo.RangeSet(0, 14), rule=lambda m, r: sum(float(weight[r, i]) * m.x[i] for i in m.i) <= weight[r].sum() / 3
    )
    m.worth = pyo.Objective(expr=sum(float(v) * m.x[i] for i, v in enumerate(rng.integers(1, 100, n))), sense=-1)
    return Program.compile(m, mip_gap=0.0, **options)


def line(low=0.0, high=5.0, scale=1.0):
    m = pyo.ConcreteModel(name="line")
    m.x = pyo.Var(bounds=(low, high))
    m.row = pyo.Constraint(expr=scale * m.x >= scale)
    m.cost = pyo.Objective(expr=m.x)
    return Program.compile(m), m


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        (lambda p, m: p.change_bounds(p.columns(m.x), 0.0, 0.5), Infeasible, "has no feasible point"),
        (
            lambda p, m: (p.change_bounds(p.columns(m.x), -np.inf, np.inf), p.change_cost(p.columns(m.x), [-1.0])),
            Unbounded,
            "improves without end",
        ),
    ],
)
def test_trouble_has_a_name_and_leaves_nothing_stale(change, kind, said):
    program, m = line()
    assert program.solve().x.tolist() == [1.0]
    change(program, m)
    for _ in range(2):  # not the first solution, however often it is asked
        with pytest.raises(kind, match=said):
            program.solve()
    program.change_cost(program.columns(m.x), [1.0])
    program.change_bounds(program.columns(m.x), 2.0, 3.0)
    assert program.solve().x.tolist() == [2.0]


@pytest.mark.parametrize("what", ["nothing", "an error", "no numbers", "too few numbers"])
def test_a_solver_that_returns_nothing(what):
    """HiGHS itself behind a shell that spoils its second answer."""
    program, _ = line()
    real = program._highs
    program.solve()

    class Spoiled:
        def __getattr__(self, name):
            return getattr(real, name)

        def run(self):
            return highspy.HighsStatus.kError if what == "an error" else highspy.HighsStatus.kOk

        def getModelStatus(self):
            kinds = highspy.HighsModelStatus
            return kinds.kNotset if what == "nothing" else kinds.kOptimal

        def getSolution(self):
            values = [float("nan")] if what == "no numbers" else []
            return SimpleNamespace(col_value=values, row_dual=[0.0], col_dual=[0.0])

    program._highs = Spoiled()
    with pytest.raises(NotSolved, match=r"was not solved|without a finite solution"):
        program.solve()


def test_limits_of_time_and_nodes():
    with pytest.raises(NotSolved, match="raise the limit"):
        knapsack(seconds=0.0).solve()
    best = knapsack(node_limit=1).solve()
    assert (best.status, best.reproducible) == ("limit", True)
    assert best.gap > 0
    assert best.bound >= best.objective


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e12, 1e30])
def test_numbers_of_every_size_are_solved_or_refused(scale):
    try:
        program, _ = line(scale=scale)
        assert program.solve().x[0] == pytest.approx(1.0)
    except (NotSolved, Infeasible, ValueError) as error:
        assert len(str(error).split()) > 5


def test_a_market_names_the_hour_and_keeps_the_others(monkeypatch):
    system = case("pjm5").over([0.9, 1.0, 1.1])
    good = market("dc-opf").clear(system)
    real, count = Program.solve, [0]

    def sometimes(self, start=None):
        count[0] += 1
        if count[0] in (2, 4):  # the second hour, without and with slack
            raise NotSolved("Program 'x' was not solved: HiGHS says 'Unknown'; check scales or raise the limit.")
        return real(self, start)

    monkeypatch.setattr(Program, "solve", sometimes)
    with pytest.raises(NotSolved, match="hour 1 of 3; the others stand in the attribute") as lost:
        market("dc-opf").clear(system)
    assert np.isnan(lost.value.partial.lmp[1]).all()
    np.testing.assert_allclose(lost.value.partial.lmp[[0, 2]], good.lmp[[0, 2]])


@dataclass(frozen=True)
class Fails:
    """A leader whose solver fails from the second round on."""

    real: object
    error: Exception

    def offer(self, view):
        if view.round if hasattr(view, "round") else len(CALLS):
            raise self.error
        CALLS.append(1)
        return self.real.offer(view)

    def __getattr__(self, name):
        return getattr(self.real, name)


CALLS = []


@pytest.mark.parametrize("trouble", ["stop", "keep"])
def test_the_coordinator_stops_or_goes_on_as_the_study_says(tmp_path, trouble):
    CALLS.clear()
    study = Study.parse(text(tmp_path)).change(
        **{"arms.rule.leader": {"name": "mark-up", "margin": 0.2}, "equilibrium.rounds": 3,
           "equilibrium.trouble": trouble}
    )  # fmt: skip
    world = build(study.arm("rule"), 0, None)
    error = NotSolved("Program 'price' was not solved: HiGHS says 'Time limit reached'; raise the limit.")
    world = replace(world, leader=Fails(world.leader, error))
    if trouble == "stop":
        with pytest.raises(NotSolved, match="Time limit reached"):
            list(Coordinator(world))
        return
    rounds = list(Coordinator(world))
    assert len(rounds) == 3
    assert not any(one.converged for one in rounds)
    for one in rounds[1:]:
        assert "the leader's solver failed (NotSolved: Program 'price'" in one.reason
        assert one.tariff.buy.equal(rounds[0].tariff.buy)


def test_an_arm_whose_market_fails_does_not_stop_the_others(tmp_path, monkeypatch):
    from wholesale.merit_order import MeritOrder

    def fails(self, system, bids=()):
        raise Infeasible("Hour 3 of system 'pjm5': Program 'x' has no feasible point; relax a bound.")

    monkeypatch.setattr(MeritOrder, "clear", fails)
    done = run_study(Study.parse(text(tmp_path)), out=tmp_path / "runs")
    assert done.done == ("learned/0",)
    assert [(one.job, one.kind) for one in done.failures] == [("rule/0", "Infeasible")]
    assert "Hour 3 of system 'pjm5'" in done.failures[0].message
    assert "Hour 3" in (tmp_path / "runs" / "small" / "rule" / "0" / "error.txt").read_text()
