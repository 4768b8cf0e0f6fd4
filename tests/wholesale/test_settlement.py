"""Identities of two settlements, and the market of a price series."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wholesale import Bid, case, imbalance_prices, market, one_price, two_price

DATA = Path(os.environ.get("HMARL_DATA", Path(__file__).parents[3] / "shared" / "data"))
real = pytest.mark.skipif(not DATA.is_dir(), reason=f"real data not found in {DATA}; set HMARL_DATA")
numbers = st.lists(st.floats(-1e3, 1e3), min_size=4, max_size=4).map(np.array)


@settings(max_examples=200, deadline=None)
@given(numbers, numbers, numbers, numbers)
def test_identities(position, metered, day_ahead, real_time):
    short, long = imbalance_prices(day_ahead, real_time)
    one, two = one_price(position, metered, day_ahead, real_time), two_price(position, metered, day_ahead, short, long)
    # without deviation energy costs the day-ahead price, under both rules
    exact = two_price(metered, metered, day_ahead, short, long)
    assert exact.total == pytest.approx(metered * day_ahead)
    assert (exact.imbalance == 0).all()
    # deviating never pays under two prices, and costs at least what one price asks
    assert (two.total >= metered * day_ahead - 1e-6).all()
    assert (two.total >= one.total - 1e-6).all()
    # one price is the two-price rule with both prices equal
    same = two_price(position, metered, real_time, real_time, real_time)
    assert same.total == pytest.approx(one_price(position, metered, real_time, real_time).total)
    # who is on the other side pays the opposite
    assert one_price(-position, -metered, day_ahead, real_time).total == pytest.approx(-one.total)
    # half an hour is half the money
    assert one_price(position, metered, day_ahead, real_time, step_h=0.5).total == pytest.approx(one.total / 2)


def test_payments_of_all_participants_sum_to_zero():
    rng = np.random.default_rng(0)
    position, metered = rng.normal(size=(2, 24, 6))
    position -= position.mean(axis=1, keepdims=True)
    metered -= metered.mean(axis=1, keepdims=True)
    prices = rng.normal(40, 20, (2, 24, 1))
    assert one_price(position, metered, *prices).total.sum(axis=1) == pytest.approx(np.zeros(24), abs=1e-9)


def test_two_settlements_of_a_cleared_system():
    """Day-ahead clearing, other loads in real time: each settles at its own price, rent included."""
    rng = np.random.default_rng(1)
    system = case("pjm5").over(rng.uniform(0.8, 1.0, 6))
    actual = system.with_load(system.loads * rng.uniform(0.9, 1.1, system.loads.shape))
    first, second = (market("dc-opf").clear(one) for one in (system, actual))
    loads = one_price(first.load, second.load, first.lmp, second.lmp).total.sum(axis=1)
    bus = system.unit_bus
    units = one_price(-first.dispatch, -second.dispatch, first.lmp[:, bus], second.lmp[:, bus]).total.sum(axis=1)
    difference = second.flow - first.flow
    spread = second.lmp[:, first.ends[:, 1]] - second.lmp[:, first.ends[:, 0]]
    rent = first.rent() + (difference * spread).sum(axis=1)
    assert loads + units == pytest.approx(rent, abs=1e-6)


def test_mistakes_are_sentences():
    with pytest.raises(ValueError, match="long 10, day-ahead 20, short 15"):
        two_price([1.0], [2.0], [20.0], [15.0], [10.0])
    with pytest.raises(ValueError, match="do not fit"):
        one_price(np.ones(3), np.ones(4), np.ones(4), np.ones(4))
    with pytest.raises(ValueError, match="metered holds 1 values that are not finite"):
        one_price([1.0], [np.nan], [1.0], [1.0])
    with pytest.raises(ValueError, match=r"step of 0\.0 h"):
        one_price([1.0], [1.0], [1.0], [1.0], step_h=0.0)


def series(folder, suffix=".csv"):
    stamps = pd.date_range("2020-01-01", periods=6, freq="h")
    table = pd.DataFrame(
        {"timestamp": stamps, "price": [10.0, 20, -5, 40, 50, np.nan], "rt": [11.0, 19, -9, 44, 50, 60]}
    )
    path = folder / f"prices{suffix}"
    table.to_csv(path, index=False) if suffix == ".csv" else table.to_parquet(path)
    return str(path)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_price_series(tmp_path, suffix):
    made = market("price-series", path=series(tmp_path, suffix), real_time="rt", start="2020-01-01 01")
    system = case("pjm5").over(np.ones(3))
    bids = [Bid("B", [5, -3, 0]), Bid("C", [10, 10, 10], [15, -5, 50]), Bid("D", [-10, -10, -10], [20, 0, 30])]
    c = made.clear(system, bids)
    assert c.price("D").tolist() == [20, -5, 40]
    assert made.real_time_prices(3).tolist() == [19, -9, 44]
    assert c.accepted.tolist() == [[5, 0, -10], [-3, 10, 0], [0, 10, -10]]
    supplied = c.dispatch.sum(1) - c.accepted.sum(1) + c.shed.sum(1) - c.surplus.sum(1)
    assert supplied == pytest.approx(c.load.sum(1))
    # nobody gains or loses in sum: the rest of the market takes the other side at the same price
    assert (c.lmp * c.load).sum() + (c.energy[:, None] * c.accepted).sum() == pytest.approx(0)
    assert (c.rent() == 0).all()


def test_price_series_says_what_is_wrong(tmp_path):
    path, system = series(tmp_path), case("pjm5")
    for change, error, sentence in [
        ({"path": str(tmp_path / "no.csv")}, FileNotFoundError, "check the path"),
        ({"column": "prize"}, ValueError, "Did you mean 'price'"),
        ({"start": "2021"}, ValueError, "reaches from 2020-01-01"),
        ({"start": "2020-01-01 05"}, ValueError, "no finite price"),
        ({"column": "price", "start": "2020-01-01 04"}, ValueError, "2 rows from"),
    ]:
        made = market("price-series", **{"path": path} | change)
        with pytest.raises(error, match=sentence):
            made.clear(system.over(np.ones(3)) if "rows" in sentence else system)
    with pytest.raises(ValueError, match=r"a \.csv or a \.parquet file"):
        market("price-series", path="prices.xls")
    with pytest.raises(ValueError, match="Unknown bus"):
        market("price-series", path=path).clear(system, [Bid("Q", [1.0])])


@real
@pytest.mark.data
def test_real_price_series():
    made = market("price-series", path=str(DATA / "wholesale" / "dayahead_PJM.parquet"), start="2013-06-01")
    clearing = made.clear(case("pjm5").over(np.ones(8760)))
    assert 20 < clearing.energy.mean() < 50
