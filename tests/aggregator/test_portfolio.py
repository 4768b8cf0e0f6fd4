import itertools

import numpy as np
import pytest
from scipy.optimize import LinearConstraint, linprog, minimize

from aggregator.blocks import Block
from aggregator.day_program import DayProgram
from aggregator.normal import Banded, Dense, factorised
from aggregator.portfolio import BestResponse, Portfolio, PortfolioError, optimum


def rows_of(p, who):
    """Oracle matrices, written independently: columns imports, exports [T], then gain, loss [T] per battery."""
    steps = p.steps
    owners = [n for n in who if p.has_battery[n]]
    columns = 2 * steps + 2 * steps * len(owners)
    a_eq = np.zeros((steps, columns))
    a_eq[:, :steps], a_eq[:, steps : 2 * steps] = np.eye(steps), -np.eye(steps)
    cumulative = np.tril(np.ones((steps, steps)))
    a_ub, b_ub, cost = [], [], np.zeros(columns)
    constant = 0.0
    upper = np.full(columns, np.inf)
    ends = []
    for i, n in enumerate(owners):
        gain = slice(2 * steps + 2 * i * steps, 3 * steps + 2 * i * steps)
        loss = slice(gain.stop, gain.stop + steps)
        a_eq[:, gain], a_eq[:, loss] = -np.eye(steps) / p.eta_charge[n], np.eye(steps) * p.eta_discharge[n]
        level = np.zeros((steps, columns))
        level[:, gain], level[:, loss] = cumulative, -cumulative
        a_ub += [level, -level]
        b_ub += [np.full(steps, p.store_max[n] - p.start[n]), np.full(steps, p.start[n] - p.store_min[n])]
        cost[gain] = cost[loss] = p.wear_linear[n]
        upper[gain], upper[loss] = p.charge[n], p.discharge[n]
        if p.storage_end == "restore":
            ends.append(level[-1])
        else:
            cost -= p.end_value[n] * level[-1]
    eq = np.vstack([a_eq, *ends]) if ends else a_eq
    ub = np.vstack(a_ub) if a_ub else np.zeros((0, columns))
    return eq, len(ends), ub, np.concatenate(b_ub) if b_ub else np.zeros(0), cost, upper, constant


def oracle(p, who, day, buy, sell):
    eq, ends, ub, b_ub, cost, upper, _ = rows_of(p, who)
    cost = cost.copy()
    cost[: p.steps], cost[p.steps : 2 * p.steps] = buy, -sell
    b_eq = np.r_[p.fixed_kwh[day, who].sum(axis=0), np.zeros(ends)]
    found = linprog(
        cost, A_ub=ub, b_ub=b_ub, A_eq=eq, b_eq=b_eq, bounds=list(zip(np.zeros(len(upper)), upper, strict=True))
    )
    assert found.status == 0
    return found.fun


@pytest.mark.parametrize("end", ["restore", "value"])
@pytest.mark.parametrize("pooled", [True, False])
def test_linear_best_response_agrees_with_an_independent_program(draw, prices, end, pooled):
    rng = np.random.default_rng(3)
    for _ in range(3):
        p = draw(rng, storage_end=end, pooled=pooled, equal=True)
        buy, sell = prices(rng, 8, 2)
        response = optimum(p, buy, sell)
        for day in range(2):
            if pooled:
                assert response.cost[day] == pytest.approx(oracle(p, [0, 1, 2], day, buy[day], sell[day]), abs=1e-7)
            else:
                for n in range(3):
                    assert response.cost[day, n] == pytest.approx(oracle(p, [n], day, buy[day], sell[day]), abs=1e-7)


