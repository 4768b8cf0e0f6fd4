"""Merit order: a slow oracle that sorts and walks, one-bus DC-OPF, ties, bids, scarcity."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wholesale import LOAD_SHAPES, Bid, System, Unit, case, market

MO = market("merit-order")


def zone(units, loads):
    """One bus; `units` as (p_min, p_max, c2, c1)."""
    made = [Unit(f"u{i}", "Z", lo, hi, (c2, c1, 0.0)) for i, (lo, hi, c2, c1) in enumerate(units)]
    return System("zone", ("Z",), tuple(made), (), np.array(loads, float).reshape(-1, 1))


def walk(blocks, demand, voll=10_000.0):
    """Sort blocks (MW, $/MWh) by price, walk along until demand is met: the interval of valid prices and the cost."""
    blocks = sorted([(mw, price) for mw, price in blocks if mw > 0], key=lambda block: block[1])
    if demand <= 0:
        first = blocks[0][1] if blocks else voll
        return (-voll, first, 0.0) if demand == 0 else (-voll, -voll, -demand * voll)
    reached, cost = 0, 0.0
    for k, (mw, price) in enumerate(blocks):
        if reached + mw > demand:
            return price, price, cost + (demand - reached) * price
        reached, cost = reached + mw, cost + mw * price
        if reached == demand:
            return price, blocks[k + 1][1] if k + 1 < len(blocks) else voll, cost
    return voll, voll, cost + (demand - reached) * voll


blocks = st.lists(st.tuples(st.integers(0, 6), st.sampled_from([-20, 0, 10, 10, 20, 35])), min_size=1, max_size=7)


@settings(max_examples=150, deadline=None)
@given(blocks, st.lists(st.tuples(st.integers(1, 6), st.sampled_from([-20, 5, 10, 20, 50])), max_size=4),
       st.integers(0, 25))  # fmt: skip
def test_against_the_oracle(offers, wishes, load):
    """Whole numbers make ties and overlaps frequent; a withdrawal of q at v is a must-take q and an offer of q."""
    system = zone([(0, mw, 0.0, price) for mw, price in offers], [load])
    c = MO.clear(system, [Bid("Z", [mw], [price]) for mw, price in wishes])
    lower, upper, cost = walk(offers + wishes, load + sum(mw for mw, _ in wishes))
    assert (c.lower[0, 0], c.upper[0, 0]) == pytest.approx((lower, upper))
    assert c.price("Z")[0] == pytest.approx((lower + upper) / 2)
    worth = sum(mw * price for mw, price in wishes)
    values = np.array([price for _, price in wishes])
    assert c.cost[0] - c.accepted[0] @ values + 10_000 * c.shed.sum() == pytest.approx(cost - worth, abs=1e-6)
    balance = c.dispatch.sum() + c.shed.sum() - c.accepted.sum() - load
    assert balance == pytest.approx(0, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_one_bus_dc_opf_agrees(data):
    number = st.floats(0, 50).map(lambda x: round(x, 2))
    units = []
    for _ in range(data.draw(st.integers(1, 6))):
        low, width = data.draw(st.sampled_from([0.0, 0.0, 3.0])), data.draw(number)
        c2 = data.draw(st.sampled_from([0.0, 0.0, 0.01, 0.3]))
        units.append((low, low + width, c2, data.draw(st.sampled_from([-5.0, 10.0, 10.0, 25.0, 31.7]))))
    system = zone(units, [data.draw(st.floats(0, 250).map(lambda x: round(x, 2)))])
    bids = [
        Bid("Z", [data.draw(st.sampled_from([-12.5, 20.0, 7.3]))], data.draw(st.sampled_from([None, [9.0], [30.0]])))
        for _ in range(data.draw(st.integers(0, 3)))
    ]
    merit, opf = MO.clear(system, bids), market("dc-opf").clear(system, bids)
    assert opf.shed == pytest.approx(merit.shed, abs=1e-5)
    assert opf.surplus == pytest.approx(merit.surplus, abs=1e-5)
    assert merit.lower[0, 0] - 1e-4 <= opf.lmp[0, 0] <= merit.upper[0, 0] + 1e-4
    value = np.array([0.0 if b.price is None else b.price[0] for b in bids])
    one, two = (c.cost[0] - c.accepted[0] @ value for c in (merit, opf))
    assert one == pytest.approx(two, rel=1e-6, abs=1e-5)
    unique = np.array([(u[2], u[3]) for u in units])
    for g in range(len(units)):  # strictly convex or without an equal offer: the dispatch is unique too
        rivals = (unique[:, 1] == unique[g, 1]).sum() + (value == unique[g, 1]).sum()
        if unique[g, 0] > 0 or rivals == 1:
            assert merit.dispatch[0, g] == pytest.approx(opf.dispatch[0, g], abs=1e-3)


def test_equal_offers_share_and_permutation_changes_nothing():
    units = [(0, 60, 0.0, 20.0), (0, 30, 0.0, 20.0), (0, 40, 0.0, 10.0), (5, 35, 0.0, 20.0)]
    c = MO.clear(zone(units, [93.0]))
    share = (93 - 40 - 5) / (60 + 30 + 30)
    assert c.dispatch[0] == pytest.approx([60 * share, 30 * share, 40, 5 + 30 * share])
    rng = np.random.default_rng(0)
    for _ in range(10):
        order = rng.permutation(4)
        other = MO.clear(zone([units[i] for i in order], [93.0]))
        assert other.lmp == pytest.approx(c.lmp, abs=0)
        assert other.dispatch[0] == pytest.approx(c.dispatch[0][order])


@pytest.mark.parametrize(("overlap", "price"), [("midpoint", 20.0), ("lower", 10.0), ("upper", 30.0)])
def test_vertical_overlap(overlap, price):
    system = zone([(0, 50, 0.0, 10.0), (0, 50, 0.0, 30.0)], [50.0])
    c = market("merit-order", overlap=overlap).clear(system)
    assert (c.lower[0, 0], c.upper[0, 0], c.lmp[0, 0]) == (10.0, 30.0, price)
    assert c.dispatch[0] == pytest.approx([50, 0])
    # an elastic withdrawal narrows the interval: [highest accepted offer, lowest accepted bid]
    c = market("merit-order", overlap=overlap).clear(system.with_load([[40.0]]), [Bid("Z", [10.0], [24.0])])
    assert (c.lower[0, 0], c.upper[0, 0]) == (10.0, 24.0)
    assert c.accepted[0, 0] == 10


def test_overlap_of_quadratic_offers():
    c = MO.clear(zone([(0, 50, 0.1, 5.0), (0, 50, 0.1, 30.0)], [50.0]))
    assert (c.lower[0, 0], c.upper[0, 0]) == pytest.approx((15.0, 30.0))
    c = MO.clear(zone([(0, 50, 0.1, 5.0), (0, 50, 0.2, 5.0)], [45.0]))
    assert c.dispatch[0] == pytest.approx([30, 15])
    assert c.lmp[0, 0] == c.lower[0, 0] == c.upper[0, 0] == pytest.approx(11.0)


def test_indifferent_trade_is_made():
    c = MO.clear(zone([(0, 50, 0.0, 20.0)], [10.0]), [Bid("Z", [15.0], [20.0]), Bid("Z", [60.0], [20.0])])
    assert c.accepted[0] == pytest.approx([15 * 40 / 75, 60 * 40 / 75])
    assert c.lmp[0, 0] == 20.0


def test_elastic_bids_against_brute_force():
    system = case("pjm5")
    for mw, price in [(500.0, 29.0), (500.0, 31.0), (-300.0, 12.0), (-300.0, 35.0)]:
        c = MO.clear(system, [Bid("B", [mw], [price])])
        tried = np.linspace(0, mw, 1401)
        costs = MO.clear(system.over(np.ones(1401)), [Bid("C", tried)]).cost
        reached = price * c.accepted[0, 0] - c.cost[0]
        assert reached >= (price * tried - costs).max() - 1e-6
        assert reached <= (price * tried - costs).max() + 50.0


def test_scarcity_surplus_and_buses():
    system = case("pjm5").over([2.0])
    c = market("merit-order", voll=3000.0).clear(system)
    assert c.lmp == pytest.approx(np.full((1, 5), 3000.0))
    assert c.shed[0] == pytest.approx(470 * system.loads[0] / 2000)
    must_run = zone([(30, 50, 0.0, 10.0)], [20.0])
    c = MO.clear(must_run)
    assert c.surplus.sum() == pytest.approx(10)
    assert c.lmp[0, 0] == -10_000
    assert c.cost[0] == pytest.approx(300)


def test_negative_prices_are_legal():
    c = MO.clear(zone([(0, 50, 0.0, -15.0), (0, 50, 0.0, 10.0)], [20.0]))
    assert c.lmp[0, 0] == -15.0
    assert c.cost[0] == pytest.approx(-300)


def test_hours_are_independent_and_named():
    system = case("pjm5").over(LOAD_SHAPES["daily"])
    together = MO.clear(system, [Bid("B", np.linspace(-20, 50, 24), np.linspace(5, 40, 24))])
    assert together.lines == () and together.flow.shape == (24, 0)
    assert together.rent() == pytest.approx(np.zeros(24))
    assert (together.congestion == 0).all()
    for t in (0, 7, 23):
        alone = MO.clear(
            system.with_load(system.loads[t : t + 1]),
            [Bid("B", np.linspace(-20, 50, 24)[t : t + 1], np.linspace(5, 40, 24)[t : t + 1])],
        )
        assert alone.lmp[0] == pytest.approx(together.lmp[t])
        assert alone.dispatch[0] == pytest.approx(together.dispatch[t])


def test_quadratic_ieee_case_is_the_uncongested_network():
    system = case("ieee118")
    merit, opf = MO.clear(system), market("dc-opf").clear(system)
    assert merit.cost == pytest.approx(opf.cost, rel=1e-9)
    assert merit.lmp == pytest.approx(opf.lmp, abs=1e-6)


def test_no_unit_at_all():
    c = MO.clear(zone([], [5.0]))
    assert c.shed.sum() == pytest.approx(5)
    assert c.lmp[0, 0] == 10_000
