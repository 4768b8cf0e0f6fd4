"""DC-OPF: published prices and objectives, PYPOWER, derivatives, shedding, hours."""

import io
from contextlib import redirect_stdout
from importlib import import_module

import numpy as np
import pytest

from wholesale import LOAD_SHAPES, Bid, Line, System, Unit, case, market
from wholesale.dc_opf import program_of
from wholesale.hours import Changes, solve_hours
from wholesale.network import network
from wholesale.offers import offers
from wholesale.solve import Infeasible

DC = market("dc-opf")
# objectives in $ per hour, MATPOWER convention: PYPOWER's rundcopf and other solvers on the same data
PUBLISHED = {
    "ieee9": 5216.0266,
    "ieee14": 7642.59,
    "ieee24": 61001.240,
    "ieee30": 565.2060,
    "ieee39": 41263.941,
    "ieee118": 125947.88,
    "ieee300": 706292.3,
}


def identities(clearing, system):
    """What must hold whatever the prices are."""
    assert clearing.lmp == pytest.approx(clearing.energy[:, None] + clearing.congestion, abs=1e-9)
    assert (clearing.congestion[:, 0] == 0).all()
    supplied = clearing.dispatch.sum(1) - clearing.accepted.sum(1) + clearing.shed.sum(1) - clearing.surplus.sum(1)
    assert supplied == pytest.approx(clearing.load.sum(1), abs=1e-5)
    assert (clearing.shed >= 0).all() and (clearing.surplus >= 0).all()


@pytest.mark.parametrize("convention", ["matpower", "pglib"])
def test_pjm5(convention):
    clearing = market("dc-opf", convention=convention).clear(case("pjm5"))
    assert clearing.lmp[0] == pytest.approx([16.9774, 26.3845, 30.0, 39.9427, 10.0], abs=5e-5)
    assert clearing.dispatch[0] == pytest.approx([40, 170, 323.495, 0, 466.505], abs=5e-4)
    assert clearing.cost[0] == pytest.approx(17479.897, abs=5e-4)
    assert clearing.flow[0, 5] == pytest.approx(-240)
    identities(clearing, case("pjm5"))


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_objectives(name):
    clearing = DC.clear(case(name))
    assert clearing.cost[0] == pytest.approx(PUBLISHED[name], rel=1e-6)  # as many digits as were published
    assert clearing.shed.sum() == clearing.surplus.sum() == 0
    identities(clearing, case(name))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["ieee9", "ieee24", "ieee30", "ieee39", "ieee57"])
def test_prices_of_pypower(name):
    table = "case24_ieee_rts" if name == "ieee24" else f"case{name[4:]}"
    from pypower.ppoption import ppoption
    from pypower.rundcopf import rundcopf

    data = getattr(import_module(f"pypower.{table}"), table)()
    with redirect_stdout(io.StringIO()):
        result = rundcopf(data, ppoption(VERBOSE=0, OUT_ALL=0))
    if not result["success"]:
        pytest.skip("PYPOWER did not converge")
    clearing = DC.clear(case(name))
    assert clearing.cost[0] == pytest.approx(result["f"], rel=1e-6)
    assert clearing.lmp[0] == pytest.approx(result["bus"][:, 13], abs=1e-4)
    assert clearing.flow[0] == pytest.approx(result["branch"][:, 13], abs=1e-2)


def test_price_is_the_derivative_of_cost():
    for system in (case("pjm5").over([0.97]), case("ieee30").over([1.2])):
        base = DC.clear(system)
        for bus in range(0, len(system.buses), 7 if len(system.buses) > 5 else 1):
            step = 1e-3
            costs = []
            for sign in (-1, 1):
                load = np.array(system.loads)
                load[0, bus] += sign * step
                costs.append(DC.clear(system.with_load(load)).cost[0])
            assert base.lmp[0, bus] == pytest.approx((costs[1] - costs[0]) / (2 * step), abs=1e-3)


@pytest.mark.parametrize("name", ["pjm5", "ieee30"])
def test_hours_are_independent(name):
    rng = np.random.default_rng(1)
    system = case(name).over(LOAD_SHAPES["daily"])
    buses = system.buses[1:3]
    bids = [Bid(buses[0], rng.uniform(-5, 9, 24)), Bid(buses[1], rng.uniform(-5, 9, 24), rng.uniform(1, 30, 24))]
    together = DC.clear(system, bids)
    identities(together, system)
    for t in range(24):
        one = [Bid(b.bus, b.mw[t : t + 1], None if b.price is None else b.price[t : t + 1]) for b in bids]
        alone = DC.clear(system.with_load(system.loads[t : t + 1]), one)
        assert alone.cost[0] == pytest.approx(together.cost[t], rel=1e-8)
        assert alone.lmp[0] == pytest.approx(together.lmp[t], abs=1e-5)
        assert alone.accepted[0] == pytest.approx(together.accepted[t], abs=1e-5)


