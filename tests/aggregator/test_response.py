"""Response models and the search on them, against programs solved afresh and the exact single-level optimum."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import LinearConstraint, minimize

from aggregator.bilevel import SingleLevelModel
from aggregator.bound import decoupled_bound
from aggregator.concave import maximise
from aggregator.local_response import Local, best_step, quadratic
from aggregator.portfolio import BestResponse, Portfolio, PortfolioError
from aggregator.price_set import PriceSet
from aggregator.promise import profit_by_day
from aggregator.response import Observed, Structural, _Fit, _used, calibrated, semidefinite
from aggregator.trust_region import Search, Terms, Trial, damped_price, paired_error

STEPS = 8
SELL, CHARGES = np.full(STEPS, 0.05), np.full(STEPS, 0.02)


def world(draw, seed, days=2, **changes):
    rng = np.random.default_rng(seed)
    portfolio = draw(rng, days=days, prosumers=4, steps=STEPS, batteries=2, rho=0.03, equal=True, **changes)
    portfolio = portfolio.change(fixed_kwh=portfolio.fixed_kwh + 0.8)  # homes that need more than they make
    wholesale = rng.uniform(0.02, 0.12, (days, STEPS))
    prices = PriceSet(np.full(STEPS, 0.08), np.full(STEPS, 0.36), 0.23, None)
    return rng, portfolio, wholesale, prices


def simulated(portfolio, price, wholesale, impact=0.0):
    response = BestResponse(portfolio).solve(price, SELL[0] + 0 * price)
    profit = profit_by_day(response, price - CHARGES[0], SELL[0] + 0 * price, wholesale)
    slope = np.full(wholesale.shape, impact)
    return Observed(price, response.total_importing, response.total_exporting, profit, wholesale, slope)


@pytest.mark.parametrize("pooled", [True, False])
def test_structural_slopes_foretell_small_changes(draw, pooled):
    """Oracle: the programs solved at the other price. Import slopes are symmetric because v is concave."""
    rng, portfolio, _, _ = world(draw, 1, pooled=pooled)
    model, price = Structural(portfolio, SELL), rng.uniform(0.1, 0.3, STEPS)
    guess = model.predict(price)
    missed_by = []
    for t in range(STEPS):
        step = np.where(np.arange(STEPS) == t, -5e-5, 0.0)
        importing, exporting = model.answer(price + step)
        missed = np.abs(importing - guess.importing - guess.import_slope @ step).max()
        exported = np.abs(exporting - guess.exporting - guess.export_slope @ step).max()
        missed = max(missed, exported)
        missed_by.append(missed / (np.abs(importing - guess.importing).max() + 1e-9))
    assert np.median(missed_by) <= 0.1, missed_by  # piecewise linear: some difference quotients span a corner
    np.testing.assert_allclose(guess.import_slope, np.swapaxes(guess.import_slope, 1, 2), atol=1e-9)
    np.testing.assert_allclose(guess.jacobian, guess.import_slope - guess.export_slope)
    assert np.linalg.eigvalsh(guess.import_slope).max() <= 1e-9


def test_structural_refuses_linear_followers_and_bends_them(draw):
    portfolio = draw(np.random.default_rng(0), steps=STEPS)
    with pytest.raises(PortfolioError, match="no quadratic wear"):
        Structural(portfolio, SELL)
    assert Structural.bent(portfolio, SELL).portfolio.wear_quadratic.min() == 0.03


def test_few_days_stand_for_all(draw):
    _, portfolio, _, prices = world(draw, 3, days=5)
    price = prices.clip(np.full(STEPS, 0.2))
    few = Structural(portfolio, SELL, slope_days=2).predict(price)
    every = Structural(portfolio, SELL).predict(price)
    assert few.import_slope.shape == every.import_slope.shape
    np.testing.assert_allclose(few.import_slope[3], every.import_slope[[0, 4]].mean(axis=0), atol=1e-6)
    np.testing.assert_array_equal(few.importing, every.importing)


def test_nearest_semidefinite_matrix():
    """Higham's theorem: no other symmetric negative semidefinite matrix is nearer."""
    rng = np.random.default_rng(5)
    slope = rng.normal(size=(6, 6))
    best = semidefinite(slope)
    assert np.linalg.eigvalsh(best).max() <= 1e-12
    distance = np.linalg.norm(slope - best)
    for _ in range(200):
        half = rng.normal(size=(6, 6)) * rng.uniform(0.0, 1.0)
        assert np.linalg.norm(slope + half @ half.T) >= distance - 1e-9
        assert np.linalg.norm(slope - (best - 0.01 * half @ half.T)) >= distance - 1e-9
    np.testing.assert_allclose(semidefinite(best), best, atol=1e-12)


