"""Dispatch by active sets: the same answer as the solver, hour by hour, or no answer."""

import numpy as np
import pytest

from wholesale import Bid, Line, System, Unit, case, market
from wholesale.active_set import Answer


def without(monkeypatch):
    """Leave everything to the solver."""

    def dispatch(offer, bus, grid, load, a):
        nan = np.full
        return Answer(
            nan(offer.low.shape, np.nan), nan(load.shape, np.nan), nan((len(load), len(grid.ptdf)), np.nan),
            np.zeros(len(load), bool),
        )  # fmt: skip

    monkeypatch.setattr("wholesale.dc_opf.dispatch", dispatch)


def compare(monkeypatch, system, bids=(), convention="matpower", share=1.0):
    fast = market("dc-opf", convention=convention).clear(system, bids)
    with monkeypatch.context() as patch:
        without(patch)
        slow = market("dc-opf", convention=convention).clear(system, bids)
    assert set(slow.method) <= {"solver", "solver with slack"}
    assert np.mean([method == "active set" for method in fast.method]) >= share
    # the solver's own dual tolerance is 1e-7, the active set's is rounding
    assert fast.lmp == pytest.approx(slow.lmp, abs=2e-6, rel=1e-6)
    assert fast.cost == pytest.approx(slow.cost, rel=1e-8)
    assert fast.dispatch == pytest.approx(slow.dispatch, abs=1e-3)
    assert fast.flow == pytest.approx(slow.flow, abs=1e-2)
    return fast


@pytest.mark.parametrize("name", ["ieee9", "ieee14", "ieee30", "ieee39", "ieee57", "ieee118"])
def test_random_loads(name, monkeypatch):
    rng = np.random.default_rng(5)
    system = case(name)
    system = system.with_load(system.loads * rng.uniform(0.75, 1.1, (12, len(system.buses))))
    compare(monkeypatch, system)


def congested(rng, hours=8, buses=12):
    names = tuple(f"b{i}" for i in range(buses))
    units = tuple(
        Unit(f"g{g}", names[int(rng.integers(buses))], 0.0, rng.uniform(50, 200),
             (rng.uniform(0.01, 0.1) * (g % 3 > 0), rng.uniform(5, 40), 0.0))
        for g in range(10)
    )  # fmt: skip
    ends = [(i, i + 1) for i in range(buses - 1)]
    ends += [tuple(rng.choice(buses, 2, replace=False).tolist()) for _ in range(8)]
    lines = tuple(
        Line(f"l{k}", names[a], names[b], x=rng.uniform(0.05, 0.3), rate_mw=rng.uniform(15, 60))
        for k, (a, b) in enumerate(ends)
    )
    total = sum(unit.p_max for unit in units)
    loads = rng.uniform(0, 1, (hours, buses))
    loads *= total * rng.uniform(0.1, 0.3, (hours, 1)) / loads.sum(axis=1, keepdims=True)
    return System("congested", names, units, lines, loads)


@pytest.mark.parametrize("seed", range(12))
def test_congested_networks_with_flat_and_steep_offers(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    system = congested(rng)
    bids = [Bid("b2", rng.uniform(-15, 15, 8)), Bid("b5", rng.uniform(-15, 15, 8), rng.uniform(10, 40, 8))]
    compare(monkeypatch, system, bids, share=0.0)


def test_all_feasible_congested_hours_are_proven():
    proven = [
        method for seed in range(12) for method in market("dc-opf").clear(congested(np.random.default_rng(seed))).method
    ]
    feasible = [method for method in proven if method != "solver with slack"]
    assert len(feasible) > 60
    assert set(feasible) == {"active set"}  # 80 of 80 when this was written


def test_fixed_units_and_phase_shifts(monkeypatch):
    units = (
        Unit("fixed", "A", 30.0, 30.0, (0.02, 10.0, 5.0)),
        Unit("g", "A", 0.0, 100.0, (0.05, 12.0, 0.0)),
        Unit("h", "B", 0.0, 100.0, (0.03, 14.0, 0.0)),
    )
    lines = (Line("1", "A", "B", x=0.1, rate_mw=25.0), Line("2", "A", "B", x=0.1, shift_deg=1.0))
    compare(monkeypatch, System("shifted", ("A", "B"), units, lines, [[0.0, 50.0], [10.0, 120.0], [0.0, 35.0]]))


def test_hours_that_need_slack_are_left_to_the_solver():
    clearing = market("dc-opf").clear(case("ieee30").over([1.0, 2.0]))
    assert clearing.method == ("active set", "solver with slack")


def test_same_bytes_whatever_was_cleared_before():
    rng = np.random.default_rng(3)
    dc = market("dc-opf")
    for name in ("pjm5", "ieee30"):
        first = dc.clear(case(name))
        system = case(name)
        dc.clear(system.with_load(system.loads * rng.uniform(0.5, 1.0, (9, len(system.buses)))))
        again = dc.clear(system.with_load(system.loads))
        assert first.lmp.tobytes() == again.lmp.tobytes()
        assert first.dispatch.tobytes() == again.dispatch.tobytes()
