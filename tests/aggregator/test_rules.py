"""Blocks and menus: what is admissible, the nearest admissible price, and steps and bounds over them."""

from dataclasses import replace

import networkx as nx
import numpy as np
import pytest

import aggregator
from aggregator.bilevel import SingleLevelModel
from aggregator.bound import decoupled_bound
from aggregator.leader import LeaderError, TariffRules
from aggregator.local_response import Local, best_step, quadratic
from aggregator.portfolio import BestResponse
from aggregator.price_set import PriceSet, farthest_change
from aggregator.promise import profit_by_day
from aggregator.response import Observed
from retail.tariff import Tariff

STEPS = 8
DEFAULT = Tariff.make(energy=np.linspace(0.1, 0.3, STEPS), network=0.06, levy=0.02, sell=0.05)
GIVEN = {"floor": 0.08, "ceiling": 0.4, "sell": 0.05, "network": 0.06, "levy": 0.02}
BLOCKS = np.array([0, 0, 1, 1, 2, 2, 1, 0])


def rules_of(**changes):
    return TariffRules(DEFAULT, **{**GIVEN, **changes})


@pytest.mark.parametrize("seed", range(24))
def test_no_admissible_price_is_nearer_than_the_clipped_one(seed):
    rng = np.random.default_rng(seed)
    cap = rng.uniform(0.15, 0.3) if seed % 2 else None
    ramp = rng.uniform(0.01, 0.1) if seed % 3 == 0 else None
    menu = rng.uniform(0.08, 0.25, (6, STEPS))[:, BLOCKS] if seed % 4 == 3 else None
    rules = rules_of(
        average_cap=cap, ramp=None if menu is not None else ramp, blocks=BLOCKS, menu=menu,
        floor=rng.uniform(0.08, 0.12, STEPS), ceiling=rng.uniform(0.2, 0.4, STEPS) + 0.1 * (menu is not None),
    )  # fmt: skip
    if menu is not None and cap is not None:
        rules = replace(rules, average_cap=max(cap, menu.mean(axis=1).min() + 1e-4))
    wish = rng.uniform(0.0, 0.5, STEPS)
    price = rules.clip(wish)
    assert rules.admissible(price) == []
    assert (rules.clip(price) == price).all()
    assert (rules.tariff(price).buy_price == price).all()
    others = [rules.clip(rng.uniform(0.0, 0.5, STEPS)) for _ in range(50)]
    if ramp is None or menu is not None:  # flattening to a ramp is not a projection
        assert all(((price - wish) ** 2).sum() <= ((one - wish) ** 2).sum() + 1e-4 for one in others)
    prices = rules.price_set()
    assert all((one >= prices.low - 1e-9).all() and (one <= prices.high + 1e-9).all() for one in others)


@pytest.mark.parametrize("seed", range(5))
def test_how_far_prices_can_lie_apart_by_shortest_paths(seed):
    label = np.random.default_rng(seed).integers(0, 5, 12)
    graph = nx.Graph([(a, b) for a, b in zip(label[1:], label[:-1], strict=True)])
    found = farthest_change(label, 3.0)
    for t, a in enumerate(label):
        for u, b in enumerate(label):
            assert found[t, u] == 3.0 * nx.shortest_path_length(graph, a, b)
    free = farthest_change(label, np.inf)
    assert (free == np.where(label[:, None] == label, 0.0, np.inf)).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"menu": np.zeros((0, STEPS))}, "menu is empty"),
        ({"menu": []}, "menu is empty"),
        ({"menu": np.full((2, 3), 0.2)}, "menu has shape"),
        ({"menu": np.full((1, STEPS), np.nan)}, "menu tariff 0 is not finite"),
        ({"menu": np.full((1001, STEPS), 0.2)}, "menu has 1001 tariffs"),
        ({"menu": np.full((1, STEPS), 0.3), "average_cap": 0.2}, "Every tariff of the menu.*average_cap 0.2"),
        ({"menu": np.full((1, STEPS), 0.04)}, "Every tariff of the menu breaks a rule.*below the floor"),
        ({"menu": np.linspace(0.1, 0.3, STEPS)[None], "blocks": BLOCKS}, "Prices of block 0 differ"),
        ({"blocks": np.zeros(3)}, "blocks has shape"),
        ({"blocks": BLOCKS, "floor": np.linspace(0.08, 0.3, STEPS), "ceiling": np.linspace(0.1, 0.4, STEPS)}, "Block"),
        ({"average_cap": 0.04}, "average_cap 0.04 .* below the mean of the lowest admissible prices"),
        ({"ceiling": np.inf}, "ceiling is not a finite number"),
    ],
)  # fmt: skip
def test_rules_that_leave_nothing_are_refused_with_a_sentence(change, words):
    with pytest.raises(LeaderError, match=words):
        rules_of(**change).price_set()