def test_broyden_explains_what_was_seen_and_changes_nothing_across(draw):
    rng, portfolio, wholesale, prices = world(draw, 4)
    price = prices.clip(np.full(STEPS, 0.2))
    at, other = (simulated(portfolio, p, wholesale) for p in (price, price + 0.01 * rng.normal(size=STEPS)))
    model = Local(at, rng.normal(size=(2, STEPS, STEPS)), rng.normal(size=(2, STEPS, STEPS)), 0.02)
    learned, step = model.learned(other), other.price - at.price
    np.testing.assert_allclose(at.importing + learned.import_slope @ step, other.importing, atol=1e-12)
    np.testing.assert_allclose(at.exporting + learned.export_slope @ step, other.exporting, atol=1e-12)
    across = rng.normal(size=STEPS)
    across -= step * (across @ step) / (step @ step)
    np.testing.assert_allclose(learned.import_slope @ across, model.import_slope @ across, atol=1e-9)
    assert 0.0 < model.irrational <= 1.0
    assert model.learned(at) is model


def test_the_quadratic_is_the_profit_of_the_predicted_response(draw):
    rng, portfolio, wholesale, prices = world(draw, 6)
    at = simulated(portfolio, prices.clip(np.full(STEPS, 0.2)), wholesale, impact=0.004)
    guess = Structural(portfolio, SELL).predict(at.price)
    model = Local(at, guess.import_slope, guess.export_slope, 0.02)
    linear, bend = quadratic(model, sell=SELL, charges=CHARGES)
    for _ in range(5):
        step = 0.02 * rng.normal(size=STEPS)
        then = model.predict(at.price + step)
        price = wholesale + at.impact * (then.net - at.net)
        profit = ((at.price + step - CHARGES) * then.importing - SELL * then.exporting - price * then.net).sum(axis=1)
        assert linear @ step + step @ bend @ step == pytest.approx((profit - at.profit).mean(), abs=1e-9)


@pytest.mark.parametrize("seed", range(12))
def test_the_step_is_the_best_admissible_one(seed):
    """Oracle: SciPy's trust-constr on the same concave program."""
    rng = np.random.default_rng(seed)
    half = rng.normal(size=(STEPS, int(rng.integers(1, STEPS)))) * rng.uniform(1, 15)
    prices = PriceSet(np.full(STEPS, 0.1), np.full(STEPS, 0.3), (0.2, None)[seed % 2], (None, 0.03)[seed % 3 == 0])
    centre = prices.clip(np.full(STEPS, 0.2))
    flows = rng.uniform(0.0, 20.0, (2, 1, STEPS))
    at = Observed(centre, flows[0], flows[1], np.zeros(1), rng.uniform(0.0, 0.3, (1, STEPS)), np.zeros((1, STEPS)))
    model = Local(at, -(half @ half.T)[None], rng.normal(size=(1, STEPS, STEPS)), 0.02)
    price, gain = best_step(model, prices, sell=SELL, charges=CHARGES, radius=0.02)
    linear, bend = quadratic(model, sell=SELL, charges=CHARGES)
    assert np.abs(price - centre).max() <= 0.02 + 1e-12
    assert prices.mean_cap is None or price.mean() <= prices.mean_cap + 1e-9
    assert prices.ramp is None or np.abs(np.diff(price)).max() <= prices.ramp + 1e-9
    rows, low, high = [np.eye(STEPS)], [np.full(STEPS, -0.02)], [np.full(STEPS, 0.02)]
    if prices.mean_cap is not None:
        rows, low, high = (
            [*rows, np.full((1, STEPS), 1 / STEPS)],
            [*low, [-1.0]],
            [*high, [prices.mean_cap - centre.mean()]],
        )
    if prices.ramp is not None:
        rows.append(np.diff(np.eye(STEPS), axis=0))
        low.append(-0.03 - np.diff(centre))
        high.append(0.03 - np.diff(centre))
    found = minimize(
        lambda s: -(linear @ (0.01 * s) + 1e-4 * s @ bend @ s), np.zeros(STEPS),
        jac=lambda s: -(0.01 * linear + 2e-4 * bend @ s), method="SLSQP",
        constraints=LinearConstraint(0.01 * np.concatenate(rows), np.concatenate(low), np.concatenate(high)),
        options={"ftol": 1e-12, "maxiter": 500},
    )  # fmt: skip
    assert gain == pytest.approx(-found.fun, rel=1e-4, abs=1e-6)


