import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from retail.tariff import Tariff, TariffError, to_ticks
from retail.time_of_use import WINDOWS, read_tariff, time_of_use


@given(st.integers(-(10**7), 10**7))
def test_a_whole_tick_survives(tick):
    assert int(to_ticks(tick * 1e-5)) == tick


def test_halves_round_away_from_zero():
    assert to_ticks([0.000005, -0.000005, 0.000015, 0.285]).tolist() == [1, -1, 2, 28500]


def test_buy_is_the_sum_of_its_parts():
    t = Tariff.make(energy=[0.1, 0.2], network=0.09, levy=0.02, sell=0.04)
    np.testing.assert_allclose(t.buy_price, [0.21, 0.31])
    assert t.over(3).buy.shape == (3, 2)
    assert torch.equal(t.over(3)[1].buy, t.buy)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"energy": [0.03], "sell": 0.04}, "feed-in price exceeds"),
        ({"energy": [0.1], "sell": 0.0, "fee": -0.01}, "fee"),
        ({"energy": [float("nan")], "sell": 0.0}, "finite"),
    ],
)
def test_impossible_tariffs_are_refused(parts, message):
    with pytest.raises(TariffError, match=message):
        Tariff.make(**parts)


def test_windows_of_aer2019():
    def hours(day):
        clock = np.datetime64(day, "m") + np.arange(24) * np.timedelta64(60, "m")
        return "".join(str(x) for x in WINDOWS["AER2019"](clock))

    assert hours("2012-07-02") == "000000011111111112222100"  # a Monday in winter
    assert hours("2013-01-07") == "000000011111112222221100"  # a Monday in summer
    assert hours("2012-07-01") == hours("2012-04-02") == "000000011111111111111100"  # Sunday; Monday in April


def test_unknown_windows_and_rows(tmp_path):
    with pytest.raises(TariffError, match="AER2019"):
        time_of_use(np.array(["2012-07-01T00:00"], dtype="datetime64[m]"), "AER2020", 1, 1, 1)
    table = tmp_path / "t.csv"
    table.write_text(
        "id,offpeak_per_kwh,shoulder_per_kwh,peak_per_kwh,fit_per_kwh,windows,currency\nA,0.1,,0.3,0.04,simple,AUD\n"
    )
    with pytest.raises(TariffError, match="it has A"):
        read_tariff(table, "B")
    with pytest.raises(TariffError, match="empty shoulder_per_kwh"):
        read_tariff(table, "A")
