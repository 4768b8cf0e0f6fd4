"""Building tables: calendar, solar per installed kW, thermal demand."""

import json
from datetime import date

import numpy as np
import pandas as pd
import pytest

from retail.data import DataError, Window
from retail.data.citylearn import CityLearn

WINDOW = Window(date(2018, 1, 1), 3, 60, "America/New_York")
MADE = {"first": date(2018, 1, 1), "devices": "", "pv_kw": 5.0}


def building(days=3, **columns):
    clock = pd.date_range("2018-01-01", periods=24 * days, freq="h")
    sun = np.where((clock.hour >= 8) & (clock.hour < 16), 400.0, 0.0)
    table = {
        "month": clock.month,
        "hour": clock.hour + 1,
        "day_type": clock.dayofweek + 1,
        "non_shiftable_load": 0.5,
        "dhw_demand": 0.2,
        "cooling_demand": 0.3,
        "heating_demand": 1.0,
        "solar_generation": sun,
    }
    return pd.DataFrame(table | columns)


def write(folder, *buildings, name="homes.csv"):
    path = folder / name
    pd.concat([b.assign(building=n + 1) for n, b in enumerate(buildings)], ignore_index=True).to_csv(path, index=False)
    return path


def test_units(tmp_path):
    write(tmp_path, building(), building(solar_generation=0.0))
    p = CityLearn("homes.csv", **MADE).read(WINDOW, tmp_path, 0)
    assert p.names == ("building 1", "building 2")
    assert p.pv_kwp.tolist() == [5.0, 0.0]
    # 400 W per kW installed make 2 kWh an hour of 5 kW
    assert p.pv[8:16, 0].tolist() == [2.0] * 8
    assert p.pv[:, 1].sum() == 0
    assert p.heat[0].tolist() == [1.2, 1.2]
    assert p.cold[0].tolist() == [0.3, 0.3]
    assert p.load.sum() == pytest.approx(0.5 * 72 * 2)
    one = CityLearn("homes.csv", **MADE, buildings=(2,)).read(WINDOW, tmp_path, 0)
    assert one.names == ("building 2",)


def test_a_folder_of_buildings_with_old_headers(tmp_path):
    old = {
        "month": "Month",
        "hour": "Hour",
        "day_type": "Day Type",
        "non_shiftable_load": "Equipment Electric Power [kWh]",
        "solar_generation": "Solar Generation [W/kW]",
    }
    for n in (2, 10, 1):
        table = building(non_shiftable_load=0.1 * n)[list(old)].rename(columns=old)
        table.to_csv(tmp_path / f"Building_{n}.csv", index=False)
    (tmp_path / "devices.json").write_text(json.dumps({f"Building_{n}": {"pv_kw": n} for n in (1, 2, 10)}))
    p = CityLearn(str(tmp_path), date(2018, 1, 1), "devices.json").read(WINDOW, tmp_path, 0)
    assert p.names == ("building 1", "building 2", "building 10")
    assert p.load[0].tolist() == pytest.approx([0.1, 0.2, 1.0])
    assert p.pv_kwp.tolist() == [1.0, 2.0, 10.0]
    assert len(p.files) == 4
    assert p.heat.sum() == 0


def without_row(table):
    return table.drop(index=30)


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ([without_row(building())], r"row 32, column 'hour', building 1: 8 where 2018-01-02 06:00:00 has 7"),
        ([building(month=2)], r"row 2, column 'month', building 1: 2 where 2018-01-01 00:00:00 has 1.*correct `first`"),
        ([building(day_type=3)], r"column 'day_type', building 1: 3 where .* has 1"),
        ([building(non_shiftable_load="x")], r"row 2, column 'non_shiftable_load' holds text \('x'\)"),
        ([building(non_shiftable_load=-1.0)], r"column non_shiftable_load: row 2018-01-01 00:00:00, .*-1 kWh"),
        ([building(cooling_demand=np.nan)], r"column cooling_demand: row 2018-01-01 00:00:00, .*nan kWh"),
        ([building(solar_generation=2.0e6)], r"times the installed 5 kWp"),
        ([building(2)], r"24 of 72 steps are missing"),
        ([building().drop(columns="hour")], r"has no column hour; a table of buildings has"),
    ],
)
def test_damaged_tables_are_named(tmp_path, tables, message):
    path = write(tmp_path, *tables)
    with pytest.raises(DataError, match=message) as caught:
        CityLearn("homes.csv", **MADE).read(WINDOW, tmp_path, 0)
    assert str(path) in str(caught.value)


