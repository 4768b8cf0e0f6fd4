"""Residual supply curves: re-cleared, they give the promised price and cost."""

import os
from pathlib import Path

import numpy as np
import pytest

from wholesale import LOAD_SHAPES, Bid, case, market, read_matpower
from wholesale.residual import residual_curves

DATA = Path(os.environ.get("HMARL_DATA", Path(__file__).parents[3] / "shared" / "data"))
real = pytest.mark.skipif(not DATA.is_dir(), reason=f"real data not found in {DATA}; set HMARL_DATA")


def confirm(dc, system, bus, curves, price=1e-6, cost=1e-6):
    for curve in curves:
        middle = (curve.edges[1:] + curve.edges[:-1]) / 2
        again = dc.clear(system.at(np.full(len(middle), curve.hour)), [Bid(bus, middle)])
        spent = again.cost + dc.voll * (again.shed + again.surplus).sum(axis=1)
        assert again.price(bus) == pytest.approx(curve.price, abs=price)
        assert spent == pytest.approx(curve.cost(middle), rel=cost)
        assert (np.diff(curve.price) > -1e-9).all() and (np.diff(curve.edges) > 0).all()
        assert curve.price_at(middle) == pytest.approx(curve.price)


@pytest.mark.parametrize(("name", "bus"), [("pjm5", "B"), ("pjm5", "E"), ("pjm5", "A")])
def test_reclearing_gives_the_promised_price(name, bus):
    system, dc = case(name).over(LOAD_SHAPES["daily"] * 0.9), market("dc-opf")
    curves = residual_curves(dc, system, bus, -150.0, 150.0)
    assert all(curve.exact for curve in curves)
    assert max(len(curve.price) for curve in curves) > 1
    assert sum(curve.clearings for curve in curves) <= sum(2 * len(curve.price) + 3 for curve in curves)
    confirm(dc, system, bus, curves)


@real
@pytest.mark.data
def test_case118_with_congestion():
    system = read_matpower(DATA / "grid" / "pglib_opf" / "pglib_opf_case118_ieee.m").over(LOAD_SHAPES["daily"] * 0.93)
    dc = market("dc-opf", convention="pglib")
    curves = residual_curves(dc, system, "59", -200.0, 200.0)
    assert all(curve.exact for curve in curves)
    assert sum(len(curve.price) for curve in curves) > 40
    confirm(dc, system, "59", curves)


def test_pieces_of_the_five_bus_system_by_brute_force():
    system, dc = case("pjm5"), market("dc-opf")
    (curve,) = residual_curves(dc, system, "B", -300.0, 500.0)
    mw = np.linspace(-300, 500, 801)
    cleared = dc.clear(system.at(np.zeros(801, int)), [Bid("B", mw)])
    spent = cleared.cost + dc.voll * cleared.shed.sum(axis=1)
    assert spent == pytest.approx(curve.cost(mw), rel=1e-8)
    inside = np.abs(mw[:, None] - curve.edges).min(axis=1) > 1e-3
    assert cleared.price("B")[inside] == pytest.approx(curve.price_at(mw[inside]), abs=1e-6)
    assert curve.price[-1] == pytest.approx(cleared.price("B")[-1])


def test_merit_order_has_curves_too():
    system, market_ = case("pjm5").over([0.8, 1.0]), market("merit-order")
    curves = residual_curves(market_, system, "A", -200.0, 300.0)
    assert curves[1].price.tolist() == [15.0, 30.0] or curves[1].exact
    confirm(market_, system, "A", curves)


def test_quadratic_costs_say_their_gap():
    system, dc = case("ieee30"), market("dc-opf")
    (curve,) = residual_curves(dc, system, "8", -10.0, 10.0, tolerance=1e-6)
    assert 0 < curve.gap <= 1e-6 * (1 + abs(curve.cost(np.array(10.0))))
    mw = np.linspace(-10, 10, 50)
    cleared = dc.clear(system.at(np.zeros(50, int)), [Bid("8", mw)])
    assert (cleared.cost >= curve.cost(mw) - 1e-9).all()
    assert (cleared.cost <= curve.cost(mw) + curve.gap + 1e-9).all()


def test_mistakes():
    system, dc = case("pjm5"), market("dc-opf")
    with pytest.raises(ValueError, match="range 5 to 5 MW is empty"):
        residual_curves(dc, system, "B", 5.0, 5.0)
    with pytest.raises(ValueError, match="Unknown bus 'Q'"):
        residual_curves(dc, system, "Q", 0.0, 5.0)
    with pytest.raises(ValueError, match="hours are independent"):
        residual_curves(market("unit-commitment"), system, "B", 0.0, 5.0)
    (curve,) = residual_curves(dc, system, "B", 0.0, 5.0)
    with pytest.raises(ValueError, match="covers 0 to 5 MW"):
        curve.cost(np.array([6.0]))