def test_prices_off_the_menu_or_apart_in_a_block_are_named():
    rules = rules_of(menu=np.array([[0.2] * STEPS, [0.25] * STEPS]), blocks=BLOCKS)
    assert rules.admissible(np.full(STEPS, 0.25)) == []
    assert "0.010000 $/kWh away from the nearest tariff of the menu" in " ".join(rules.admissible(np.full(STEPS, 0.26)))
    assert "Prices of block 1 differ" in " ".join(rules.admissible(np.where(np.arange(STEPS) == 2, 0.2, 0.25)))


def given(rng, days):
    fixed = {"sell": np.full(STEPS, 0.05), "charges": np.full(STEPS, 0.02)}
    return {**fixed, "wholesale": rng.uniform(0.0, 0.12, (days, STEPS))}


def earned(followers, price, terms):
    response = followers.solve(price, terms["sell"])
    return profit_by_day(response, price - terms["charges"], terms["sell"], terms["wholesale"]).mean(), response.mean


@pytest.mark.parametrize("seed", range(3))
def test_bound_and_exact_model_over_a_menu_by_trying_every_tariff(draw, seed):
    rng = np.random.default_rng(seed)
    followers = BestResponse(draw(rng, steps=STEPS, days=1, prosumers=2, batteries=1, rho=0.03))
    terms = given(rng, 1)
    prices = rules_of(menu=rng.uniform(0.1, 0.3, (5, STEPS))).price_set()
    bound = decoupled_bound(followers, prices, **terms)
    tried = [earned(followers, price, terms) for price in prices.menu]
    assert bound.best_profit == max(profit for profit, _ in tried)
    assert bound.value == max(cost for _, cost in tried) - bound.first_best
    exact = SingleLevelModel(followers, prices, **terms, mip_gap=1e-6).solve(start=bound.best_price)
    assert np.abs(prices.menu - exact.price).max(axis=1).min() < 1e-6
    assert exact.bound >= bound.best_profit - 1e-6
    assert exact.promised == pytest.approx(bound.best_profit, abs=0.03 * 2 * 1.5**2 / 24**2 * STEPS * 2 + 1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_bound_over_blocks_is_that_of_the_prices_of_the_blocks(draw, seed):
    rng = np.random.default_rng(seed)
    followers = BestResponse(draw(rng, steps=STEPS, days=2, rho=0.03))
    terms = given(rng, 2)
    prices = rules_of(blocks=BLOCKS, average_cap=0.25, ramp=0.1 if seed % 2 else None).price_set()
    bound = decoupled_bound(followers, prices, **terms)
    assert all(np.ptp(bound.price[label == BLOCKS]) < 1e-9 for label in range(3))
    loose = decoupled_bound(followers, rules_of(average_cap=0.25).price_set(), **terms)
    assert bound.value <= loose.value + 1e-3 * abs(loose.value)
    for _ in range(10):
        price = prices.clip(rng.uniform(0.05, 0.45, STEPS))
        assert earned(followers, price, terms)[0] <= bound.value + 1e-6


@pytest.mark.parametrize("seed", range(4))
def test_a_step_keeps_blocks_together_and_picks_the_best_of_a_menu(seed):
    rng = np.random.default_rng(seed)
    root = rng.normal(0, 1, (1, STEPS, STEPS))
    slope = -root @ np.swapaxes(root, 1, 2)
    centre, flows = np.full(STEPS, 0.2), rng.uniform(0, 1, (2, 1, STEPS))
    seen = Observed(centre, *flows, np.zeros(1), rng.uniform(0, 0.1, (1, STEPS)), np.zeros((1, STEPS)))
    model = Local(seen, slope, np.zeros_like(slope), 0.05)
    money = {"sell": np.full(STEPS, 0.05), "charges": np.zeros(STEPS)}
    linear, bend = quadratic(model, **money)

    def gain(price):
        return linear @ (price - centre) + (price - centre) @ bend @ (price - centre)

    tied = PriceSet(np.full(STEPS, 0.1), np.full(STEPS, 0.3), None, None, BLOCKS)
    price, worth = best_step(model, tied, **money, radius=0.05)
    assert worth == pytest.approx(gain(price), abs=1e-9)
    assert all(np.ptp(price[label == BLOCKS]) < 1e-9 for label in range(3))
    for _ in range(200):
        other = centre + rng.uniform(-0.05, 0.05, 3)[BLOCKS]
        assert gain(other) <= worth + 1e-7
    menu = np.concatenate([centre[None], rng.uniform(0.1, 0.3, (7, STEPS))])
    listed = PriceSet(menu.min(axis=0), menu.max(axis=0), None, None, None, menu)
    price, worth = best_step(model, listed, **money, radius=1.0)
    assert worth == pytest.approx(max(gain(one) for one in menu))
    price, _ = best_step(model, listed, **money, radius=1e-6)  # only the nearest is within reach
    nearest = menu[1 + np.abs(menu[1:] - centre).max(axis=1).argmin()]
    assert (price == centre).all() or (price == nearest).all()


@pytest.mark.parametrize("name", sorted(set(aggregator.LEADERS) - {"fixed", "learned"}))
def test_every_leader_keeps_to_a_menu_and_to_blocks(make_view, name):
    menu = np.array([[0.16] * STEPS, [0.2] * STEPS, np.linspace(0.15, 0.3, STEPS)])
    small = {"steps": STEPS, "days": 1, "prosumers": 2, "batteries": 1, "rho": 0.03}
    view = make_view(np.random.default_rng(0), **small, rules={"menu": menu})
    offer = aggregator.leader(name).offer(view)
    assert view.rules.admissible(offer.tariff.buy_price) == []
    tied = make_view(np.random.default_rng(0), **small, rules={"blocks": BLOCKS})
    offer = aggregator.leader(name).offer(tied)
    assert tied.rules.admissible(offer.tariff.buy_price) == []
    if name == "search":  # it tries every tariff of a menu, so none earns more
        best = aggregator.leader("stackelberg", method="bound").offer(view)
        assert aggregator.leader(name).offer(view).promised == pytest.approx(best.promised)


def test_negative_retail_prices_leave_the_bound_uncertified_and_the_offer_says_so(make_view):
    rules = {"floor": -0.1, "sell": -0.2, "network": 0.0, "levy": 0.0, "ceiling": 0.1, "average_cap": 0.02}
    default = Tariff.make(energy=np.full(STEPS, 0.05), sell=-0.2)
    view = make_view(np.random.default_rng(1), steps=STEPS, rho=0.03, rules={"default": default, **rules})
    offer = aggregator.leader("stackelberg", method="bound").offer(view)
    assert offer.bound is None
    assert "no bound: negative prices would pay for wasting energy" in offer.method