def test_quadratic_best_response_satisfies_the_optimality_conditions(draw, prices):
    rng = np.random.default_rng(4)
    for rho in (1e-4, 0.03, 0.5):
        p = draw(rng, rho=rho, steps=24, prosumers=4, batteries=3)
        buy, sell = prices(rng, 24, 2)
        best = BestResponse(p)
        pool = best.pools[0]
        for d, day in enumerate(best.days(buy, sell)[0]):
            value = day.energy_value[0]
            assert (value <= buy[d] + 1e-7).all()
            assert (value >= sell[d] - 1e-7).all()
            assert np.abs(day.imports[0] * (buy[d] - value)).max() < 1e-6
            assert np.abs(day.exports[0] * (value - sell[d])).max() < 1e-6
            for j, one in enumerate(pool.groups):
                gain = one.wear_linear + one.wear_quadratic * day.gain[j] + value / one.eta_charge - day.store_value[j]
                loss = (
                    one.wear_linear + one.wear_quadratic * day.loss[j] - value * one.eta_discharge + day.store_value[j]
                )
                for x, most, slope in ((day.gain[j], one.charge, gain), (day.loss[j], one.discharge, loss)):
                    # inside: slope 0; at 0: slope >= 0; at the limit: slope <= 0
                    residual = x - np.clip(x - slope, 0.0, most)
                    assert np.abs(residual).max() < 1e-5
                assert day.store[j].min() >= one.store_min - 1e-8
                assert day.store[j].max() <= one.store_max + 1e-8
                assert day.store[j][-1] == pytest.approx(one.start, abs=1e-8)


def test_quadratic_best_response_agrees_with_highs_and_scipy(draw, prices):
    rng = np.random.default_rng(5)
    p = draw(rng, rho=0.05, steps=6, days=1, batteries=1)
    buy, sell = prices(rng, 6)
    response = optimum(p, buy, sell)
    best = BestResponse(p)
    pool = best.pools[0]
    program = DayProgram(pool.groups, 1, 6, 0.0, "restore").solve(pool.fixed_kwh[0], buy, sell)
    assert response.importing[0] == pytest.approx(program.imports[0], abs=1e-4)
    eq, ends, ub, b_ub, cost, upper, _ = rows_of(p, [0, 1, 2])
    cost[:6], cost[6:12] = buy, -sell
    bend = np.zeros(len(cost))
    bend[12:] = 0.05
    fixed = np.r_[p.fixed_kwh[0].sum(axis=0), np.zeros(ends)]
    rows = [LinearConstraint(eq, fixed, fixed), LinearConstraint(ub, -np.inf, b_ub)]
    start = np.r_[np.maximum(fixed[:6], 0), np.maximum(-fixed[:6], 0), np.zeros(12)]
    found = minimize(
        lambda x: cost @ x + 0.5 * bend @ x**2, start, jac=lambda x: cost + bend * x, method="SLSQP",
        bounds=list(zip(np.zeros(len(upper)), upper, strict=True)), constraints=rows,
        options={"maxiter": 300, "ftol": 1e-12},
    )  # fmt: skip
    assert response.cost[0] == pytest.approx(found.fun, abs=1e-6)


@pytest.mark.parametrize("rho", [0.0, 0.03])
def test_merged_batteries_are_exact(draw, prices, rho):
    rng = np.random.default_rng(6)
    p = draw(rng, rho=rho, prosumers=5, batteries=4, equal=True, steps=12, storage_end="value")
    buy, sell = prices(rng, 12, 2)
    merged, single = BestResponse(p), BestResponse(p, merge=False)
    assert [len(m.pools[0].groups) for m in (merged, single)] == [1, 4]
    one, many = merged.solve(buy, sell), single.solve(buy, sell)
    assert one.cost == pytest.approx(many.cost, abs=1e-7)
    assert one.store_change[:, :4] == pytest.approx(np.repeat(one.store_change[:, :1], 4, axis=1))
    if rho:
        assert one.net == pytest.approx(many.net, abs=1e-4)


def test_batteries_that_differ_in_one_number_are_not_merged(draw):
    p = draw(np.random.default_rng(0), equal=True)
    assert len(BestResponse(p).pools[0].groups) == 1
    assert len(BestResponse(p.change(wear_quadratic=np.array([0.0, 0.01, 0.0]))).pools[0].groups) == 2


@pytest.mark.parametrize("rho", [0.0, 0.03])
def test_the_fee_form_tends_to_the_pooled_one_and_to_the_lonely_one(draw, prices, rho):
    rng = np.random.default_rng(7)
    p = draw(rng, rho=rho)
    buy, sell = prices(rng, 8, 2)
    pooled, alone = optimum(p, buy, sell), optimum(p.change(pooled=False), buy, sell)
    costs = [optimum(p.change(fee=fee), buy, sell).cost for fee in (1e-9, 0.05, 0.1, 1.0)]
    assert costs[0] == pytest.approx(pooled.cost, abs=1e-6)
    assert costs[-1] == pytest.approx(alone.cost.sum(axis=1), abs=1e-6)
    for lower, higher in itertools.pairwise(costs):
        assert (lower <= higher + 1e-7).all()