def test_daily_shape_moves_prices_without_shedding():
    clearing = DC.clear(case("pjm5").over(LOAD_SHAPES["daily"]))
    assert len(np.unique(clearing.price("B").round(3))) >= 3
    assert clearing.shed.sum() == 0


def test_rent_equals_payments():
    rng = np.random.default_rng(2)
    system = case("pjm5").over(rng.uniform(0.6, 1.1, 12))
    bids = [Bid("B", rng.uniform(-50, 50, 12)), Bid("D", rng.uniform(-50, 50, 12), rng.uniform(10, 40, 12))]
    c = DC.clear(system, bids)
    paid = (c.lmp * c.load).sum(1) + (c.lmp[:, [1, 3]] * c.accepted).sum(1)
    received = (c.lmp[:, system.unit_bus] * c.dispatch).sum(1)
    assert c.rent() == pytest.approx(paid - received, abs=1e-5)
    assert c.rent().max() > 1000


def test_elastic_bids_against_brute_force():
    system = case("pjm5")
    for mw, price in [(80.0, 27.0), (80.0, 26.0), (400.0, 26.6), (-150.0, 20.0), (-150.0, 27.0)]:
        clearing = DC.clear(system, [Bid("B", [mw], [price])])
        tried = np.linspace(0, mw, 401)
        many = system.over(np.ones(401))
        served = DC.clear(many, [Bid("B", tried)])
        welfare = price * tried - served.cost
        reached = price * clearing.accepted[0, 0] - clearing.cost[0]
        assert reached >= welfare.max() - 1e-6
        assert reached <= welfare.max() + 0.02 * abs(mw)


def test_shedding_names_bus_and_hour():
    units = (Unit("g", "A", 0.0, 100.0, (0.0, 10.0, 0.0)),)
    lines = (Line("A-B", "A", "B", x=0.1, rate_mw=30.0), Line("B-C", "B", "C", x=0.1))
    system = System("radial", ("A", "B", "C"), units, lines, [[10, 0, 20], [10, 0, 50], [10, 0, 20]])
    for voll in (10_000.0, 500.0):
        c = market("dc-opf", voll=voll).clear(system)
        assert c.shed == pytest.approx(np.array([[0, 0, 0], [0, 0, 20], [0, 0, 0]]), abs=1e-9)
        assert c.lmp[1] == pytest.approx([10, voll, voll])
        assert c.lmp[0] == pytest.approx([10, 10, 10])
        identities(c, system)


def test_shedding_with_quadratic_costs():
    system = case("ieee30").over([1.0, 2.0])
    c = DC.clear(system)
    assert c.shed[0].sum() == 0
    assert c.shed[1].sum() >= 2 * 189.2 - 335 - 1e-6  # what units cannot give, and what lines cannot carry
    assert (c.shed <= np.maximum(c.load, 0) + 1e-6).all()
    identities(c, system)


def test_shedding_in_a_large_quadratic_system():
    rng = np.random.default_rng(0)
    system = case("ieee300")
    system = system.with_load(system.loads * rng.uniform(0.5, 3.5, (1, 300)))
    c = DC.clear(system)
    assert c.shed.sum() > 10_000
    assert np.abs(c.lmp).max() <= 10_000 + 1e-4
    identities(c, system)


def test_cheaper_to_shed_than_to_serve():
    # serving one more MW at C would need 2 MW of dear output: prices beyond voll must lead to shedding
    units = (Unit("cheap", "A", 0.0, 500.0, (0.0, 10.0, 0.0)), Unit("dear", "B", 0.0, 500.0, (0.0, 90.0, 0.0)))
    lines = (
        Line("A-B", "A", "B", x=1.0),
        Line("A-C", "A", "C", x=1.0, rate_mw=30.0),
        Line("B-C", "B", "C", x=0.2),
    )
    system = System("loop", ("A", "B", "C"), units, lines, [[0, 0, 120.0]])
    c = market("dc-opf", voll=95.0).clear(system)
    assert np.abs(c.lmp).max() <= 95.0 + 1e-6
    identities(c, system)


def test_must_run_surplus_and_negative_prices():
    units = (Unit("nuclear", "A", 80.0, 100.0, (0.0, 5.0, 0.0)), Unit("wind", "B", 0.0, 50.0, (0.0, -20.0, 0.0)))
    lines = (Line("A-B", "A", "B", x=0.1),)
    system = System("windy", ("A", "B"), units, lines, [[100, 10], [20, 10]])
    c = DC.clear(system)
    assert c.lmp[0] == pytest.approx([-20, -20])
    assert c.surplus[0].sum() == 0
    assert c.surplus[1].sum() == pytest.approx(50)
    assert c.lmp[1].min() == pytest.approx(-10_000)
    identities(c, system)


