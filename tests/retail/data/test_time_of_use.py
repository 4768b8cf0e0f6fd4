"""Time-of-use windows, tariff tables and public holidays."""

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retail.holidays import easter, holidays_on, nsw_holidays
from retail.tariff import TariffError
from retail.time_of_use import WINDOWS, read_tariff, time_of_use, usable_tariffs


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


def levels(windows, day, holidays="none", steps=24):
    clock = np.datetime64(day, "m") + np.arange(steps) * np.timedelta64(24 * 60 // steps, "m")
    return "".join(str(int(x)) for x in time_of_use(clock, windows, 0, 1, 2, holidays))


def test_the_other_windows():
    assert levels("simple", "2012-07-02") == "000000011111112222221100"
    assert levels("simple", "2012-07-01") == "000000011111111111111100"
    assert levels("simple_weekend_offpeak", "2012-07-02") == "000000011111112222221100"
    assert levels("simple_weekend_offpeak", "2012-07-01") == "0" * 24
    for day in ("2022-01-02", "2022-07-06"):  # a Sunday and a Wednesday
        assert levels("irish-farm-assumed", day) == "000000001111111112211110"
    assert levels("irish-farm-assumed", "2022-01-02", steps=48)[33:39] == "122221"
    assert levels("flat", "2022-01-02") == "1" * 24


def test_holidays_count_as_weekend_only_when_asked():
    monday = "2013-01-28"  # Australia Day, observed
    assert levels("AER2019", monday) == "000000011111112222221100"
    assert levels("AER2019", monday, "NSW") == "000000011111111111111100"
    assert levels("simple_weekend_offpeak", monday, "NSW") == "0" * 24
    assert levels("simple", "2013-01-29", "NSW") == levels("simple", "2013-01-29")
    with pytest.raises(TariffError, match="Holidays 'QLD' are unknown; allowed: none, NSW"):
        levels("simple", monday, "QLD")


KNOWN = {
    # year: days of the state's own calendar; month, day
    2011: "1.1 1.3 1.26 4.22 4.23 4.24 4.25 4.26 6.13 10.3 12.25 12.26 12.27",
    2012: "1.1 1.2 1.26 4.6 4.7 4.8 4.9 4.25 6.11 10.1 12.25 12.26",
    2013: "1.1 1.28 3.29 3.30 3.31 4.1 4.25 6.10 10.7 12.25 12.26",
    2021: "1.1 1.26 4.2 4.3 4.4 4.5 4.25 6.14 10.4 12.25 12.26 12.27 12.28",
    2023: "1.1 1.2 1.26 4.7 4.8 4.9 4.10 4.25 6.12 10.2 12.25 12.26",
}


@pytest.mark.parametrize("year", KNOWN)
def test_holidays_of_new_south_wales(year):
    wanted = [date(year, *(int(part) for part in day.split("."))) for day in KNOWN[year].split()]
    assert list(nsw_holidays(year)) == wanted


@given(st.integers(2010, 2200))
def test_holidays_follow_their_rules(year):
    days = nsw_holidays(year)
    assert list(days) == sorted(set(days))
    sunday = easter(year)
    assert sunday.weekday() == 6
    assert date(year, 3, 22) <= sunday <= date(year, 4, 25)
    # New Year, Australia Day, Good Friday, Easter Monday, birthday, labour, Christmas and Boxing Day always give a
    # weekday (Anzac Day may fall away)
    assert sum(day.weekday() < 5 for day in days) >= 8
    assert {sunday - timedelta(days=2), sunday + timedelta(days=1)} <= set(days)


def test_easter_of_known_years():
    known = {1818: (3, 22), 1943: (4, 25), 2000: (4, 23), 2011: (4, 24), 2012: (4, 8), 2013: (3, 31), 2038: (4, 25)}
    assert {year: (easter(year).month, easter(year).day) for year in known} == known


def test_years_before_the_act_are_refused():
    clock = np.array(["2009-12-25T00:00"], dtype="datetime64[m]")
    with pytest.raises(TariffError, match="from 2010 on, not for 2009"):
        holidays_on(clock, "NSW")
    assert not holidays_on(clock, "none").any()
    assert holidays_on(clock[:0], "NSW").shape == (0,)
    turn = np.arange("2012-12-31T12", "2013-01-01T12", dtype="datetime64[h]")
    assert holidays_on(turn, "NSW").tolist() == [False] * 12 + [True] * 12


HEADER = "id,offpeak_per_kwh,shoulder_per_kwh,peak_per_kwh,fit_per_kwh,windows,currency\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            HEADER + "A,0.1,x,0.3,0.04,simple,AUD\n",
            r"row 2, column 'shoulder_per_kwh': 'x' is no price; .* AUD per kWh",
        ),
        (HEADER + "A,0.1,nan,0.3,0.04,simple,AUD\n", "'nan' is no price"),
        (HEADER + "A,0.1,0.2,0.3,0.04,night,AUD\n", "cannot be used as it is: windows 'night'"),
        (HEADER + "A,0.1,0.2\n", "empty peak_per_kwh, fit_per_kwh"),
        (HEADER + "A,0.1,0.2,0.3,0.04,simple,AUD\n" * 2, "row 3, column 'id': 'A' comes twice"),
        ("id,offpeak_per_kwh\nA,0.1\n", "no column shoulder_per_kwh, peak_per_kwh"),
    ],
)
def test_damaged_tariff_tables(tmp_path, text, message):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(TariffError, match=message) as caught:
        read_tariff(path, "A")
    assert str(path) in str(caught.value)


def test_the_real_tariff_table(data):
    path = data / "tariffs/tou_tariffs.csv"
    usable = usable_tariffs(path)
    assert usable == (
        "A_thesis_default",
        "B_thesis_experiments",
        "EnergyAustralia_residential",
        "AGL_residential",
        "AGL_business",
        "Enova",
    )
    rows = {name: read_tariff(path, name) for name in usable}
    assert rows["Enova"]["windows"] == "simple_weekend_offpeak"
    assert rows["B_thesis_experiments"] == {
        "offpeak": 0.15,
        "shoulder": 0.22,
        "peak": 0.44,
        "sell": 0.04,
        "windows": "AER2019",
        "currency": "AUD",
    }
    for name, empty in (
        ("CityLearn_2022", "shoulder"),
        ("marlem_profile_1", "shoulder"),
        ("Ausgrid_network_only", "fit"),
    ):
        with pytest.raises(TariffError, match=f"empty {empty}_per_kwh"):
            read_tariff(path, name)