@pytest.mark.parametrize("fee", [0.0, 0.02])
@pytest.mark.parametrize("rho", [0.0, 0.03])
def test_the_account_of_a_response_adds_up(draw, prices, rho, fee):
    rng = np.random.default_rng(8)
    p = draw(rng, rho=rho, fee=fee)
    buy, sell = prices(rng, 8, 2)
    r = optimum(p, buy, sell, weights=[0.25, 0.75])
    gain, loss = np.maximum(r.store_change, 0), np.maximum(-r.store_change, 0)
    at_meter = p.fixed_kwh + gain / p.eta_charge[:, None] - loss * p.eta_discharge[:, None]
    assert r.net == pytest.approx(at_meter.sum(axis=1), abs=1e-6)
    assert r.net == pytest.approx(r.importing - r.exporting)
    assert np.abs(r.store_change.sum(axis=2)).max() < 1e-7
    bill = (buy * r.importing - sell * r.exporting).sum(axis=1)
    assert r.cost == pytest.approx(bill + r.own)
    assert r.mean == pytest.approx(0.25 * r.cost[0] + 0.75 * r.cost[1])
    if fee == 0.0:
        worn = p.wear_linear[:, None] * (gain + loss) + 0.5 * rho * (gain**2 + loss**2)
        assert r.wear == pytest.approx(worn.sum(axis=(1, 2)), abs=1e-6)
        assert r.own == pytest.approx(r.wear)


def test_equal_buy_and_sell_prices_are_legal(draw, prices):
    rng = np.random.default_rng(9)
    for rho in (0.0, 0.03):
        p = draw(rng, rho=rho)
        buy, _ = prices(rng, 8)
        r = optimum(p, buy, buy)
        assert r.cost == pytest.approx((buy * r.net).sum(axis=1) + r.own)


def test_a_portfolio_without_batteries_needs_no_solver(draw, prices):
    rng = np.random.default_rng(10)
    p = draw(rng, batteries=0)
    buy, sell = prices(rng, 8)
    net = p.fixed_kwh.sum(axis=1)
    assert optimum(p, buy, sell).cost == pytest.approx((np.where(net > 0, buy, sell) * net).sum(axis=1))


def test_mistakes_are_named(draw, prices):
    rng = np.random.default_rng(11)
    p = draw(rng)
    buy, sell = prices(rng, 8)
    with pytest.raises(PortfolioError, match="below the sell price"):
        optimum(p, sell - 0.01, sell)
    with pytest.raises(PortfolioError, match="shape"):
        optimum(p, buy[:-1], sell)
    with pytest.raises(PortfolioError, match="not finite"):
        optimum(p, buy * np.nan, sell)
    for change, word in (
        ({"eta_charge": 1.2}, "eta_charge of prosumer 0 is 1.2"),
        ({"charge": -1.0}, ">= 0"),
        ({"start": 99.0}, "between"),
        ({"storage_end": "carry"}, "storage_end"),
        ({"fee": -0.1}, "fee"),
        ({"wear_linear": np.zeros(2)}, "shape"),
        ({"fixed_kwh": np.zeros((2, 3))}, "fixed_kwh"),
    ):
        with pytest.raises(PortfolioError, match=word):
            p.change(**change)


def test_negative_prices_that_pay_for_waste_are_recognised(draw):
    p = draw(np.random.default_rng(0))
    assert not p.may_burn(np.array([0.0, 0.05]))
    assert p.may_burn(np.array([-0.5, 0.05]))
    assert not draw(np.random.default_rng(0), batteries=0).may_burn(np.array([-0.5]))


