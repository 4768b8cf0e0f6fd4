"""Semi-real homes: the sum is exactly the given one; with real data, the published bills of the 300 homes."""

from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retail.data import DataError, Window
from retail.data.day_blocks import alike_days, choose, fit, same_season
from retail.data.semi_real import LOAD_CAP_KW, PV_CAP, SemiReal, read_aggregate
from retail.time_of_use import read_tariff, time_of_use

SYDNEY = "Australia/Sydney"


def bill_per_day(net, window, row):
    """AUD a day of net import [H], [H, N] kWh: buy at the tariff, sell at the feed-in price."""
    buy = time_of_use(window.clock, row["windows"], row["offpeak"], row["shoulder"], row["peak"])
    buy = buy.reshape(-1, *[1] * (net.ndim - 1))
    return float((np.maximum(net, 0) * buy - np.maximum(-net, 0) * row["sell"]).sum() / window.days)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Five homes, three donors with a year of days (one has an outage), two years of sums."""
    folder = tmp_path_factory.mktemp("semi")
    rng = np.random.default_rng(0)
    half = pd.date_range("2011-07-01", "2013-06-30 23:30", freq="30min")
    hour = half.hour + half.minute / 60
    sun = np.maximum(np.cos((hour - 12.2) / 11 * np.pi), 0) * rng.uniform(0.3, 1, len(half))
    aggregate = pd.DataFrame({"timestamp": half, "gc_kwh": rng.uniform(0.5, 4, len(half)), "gg_kwh": 3.0 * sun})
    aggregate.loc[(half.month == 10) & (half.day == 7) & (half.hour == 2), ["gc_kwh", "gg_kwh"]] = 0.0
    aggregate.astype({"gc_kwh": "float32", "gg_kwh": "float32"}).to_parquet(folder / "sums.parquet")
    customers = pd.DataFrame(
        {"customer": range(1, 6), "postcode": [2000, 2001, None, 2003, 2004], "capacity_kw": [1, 2, None, 4, 1.5]}
    )
    customers.to_csv(folder / "customers.csv", index=False)
    clock = pd.date_range("2012-07-01", "2013-06-30 23:00", freq="h")
    parts = []
    for home, kwp in ((11, 1.0), (12, 2.0), (13, 3.0)):
        pv = np.maximum(np.cos((clock.hour - 12) / 11 * np.pi), 0) * 0.8 * kwp
        pv = np.where((home == 12) & (clock.month == 9), 0.0, pv)
        for channel, kwh in (("GC", rng.uniform(0.1, 1.0, len(clock))), ("GG", pv)):
            parts.append(
                pd.DataFrame(
                    {
                        "customer": home,
                        "postcode": 2261,
                        "capacity_kw": kwp,
                        "channel": channel,
                        "timestamp": clock,
                        "kwh": kwh,
                    }
                )
            )
    pd.concat(parts, ignore_index=True).to_parquet(folder / "donors.parquet")
    return folder


SOURCE = SemiReal("sums.parquet", "customers.csv", "donors.parquet")


@pytest.mark.parametrize("step", [30, 60])
def test_sums_are_exact_on_made_up_data(made, step):
    window = Window(date(2011, 8, 20), 430, step, SYDNEY)
    p = SOURCE.read(window, made, 4)
    sums = read_aggregate(made / "sums.parquet").loc["2011-08-20":].iloc[: 430 * 48].to_numpy()
    sums = sums.reshape(len(window.clock), step // 30, 2).sum(axis=1)
    np.testing.assert_allclose(p.load.sum(axis=1), sums[:, 0], rtol=1e-9, atol=0)
    np.testing.assert_allclose(p.pv.sum(axis=1), sums[:, 1], rtol=1e-9, atol=0)
    assert (p.load >= 0).all()
    assert (p.pv >= 0).all()
    assert p.names[0] == "semi-real 1"
    assert p.pv_kwp.tolist() == [1, 2, 1.75, 4, 1.5]
    assert p.postcodes == ("2000", "2001", "", "2003", "2004")
    assert "not the Ausgrid data set" in p.notes[0]
    assert "no PV size of semi-real 3" in p.notes[1]
    assert not any("ausgrid" in name.lower() for name in p.names)


def test_seeds_change_homes_and_not_their_sum(made):
    window = Window(date(2012, 9, 1), 14, 60, SYDNEY)
    a, b, c = (SOURCE.read(window, made, seed) for seed in (0, 0, 1))
    assert np.array_equal(a.load, b.load)
    assert np.array_equal(a.pv, b.pv)
    assert not np.allclose(a.load, c.load)
    np.testing.assert_allclose(a.load.sum(axis=1), c.load.sum(axis=1), rtol=1e-9)
    # the donor without PV in September lends nothing then
    assert (a.pv.reshape(14, 24, 5).sum(axis=1) > 0.05).all()


def test_steps_days_and_files_are_checked(made, tmp_path):
    with pytest.raises(DataError, match="30 and 60 min, not 15"):
        SOURCE.read(Window(date(2012, 9, 1), 1, 15, SYDNEY), made, 0)
    with pytest.raises(DataError, match=r"sums\.parquet.*48 of 48 steps are missing, the first 2010-09-01"):
        SOURCE.read(Window(date(2010, 9, 1), 1, 30, SYDNEY), made, 0)
    with pytest.raises(DataError, match="load_spread is -1"):
        SemiReal(load_spread=-1)
    for name in ("sums.parquet", "customers.csv", "donors.parquet"):
        (tmp_path / name).write_bytes((made / name).read_bytes())
    window = Window(date(2012, 9, 1), 1, 60, SYDNEY)
    (tmp_path / "customers.csv").write_text("customer,postcode,capacity_kw\n1,2000,1\n2,2000,-1\n")
    with pytest.raises(DataError, match=r"customers\.csv: row 3, column 'capacity_kw' is -1"):
        SOURCE.read(window, tmp_path, 0)
    (tmp_path / "customers.csv").write_bytes((made / "customers.csv").read_bytes())
    sums = pd.read_parquet(made / "sums.parquet")
    sums.assign(gc_kwh=sums["gc_kwh"].where(sums.index != 9, -2)).to_parquet(tmp_path / "sums.parquet")
    with pytest.raises(DataError, match=r"sums\.parquet: row 10, column 'gc_kwh' is -2 kWh"):
        SOURCE.read(window, tmp_path, 0)
    sums.to_parquet(tmp_path / "sums.parquet")
    donors = pd.read_parquet(made / "donors.parquet")
    donors[donors["timestamp"] < "2013-01-01"].to_parquet(tmp_path / "donors.parquet")
    with pytest.raises(DataError, match="donors must cover a year"):
        SOURCE.read(window, tmp_path, 0)


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 2**16), share=st.just(0.0) | st.floats(1e-6, 1.2), homes=st.integers(1, 9))
def test_fit_meets_sums_and_caps(seed, share, homes):
    rng = np.random.default_rng(seed)
    shape = rng.lognormal(0, 2, (20, homes))
    cap = rng.uniform(0.1, 2, homes)
    total = share * cap.sum() * rng.uniform(0, 1, 20)
    total[0] = 0.0
    value = fit(shape, total, cap)
    np.testing.assert_allclose(value.sum(axis=1), total, rtol=1e-12, atol=0)
    assert (value >= 0).all()
    fits = total <= cap.sum()
    assert (value[fits] <= cap * (1 + 1e-9)).all()


def test_days_of_the_same_season_and_weekday():
    days = np.arange("2012-07-01", "2013-07-01", dtype="datetime64[D]")
    allowed = same_season(np.array(["2010-12-31", "2011-07-02"], "datetime64[D]"), days, 20, weekday=True)
    for wanted, row in zip(("2010-12-31", "2011-07-02"), allowed, strict=True):
        found = pd.DatetimeIndex(days[row])
        assert len(found) > 4
        kinds = {min(5, d) if d < 5 else d for d in found.dayofweek}
        assert kinds <= ({0, 1, 2, 3, 4} if wanted == "2010-12-31" else {5})
        apart = np.abs(found.dayofyear - pd.Timestamp(wanted).dayofyear)
        assert (np.minimum(apart, 365 - apart) <= 21).all()


def test_alike_days_and_stand_ins():
    offered = np.arange(6.0)[:, None] * np.ones(24)
    allowed = np.array([[True, True, False, True, True, True], [False, False, True, False, False, False]])
    assert alike_days(offered[[2, 5]], offered, allowed, 3).tolist() == [[1, 3, 0], [2, 2, 2]]
    usable = np.ones((6, 3), dtype=bool)
    usable[2, [0, 1]] = False
    choice = choose(np.random.default_rng(0), np.array([[2], [3]]), np.array([0, 1, 2, 0]), usable)
    assert choice.day.tolist() == [[2] * 4, [3] * 4]
    assert choice.donor.tolist() == [[2, 2, 2, 2], [0, 1, 2, 0]]


@pytest.fixture(scope="module")
def homes(data):
    window = Window(date(2012, 6, 1), 365, 60, SYDNEY)
    return window, SemiReal().read(window, data, 0)


def test_the_pooled_bill_of_the_300_homes(homes, data):
    window, p = homes
    row = read_tariff(data / "tariffs/tou_tariffs.csv", "B_thesis_experiments")
    net = p.load - p.pv
    pooled, alone = bill_per_day(net.sum(axis=1), window, row), bill_per_day(net, window, row)
    assert pooled == pytest.approx(729.74, abs=0.01)
    # without trade each home pays for itself: dearer, yet not by more than the value of all PV
    assert 1.05 * pooled < alone < 1.25 * pooled


@pytest.mark.parametrize(
    ("first", "days", "bill", "load", "pv"),
    [
        (date(2010, 7, 1), 365, 818.56, 5010.7, 1741.3),
        (date(2011, 7, 1), 366, 758.85, 4704.1, 1707.5),
        (date(2012, 7, 1), 365, 721.80, 4592.5, 1792.6),
    ],
)
def test_the_other_windows(data, first, days, bill, load, pv):
    window = Window(first, days, 60, SYDNEY)
    p = SemiReal().read(window, data, 1)
    row = read_tariff(data / "tariffs/tou_tariffs.csv", "B_thesis_experiments")
    assert bill_per_day((p.load - p.pv).sum(axis=1), window, row) == pytest.approx(bill, abs=0.01)
    assert p.load.sum() / days == pytest.approx(load, abs=0.06)
    assert p.pv.sum() / days == pytest.approx(pv, abs=0.06)


def test_the_300_homes_sum_to_the_real_aggregate_and_look_like_homes(homes, data):
    window, p = homes
    half = Window(window.start, 60, 30, SYDNEY)
    q = SemiReal().read(half, data, 0)
    sums = pd.read_parquet(data / "ausgrid/aggregate300_halfhourly_2010_2013.parquet").set_index("timestamp")
    sums = sums.loc[str(window.start) :].iloc[: len(half.clock)]
    np.testing.assert_allclose(q.load.sum(axis=1), sums["gc_kwh"].astype(float), rtol=1e-9, atol=0)
    np.testing.assert_allclose(q.pv.sum(axis=1), sums["gg_kwh"].astype(float), rtol=1e-9, atol=0)
    customers = pd.read_csv(data / "ausgrid/customers.csv")
    known = customers["capacity_kw"].notna().to_numpy()
    assert p.pv_kwp[known].tolist() == customers["capacity_kw"][known].tolist()
    assert len(p.names) == len(set(p.names)) == 300
    assert (p.pv <= PV_CAP * p.pv_kwp * (1 + 1e-9)).all()
    assert p.load.max() <= LOAD_CAP_KW * (1 + 1e-9)
    daily = p.load.sum(axis=0) / 365
    assert daily.min() > 2
    assert daily.max() < 60
    assert daily.mean() == pytest.approx(15.4, abs=0.1)
    # no two homes are the same
    assert np.abs(np.corrcoef(p.load.T) - np.eye(300)).max() < 0.95
