"""Systems, cases, names."""

import subprocess
import sys

import numpy as np
import pytest

from wholesale import CASES, LOAD_SHAPES, MARKETS, Bid, Line, Market, System, SystemInvalid, Unit, case, market

PRICED = [name for name in MARKETS if name != "price-series"]  # that one sheds nothing and needs a file


def test_all_mistakes_are_found_at_once():
    nan = float("nan")
    units = (
        Unit("g", "A", 5.0, 1.0, (0.0, 1.0, 0.0)),
        Unit("g", "Z", 0.0, 1.0, (-1.0, 1.0, 0.0)),
        Unit("h", "A", 0.0, nan, (0.0, 1.0)),
        Unit("i", "A", 0.0, 1.0, (0.0, nan, 0.0)),
    )
    lines = (
        Line("l", "A", "B", x=0.0, rate_mw=-1.0),
        Line("l", "B", "B", x=nan, rate_mw=nan),
        Line("m", "A", "Q", x=0.1, tap=0.0, angle_min_deg=5.0, angle_max_deg=-5.0),
    )
    with pytest.raises(SystemInvalid) as caught:
        System("bad", ("A", "B", "C", "C"), units, lines, [[1.0, nan, 2.0, 0.0]], g_mw=[0.0, 0.0], base_mva=0.0)
    text = str(caught.value)
    expected = [
        "bus name 'C' is used 2 times", "unit name 'g' is used", "line name 'l' is used",
        "p_min 5 MW above p_max 1 MW", "Unknown bus 'Z'", "non-convex", "p_max nan", "2 cost coefficients",
        "must be finite", "x = 0", "rating of -1 MW", "ends must differ", "x = nan", "rating of nan",
        "Unknown bus 'Q'", "tap = 0", "angle limits 5 to -5", "load at bus 'B' in hour 0", "shunt", "0 MVA",
        "Bus 'C' is islanded",
    ]  # fmt: skip
    assert [phrase for phrase in expected if phrase not in text] == []
    assert len(caught.value.mistakes) == len(expected)


@pytest.mark.parametrize("loads", [np.zeros((0, 5)), np.zeros((2, 4)), np.zeros((1, 2, 5))])
def test_shape_of_loads(loads):
    with pytest.raises(SystemInvalid, match=r"shape \[T, 5\]"):
        case("pjm5").with_load(loads)


def test_arrays_cannot_be_changed():
    system = case("pjm5")
    with pytest.raises(ValueError, match="read-only"):
        system.loads[0, 0] = 1.0
    assert system.graph.number_of_edges() == 6
    assert system.graph["A"]["B"]["A-B"]["line"].rate_mw == 400


def test_over_scales_loads():
    system = case("pjm5").over([0.5, 1.0])
    assert system.loads.sum(axis=1) == pytest.approx([500, 1000])
    assert system.over([2.0, 1.0]).loads.sum(axis=1) == pytest.approx([1000, 1000])
    with pytest.raises(ValueError, match="multipliers"):
        system.over([1.0, 1.0, 1.0])


@pytest.mark.parametrize("name", CASES)
def test_cases_are_sound(name):
    system = case(name)
    assert system.name == name
    assert system.p_range[:, 1].sum() > system.load.sum()
    if name.startswith("ieee"):
        assert len(system.buses) == int(name[4:])


def test_unknown_names_get_the_nearest():
    with pytest.raises(ValueError, match="Did you mean 'ieee118'"):
        case("iee118")
    with pytest.raises(ValueError, match="Did you mean 'dc-opf'"):
        market("dcopf")
    with pytest.raises(ValueError, match="Did you mean 'voll'"):
        market("dc-opf", vol=1.0)
    with pytest.raises(ValueError, match="matpower, pglib"):
        market("dc-opf", convention="power-models")
    with pytest.raises(ValueError, match="midpoint, lower, upper"):
        market("merit-order", overlap="mean")
    with pytest.raises(ValueError, match="Unknown bus 'X'"):
        market("merit-order").clear(case("pjm5")).price("X")


@pytest.mark.parametrize("voll", [0.0, -1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("name", PRICED)
def test_voll_must_be_positive(name, voll):
    with pytest.raises(ValueError, match="value of lost load"):
        market(name, voll=voll)


@pytest.mark.parametrize("name", PRICED)
def test_markets_keep_the_protocol_and_check_bids(name):
    made = market(name)
    assert isinstance(made, Market)
    assert made.name == name
    system = case("pjm5")
    for bid, sentence in [
        (Bid("X", [1.0]), "Unknown bus 'X'"),
        (Bid("B", [1.0, 2.0]), "has 2 hours"),
        (Bid("B", [1.0], [20_000.0]), "limit of 20000"),
    ]:
        with pytest.raises(ValueError, match=sentence):
            made.clear(system, [bid])
    with pytest.raises(ValueError, match="raise voll"):
        market(name, voll=35.0).clear(system)


def test_bids_are_checked_alone():
    with pytest.raises(ValueError, match="finite"):
        Bid("A", [float("nan")])
    with pytest.raises(ValueError, match="one price per hour"):
        Bid("A", [1.0, 2.0], [1.0])


def test_load_shapes():
    assert all(shape.shape == (24,) for shape in LOAD_SHAPES.values())
    daily = LOAD_SHAPES["daily"]
    assert 1.0 < daily.max() <= 1.1 and daily.min() == pytest.approx(0.6)


def test_import_is_light():
    heavy = ("pyomo", "highspy", "pypower", "pandas", "torch")
    code = f"import sys, wholesale; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