def test_maximise_on_limits_without_interior():
    """A centre on the cap with everything at its floor may only stay."""
    rows, limit = np.concatenate([np.eye(2), -np.eye(2), np.ones((1, 2))]), np.array([1.0, 1.0, 0.0, 0.0, 0.0])
    np.testing.assert_allclose(maximise(np.ones(2), -np.eye(2), rows, limit), 0.0, atol=1e-4)


@pytest.mark.parametrize("pooled", [True, False])
def test_the_error_of_a_choice_is_that_of_the_programs_one_by_one(draw, pooled):
    rng, portfolio, wholesale, prices = world(draw, 8, days=2, pooled=pooled)
    seen = [simulated(portfolio, prices.clip(rng.uniform(0.08, 0.36, STEPS)), wholesale) for _ in range(3)]
    clusters, model = np.array([0, 1, 2, 2]), Structural(portfolio, SELL, import_bias=0.1, export_bias=0.03)
    fit = _Fit(model, seen, clusters)
    for chosen in ({0: (0.5, 2.0), 2: (0.25, 1.0)}, {0: (0.5, 2.0)}, {1: (0.0, 1.0), 2: (0.25, 1.0)}):
        one = replace(model, portfolio=_used(portfolio, clusters, chosen))
        nets = [np.subtract(*one.answer(o.price)) - o.net for o in seen]
        assert fit.error(chosen) == pytest.approx(np.sqrt(np.mean(np.square(nets))), rel=1e-6)


def test_calibration_finds_how_much_of_the_stores_is_used(draw):
    rng, portfolio, wholesale, prices = world(draw, 7, days=3, pooled=False)
    clusters = np.array([0, 1, 2, 2])
    half = np.where(clusters == 1, 0.5, 1.0)
    true = portfolio.change(
        charge=half * portfolio.charge, discharge=half * portfolio.discharge,
        store_min=portfolio.start - half * (portfolio.start - portfolio.store_min),
        store_max=portfolio.start + half * (portfolio.store_max - portfolio.start),
    )  # fmt: skip
    seen = [simulated(true, prices.clip(rng.uniform(0.08, 0.36, STEPS)), wholesale) for _ in range(4)]
    model, error = calibrated(Structural(portfolio, SELL), seen, clusters)
    assert error < 0.01
    np.testing.assert_allclose(model.portfolio.charge, true.charge)
    exact, right = calibrated(Structural(true, SELL), seen, clusters)
    assert right < 1e-6
    assert exact.portfolio is true
    # whatever the programs say, the last observation is met
    wrong = Structural(portfolio.change(charge=0.3 * portfolio.charge), SELL).matched(seen[-1])
    np.testing.assert_allclose(wrong.predict(seen[-1].price).net, seen[-1].net, atol=1e-6)


def searched(portfolio, wholesale, prices, start, budget=40, **terms):
    sell, charges = SELL[0] + 0 * prices.low, CHARGES[0] + 0 * prices.low
    queue = (Trial(prices.clip(start), "start"),)
    search = Search(Terms(**terms), Structural(portfolio, sell), np.zeros(4, int), sell, charges, False, queue)
    bound = decoupled_bound(BestResponse(portfolio), prices, sell=sell, charges=charges, wholesale=wholesale)
    simulations, profits = 0, []
    while simulations < budget:
        search, trial = search.propose(prices)
        if trial is None:
            return search, simulations, profits
        search, _ = search.learn(trial, simulated(portfolio, trial.price, wholesale))
        simulations += 1
        profits.append(float(search.centre.profit.mean()))
        if simulations == 1:
            search = search.with_proposal(prices, [bound.price, prices.high])
    raise AssertionError(f"no rest within {budget} simulations")


def day(seed, count=4):
    """Homes over 24 hours, each alone, every other one with a battery of its own size, one day."""
    rng, steps = np.random.default_rng(seed), 24
    load = rng.uniform(0.2, 1.2, (1, count, steps))
    load[:, :, 17:21] += rng.uniform(0.3, 1.5, (1, count, 4))
    sun = np.clip(np.sin((np.arange(steps) - 6) / 12 * np.pi), 0, None)
    pv = sun * rng.uniform(0, 3, (1, count, 1)) * (rng.random(count) < 0.6)[:, None]
    has = np.arange(count) % 2 == 0
    size, rate = has * rng.uniform(4, 12, count), 2.5 * has
    homes = Portfolio(load - pv, 0.0, size, 2.0 * has, rate, rate, 0.95, 0.95, 0.0, 0.03, pooled=False)
    wholesale = rng.uniform(0.03, 0.1, (1, steps))
    wholesale[:, 17:21] += 0.08
    return rng, homes, wholesale, PriceSet(np.full(steps, 0.1), np.full(steps, 0.36), 0.23, None)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)])
