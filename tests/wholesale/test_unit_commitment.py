"""Unit commitment: brute force, rules of switching, prices and uplift, published optima."""

import itertools
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import linprog

from wholesale import Bid, Commitment, Line, System, SystemInvalid, Unit, market, read_egret, read_pglib_uc
from wholesale.solve import SolverError

DATA = Path(os.environ.get("HMARL_DATA", Path(__file__).parents[3] / "shared" / "data"))
real = pytest.mark.skipif(not DATA.is_dir(), reason=f"real data not found in {DATA}; set HMARL_DATA")
UC = DATA / "grid" / "uc"
KINDS = ("fixed-commitment", "relaxed")


def three(seed, hours=4):
    rng = np.random.default_rng(seed)
    units = []
    for g in range(3):
        low = float(rng.integers(10, 30))
        high = low + float(rng.integers(20, 60))
        on = bool(rng.integers(2))
        units.append(
            Unit(f"g{g}", "A", low, high, (0.0, float(rng.integers(10, 40)), float(rng.integers(0, 200))), (),
                 Commitment(
                     min_up_h=int(rng.integers(1, 4)), min_down_h=int(rng.integers(1, 4)),
                     ramp_up_mw=float(rng.integers(15, 60)), ramp_down_mw=float(rng.integers(15, 60)),
                     start_mw=low + float(rng.integers(0, 20)), stop_mw=low + float(rng.integers(0, 20)),
                     startup=((1, 50.0), (3, 90.0), (5, 200.0)), shutdown=float(rng.integers(0, 30)),
                     before_h=int(rng.integers(1, 4)) * (1 if on else -1), before_mw=low if on else 0.0,
                 ))
        )  # fmt: skip
    loads = rng.uniform(20, 130, hours)
    return System("three", ("A",), tuple(units), (), loads[:, None], reserve=rng.uniform(0, 10, hours))


def legal(unit, on):
    """Whether a pattern [T] keeps the minimum times, given the hours before."""
    c = unit.commitment
    past = [c.before_h > 0] * abs(c.before_h)
    runs = [(state, len(list(group))) for state, group in itertools.groupby([not past[0], *past, *on])][1:]
    return all(length >= (c.min_up_h if state else c.min_down_h) for state, length in runs[:-1])


def switching(unit, on):
    """Cost of starts and stops of a pattern, $."""
    c = unit.commitment
    was, off, cost = c.before_h > 0, max(-c.before_h, 0), 0.0
    for now in on:
        if now and not was:
            cost += [price for lag, price in c.startup if lag <= off or lag == c.startup[0][0]][-1]
        cost += c.shutdown * (was and not now)
        off = 0 if now else off + 1
        was = now
    return cost


def cheapest(system, voll, shortfall):
    """Least cost over all patterns, each dispatched by scipy."""
    hours, best = system.hours, np.inf
    patterns = [[p for p in itertools.product([False, True], repeat=hours) if legal(unit, p)] for unit in system.units]
    for choice in itertools.product(*patterns):
        fixed = sum(switching(unit, on) for unit, on in zip(system.units, choice, strict=True))
        fixed += sum(unit.cost[2] * sum(on) for unit, on in zip(system.units, choice, strict=True))
        if fixed < best:
            value = dispatched(system, np.array(choice), voll, shortfall)
            best = min(best, fixed + value)
    return best