def test_inelastic_bid_can_be_shed():
    system = case("pjm5")
    c = DC.clear(system, [Bid("B", [2000.0])])
    assert c.accepted[0, 0] == 2000
    assert c.shed.sum() > 1000
    identities(c, system)


def test_conventions():
    lines = (Line("t", "A", "B", x=0.1, r=0.05, tap=0.95, shift_deg=3.0, rate_mw=200.0, angle_max_deg=2.0),
             Line("n", "A", "B", x=-0.2, angle_min_deg=-4.0, angle_max_deg=2.0))  # fmt: skip
    system = System("two", ("A", "B"), (), lines, [[0.0, 0.0]])
    m, p = network(system, "matpower"), network(system, "pglib")
    assert m.susceptance == pytest.approx([100 / 0.095, -500])
    assert m.shifted == pytest.approx([100 / 0.095 * np.deg2rad(3.0), 0])
    assert p.susceptance == pytest.approx([100 * 0.1 / 0.0125, -500])
    assert (p.shifted == 0).all()
    assert p.high == pytest.approx([800 * np.deg2rad(2), 500 * np.deg2rad(4)])
    assert p.low == pytest.approx([-200, -500 * np.deg2rad(2)])
    assert (m.low <= m.high).all()


def test_phase_shift_drives_a_loop_flow():
    units = (Unit("g", "A", 0.0, 100.0, (0.0, 10.0, 0.0)),)
    lines = (Line("1", "A", "B", x=0.1), Line("2", "A", "B", x=0.1, shift_deg=1.0))
    system = System("loop", ("A", "B"), units, lines, [[0.0, 50.0]])
    shifted = 1000 * np.deg2rad(1.0) / 2
    assert DC.clear(system).flow[0] == pytest.approx([25 + shifted, 25 - shifted])
    assert market("dc-opf", convention="pglib").clear(system).flow[0] == pytest.approx([25, 25])


def test_shunt_counts_as_load():
    units = (Unit("g", "A", 0.0, 100.0, (0.0, 10.0, 0.0)),)
    system = System("one", ("A",), units, (), [[20.0]], g_mw=[5.0])
    c = DC.clear(system)
    assert c.dispatch[0] == pytest.approx([25])
    assert c.load[0] == pytest.approx([25])
    assert c.rent() == pytest.approx([0])


def test_many_hours_are_fast():
    import time

    rng = np.random.default_rng(0)
    system = case("pjm5").over(rng.uniform(0.6, 1.05, 300))
    begin = time.process_time()
    DC.clear(system, [Bid("B", rng.uniform(-40, 40, 300))])
    assert (time.process_time() - begin) / 300 < 0.4e-3 * 5  # five times the aim, for busy machines


def test_an_hour_without_a_solution_does_not_cost_the_others():
    """A program whose second hour asks the impossible: the error names it and carries the other hours."""
    units = (Unit("g", "a", 0.0, 100.0, (0.0, 10.0, 0.0)),)
    # With two lines side by side the shift alone drives more round the loop than they may carry, whatever is shed.
    lines = (Line("l", "a", "b", 0.1, shift_deg=60.0, rate_mw=10.0), Line("m", "a", "b", 0.1, rate_mw=10.0))
    system = System("loop", ("a", "b"), units, lines, np.array([[0.0, 5.0], [0.0, 6.0]]))
    with pytest.raises(Infeasible, match="hour 0, 1 of 2") as caught:
        market("dc-opf").clear(system)
    assert np.isnan(caught.value.partial.lmp).all()
    # Fine hours keep their numbers beside a broken one.
    whole = market("dc-opf").clear(case("pjm5"))
    failed = {}
    program, model = program_of(case("pjm5"), offers(case("pjm5")), np.zeros(0, int), "matpower", 1e4, slack=False)
    loads = np.array([case("pjm5").load[0], case("pjm5").load[0] * 10, case("pjm5").load[0]])
    changes = Changes(program.rows(model.balance), loads, np.zeros(0, int), np.zeros((3, 0)), np.zeros((3, 0)),
                      np.zeros(0, int), np.zeros((3, 0)))  # fmt: skip
    _, dual, _ = solve_hours(program, changes, "pjm5", failed=failed)
    assert list(failed) == [1]
    np.testing.assert_allclose(dual[[0, 2]][:, program.rows(model.balance)], whole.lmp[[0, 0]], atol=1e-6)


def test_shortages_are_sentences():
    short = market("dc-opf").clear(case("pjm5").over([1.0, 1.6]))
    said = short.shortages()
    assert said
    assert all(sentence.startswith("Hour 1, bus ") for sentence in said)
    total = sum(float(sentence.split(": ")[1].split(" MW")[0]) for sentence in said)
    assert total == pytest.approx(short.shed.sum(), abs=0.01)
    assert market("dc-opf").clear(case("pjm5")).shortages() == []