def test_sizes_of_pv_must_be_known(tmp_path):
    write(tmp_path, building())
    source = CityLearn("homes.csv", date(2018, 1, 1), "devices.json")
    (tmp_path / "devices.json").write_text('{"Building_2": {"pv_kw": 4}}')
    with pytest.raises(DataError, match="'Building_1' is missing"):
        source.read(WINDOW, tmp_path, 0)
    (tmp_path / "devices.json").write_text('{"Building_1": \n {"pv_kw": }')
    with pytest.raises(DataError, match=r"devices\.json: row 2, column"):
        source.read(WINDOW, tmp_path, 0)
    with pytest.raises(DataError, match="pv_kw is -1"):
        CityLearn(pv_kw=-1)
    with pytest.raises(DataError, match="no building"):
        CityLearn("homes.csv", **MADE, buildings=(4,)).read(WINDOW, tmp_path, 0)
    with pytest.raises(DataError, match="steps of 60 min cannot be summed to 30 min"):
        CityLearn("homes.csv", **MADE).read(Window(date(2018, 1, 1), 3, 30, "UTC"), tmp_path, 0)


def test_gaps_follow_the_option(tmp_path):
    table = building()
    table.loc[5:7, "non_shiftable_load"] = np.nan
    write(tmp_path, table, building())
    p = CityLearn("homes.csv", **MADE, gaps="interpolate").read(WINDOW, tmp_path, 0)
    assert p.load[6, 0] == pytest.approx(0.5)
    assert "3 of 72 values of building 1 were filled by straight lines" in p.notes[0]
    assert CityLearn("homes.csv", **MADE, gaps="drop-home").read(WINDOW, tmp_path, 0).names == ("building 2",)


def test_the_seventeen_homes_of_2022(data):
    p = CityLearn().read(Window(date(2016, 8, 8), 14, 60, "America/Los_Angeles"), data, 0)
    sample = pd.read_csv(data / "sample/citylearn17_hourly_28days.csv", parse_dates=["timestamp"])
    wanted = sample[sample["timestamp"] < "2016-08-22"].pivot(index="timestamp", columns="building")
    np.testing.assert_allclose(p.load, wanted["load_kwh"], atol=6e-4)
    np.testing.assert_allclose(p.pv, wanted["pv_kwh"], atol=6e-4)
    year = CityLearn().read(Window(date(2016, 8, 1), 364, 60, "America/Los_Angeles"), data, 0)
    load, pv = (x.sum(axis=0) / 364 for x in (year.load, year.pv))
    assert (load.min(), load.max()) == pytest.approx((17.7, 40.3), abs=0.06)
    assert (pv.min(), pv.max()) == pytest.approx((0.4, 24.2), abs=0.06)


@pytest.mark.parametrize(
    ("name", "first", "homes"),
    [
        ("citylearn2023_3homes_hourly", date(2018, 6, 1), 3),
        ("citylearn2020_cz1_9buildings_hourly", date(2018, 1, 1), 9),
        ("resstock_vt_12homes_hourly_2018", date(2018, 1, 1), 12),
    ],
)
def test_the_other_real_tables(data, name, first, homes):
    source = CityLearn(f"multienergy/{name}.parquet", first, devices="", pv_kw=4.0)
    p = source.read(Window(first, 30, 60, "America/New_York"), data, 0)
    assert p.load.shape == p.heat.shape == p.cold.shape == (720, homes)
    assert p.load.sum() > 0
    assert p.heat.sum() + p.cold.sum() > 0
