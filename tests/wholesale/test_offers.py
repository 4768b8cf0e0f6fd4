"""Break points, hourly limits and profiles in every market."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from wholesale import Bid, Line, System, SystemInvalid, Unit, case, market
from wholesale.offers import offers, piecewise

BENT = Unit("bent", "A", 5.0, 90.0, (0.01, 2.0, 7.0), ((10.0, 50.0), (40.0, 350.0), (60.0, 650.0)))


def zone(units, loads, **more):
    return System("zone", ("A",), tuple(units), (), np.array(loads, float)[:, None], **more)


def test_cost_of_break_points():
    mw = np.array([5.0, 10.0, 25.0, 40.0, 50.0, 60.0, 90.0])
    assert piecewise(BENT, mw) == pytest.approx([0, 50, 200, 350, 500, 650, 1100])
    system = zone([BENT], [50.0])
    total = 0.01 * mw**2 + 2 * mw + 7 + piecewise(BENT, mw)
    assert system.generation_cost(mw[:, None]) == pytest.approx(total)


@pytest.mark.parametrize("name", ["merit-order", "dc-opf"])
def test_bent_unit_against_brute_force(name):
    other = Unit("other", "A", 0.0, 80.0, (0.05, 9.0, 0.0))
    loads = np.linspace(12, 160, 30)
    system = zone([BENT, other], loads)
    clearing = market(name).clear(system)
    for t, load in enumerate(loads):
        tried = np.linspace(max(5.0, load - 80), min(90.0, load), 4001)
        cost = system.generation_cost(np.stack([tried, load - tried], axis=1))
        assert clearing.cost[t] <= cost.min() + 1e-6
        assert clearing.cost[t] == pytest.approx(cost.min(), abs=5e-2)
        assert clearing.dispatch[t].sum() == pytest.approx(load)


def test_pieces_fill_in_order():
    cut = offers(zone([BENT], [50.0]))
    assert cut.low[0] == pytest.approx([5, 0])  # equal slopes are one piece; here 10 and 15 $/MWh
    assert cut.high[0] == pytest.approx([40, 50])
    assert cut.a == pytest.approx([12.0, 2 + 15 + 2 * 0.01 * 40])
    assert (np.diff(cut.a) > 0).all()


@pytest.mark.parametrize(
    ("points", "sentence"),
    [
        (((0.0, 0.0),), "at least two"),
        (((0.0, 0.0), (10.0, 100.0), (5.0, 200.0)), "widths must be > 0"),
        (((0.0, 0.0), (10.0, 100.0), (20.0, 150.0)), "slopes must not fall"),
        (((0.0, 0.0), (float("nan"), 100.0)), "not finite"),
    ],
)
def test_bad_break_points(points, sentence):
    with pytest.raises(SystemInvalid, match=sentence):
        zone([Unit("g", "A", 0.0, 30.0, (0.0, 0.0, 0.0), points)], [10.0])


def test_profiles_bound_units_in_every_market():
    units = (Unit("wind", "A", 0.0, 50.0, (0.0, 0.0, 0.0)), Unit("gas", "B", 0.0, 90.0, (0.0, 40.0, 0.0)))
    system = System("windy", ("A", "B"), units, (Line("l", "A", "B", x=0.1),), [[0.0, 60.0]])
    windy = system.with_profiles(load={"B": [60, 60, 20]}, available={"wind": [50, 10, 30]})
    assert system.hours == 1 and windy.hours == 3
    for name in ("merit-order", "dc-opf", "unit-commitment"):
        clearing = market(name, voll=500.0).clear(windy)
        assert clearing.dispatch == pytest.approx(np.array([[50, 10], [10, 50], [20, 0]]), abs=1e-6)
        assert clearing.lmp[:, 1] == pytest.approx([40, 40, 0])
    last = windy.at(np.array([2, 0]))
    assert market("dc-opf").clear(last).dispatch == pytest.approx(np.array([[20, 0], [50, 10]]), abs=1e-6)


def test_bad_profiles():
    system = case("pjm5")
    with pytest.raises(ValueError, match=r"lengths \[2, 3\]"):
        system.with_profiles(load={"B": [1, 2]}, available={"Alta": [1, 2, 3]})
    with pytest.raises(ValueError, match="Did you mean 'Alta'"):
        system.with_profiles(available={"Alto": [1.0]})
    with pytest.raises(ValueError, match="Unknown bus 'Q'"):
        system.with_profiles(load={"Q": [1.0]})
    with pytest.raises(SystemInvalid, match="offers 50 MW in hour 1, above its p_max of 40 MW"):
        system.with_profiles(available={"Alta": [10, 50]})
    with pytest.raises(SystemInvalid, match="limits p_ceiling"):
        System("s", system.buses, system.units, system.lines, system.loads, p_ceiling=[[1.0, np.nan, 1, 1, 1]])
    with pytest.raises(SystemInvalid, match="must give at least 30 MW in hour 0 but can give 20 MW"):
        zone([Unit("g", "A", 30.0, 50.0, (0.0, 1.0, 0.0))], [10.0], p_ceiling=[[20.0]])


def test_thousand_random_books_against_linprog():
    rng = np.random.default_rng(0)
    hours = 1000
    units = tuple(
        Unit(f"g{g}", "A", 0.0, 60.0, (0.0, float(price), 0.0)) for g, price in enumerate([5, 10, 10, 20, 35])
    )
    ceiling = rng.integers(0, 61, (hours, 5)).astype(float)
    mw = rng.integers(-40, 41, (hours, 4)).astype(float)
    value = rng.choice([5.0, 10.0, 15.0, 20.0, 50.0], (hours, 4))
    load = rng.integers(-20, 200, hours).astype(float)
    bids = [Bid("A", mw[:, k], value[:, k], name=f"b{k}") for k in range(4)]
    clearing = market("merit-order", voll=300.0).clear(zone(units, load, p_ceiling=ceiling), bids)
    price = np.array([unit.cost[1] for unit in units])
    for t in range(hours):
        cost = np.concatenate([price, -value[t], [300.0, 300.0]])
        bounds = [(0, c) for c in ceiling[t]] + [(min(q, 0), max(q, 0)) for q in mw[t]] + [(0, None)] * 2
        row = np.concatenate([np.ones(5), -np.ones(4), [1.0, -1.0]])[None]
        best = linprog(cost, A_eq=row, b_eq=[load[t]], bounds=bounds)
        ours = (
            clearing.cost[t] - value[t] @ clearing.accepted[t] + 300.0 * (clearing.shed[t] + clearing.surplus[t]).sum()
        )
        assert ours == pytest.approx(best.fun, abs=1e-7)
        assert clearing.lower[t, 0] - 1e-9 <= best.eqlin.marginals[0] <= clearing.upper[t, 0] + 1e-9


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_absurd_systems_give_one_sentence(data):
    odd = st.one_of(
        st.floats(allow_nan=True, allow_infinity=True, width=32), st.sampled_from([0.0, -1.0, 1e9, 50.0, float("nan")])
    )
    names = st.sampled_from(["A", "B", "C", ""])
    units = [
        Unit(data.draw(names), data.draw(names), data.draw(odd), data.draw(odd), (data.draw(odd), data.draw(odd), 0.0))
        for _ in range(data.draw(st.integers(0, 2)))
    ]
    lines = [
        Line(data.draw(names), data.draw(names), data.draw(names), x=data.draw(odd), rate_mw=data.draw(odd))
        for _ in range(data.draw(st.integers(0, 2)))
    ]
    try:
        system = System("odd", ("A", "B"), units, lines, [[data.draw(odd), data.draw(odd)]])
    except SystemInvalid as error:
        assert error.mistakes and all(sentence.endswith((".", ";")) for sentence in error.mistakes)
        return
    try:
        clearing = market("dc-opf").clear(system)
    except (ValueError, RuntimeError) as error:
        assert str(error) and "Traceback" not in str(error)
    else:
        assert np.isfinite(clearing.lmp).all() and np.isfinite(clearing.dispatch).all()
