"""Dairy farms: sizes of the paper, milking peaks, wind through a power curve."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retail.data import DataError, Window
from retail.data.farms import Farms
from retail.data.wind import turbine_power, wind_speed

YEAR = Window(date(2022, 1, 1), 365, 60, "Europe/Dublin")


@pytest.fixture(scope="module")
def year():
    return Farms().read(YEAR, None, 0)


def test_sizes_and_yields_of_a_year(year):
    assert year.names == tuple(f"farm {n:02d}" for n in range(1, 11))
    assert year.load.shape == year.pv.shape == year.wind.shape == (8760, 10)
    assert ((year.pv_kwp >= 10) & (year.pv_kwp <= 20)).all()
    assert np.ptp(year.pv_kwp) > 2
    assert (year.pv <= year.pv_kwp + 1e-9).all()
    assert (year.wind <= 10).all()
    # kWh per farm and year: assumed use; PV of Ireland some 800 to 1200 kWh per kWp; small turbines 15 to 35 %
    assert year.load.sum() / 10 == pytest.approx(26_000, rel=0.3)
    assert 750 < (year.pv.sum(axis=0) / year.pv_kwp).mean() < 1250
    assert 0.15 < year.wind.sum() / (10 * 10 * 8760) < 0.35
    assert np.array_equal(year.generation, year.pv + year.wind)
    assert "made up" in year.notes[0]


def test_milking_peaks_in_the_morning_and_evening(year):
    day = year.load.reshape(365, 24, 10).mean(axis=(0, 2))
    assert int(np.argmax(day[:12])) in (7, 8, 9)
    assert int(np.argmax(day[12:])) + 12 in (17, 18, 19)
    assert day[[7, 8, 18, 19]].min() > 1.4 * day.mean()
    assert day[:5].max() < 0.8 * day.mean()


def test_more_wind_in_winter_and_with_the_neighbours(year):
    months = year.wind.reshape(365, 24, 10).sum(axis=(1, 2))
    assert months[:60].mean() > months[150:210].mean()
    assert np.corrcoef(year.wind[:, 0], year.wind[:, 9])[0, 1] > 0.7
    lag = np.corrcoef(year.wind[1:, 0], year.wind[:-1, 0])[0, 1]
    assert lag > 0.8


def test_seeds_and_steps():
    week = replace(YEAR, days=7)
    a, b, c = (Farms(3).read(week, None, seed) for seed in (0, 0, 1))
    assert np.array_equal(a.load, b.load)
    assert np.array_equal(a.wind, b.wind)
    assert not np.array_equal(a.wind, c.wind)
    plain = Farms(3, wind_kw=0, pv_kwp=(0, 0)).read(week, None, 0)
    assert np.array_equal(plain.load, a.load)
    assert plain.wind is None
    assert plain.generation.sum() == 0
    for step in (15, 30):
        fine = Farms(3).read(replace(week, step_minutes=step), None, 0)
        assert fine.wind.shape == (7 * 24 * 60 // step, 3)
        assert fine.wind.max() <= 10 * step / 60
        assert fine.load.sum() == pytest.approx(a.load.sum(), rel=0.25)


def test_mistakes_come_together():
    with pytest.raises(DataError) as caught:
        Farms(farms=0, pv_kwp=(20, 10), wind_kw=-1, wind_speed=40)
    for word in ("farms is 0", "pv_kwp is (20, 10)", "wind_kw is -1", "wind_speed is 40"):
        assert word in str(caught.value)


@given(st.floats(0, 40), st.floats(0, 40), st.floats(0.1, 100))
def test_a_turbine_gives_more_with_more_wind_until_it_stops(slow, fast, rated):
    slow, fast = sorted((slow, fast))
    low, high = turbine_power(np.array([slow, fast]), rated)
    assert 0 <= low <= rated
    assert high == 0 if fast >= 25 else high >= low
    assert low == 0 or slow >= 3


def test_the_power_curve_at_its_corners():
    power = turbine_power(np.array([0, 2.9, 3.0, 11.0, 24.9, 25.0]), 10.0)
    assert power.tolist() == [0, 0, 0, 10, 10, 0]
    assert turbine_power(np.array([7.0]), 10.0)[0] == pytest.approx(10 * (343 - 27) / (1331 - 27))


def test_wind_has_the_wanted_mean():
    speed = wind_speed(YEAR, np.random.default_rng(3), 2, 6.0)
    assert speed.mean() == pytest.approx(6.0, rel=0.1)
    assert speed.min() >= 0
