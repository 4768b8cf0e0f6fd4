import itertools
import json
import os
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import linprog

from aggregator import BilevelLP, solve_bilevel
from aggregator.bilevel_lp import BilevelError
from aggregator.multipliers import multiplier_limits

DATA = Path(os.environ.get("HMARL_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
TEXTBOOK = DATA / "bilevel" / "textbook.json"
INF = float("inf")


def textbook():
    return json.loads(TEXTBOOK.read_text(encoding="utf-8")) if TEXTBOOK.exists() else []


@pytest.mark.data
@pytest.mark.skipif(not TEXTBOOK.exists(), reason=f"{TEXTBOOK} is not there; set HMARL_DATA")
def test_there_is_a_textbook():
    assert len(textbook()) >= 12


@pytest.mark.data
@pytest.mark.parametrize("one", textbook(), ids=lambda one: one["name"])
def test_published_problems(one):
    problem = BilevelLP(**one["problem"])
    found = solve_bilevel(problem)
    assert found.multipliers == "proven"
    assert found.audit == ()
    small = solve_bilevel(problem, dual_bound=0.5)
    if one["optimum"] == "Infeasible":
        assert found.status == "infeasible"
        return
    assert found.status == "optimal"
    assert found.objective == pytest.approx(one["optimum"], abs=1e-6)
    assert found.optimistic == pytest.approx(one["optimum"], abs=1e-6)
    assert found.pessimistic >= found.optimistic - 1e-9
    assert abs(found.follower_gap) <= 1e-7
    assert found.bound == pytest.approx(found.objective, abs=1e-6)
    if small.status != "optimal" or abs(small.objective - one["optimum"]) > 1e-6:
        assert small.audit


def patterns(p):
    """The optimum without any big M: one linear program for each choice of tight follower rows and bounds."""
    n, m, k = len(p.cx), len(p.cy), len(p.g)
    rows_x = np.vstack([p.Gx, np.zeros((2 * m, n))])
    rows_y = np.vstack([p.Gy, -np.eye(m), np.eye(m)])
    right = np.concatenate([p.g, -p.ly, p.uy])
    count = k + 2 * m
    stationary = np.hstack([p.Qxy.T, p.Qyy, rows_y.T])
    cost = np.concatenate([p.cx, p.cy, np.zeros(count)])
    slack = np.hstack([rows_x, rows_y, np.zeros((count, count))])
    best = INF
    for tight in itertools.product([False, True], repeat=count):
        on = np.array(tight)
        top = np.where(on, INF, 0.0)
        bounds = [*zip(p.lx, p.ux, strict=True), *[(None, None)] * m, *[(0.0, None if t == INF else t) for t in top]]
        done = linprog(
            cost, A_ub=slack, b_ub=right, A_eq=np.vstack([stationary, slack[on]]),
            b_eq=np.concatenate([-p.dy, right[on]]), bounds=bounds, method="highs",
        )  # fmt: skip
        if done.status == 0:
            best = min(best, done.fun)
    return best


@pytest.mark.parametrize("seed", range(12))
def test_random_problems_against_all_patterns(seed):
    rng = np.random.default_rng(seed)
    n, m, k = 1 + seed % 2, 2, 2
    p = BilevelLP(
        cx=rng.normal(size=n), cy=rng.normal(size=m), dy=rng.integers(-2, 3, m), Gx=rng.integers(-2, 3, (k, n)),
        Gy=rng.integers(-2, 3, (k, m)), g=rng.uniform(0, 2, k), lx=np.full(n, -1.0), ux=np.ones(n), ly=np.zeros(m),
        uy=rng.uniform(0.5, 2, m), Qyy=np.diag(rng.uniform(0.2, 1, m)) if seed % 3 == 1 else (),
        Qxy=rng.normal(size=(n, m)) if seed % 4 > 1 else (),
    )  # fmt: skip
    found, oracle = solve_bilevel(p), patterns(p)
    assert found.status == ("optimal" if np.isfinite(oracle) else "infeasible")
    if found.status == "optimal":
        assert found.objective == pytest.approx(oracle, abs=1e-6)
        assert found.optimistic == pytest.approx(oracle, abs=1e-5)
        assert abs(found.follower_gap) <= 1e-7
        assert found.multipliers == "proven"
        assert found.audit == ()


def test_a_tie_is_broken_for_and_against_the_leader():
    # the follower does not care about y in [0, 1]; the leader earns y
    free = {
        "cx": [0.0],
        "cy": [-1.0],
        "dy": [0.0],
        "Gx": (),
        "Gy": (),
        "g": (),
        "lx": [0],
        "ux": [1],
        "ly": [0],
        "uy": [1],
    }
    found = solve_bilevel(BilevelLP(**free))
    assert (found.objective, found.optimistic, found.pessimistic) == pytest.approx((-1.0, -1.0, 0.0))
    limited = solve_bilevel(BilevelLP(**free, Ax=[[0.0]], Ay=[[1.0]], a=[0.4]))
    assert limited.optimistic == pytest.approx(-0.4, abs=1e-6)
    assert limited.pessimistic == INF  # the follower may answer 1, which the leader's row forbids


def test_a_curved_follower_answers_uniquely():
    # y minimises (y - x)^2 / 2 on [0, 2]; the leader wants x = 3 but y = 1: cost 2 y - x, so y = x up to 2, then y = 2
    p = BilevelLP(
        cx=[-1.0], cy=[0.5], dy=[0.0], Gx=(), Gy=(), g=(), lx=[0], ux=[3], ly=[0], uy=[2], Qyy=[[1.0]], Qxy=[[-1.0]]
    )
    found = solve_bilevel(p)
    assert found.x == pytest.approx([3.0])
    assert found.y == pytest.approx([2.0])
    assert found.pessimistic == pytest.approx(found.optimistic, abs=1e-6)


def test_limits_that_cannot_be_proven_are_said_to_be_assumed():
    rng = np.random.default_rng(0)
    m, k = 9, 9
    p = BilevelLP(
        cx=[1.0], cy=rng.normal(size=m), dy=rng.normal(size=m), Gx=rng.normal(size=(k, 1)), Gy=rng.normal(size=(k, m)),
        g=np.ones(k), lx=[0], ux=[1], ly=np.zeros(m), uy=np.ones(m),
    )  # fmt: skip
    found = solve_bilevel(p)
    assert found.multipliers == "assumed"
    assert found.audit == ()
    small = solve_bilevel(p, dual_bound=1e-3)
    assert small.multipliers == "given"
    assert small.audit


def test_proven_limits_are_those_of_the_vertices():
    # min -y, 3 y <= 6 - x: multiplier 1/3 of the row, or 1 of the bound
    p = BilevelLP(cx=[0], cy=[1], dy=[-1], Gx=[[1]], Gy=[[3]], g=[6], lx=[0], ux=[6], ly=[0], uy=[5])
    limits = multiplier_limits(p)
    assert limits.rows == pytest.approx([1 / 3], rel=1e-5)
    assert limits.high == pytest.approx([1.0], rel=1e-5)
    assert limits.low == pytest.approx([0.0])


def test_a_given_limit_holds_only_for_bounds_that_exist():
    # y has no upper bound: with its multiplier free the answer y = 2 would pass for an optimum of max y, y <= 4
    p = BilevelLP(cx=[0], cy=[1], dy=[-1], Gx=[[0]], Gy=[[1]], g=[4], lx=[0], ux=[1], ly=[0], uy=[INF])
    assert solve_bilevel(p, dual_bound=5.0).objective == pytest.approx(4.0)


def test_no_end_is_no_optimum():
    p = BilevelLP(cx=[-1], cy=[0], dy=[1], Gx=(), Gy=(), g=(), lx=[0], ux=[INF], ly=[0], uy=[1])
    assert solve_bilevel(p).status == "unbounded"


def test_mistakes_come_all_at_once():
    good = {"cx": [1.0], "cy": [1.0], "dy": [1.0], "Gx": [[1.0]], "Gy": [[1.0]], "g": [1.0]}
    bounds = {"lx": [0.0], "ux": [1.0], "ly": [0.0], "uy": [1.0]}
    with pytest.raises(BilevelError) as caught:
        BilevelLP(**{**good, "dy": [1.0, 2.0], "g": [np.nan]}, **bounds)
    assert "dy has shape" in str(caught.value)
    assert "g holds" in str(caught.value)
    with pytest.raises(BilevelError, match="convex"):
        BilevelLP(**good, **bounds, Qyy=[[-1.0]])
    with pytest.raises(BilevelError, match="lx is above ux"):
        BilevelLP(**good, **{**bounds, "lx": [2.0]})
    with pytest.raises(BilevelError, match="dual_bound"):
        solve_bilevel(BilevelLP(**good, **bounds), dual_bound=0.0)