def test_the_search_delivers_what_the_exact_model_delivers(seed):
    """Four followers, rho = 0.03, five starts: within 0.5 % of the delivered KKT optimum in <= 40 simulations."""
    rng, portfolio, wholesale, prices = day(seed)
    given = {"sell": np.full(24, 0.05), "charges": np.full(24, 0.02), "wholesale": wholesale}
    followers = BestResponse(portfolio)
    bound = decoupled_bound(followers, prices, **given)
    model = SingleLevelModel(followers, prices, **given, mip_gap=1e-3)
    exact = model.solve(start=prices.clip(bound.best_price))
    best = simulated(portfolio, prices.clip(exact.price), wholesale).profit.mean()
    starts = [prices.low, prices.high, np.linspace(0.1, 0.36, 24), rng.uniform(0.1, 0.36, 24), bound.price]
    for start in starts if seed else starts[-2:]:
        search, simulations, profits = searched(portfolio, wholesale, prices, start)
        assert profits == sorted(profits)
        assert search.done
        assert simulations <= 40
        assert search.centre.profit.mean() >= best - 0.005 * abs(best)
        assert search.centre.profit.mean() <= exact.bound + 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("count", [4, 20, 60, 300])
def test_the_certified_global_gap_is_at_most_five_percent(count, seed):
    """Exact regularised followers: what the search delivers against the decoupled bound."""
    _, portfolio, wholesale, prices = day(seed, count)
    sell, charges = np.full(24, 0.05), np.full(24, 0.02)
    bound = decoupled_bound(BestResponse(portfolio), prices, sell=sell, charges=charges, wholesale=wholesale)
    assert bound.certified
    queue = (Trial(prices.clip(bound.best_price), "start"), Trial(prices.clip(bound.price), "probe"))
    clusters = np.zeros(count, int)
    search = Search(Terms(), Structural(portfolio, sell), clusters, sell, charges, False, queue)
    for _ in range(12 if count < 300 else 6):
        search, trial = search.propose(prices)
        if trial is None:
            break
        search, _ = search.learn(trial, simulated(portfolio, trial.price, wholesale))
    gap = (bound.value - search.centre.profit.mean()) / bound.value
    assert -1e-9 <= gap <= 0.05, f"{count} homes, community {seed}: certified gap {gap:.2%}"


def test_noise_must_be_exceeded_and_cycles_are_left(draw):
    _, portfolio, wholesale, prices = world(draw, 9, days=2)
    search, _, _ = searched(portfolio, wholesale, prices, np.full(STEPS, 0.2))
    begun = replace(search, done="", noisy=True, radius=0.02)
    centre = begun.centre
    trial = Trial(prices.clip(centre.price - 0.01), "step", 0.1)
    uneven = replace(centre, price=trial.price, profit=centre.profit + np.array([1.0, -0.9]))
    assert not begun.learn(trial, uneven)[1].accepted
    assert begun.learn(trial, uneven)[1].error == pytest.approx(0.95)
    assert begun.learn(trial, replace(uneven, profit=centre.profit + 0.05))[1].accepted
    # profits that go up and down and up are a cycle: half the radius, its mean next
    state = replace(begun, noisy=False, points=((1,) * STEPS, (3,) * STEPS))
    for change in (0.05, -0.05, 0.05, -0.05, 0.05):
        before = state.radius
        state, _ = state.learn(trial, replace(uneven, profit=state.centre.profit + change))
    assert state.aside is not None
    assert state.aside.kind == "cycle"
    assert state.radius < before


def test_wholesale_prices_are_damped_where_they_move():
    old = np.full((1, 4), 0.1)
    np.testing.assert_allclose(damped_price(old, 1.2 * old), 1.1 * old)
    np.testing.assert_allclose(damped_price(old, 1.01 * old), 1.01 * old)
    assert paired_error(np.array([1.0])) == 0.0
    assert paired_error(np.array([1.0, 3.0])) == pytest.approx(1.0)