def dispatched(system, on, voll, shortfall):
    n, hours = on.shape
    cols = 2 * n * hours  # power, reserve; then shed, surplus, short
    cost = np.zeros(cols + 3 * hours)
    a_ub, b_ub, a_eq, b_eq = [], [], [], []

    def row(**terms):
        line = np.zeros(len(cost))
        for key, value in terms.items():
            line[int(key[1:])] += value
        return line

    for t in range(hours):
        balance, reserve = {}, {f"c{cols + 2 * hours + t}": -1.0}
        for g, unit in enumerate(system.units):
            c = unit.commitment
            p, r = g * hours + t, n * hours + g * hours + t
            cost[p] = unit.cost[1]
            before_on = on[g, t - 1] if t else c.before_h > 0
            after_on = on[g, t + 1] if t + 1 < hours else True
            top = unit.p_max
            if on[g, t] and not before_on:
                top = min(top, c.start_mw)
            if on[g, t] and not after_on:
                top = min(top, c.stop_mw)
            a_ub += [row(**{f"c{p}": 1.0, f"c{r}": 1.0}), row(**{f"c{p}": -1.0})]
            b_ub += [top * on[g, t], -unit.p_min * on[g, t]]
            # ramps apply to what is above minimum, as in PGLib-UC
            low, was = unit.p_min * on[g, t], unit.p_min * before_on
            q, fixed = (p - 1, 0.0) if t else (None, c.before_mw)
            up, down = {f"c{p}": 1.0, f"c{r}": 1.0}, {f"c{p}": -1.0}
            if q is not None:
                up[f"c{q}"], down[f"c{q}"] = -1.0, 1.0
            a_ub += [row(**up), row(**down)]
            b_ub += [c.ramp_up_mw + low - was + fixed, c.ramp_down_mw - low + was - fixed]
            if t == 0 and before_on and not on[g, 0] and c.before_mw > c.stop_mw:
                return np.inf
            balance[f"c{p}"], reserve[f"c{r}"] = 1.0, -1.0
        shed, surplus = cols + t, cols + hours + t
        cost[[shed, surplus, cols + 2 * hours + t]] = voll, voll, shortfall
        a_eq.append(row(**balance, **{f"c{shed}": 1.0, f"c{surplus}": -1.0}))
        b_eq.append(system.loads[t, 0])
        a_ub.append(row(**reserve))
        b_ub.append(-system.reserve_mw[t])
    result = linprog(cost, A_ub=a_ub, b_ub=b_ub, A_eq=a_eq, b_eq=b_eq)
    return result.fun if result.success else np.inf


def check(system, schedule):
    """Rules of switching, balance, reserve, prices, uplift: what holds for every schedule."""
    c, hours = schedule.clearing, system.hours
    for g, unit in enumerate(system.units):
        if unit.commitment is None:
            continue
        assert legal(unit, schedule.on[:, g].tolist()) or abs(unit.commitment.before_h) > 48
        on, p = schedule.on[:, g], c.dispatch[:, g]
        assert (p <= unit.p_max * on + 1e-5).all() and (p >= unit.p_min * on - 1e-5).all()
        assert (p + schedule.reserve[:, g] <= unit.p_max + 1e-5).all()
        was = np.concatenate([[unit.commitment.before_h > 0], on[:-1]])
        assert (schedule.start[:, g] == (on & ~was)).all() and (schedule.stop[:, g] == (~on & was)).all()
        above = np.concatenate([[max(unit.commitment.before_mw - unit.p_min, 0)], p - unit.p_min * on])
        assert (np.diff(above) <= unit.commitment.ramp_up_mw + 1e-5).all()
        assert (-np.diff(above) <= unit.commitment.ramp_down_mw + 1e-5).all()
    supplied = c.dispatch.sum(1) - c.accepted.sum(1) + c.shed.sum(1) - c.surplus.sum(1)
    assert supplied == pytest.approx(c.load.sum(1), abs=1e-4)
    assert (schedule.reserve.sum(1) + schedule.reserve_short >= system.reserve_mw - 1e-5).all()
    assert np.isfinite(c.lmp).all() and np.isfinite(schedule.reserve_price).all() and len(c.lmp) == hours
    assert (c.uplift >= 0).all() and np.isfinite(c.uplift).all()
    assert schedule.bound <= schedule.objective + 1e-6 * abs(schedule.objective)


