"""Wear in blocks in every program of the followers: equal to programs of their own, and to the game."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from device_homes import DAYS, HOMES, PRICES, community
from scipy.optimize import LinearConstraint, linprog, minimize

from aggregator.bilevel import SingleLevelModel
from aggregator.day_program import DayProgram
from aggregator.portfolio import BestResponse, PortfolioError
from aggregator.price_set import PriceSet
from aggregator.slope_merge import Fleet
from aggregator.wear import ports, through_ports
from hmarl.benchmark import community_optimum
from hmarl.evaluation import arrivals, play
from hmarl.pictures import picture
from hmarl.policies.base import Spec, portfolio_clusters
from hmarl.policies.optimal import Optimal
from retail import Battery, Game, auction

TABLES = (((0.4, 0.01), (1.0, 0.05)), ((0.2, 0.0), (0.5, 0.03), (1.0, 0.2)))


def epigraph(p, who, day, buy, sell):
    """A day of some homes behind one meter: wear as the largest of its straight lines, not as ports.

    Columns: imports, exports [T], then per battery gain, loss, wear of the gain, wear of the loss [T].
    """
    steps, owners = p.steps, [n for n in who if p.has_battery[n]]
    count = 2 * steps + 4 * steps * len(owners)
    eye, cumulative = np.eye(steps), np.tril(np.ones((steps, steps)))
    equal, right = np.zeros((steps, count)), [p.fixed_kwh[day, who].sum(axis=0)]
    equal[:, :steps], equal[:, steps : 2 * steps] = eye, -eye
    below, most, ends = [np.zeros((0, count))], [np.zeros(0)], [equal]
    upper, cost = np.full(count, np.inf), np.concatenate([buy, -sell, np.zeros(count - 2 * steps)])
    for i, n in enumerate(owners):
        at = [slice(2 * steps + (4 * i + k) * steps, 2 * steps + (4 * i + k + 1) * steps) for k in range(4)]
        equal[:, at[0]], equal[:, at[1]] = -eye / p.eta_charge[n], eye * p.eta_discharge[n]
        level = np.zeros((steps, count))
        level[:, at[0]], level[:, at[1]] = cumulative, -cumulative
        below += [level, -level]
        most += [np.full(steps, p.store_max[n] - p.start[n]), np.full(steps, p.start[n] - p.store_min[n])]
        for flow, worn, rated in ((at[0], at[2], p.charge[n]), (at[1], at[3], p.discharge[n])):
            upper[flow], cost[flow], cost[worn] = rated, p.wear_linear[n], 1.0
            begin, base = 0.0, 0.0
            for end, price in p.wear_blocks:  # the line of a block: base + price (x - begin)
                line = np.zeros((steps, count))
                line[:, flow], line[:, worn] = price * eye, -eye
                below.append(line)
                most.append(np.full(steps, price * begin * rated - base))
                base, begin = base + price * (end - begin) * rated, end
        if p.storage_end == "restore":
            ends.append(level[-1:])
            right.append(np.zeros(1))
        else:
            cost -= p.end_value[n] * level[-1]
    return cost, np.vstack(below), np.concatenate(most), np.vstack(ends), np.concatenate(right), upper


def cheapest(p, who, day, buy, sell):
    cost, below, most, equal, right, upper = epigraph(p, who, day, buy, sell)
    bounds = [(0.0, x) for x in upper]
    found = linprog(cost, A_ub=below, b_ub=most, A_eq=equal, b_eq=right, bounds=bounds, method="highs")
    assert found.status == 0
    return found.fun


def drawn(draw, seed, **changes):
    rng = np.random.default_rng(seed)
    return rng, draw(
        rng, end_value=0.2, storage_end=("restore", "value")[seed // 2 % 2], wear_blocks=TABLES[seed % 2],
        wear_linear=0.003 * (seed % 3), **changes,
    )  # fmt: skip


def tied(rng, days, steps, seed):
    """Few price levels, so that many slopes tie; sometimes one price for both directions."""
    buy = np.round(rng.uniform(0.1, 0.6, (days, steps)), 1 + seed % 2)
    return buy, buy if seed % 5 == 0 else np.minimum(0.05, buy)


@pytest.mark.parametrize("seed", range(12))
def test_the_dynamic_programme_the_linear_program_and_the_lines_agree(draw, seed):
    rng, p = drawn(draw, seed, days=2, prosumers=4, batteries=3, steps=8, pooled=False)
    buy, sell = tied(rng, 2, 8, seed)
    want = [[cheapest(p, [n], d, buy[d], sell[d]) for n in range(4)] for d in range(2)]
    by_highs = BestResponse(p).solve(buy, sell)
    np.testing.assert_allclose(by_highs.cost, want, rtol=0, atol=1e-8)
    # the same homes among a hundred go through the dynamic programme
    many = replace(p, fixed_kwh=np.tile(p.fixed_kwh, (1, 25, 1)), **{k: np.tile(getattr(p, k), 25) for k in NUMBERS})
    followers = BestResponse(many)
    assert Fleet.of(followers.pools).applies(sell)
    merged = followers.solve(buy, sell)
    np.testing.assert_allclose(merged.cost, np.tile(want, 25), rtol=0, atol=1e-8)
    level = many.start[:, None] + merged.store_change.cumsum(axis=2)
    assert (level >= many.store_min[:, None] - 1e-9).all()
    assert (level <= many.store_max[:, None] + 1e-9).all()
    np.testing.assert_allclose(merged.own - merged.cost, np.tile(by_hand(merged, buy, sell, 4), 25), atol=1e-9)


NUMBERS = (
    "store_min", "store_max", "start", "charge", "discharge", "eta_charge", "eta_discharge", "wear_linear",
    "wear_quadratic", "end_value",
)  # fmt: skip


def by_hand(response, buy, sell, homes):
    bill = buy[:, None] * response.importing - sell[:, None] * response.exporting
    return -bill.sum(axis=2)[:, :homes]


@pytest.mark.parametrize("homes", [1, 3])
@pytest.mark.parametrize("seed", range(4))
def test_pooled_communities(draw, homes, seed):
    rng, p = drawn(draw, seed, days=2, prosumers=homes, batteries=min(homes, 2), steps=8, equal=seed % 2 == 1)
    buy, sell = tied(rng, 2, 8, seed + 1)
    want = [cheapest(p, list(range(homes)), d, buy[d], sell[d]) for d in range(2)]
    for followers in (BestResponse(p), BestResponse(p, merge=False), BestResponse(p, together=True)):
        response = followers.solve(buy, sell)
        np.testing.assert_allclose(response.cost, want, rtol=0, atol=1e-7)
        assert (response.wear >= 0.0).all()
    fee = BestResponse(p.change(fee=1e-9)).solve(buy, sell)
    np.testing.assert_allclose(fee.cost, want, rtol=0, atol=1e-5)


@pytest.mark.parametrize("seed", range(2))
def test_with_quadratic_wear_beside_it(draw, seed):
    rng, p = drawn(draw, seed, days=1, prosumers=2, batteries=1, steps=6, rho=0.05)
    buy, sell = np.round(rng.uniform(0.1, 0.6, 6), 2), np.full(6, 0.05)
    followers = BestResponse(p)
    response, pool = followers.solve(buy, sell), followers.pools[0]
    program = DayProgram(pool.groups, 1, 6, 0.0, p.storage_end).solve(pool.fixed_kwh[0], buy, sell)
    np.testing.assert_allclose(response.importing[0], program.imports[0], rtol=0, atol=1e-4)
    cost, below, most, equal, right, upper = epigraph(p, [0, 1], 0, buy, sell)
    bend = np.zeros(len(cost))
    bend[12:24] = 0.05
    start = np.r_[np.maximum(right[:6], 0), np.maximum(-right[:6], 0), np.zeros(24)]
    found = minimize(
        lambda x: cost @ x + 0.5 * bend @ x**2, start, jac=lambda x: cost + bend * x, method="SLSQP",
        bounds=[(0.0, x) for x in upper], options={"maxiter": 500, "ftol": 1e-13},
        constraints=[LinearConstraint(equal, right, right), LinearConstraint(below, -np.inf, most)],
    )  # fmt: skip
    assert response.cost[0] == pytest.approx(found.fun, abs=1e-6)


def test_a_flow_fills_cheap_ports_first():
    limit, cost = ports(5.0, 0.01, 0.02, TABLES[1])
    np.testing.assert_allclose(limit, [1.0, 1.5, 2.5])
    np.testing.assert_allclose(cost, [0.01, 0.04 + 0.02 * 1.0, 0.21 + 0.02 * 2.5])
    flow = np.array([0.0, 0.5, 1.0, 2.0, 5.0])
    split = through_ports(flow, 5.0, TABLES[1])
    np.testing.assert_allclose(split.sum(axis=0), flow)
    # what the ports charge is rho / 2 of the square of their sum, and the blocks
    whole = (cost[:, None] * split + 0.02 / 2 * split**2).sum(axis=0)
    lines = [0.0, 0.0, 0.0, 0.03, 1.5 * 0.03 + 2.5 * 0.2]
    np.testing.assert_allclose(whole, 0.01 * flow + 0.02 / 2 * flow**2 + lines)
    np.testing.assert_allclose(through_ports(flow, 5.0, ()), flow[None])


def test_waste_and_mistakes(draw):
    rng = np.random.default_rng(0)
    p = draw(rng, wear_linear=0.0, wear_blocks=TABLES[0], pooled=False)
    loss = 1 / 0.95 - 0.92
    assert not p.may_burn(np.array(-0.99 * 0.02 / loss))
    assert p.may_burn(np.array(-1.01 * 0.02 / loss))
    few = Fleet.of(BestResponse(draw(rng, wear_linear=0.0, wear_blocks=TABLES[0], pooled=False)).pools)
    assert few.applies(np.array(-0.99 * 0.02 / loss))
    assert not few.applies(np.array(-1.01 * 0.02 / loss))
    with pytest.raises(PortfolioError, match=r"Portfolio\.wear_blocks: block 1 costs 0\.2 "):
        draw(rng, wear_blocks=((0.4, 0.2), (1.0, 0.1)))


@pytest.mark.parametrize("rho", [0.0, 0.03])
def test_the_exact_model_at_fixed_prices_has_the_followers_own_optimum(draw, rho):
    rng, p = drawn(draw, 2 + (rho > 0), days=1, prosumers=1, batteries=1, steps=6, rho=rho)
    followers, sell, charges = BestResponse(p), np.full(6, 0.05), np.full(6, 0.02)
    wholesale = rng.uniform(0.0, 0.12, (1, 6))
    prices = PriceSet(np.full(6, 0.06), np.full(6, 0.4), None, None)
    model = SingleLevelModel(followers, prices, sell=sell, charges=charges, wholesale=wholesale, mip_gap=1e-6)
    for _ in range(2):
        price = prices.clip(rng.uniform(0.06, 0.4, 6))
        found, response = model.solve(fixed=price), followers.solve(price, sell)
        assert found.audit == ()
        margin = ((price - charges - wholesale) * response.total_importing).sum()
        profit = float(margin - ((sell - wholesale) * response.total_exporting).sum())
        assert found.promised >= profit - 1e-5
        if rho:
            np.testing.assert_allclose(found.net, response.net, rtol=0, atol=1e-4)


def game_with(blocks, rule, seed, **rules):
    c = community(seed, rate=9.0)
    battery = Battery.make(HOMES, has=np.arange(HOMES) % 2 == 0, wear_blocks=blocks, wear_quadratic=0.01 * (seed % 2))
    return Game(c.with_battery(battery), auction(rule), **rules)


@pytest.mark.parametrize("seed", range(2))
def test_a_plan_costs_in_the_game_what_the_program_says(seed):
    game, days = game_with(TABLES[seed], "none", seed), torch.arange(DAYS)
    cost = BestResponse(picture(game, days, pooled=False)).solve(PRICES.buy_price, PRICES.sell_price).cost
    planner = Optimal().start(Spec.of(game, portfolio_clusters(game), 0))
    found = play(game, planner, days, PRICES, arrivals(game, 0))
    np.testing.assert_allclose(found.outcome.cost.sum(1).numpy(), cost, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("seed", "rule"), [(0, "mmr"), (1, "cda")])
def test_nobody_beats_the_community_optimum(seed, rule):
    game, days = game_with(TABLES[seed], rule, seed), torch.arange(DAYS)
    bound = community_optimum(game, days, PRICES)
    free = community_optimum(game_with((), rule, seed), days, PRICES)
    assert (bound >= free - 1e-6).all()
    assert bound.sum() > free.sum() + 1e-3
    planner = Optimal().start(Spec.of(game, portfolio_clusters(game), 0))
    cost = play(game, planner, days, PRICES, arrivals(game, 0)).cost.numpy()
    assert (cost >= bound - 0.002 * HOMES).all()


@pytest.mark.parametrize("pooled", [True, False])
def test_slopes_of_answers_with_blocks_are_difference_quotients(draw, pooled):
    rng = np.random.default_rng(2 if pooled else 3)
    p = draw(rng, rho=0.03, wear_blocks=TABLES[0], prosumers=4, batteries=3, pooled=pooled)
    followers, buy, sell, step = BestResponse(p), rng.uniform(0.12, 0.4, 8), np.full(8, 0.05), 1e-5
    into, _ = followers.slopes(buy, sell)
    assert np.abs(into).max() > 1.0
    for t, unit in enumerate(np.eye(8) * step):
        change = followers.solve(buy + unit, sell).total_importing - followers.solve(buy - unit, sell).total_importing
        np.testing.assert_allclose(into[..., t], change / (2 * step), rtol=5e-3, atol=0.01)
