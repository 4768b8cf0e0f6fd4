"""The original yearly files: variants, damage, and the real rows against the tidy table."""

from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retail.data import DataError, Window
from retail.data.ausgrid_csv import AusgridCsv
from retail.data.ausgrid_original import read_meter_days, tidy

ENDS = [f"{m // 60 % 24}:{m % 60:02d}" for m in range(30, 1441, 30)]
META = "Customer,Generator Capacity,Postcode,Consumption Category,date"
NAMES = {
    2010: "2010-2011 Solar home electricity data.csv",
    2011: "2011-2012 Solar home electricity data v2.csv",
    2012: "2012-2013 Solar home electricity data v2.csv",
}


def written(day, year):
    return f"{day.day}-{day:%b}-{day:%y}" if year == 2010 else f"{day.day}/{day:%m/%Y}"


def value(customer, channel, day, slot):
    """Some energy that tells customer, channel, day and half hour apart; PV only from 8 to 16 h."""
    if channel == "GG":
        return 0.001 * (customer * 10 + day.day) if 16 <= slot < 32 else 0.0
    return round(0.1 + 0.001 * slot + 0.0001 * day.day + (0.5 if channel == "CL" else 0) + 0.01 * customer, 4)


def write(folder, year, days, *, title=True, customers=(7, 9), estimated=(), edit=lambda lines: lines):
    quality = year != 2010
    lines = ["Some title of the publisher" + "," * 53] if title else []
    lines.append(f"{META},{','.join(ENDS)}" + (",Row Quality" if quality else ""))
    for customer in customers:
        for day in days:
            for channel in ("CL", "GC", "GG") if customer == customers[0] else ("GC", "GG"):
                cells = ",".join(f"{value(customer, channel, day, s):g}" for s in range(48))
                row = (
                    f"{customer},{1.5 if customer == 7 else 2},22{customer:02d},{channel},{written(day, year)},{cells}"
                )
                lines.append(row + ((",NA" if (customer, day) in estimated else ",") if quality else ""))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / NAMES[year]
    path.write_text("\n".join(edit(lines)) + "\n")
    return path


def some(first, count):
    return [d.date() for d in pd.date_range(first, periods=count)]


@pytest.mark.parametrize("year", [2010, 2011, 2012])
@pytest.mark.parametrize("title", [True, False])
def test_every_variant_reads_the_same(tmp_path, year, title):
    days = some(f"{year}-08-01", 3)
    read = read_meter_days(write(tmp_path, year, days, title=title, estimated=[(9, days[1])]))
    table = tidy(read)
    assert len(table) == 3 * 5 * 48
    assert read.rows["estimated"].sum() == (0 if year == 2010 else 2)
    row = table[(table["customer"] == 7) & (table["channel"] == "GC")].iloc[48 + 5]
    # the sixth column is named 3:00 and starts at 02:30
    assert row["timestamp"] == pd.Timestamp(f"{year}-08-02 02:30")
    assert row["kwh"] == pytest.approx(value(7, "GC", days[1], 5))
    last = table[(table["customer"] == 7) & (table["channel"] == "GC")].iloc[47]
    assert last["timestamp"] == pd.Timestamp(f"{year}-08-01 23:30")


def test_rows_of_2010_may_end_with_a_comma(tmp_path):
    days = some("2010-08-01", 2)
    plain = read_meter_days(write(tmp_path / "a", 2010, days))
    comma = read_meter_days(write(tmp_path / "b", 2010, days, edit=lambda x: x[:2] + [f"{r}," for r in x[2:]]))
    assert np.array_equal(plain.kwh, comma.kwh)