def test_stores_that_cannot_move_are_no_batteries(draw, prices):
    rng = np.random.default_rng(12)
    stuck = [{"discharge": 0.0}, {"charge": 0.0}, {"store_max": 1.0, "store_min": 1.0, "start": 1.0}]
    for change in stuck:
        p = draw(rng, rho=0.03, batteries=3, **change)
        buy, sell = prices(rng, 8, 2)
        assert not p.has_battery.any()
        linear = p.change(wear_quadratic=0.0)
        assert optimum(p, buy, sell).cost == pytest.approx(
            [oracle(linear, [0, 1, 2], d, buy[d], sell[d]) for d in range(2)]
        )
    rising = draw(rng, rho=0.03, batteries=3, discharge=0.0, storage_end="value")
    assert rising.has_battery.all()


@pytest.mark.parametrize("seed", range(12))
def test_quadratic_followers_of_every_kind_converge(seed):
    rng = np.random.default_rng(seed)
    n, steps = int(rng.integers(1, 5)), int(rng.choice([6, 24]))
    cap = rng.choice([0.0, 1.0, 200.0], n)
    p = Portfolio(
        rng.normal(0, rng.choice([0.1, 50.0]), (2, n, steps)), 0.1 * cap, cap, cap * rng.choice([0.1, 0.5, 1.0], n),
        cap * rng.choice([0.0, 0.01, 1.0], n), cap * rng.choice([0.0, 0.3], n), rng.choice([0.8, 1.0], n), 0.95, 0.0,
        rng.choice([1e-6, 1e-3, 1.0], n), storage_end=str(rng.choice(["restore", "value"])),
        pooled=bool(rng.random() < 0.7), fee=float(rng.choice([0.0, 0.01])),
    )  # fmt: skip
    sell = np.full((2, steps), 0.05)
    buy = sell + rng.choice([0.0, 0.3]) * rng.random((2, steps))
    bent, straight = optimum(p, buy, sell), optimum(p.change(wear_quadratic=0.0), buy, sell)
    assert straight.mean <= bent.mean + 1e-6 * (1 + abs(bent.mean))
    if p.storage_end == "restore":
        assert np.abs(bent.store_change.sum(axis=2)).max() < 1e-6


@pytest.mark.parametrize(("stores", "ports", "peak"), [(1, 2, False), (2, 2, False), (3, 4, False), (2, 3, True)])
def test_banded_systems_are_the_dense_ones(stores, ports, peak):
    rng = np.random.default_rng(ports)
    meter = rng.uniform(-1.0, 1.2, (stores, ports, 6 if ports > 2 else 1, 4))
    sign, keep = rng.choice([-1.0, 1.0], (stores, ports)), rng.uniform(0.9, 1.0, (stores, 1))
    block = Block(np.ones((1, stores)), meter, sign, keep, False, peak)
    theta = rng.uniform(0.1, 3.0, (2 + stores * (ports + 1) + peak, 6, 4))
    theta[3, 2] = 0.0
    rows = rng.normal(size=(1, 6, 4)), rng.normal(size=(stores, 6, 4)), np.zeros((6, 4))
    quick, dense = factorised(block, theta), Dense(block, theta)
    assert isinstance(quick, Banded)
    for own, other in zip(quick.solve(*rows), dense.solve(*rows), strict=True):
        assert own == pytest.approx(other, rel=1e-9, abs=1e-9)
    # both solve A Theta A' y = rows
    made = block.rows(theta * block.columns(*quick.solve(*rows)))
    for one, asked in zip(made[:2], rows[:2], strict=True):
        assert one == pytest.approx(asked, abs=1e-9)


@pytest.mark.parametrize("rho", [0.0, 0.03])
def test_the_answer_of_a_home_has_the_same_bits_whoever_else_is_in_the_batch(draw, prices, rho):
    """A home's move must not tell another home's load, not even in its last digit."""
    for seed in range(4):
        rng = np.random.default_rng(seed)
        p = draw(rng, rho=rho, prosumers=8, batteries=8, steps=24, pooled=False)
        other = p.fixed_kwh.copy()
        other[:, 1:] = rng.normal(0.0, 2.0, other[:, 1:].shape)
        buy, sell = prices(rng, 24, 2)
        answers = [
            BestResponse(one, together=True).solve(buy, sell).store_change for one in (p, p.change(fixed_kwh=other))
        ]
        assert np.array_equal(answers[0][:, 0], answers[1][:, 0])
        assert not np.array_equal(answers[0][:, 1:], answers[1][:, 1:])