@pytest.mark.parametrize("seed", range(8))
def test_against_all_patterns(seed):
    system = three(seed)
    best = cheapest(system, 500.0, 50.0)
    for prices in KINDS:
        schedule = market("unit-commitment", gap=0.0, voll=500.0, shortfall=50.0, prices=prices).schedule(system)
        assert schedule.objective == pytest.approx(best, rel=1e-6)
        check(system, schedule)
    c = schedule.clearing
    penalty = 500.0 * (c.shed + c.surplus).sum() + 50.0 * schedule.reserve_short.sum()
    assert c.cost.sum() + penalty == pytest.approx(schedule.objective, rel=1e-6)


def day(hours=12, **more):
    """Two thermal units that must cycle, wind, two buses and a line."""
    units = (
        Unit("base", "A", 60.0, 120.0, (0.01, 18.0, 300.0), (),
             Commitment(min_up_h=4, min_down_h=3, startup=((3, 900.0),), before_h=8, before_mw=80.0)),
        Unit("peak", "B", 20.0, 80.0, (0.0, 0.0, 0.0), ((20.0, 900.0), (50.0, 2100.0), (80.0, 3600.0)),
             Commitment(startup=((1, 150.0), (4, 250.0)), before_h=-5)),
        Unit("wind", "B", 0.0, 40.0, (0.0, 0.0, 0.0)),
    )  # fmt: skip
    t = np.arange(hours)
    loads = np.stack([40 + 10 * np.sin(t / 3), 70 + 45 * np.sin(t / 2)], axis=1)
    system = System("day", ("A", "B"), units, (Line("l", "A", "B", x=0.1, rate_mw=70.0),), loads, **more)
    return system.with_profiles(available={"wind": 20 + 20 * np.cos(t)})


@pytest.mark.parametrize("prices", KINDS)
def test_a_day_with_a_network(prices):
    system = day(reserve=15.0)
    schedule = market("unit-commitment", prices=prices, gap=1e-6).schedule(system)
    check(system, schedule)
    c = schedule.clearing
    assert c.lmp == pytest.approx(c.energy[:, None] + c.congestion)
    assert np.abs(c.flow).max() <= 70 + 1e-6
    assert len(np.unique(c.lmp.round(3))) > 3
    assert c.cost.sum() == pytest.approx(schedule.objective, rel=1e-6)
    # a unit that runs is paid its costs once uplift is added
    received = (c.lmp[:, system.unit_bus] * c.dispatch).sum(0) + schedule.reserve_price @ schedule.reserve + c.uplift
    assert received.sum() >= c.cost.sum() - 1e-6


def test_price_is_the_derivative_for_a_fixed_commitment():
    system = day()
    uc = market("unit-commitment", gap=0.0)
    base, step = uc.schedule(system), 1e-3
    for t, bus in [(2, 0), (5, 1), (9, 1)]:
        costs = []
        for sign in (-1, 1):
            loads = np.array(system.loads)
            loads[t, bus] += sign * step
            costs.append(uc.schedule(system.with_load(loads)).objective)
        assert base.clearing.lmp[t, bus] == pytest.approx((costs[1] - costs[0]) / (2 * step), abs=1e-2)


def test_bids_and_zone():
    system = day()
    bids = [Bid("B", np.full(12, 10.0)), Bid("A", np.full(12, 30.0), np.full(12, 1.0)), Bid("A", np.full(12, -30.0))]
    c = market("unit-commitment", zone=True).clear(system, bids)
    assert c.accepted[:, 0] == pytest.approx(np.full(12, 10))
    assert c.accepted[:, 1].sum() <= 30 * (c.lmp[:, 0] <= 1 + 1e-6).sum() + 1e-6
    assert c.accepted[:, 2] == pytest.approx(np.full(12, -30))
    assert c.lines == () and (c.congestion == 0).all()


def test_scarcity_is_priced_not_infeasible():
    system = day()
    schedule = market("unit-commitment", voll=3000.0, shortfall=100.0).schedule(
        replace(system, loads=system.loads * 3, reserve=20.0)
    )
    check(replace(system, loads=system.loads * 3, reserve=20.0), schedule)
    assert schedule.clearing.shed.sum() > 10
    assert schedule.reserve_short.max() > 0


