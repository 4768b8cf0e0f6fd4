"""Vehicles, loads and heat in the followers' program: equal to a plain linear program, and no game beats it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from device_homes import DAYS, HOMES, PRICES, STEPS, community
from scipy.optimize import linprog

from aggregator.portfolio import BestResponse
from aggregator.prosumers import Portfolio
from aggregator.reservoirs import PeakPrice, Port, Reservoir
from hmarl.benchmark import community_optimum
from hmarl.evaluation import arrivals, play
from hmarl.pictures import picture
from hmarl.policies.base import Seen, Stateless
from retail import Game, auction
from retail.peak import Peak


def random_portfolio(seed, *, pooled, peak=None):
    rng = np.random.default_rng(seed)
    days, homes, steps = 2, 3, 8
    tanks = []
    for n in range(homes):
        ports = (
            Port(1.0, rng.uniform(0.5, 2, (1, steps)), rng.uniform(0.3, 1.2, (days, steps)), np.zeros((1, steps))),
            Port(1.0, np.full((1, steps), 9.0), np.zeros((1, steps)), np.full((1, steps), rng.uniform(0.05, 0.2))),
            Port(-1.0, np.full((1, steps), 9.0), np.full((1, steps), -0.1 * (n == 1)), np.zeros((1, steps))),
        )
        drain = rng.uniform(0, 1.5, (days, steps))
        tanks.append(
            Reservoir(n, np.zeros((1, steps)), np.full((1, steps), 4.0), drain, 1.0, 0.95 if n else 1.0, ports)
        )
    return Portfolio(
        fixed_kwh=rng.normal(0.3, 1.0, (days, homes, steps)),
        store_min=0.0,
        store_max=np.array([4.0, 0.0, 6.0]),
        start=np.array([1.0, 0.0, 2.0]),
        charge=np.array([1.5, 0.0, 1.0]),
        discharge=np.array([1.5, 0.0, 2.0]),
        eta_charge=0.95,
        eta_discharge=0.9,
        wear_linear=0.01,
        wear_quadratic=0.0,
        pooled=pooled,
        reservoirs=tuple(tanks),
        peak=peak,
    )


def oracle(p, buy, sell, day, who):
    """The day of some homes behind one meter, written as one linear program, column by column."""
    steps, columns, cost, upper = p.steps, [], [], []
    rows_storage = []

    def column(balance, storage, price, most):
        columns.append((balance, storage))
        cost.append(price)
        upper.append(most)

    stores = [("battery", n) for n in who] + [("tank", r) for r in p.reservoirs if r.owner in who]
    for t in range(steps):
        cap = p.peak.cap if p.peak else None
        column({t: 1.0}, {}, buy[t], cap)
        column({t: -1.0}, {}, -sell[t], None)
        if p.peak:
            column({t: 1.0}, {}, float(p.peak.price(np.array([[buy[t]]]))[0, 0]), None)
    for k, (kind, one) in enumerate(stores):
        for t in range(steps):
            if kind == "battery":
                ways = [(1.0, p.charge[one], 1 / p.eta_charge[one], p.wear_linear[one])]
                ways += [(-1.0, p.discharge[one], -p.eta_discharge[one], p.wear_linear[one])]
                low, high, start, keep = p.store_min[one], p.store_max[one], p.start[one], 1.0
            else:
                at = lambda x, t=t: x[min(day, len(x) - 1), t]  # noqa: E731
                ways = [(q.sign, at(q.limit), at(q.meter), at(q.cost)) for q in one.ports]
                low, high, start, keep = at(one.low), at(one.high), one.start, one.keep
            for sign, most, draw, price in ways:
                column({t: -draw}, {(k, t): -sign}, price, most)
            if t == steps - 1:
                low = high = start
            columns.append(({}, {(k, t): 1.0, (k, t + 1): -keep} if t < steps - 1 else {(k, t): 1.0}))
            cost.append(0.0)
            upper.append((low, high))
            drain = 0.0 if kind == "battery" else one.drain[min(day, len(one.drain) - 1), t]
            rows_storage.append(((k, t), (keep * start if t == 0 else 0.0) - drain))
    place = {key: steps + i for i, (key, _) in enumerate(rows_storage)}
    a = np.zeros((steps + len(rows_storage), len(columns)))
    for j, (balance, storage) in enumerate(columns):
        for t, v in balance.items():
            a[t, j] = v
        for key, v in storage.items():
            a[place[key], j] = v
    b = np.concatenate([p.fixed_kwh[day, who].sum(0), [v for _, v in rows_storage]])
    bounds = [x if isinstance(x, tuple) else (0.0, x) for x in upper]
    found = linprog(cost, A_eq=a, b_eq=b, bounds=bounds, method="highs")
    assert found.status == 0
    return found.fun


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("peak", [None, PeakPrice(1.0, 0.3, instead=False), PeakPrice(2.0, 1.5, instead=True)])
def test_the_cost_is_that_of_a_plain_linear_program(seed, peak):
    rng = np.random.default_rng(100 + seed)
    buy = rng.uniform(0.15, 0.4, (2, 8))
    sell = buy - rng.uniform(0.05, 0.15, (2, 8))
    pooled = random_portfolio(seed, pooled=True, peak=peak)
    cost = BestResponse(pooled).solve(buy, sell).cost
    want = [oracle(pooled, buy[d], sell[d], d, [0, 1, 2]) for d in range(2)]
    np.testing.assert_allclose(cost, want, rtol=0, atol=1e-6)
    if peak is None:
        alone = random_portfolio(seed, pooled=False)
        cost = BestResponse(alone).solve(buy, sell).cost
        want = [[oracle(alone, buy[d], sell[d], d, [n]) for n in range(3)] for d in range(2)]
        np.testing.assert_allclose(cost, want, rtol=0, atol=1e-6)


class Wild(Stateless):
    """Random heads on every device."""

    def __init__(self, game, seed):
        self.heads = game.heads
        self.generator = torch.Generator().manual_seed(seed)

    def act(self, seen, explore):
        shape = (*seen.state.stored.shape, len(self.heads))
        return torch.rand(shape, generator=self.generator) * 2 - 1


class Followed(Stateless):
    """Plans of every device, as the program of each home alone found them."""

    def __init__(self, game, response, portfolio):
        self.game, self.heads = game, ("battery", *game.equipment.heads)
        self.change = torch.from_numpy(response.store_change)
        self.plan = {}
        zero = torch.zeros(DAYS, STEPS, HOMES).double()
        for tank, flow in zip(portfolio.reservoirs, response.flows, strict=True):
            c, r = game.community, len(self.plan.setdefault("order", []))
            self.plan["order"].append(tank)
            timed = sum(int(s.has.sum()) for s in c.timed)
            if r < timed:
                name = [s.name for s in c.timed for _ in range(int(s.has.sum()))][r]
                parts = {name: flow[:, 0] - flow[:, 1]}
            else:
                t = c.thermal[(r - timed) // HOMES]
                cop = t.cop[:, :, tank.owner].numpy()
                made, demand = flow[:, 0] + flow[:, 1] + flow[:, 2] - flow[:, 3], t.demand[:, :, tank.owner].numpy()
                ratio = float(t.chp_heat[tank.owner])
                parts = {"pump": flow[:, 0] / cop, "chp": flow[:, 1] / ratio, "store": made - demand}
                parts = {f"{t.carrier}_{k}": v for k, v in parts.items()}
            for name, value in parts.items():
                self.plan.setdefault(name, zero.clone())[:, :, tank.owner] = torch.from_numpy(value)

    def act(self, seen, explore):
        state = seen.state
        plan = {k: v[state.days, state.step] for k, v in self.plan.items() if k != "order"}
        heads = self.game.equipment.heads_for(state.levels, state.days, state.step, plan)
        used = self.game.equipment.move(state.levels, state.days, state.step, heads, None, None, None)
        base = self.game.inflexible(state) + used.use
        battery = self.game.action_for(state, self.change[state.days, :, state.step], base)
        return torch.stack([battery, *(heads[h] for h in self.game.equipment.heads)], -1)


@pytest.mark.parametrize("seed", range(3))
def test_the_plan_of_every_device_costs_in_the_game_what_the_program_says(seed):
    c = community(seed, rate=9.0)
    game = Game(c, auction("none"))
    days = torch.arange(DAYS)
    portfolio = picture(game, days, pooled=False)
    prices = PRICES.on(days)
    response = BestResponse(portfolio).solve(prices.buy_price, prices.sell_price)
    found = play(game, Followed(game, response, portfolio), days, PRICES, arrivals(game, 0))
    np.testing.assert_allclose(found.outcome.cost.sum(1).numpy(), response.cost, rtol=0, atol=1e-5)


@pytest.mark.parametrize("rule", ["none", "mmr", "da", "cda"])
@pytest.mark.parametrize("peak", [None, Peak(4.0, "penalty", 0.5), Peak(4.0, "curtail", 3.0)])
def test_nobody_beats_the_community_optimum(rule, peak):
    for seed in range(2):
        game = replace(Game(community(seed), auction(rule)), peak=peak)
        days = torch.arange(DAYS)
        bound = community_optimum(game, days, PRICES)
        for learner in (Wild(game, seed), Usual(game)):
            cost = play(game, learner, days, PRICES, arrivals(game, seed)).cost.numpy()
            assert (cost >= bound - 0.002 * HOMES).all()


def test_under_carry_days_are_one_horizon_and_devices_still_end_their_day():
    game = Game(community(1), auction("da"), storage_end="carry")
    days = torch.arange(DAYS)
    bound = community_optimum(game, days, PRICES)
    daily = community_optimum(replace(game, storage_end="restore"), days, PRICES)
    cost = play(game, Usual(game), days, PRICES, arrivals(game, 0)).cost.numpy()
    assert bound.sum() <= daily.sum() + 1e-6
    assert bound.sum() <= cost.sum() + 0.002 * HOMES * DAYS


class Usual(Stateless):
    """All devices on their own rule."""

    def __init__(self, game):
        self.game = game

    def act(self, seen: Seen, explore: bool):
        return torch.zeros(*seen.state.stored.shape, 1)