def test_windows_over_two_files_and_hours(tmp_path):
    write(tmp_path / "ausgrid/original_format", 2010, some("2011-06-29", 2))
    write(tmp_path / "ausgrid/original_format", 2011, some("2011-07-01", 2), estimated=[(9, date(2011, 7, 2))])
    window = Window(date(2011, 6, 29), 4, 60, "Australia/Sydney")
    p = AusgridCsv().read(window, tmp_path, 0)
    assert len(p.files) == 2
    assert p.names == ("7", "9")
    assert p.postcodes == ("2207", "2209")
    assert p.pv_kwp.tolist() == [1.5, 2.0]
    half = AusgridCsv(controlled_load=True, customers=(9, 7)).read(
        Window(window.start, 4, 30, window.zone), tmp_path, 0
    )
    day = date(2011, 7, 1)
    assert half.load[96 + 10, 0] == pytest.approx(value(9, "GC", day, 10), abs=6e-4)
    assert half.load[96 + 10, 1] == pytest.approx(value(7, "GC", day, 10) + value(7, "CL", day, 10), abs=1.1e-3)
    np.testing.assert_allclose(p.pv[:, ::-1], half.pv.reshape(96, 2, 2).sum(axis=1), atol=1e-9)
    only = AusgridCsv().read(Window(date(2011, 7, 1), 2, 30, "Australia/Sydney"), tmp_path, 0)
    assert [f.name for f in only.files] == [NAMES[2011]]
    assert "2 daily readings are estimated" in only.notes[-1]


def test_estimates_can_be_refused_or_made_gaps(tmp_path):
    write(tmp_path / "ausgrid/original_format", 2011, some("2011-07-01", 3), estimated=[(9, date(2011, 7, 2))])
    window = Window(date(2011, 7, 1), 3, 30, "Australia/Sydney")
    with pytest.raises(DataError, match=r"customer 9, GC, on 2011-07-02; set `estimated`"):
        AusgridCsv(estimated="refuse").read(window, tmp_path, 0)
    with pytest.raises(DataError, match=r"row 2011-07-02 00:00:00, column 9: nan kWh"):
        AusgridCsv(estimated="gap").read(window, tmp_path, 0)
    p = AusgridCsv(estimated="gap", gaps="drop-home").read(window, tmp_path, 0)
    assert p.names == ("7",)
    assert any("homes 9 have gaps" in note for note in p.notes)
    with pytest.raises(DataError, match="estimated is 'guess'"):
        AusgridCsv(estimated="guess")


def test_missing_days_follow_the_option(tmp_path):
    write(tmp_path / "ausgrid/original_format", 2012, [d for d in some("2012-08-01", 5) if d.day != 3])
    window = Window(date(2012, 8, 1), 5, 60, "Australia/Sydney")
    with pytest.raises(DataError, match=r"channel GC: 48 of 240 steps are missing, the first 2012-08-03"):
        AusgridCsv().read(window, tmp_path, 0)
    p = AusgridCsv(gaps="interpolate").read(window, tmp_path, 0)
    assert any("48 of 240 values of 7 were filled by straight lines" in note for note in p.notes)
    report = AusgridCsv().quality(tmp_path, date(2012, 8, 1), date(2012, 8, 5))
    assert [r.missing_days for r in report] == [1, 1]


def test_no_file_for_the_window(tmp_path):
    with pytest.raises(DataError, match=r"it has no CSV file.*HMARL_DATA"):
        AusgridCsv().read(Window(date(2011, 7, 1), 1, 30, "Australia/Sydney"), tmp_path, 0)
    write(tmp_path / "ausgrid/original_format", 2012, some("2012-08-01", 1))
    with pytest.raises(DataError, match=r"no yearly file for 2011-07-01 to 2011-07-01 \(its CSV files are 2012"):
        AusgridCsv().read(Window(date(2011, 7, 1), 1, 30, "Australia/Sydney"), tmp_path, 0)
    with pytest.raises(DataError, match="has no day from 2012-09-01"):
        AusgridCsv().read(Window(date(2012, 9, 1), 1, 30, "Australia/Sydney"), tmp_path, 0)


