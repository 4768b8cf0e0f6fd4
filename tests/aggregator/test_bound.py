import numpy as np
import pytest

from aggregator.bilevel import SingleLevelModel, count_binaries
from aggregator.bound import decoupled_bound
from aggregator.portfolio import BestResponse, PortfolioError, optimum
from aggregator.price_set import PriceSet
from aggregator.promise import profit_by_day

CHARGE = 0.02


def instance(draw, flexible, seed, prosumers, blocks=()):
    """Homes with PV, batteries and deferrable loads; caps, ramps, menus, both ends of the day, pooled and lonely."""
    rng = np.random.default_rng(seed)
    steps = int(rng.integers(6, 8))
    high = np.round(rng.uniform(0.16, 0.36, steps), 5)
    cap = np.floor(0.8 * high.mean() * steps * 1e5) / steps / 1e5 if seed % 3 else None
    ramp = None
    if seed % 4 == 3:
        high, ramp = np.full(steps, 0.3), 0.06
    rho = (0.0, 0.03)[seed % 2]
    p = draw(
        rng, steps=steps, days=1 + seed % 5 // 4, prosumers=prosumers, batteries=1 + seed % prosumers, rho=rho,
        storage_end=("restore", "value")[seed // 2 % 2], pooled=seed % 3 != 2, equal=seed % 7 > 2,
        reservoirs=flexible(rng, homes=prosumers, steps=steps, curve=rho), wear_blocks=blocks,
    )  # fmt: skip
    given = {"sell": np.full(steps, 0.05), "charges": np.full(steps, CHARGE)}
    given["wholesale"] = rng.uniform(0.0, 0.12, (p.days, steps))
    prices = PriceSet(np.full(steps, 0.06), high, cap, ramp)
    if seed % 5 == 3:
        menu = np.array([prices.clip(rng.uniform(0.06, 0.36, steps)) for _ in range(6)])
        prices = PriceSet(menu.min(axis=0), menu.max(axis=0), None, None, None, menu)
    return rng, BestResponse(p), prices, given


def earned(followers, price, given):
    response = followers.solve(price, given["sell"])
    return profit_by_day(response, price - given["charges"], given["sell"], given["wholesale"]).mean(), response


def check_chain(draw, flexible, seed, prosumers, mip_gap, blocks=()):
    """Delivered <= MILP bound <= decoupled bound <= first best on one instance; whether its cap or menu binds."""
    rng, followers, prices, given = instance(draw, flexible, seed, prosumers, blocks)
    bound = decoupled_bound(followers, prices, **given)
    assert bound.certified
    assert bound.best_profit <= bound.value + 1e-6
    model = SingleLevelModel(followers, prices, **given, mip_gap=mip_gap, node_limit=10)
    assert model.binaries <= count_binaries(followers) + (0 if prices.menu is None else len(prices.menu))
    exact = model.solve(start=prices.clip(bound.best_price))
    assert exact.audit == ()
    promised, _ = earned(followers, prices.clip(exact.price), given)
    assert promised <= exact.bound + 1e-5
    assert exact.promised <= exact.bound + 1e-9
    assert exact.bound <= bound.value + 1e-3 * abs(bound.value) + 1e-5  # both are cut off at a relative gap of 1e-3
    first_best = followers.solve(prices.high, given["sell"]).mean - bound.first_best
    assert bound.value <= first_best + 1e-6
    # no admissible price beats the bounds
    for _ in range(5):
        price = prices.clip(rng.uniform(prices.low, prices.high))
        profit, _ = earned(followers, price, given)
        assert profit <= min(bound.value, exact.bound) + 1e-5
    if prices.menu is not None:
        free = PriceSet(prices.low, prices.high, None, None)
        return decoupled_bound(followers, free, **given).value > bound.value + 1e-3 * abs(bound.value)
    return prices.mean_cap is not None and exact.price.mean() >= prices.mean_cap - 1e-6


@pytest.mark.parametrize("seed", range(12))
def test_the_chain_of_bounds(draw, flexible, seed):
    check_chain(draw, flexible, seed, 1 + seed % 2, 3e-2)


@pytest.mark.slow
def test_the_chain_on_two_hundred_instances_of_four_homes(draw, flexible):
    binding = sum(check_chain(draw, flexible, seed, 4, 3e-2) for seed in range(200))
    assert binding >= 40


BLOCKS = (((0.4, 0.01), (1.0, 0.05)), ((0.2, 0.0), (0.5, 0.03), (1.0, 0.2)))


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_the_chain_with_wear_in_blocks(draw, flexible, seed):
    check_chain(draw, flexible, seed, 1, 3e-2, BLOCKS[seed // 2 % 2])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(24))
def test_the_chain_with_wear_in_blocks_on_more_homes(draw, flexible, seed):
    check_chain(draw, flexible, seed, 2, 3e-2, BLOCKS[seed // 2 % 2])


def check_fixed_prices(draw, flexible, seed, prosumers, count):
    """The exact model at a fixed price has the followers' own answer: never infeasible, same net load and profit."""
    rng, followers, prices, given = instance(draw, flexible, seed, prosumers)
    model = SingleLevelModel(followers, prices, **given, mip_gap=1e-6)
    rho = followers.portfolio.wear_quadratic[0]
    for _ in range(count):
        price = prices.clip(rng.uniform(prices.low, prices.high))
        found = model.solve(fixed=price)
        profit, response = earned(followers, price, given)
        assert found.price == pytest.approx(price, abs=0)
        assert found.audit == ()
        if rho:  # unique response
            assert found.net == pytest.approx(response.net, abs=1e-4)
            assert found.promised == pytest.approx(profit, abs=rho * 2 * 1.5**2 / 24**2 * 12 * 2 + 1e-5)
        assert found.promised >= profit - 1e-5  # ties and tangents only flatter


@pytest.mark.parametrize("seed", [1, 2, 3, 5, 7, 8])
def test_the_conditions_at_a_fixed_price_return_the_followers_own_optimum(draw, flexible, seed):
    check_fixed_prices(draw, flexible, seed, 1, 2)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(25))
def test_the_conditions_at_a_hundred_fixed_prices(draw, flexible, seed):
    check_fixed_prices(draw, flexible, seed, 2, 4)


def test_a_grid_of_flat_prices_stays_below_the_bound(draw):
    rng = np.random.default_rng(1)
    p = draw(rng, steps=6, days=1, prosumers=1, batteries=1, rho=0.03)
    given = {"sell": np.full(6, 0.05), "charges": np.full(6, CHARGE), "wholesale": rng.uniform(0, 0.12, (1, 6))}
    prices = PriceSet(np.full(6, 0.06), np.full(6, 0.3), None, 0.0)  # ramp 0 = one flat price
    followers = BestResponse(p)
    bound = decoupled_bound(followers, prices, **given)
    exact = SingleLevelModel(followers, prices, **given).solve()
    grid = [earned(followers, np.full(6, price), given)[0] for price in np.arange(0.06, 0.3001, 0.01)]
    assert max(grid) <= exact.bound + 1e-6
    assert max(grid) <= bound.value + 1e-6
    assert exact.promised >= max(grid) - 1e-3 * abs(exact.promised)
    assert np.ptp(bound.price) < 1e-9


def test_the_bound_holds_with_a_fee_and_for_lonely_followers(draw):
    rng = np.random.default_rng(2)
    for changes in ({"fee": 0.02}, {"pooled": False}, {"fee": 0.02, "wear_quadratic": 0.03}):
        followers = BestResponse(draw(rng, steps=6, **changes))
        given = {"sell": np.full(6, 0.05), "charges": np.full(6, CHARGE), "wholesale": rng.uniform(0, 0.12, (2, 6))}
        prices = PriceSet(np.full(6, 0.06), np.full(6, 0.3), 0.2, None)
        bound = decoupled_bound(followers, prices, **given)
        assert bound.gap < 1e-3
        for _ in range(5):
            price = prices.clip(rng.uniform(0.06, 0.3, 6))
            assert earned(followers, price, given)[0] <= bound.value + 1e-6


def test_the_bound_is_valid_after_one_cut(draw):
    rng = np.random.default_rng(3)
    followers = BestResponse(draw(rng, steps=6, rho=0.03))
    given = {"sell": np.full(6, 0.05), "charges": np.full(6, CHARGE), "wholesale": rng.uniform(0, 0.12, (2, 6))}
    prices = PriceSet(np.full(6, 0.06), np.full(6, 0.3), 0.2, 0.05)
    values = [decoupled_bound(followers, prices, **given, cuts=cuts).value for cuts in (1, 3, 60)]
    assert values[0] >= values[1] - 1e-9 >= values[2] - 2e-9


def test_negative_feed_in_prices_leave_no_certificate(draw):
    followers = BestResponse(draw(np.random.default_rng(4), steps=6))
    given = {"sell": np.full(6, -0.4), "charges": np.zeros(6), "wholesale": np.zeros((2, 6))}
    prices = PriceSet(np.full(6, 0.06), np.full(6, 0.3), None, None)
    assert not decoupled_bound(followers, prices, **given).certified


def test_what_the_models_refuse(draw):
    p = draw(np.random.default_rng(5), steps=6, fee=0.02)
    prices = PriceSet(np.full(6, 0.06), np.full(6, 0.3), None, None)
    given = {"sell": np.full(6, 0.05), "charges": np.full(6, CHARGE), "wholesale": np.zeros((2, 6))}
    with pytest.raises(PortfolioError, match="fee"):
        SingleLevelModel(BestResponse(p), prices, **given)
    with pytest.raises(PortfolioError, match="charges >= 0"):
        decoupled_bound(BestResponse(p), prices, **{**given, "charges": np.full(6, -0.01)})
    with pytest.raises(PortfolioError, match="cuts"):
        decoupled_bound(BestResponse(p), prices, **given, cuts=0)
    assert optimum(p, 0.3 + np.zeros(6), given["sell"]).mean > 0.0
