"""The tidy form of the Ausgrid solar homes."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from retail.data import DataError, Window
from retail.data.ausgrid import Ausgrid

WINDOW = Window(date(2012, 7, 2), 14, 60, "Australia/Sydney")


def test_a_file_cut_short_is_named(tmp_path):
    (tmp_path / "homes.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(DataError, match=r"homes\.parquet cannot be read"):
        Ausgrid("homes.parquet").read(WINDOW, tmp_path, 0)


def test_missing_data_says_where_it_looked(tmp_path):
    with pytest.raises(DataError, match=f"{tmp_path}.*HMARL_DATA"):
        Ausgrid().read(WINDOW, tmp_path, 0)
    with pytest.raises(DataError, match="no data folder is set"):
        Ausgrid().read(WINDOW, None, 0)


def test_ausgrid_hourly_statistics(data):
    p = Ausgrid().read(Window(date(2012, 7, 1), 365, 60, "Australia/Sydney"), data, 0)
    assert p.names == ("5", "13", "50", "58", "158", "286", "292", "297")
    assert p.load.sum() / 365 == pytest.approx(114.91, abs=0.01)
    assert p.pv.sum() / 365 == pytest.approx(40.51, abs=0.01)
    assert p.pv_kwp.sum() == pytest.approx(11.76)


def test_ausgrid_days_outside_the_file_are_refused(data):
    with pytest.raises(DataError, match="warm_up"):
        Ausgrid().read(Window(date(2012, 6, 24), 14, 60, "Australia/Sydney"), data, 0)
    with pytest.raises(DataError, match="no customer"):
        Ausgrid(customers=(1,)).read(WINDOW, data, 0)


def tidy(**columns):
    clock = pd.date_range("2012-07-02", periods=48, freq="h")
    parts = []
    for home in (3, 8):
        sun = np.maximum(np.cos((clock.hour - 12) / 12 * np.pi), 0)
        for channel, kwh in (("GC", 0.5), ("GG", sun * 1.0)):
            part = {"customer": home, "postcode": 2000 + home, "capacity_kw": 1.5, "channel": channel}
            parts.append(pd.DataFrame(part | {"timestamp": clock, "kwh": kwh}))
    return pd.concat(parts, ignore_index=True).assign(**columns)


def with_cell(row, column, value):
    table = tidy()
    table[column] = table[column].astype(object)
    table.loc[row, column] = value
    return table


DAYS = Window(date(2012, 7, 2), 2, 60, "Australia/Sydney")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (with_cell(4, "kwh", -0.5), r"row 6, column 'kwh' is -0\.5 kWh; it must be a number >= 0"),
        (with_cell(4, "kwh", "x"), r"row 6, column 'kwh' holds text \('x'\)"),
        (with_cell(4, "kwh", np.nan), r"channel GC: row 2012-07-02 04:00:00, column 3: nan kWh"),
        (
            with_cell(4, "timestamp", "2012-07-02 03:00:00"),
            r"row 6, column 'timestamp': .* customer 3, channel GC, comes",
        ),
        (with_cell(4, "timestamp", "soon"), r"row 6, column 'timestamp': 'soon' is no time stamp"),
        (tidy().drop(columns="channel"), "has no column channel; the tidy form has customer"),
        (tidy().iloc[:-3], r"channel GG: row 2012-07-03 21:00:00, column 8: nan kWh"),
        (tidy(channel="GC").drop_duplicates(["customer", "timestamp"]), "no row is GG"),
        (
            tidy().assign(kwh=lambda t: t["kwh"] * 1000),
            r"channel GG: row .*, column 3: PV of .* times the installed 1\.5",
        ),
    ],
)
def test_damaged_tidy_tables_are_named(tmp_path, table, message):
    path = tmp_path / "homes.csv"
    table.to_csv(path, index=False)
    with pytest.raises(DataError, match=message) as caught:
        Ausgrid("homes.csv").read(DAYS, tmp_path, 0)
    assert str(path) in str(caught.value)


def test_tidy_stamps_of_another_zone_are_found(tmp_path):
    table = tidy()
    noon_at_two = (table["timestamp"] - pd.Timedelta(hours=10)).dt.hour
    moved = np.maximum(np.cos((noon_at_two - 16) / 12 * np.pi), 0)
    table["kwh"] = np.where(table["channel"] == "GG", moved, table["kwh"])
    table.to_csv(tmp_path / "homes.csv", index=False)
    with pytest.raises(DataError, match="PV centres on 02"):
        Ausgrid("homes.csv").read(DAYS, tmp_path, 0)


def test_gaps_of_the_tidy_form(tmp_path):
    with_cell(4, "kwh", np.nan).to_csv(tmp_path / "homes.csv", index=False)
    assert Ausgrid("homes.csv", gaps="zero").read(DAYS, tmp_path, 0).load[4, 0] == 0
    p = Ausgrid("homes.csv", gaps="drop-home").read(DAYS, tmp_path, 0)
    assert (p.names, p.postcodes, p.pv_kwp.tolist()) == (("8",), ("2008",), [1.5])
    assert "homes 3 have gaps and were left out" in p.notes[0]