def test_same_answer_twice():
    first, second = (market("unit-commitment").schedule(three(1)) for _ in range(2))
    assert first.clearing.lmp.tobytes() == second.clearing.lmp.tobytes()
    assert (first.on == second.on).all()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"min_up_h": 0}, "min_up_h = 0"),
        ({"ramp_up_mw": -1.0}, "ramp_up_mw = -1"),
        ({"start_mw": 1.0}, "below its p_min"),
        ({"startup": ((3, 90.0), (1, 50.0))}, "start-up categories"),
        ({"before_h": 0}, "before_h = 0"),
        ({"before_h": 3, "before_mw": 0.0}, "gave 0 MW in the hour before"),
        ({"before_h": -3, "before_mw": 5.0}, "it was off"),
        ({"shutdown": float("nan")}, "shut-down cost"),
    ],
)
def test_bad_commitment_data(change, sentence):
    system = three(0)
    c = replace(system.units[0].commitment, before_h=-3, before_mw=0.0)
    with pytest.raises(SystemInvalid, match=sentence):
        replace(system, units=(replace(system.units[0], commitment=replace(c, **change)), *system.units[1:]))


def test_bad_parameters():
    for change, sentence in [
        ({"prices": "convex-hull"}, "fixed-commitment, relaxed"),
        ({"gap": -1.0}, "gap is -1"),
        ({"pieces": 0}, "pieces is 0"),
        ({"shortfall": float("nan")}, "shortfall is nan"),
    ]:
        with pytest.raises(ValueError, match=sentence):
            market("unit-commitment", **change)
    steady = System("s", ("A",), (Unit("g", "A", 0.0, 9.0, (0.1, 1.0, 0.0)),), (), [[5.0]])
    with pytest.raises(ValueError, match=r"quadratic cost and no commitment data; give it `Commitment\(\)`"):
        market("unit-commitment").clear(steady)


def test_impossible_past_is_a_sentence():
    # 100 MW before, at most 5 MW down an hour, and no capacity left in the first hour
    unit = Unit("g", "A", 50.0, 100.0, (0.0, 1.0, 0.0), (),
                Commitment(stop_mw=55.0, ramp_down_mw=5.0, before_h=3, before_mw=100.0))  # fmt: skip
    system = System("stuck", ("A",), (unit,), (), [[10.0], [10.0]], p_floor=[[0.0], [0.0]], p_ceiling=[[0.0], [0.0]])
    with pytest.raises(SolverError, match="stuck"):
        market("unit-commitment").clear(system)


@pytest.mark.slow
@real
@pytest.mark.data
@pytest.mark.parametrize("number", range(1, 6))
def test_published_optima_of_egret(number):
    """Both costs on the same curves: Egret cuts a quadratic cost into two equal pieces, so do we here."""
    known = json.loads((UC / "reference_objectives.json").read_text())[f"egret_test_case_{number}"]
    system = read_egret(UC / f"egret_test_case_{number}.json.gz")
    schedule = market("unit-commitment", pieces=2, gap=5e-4, voll=1000.0, shortfall=100.0).schedule(system)
    check(system, schedule)
    assert schedule.objective == pytest.approx(known, rel=1e-3)
    assert schedule.bound <= known * (1 + 1e-6)  # nothing below the published optimum is claimed
    assert schedule.objective >= known * (1 - 1e-6)


@pytest.mark.slow
@real
@pytest.mark.data
@pytest.mark.parametrize("hours", [24, 48])
def test_rts_gmlc_of_pglib(hours):
    system = read_pglib_uc(UC / "pglib_uc_rts_gmlc_2020-07-06.json.gz")
    schedule = market("unit-commitment", gap=1e-3).schedule(system.at(np.arange(hours)))
    check(system.at(np.arange(hours)), schedule)
    assert schedule.gap <= 1e-3
    assert schedule.clearing.shed.sum() == schedule.clearing.surplus.sum() == 0
    if hours == 48:
        assert schedule.objective == pytest.approx(3_729_194.92, rel=1e-3)
        assert schedule.bound <= 3_729_194.92