DAMAGE = {
    "negative": (lambda c: [*c[:9], "-0.5", *c[10:]], "column '2:30': -0.5 is not kWh, a number >= 0"),
    "text": (lambda c: [*c[:9], "n/a", *c[10:]], "column '2:30': 'n/a' is not kWh"),
    "empty": (lambda c: [*c[:9], "", *c[10:]], r"column '2:30': nothing .* is not kWh"),
    "short": (lambda c: c[:30], r"column '13:00': nothing \(is the row cut short\?\)"),
    "channel": (lambda c: [*c[:3], "XX", *c[4:]], "column 'Consumption Category': 'XX' is not a channel"),
    "date": (lambda c: [*c[:4], "32/13/2012", *c[5:]], "column 'date': '32/13/2012' is not a date"),
    "customer": (lambda c: ["seven", *c[1:]], "column 'Customer': 'seven' is not a whole number"),
    "capacity": (lambda c: [c[0], "-1", *c[2:]], "column 'Generator Capacity': '-1' is not a number of kWp"),
}


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("year", [2010, 2012])
def test_damaged_rows_are_named(tmp_path, kind, year):
    damage, message = DAMAGE[kind]

    def edit(lines):
        return [*lines[:4], ",".join(damage(lines[4].split(","))), *lines[5:]]

    path = write(tmp_path, year, some(f"{year}-08-01", 2), edit=edit)
    with pytest.raises(DataError, match=message) as caught:
        read_meter_days(path)
    assert f"{path}: row 5," in str(caught.value)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda x: [x[0], x[1].replace("0:30,1:00", "1:00,0:30"), *x[2:]], r"column 6 of the header is '1:00'"),
        (lambda x: [x[0], x[1].replace(",0:00", ""), *x[2:]], r"column 53 of the header is 'missing'"),
        (lambda x: x[:2], "has a header and no rows"),
        (lambda x: x[2:], "no header in its first three rows"),
        (lambda x: [*x, x[-1]], r"row 13, column 'date': '2/08/2012' is not a new day"),
        (lambda x: [*x[:2], f"{x[2]},1,2,3", *x[3:]], "cannot be read as a table|Length of header"),
    ],
)
def test_damaged_files_are_named(tmp_path, edit, message):
    path = write(tmp_path, 2012, some("2012-08-01", 2), edit=edit)
    with pytest.raises(DataError, match=message) as caught:
        read_meter_days(path)
    assert str(path) in str(caught.value)


@settings(max_examples=60, deadline=None)
@given(share=st.floats(0, 1))
def test_a_file_cut_anywhere_is_refused(tmp_path_factory, share):
    folder = tmp_path_factory.mktemp("cut")
    path = write(folder / "ausgrid/original_format", 2012, some("2012-08-01", 2))
    whole = path.read_bytes()
    # the last comma and line end may go only together with a value
    path.write_bytes(whole[: int(share * (len(whole) - 2))])
    with pytest.raises(DataError, match=r"2012-2013|original_format"):
        AusgridCsv().read(Window(date(2012, 8, 1), 2, 30, "Australia/Sydney"), folder, 0)


def test_the_original_rows_are_those_of_the_tidy_table(data):
    source = AusgridCsv(controlled_load=True)
    window = Window(date(2012, 7, 1), 166, 30, "Australia/Sydney")
    made = tidy(read_meter_days(source.paths(window.start, date(2012, 12, 13), data)[0]))
    wanted = pd.read_parquet(data / "ausgrid/halfhourly_customers_1_12.parquet").query("customer == 1")
    wanted = wanted.sort_values(["customer", "channel", "timestamp"])
    assert len(made) == len(wanted) == 3 * 166 * 48
    for column in ("customer", "postcode", "channel", "timestamp"):
        assert (made[column].astype(str).to_numpy() == wanted[column].astype(str).to_numpy()).all(), column
    np.testing.assert_allclose(made["kwh"], wanted["kwh"], rtol=0, atol=1e-6)
    p = source.read(window, data, 0)
    channels = wanted.pivot(index="timestamp", columns="channel", values="kwh").astype(float)
    np.testing.assert_allclose(p.load[:, 0], channels["GC"] + channels["CL"], atol=1e-6)
    np.testing.assert_allclose(p.pv[:, 0], channels["GG"], atol=1e-6)
    assert p.notes == (
        "Clock change on 2012-10-07: 2 half hours from 02:00 do not exist and hold zero; they are kept as metered.",
    )
    assert (p.load[98 * 48 + 4 : 98 * 48 + 6] == 0).all()
