"""Readers and the synthetic source."""

import os
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from retail.data import DataError, Window
from retail.data.ausgrid import Ausgrid
from retail.data.profiles import WideTables
from retail.data.synthetic import Synthetic, evenly

DATA = Path(os.environ.get("HMARL_DATA", Path(__file__).parents[3] / "shared" / "data"))
real = pytest.mark.skipif(not DATA.is_dir(), reason=f"real data not found in {DATA}; set HMARL_DATA")
WINDOW = Window(date(2012, 7, 2), 14, 60, "Australia/Sydney")


def test_synthetic_is_seeded_and_plausible():
    a, b, c = (Synthetic(12).read(WINDOW, None, seed) for seed in (0, 0, 1))
    assert np.array_equal(a.load, b.load)
    assert not np.array_equal(a.load, c.load)
    assert a.load.shape == a.pv.shape == (14 * 24, 12)
    daily = a.load.sum(axis=0) / 14
    assert 5 < daily.mean() < 35
    sun = a.pv.reshape(14, 24, 12).mean(axis=0)
    assert (sun[:6] == 0).all()  # no sun in a winter night
    assert (sun[10:14][:, a.pv_kwp > 0] > 0).all()
    assert (a.pv <= a.pv_kwp + 1e-9).all()
    assert (a.pv_kwp > 0).sum() == 7  # round(0.6 * 12)


def test_more_pv_leaves_the_rest_alone():
    few, many = (Synthetic(12, pv=share).read(WINDOW, None, 3) for share in (0.3, 0.9))
    assert np.array_equal(few.load, many.load)


@pytest.mark.parametrize("step", [15, 30])
def test_finer_steps_keep_the_energy(step):
    p = Synthetic(4).read(replace(WINDOW, step_minutes=step), None, 0)
    assert p.load.shape[0] == 14 * 24 * 60 // step
    assert 5 < p.load.sum() / 14 / 4 < 35


def test_evenly_chooses_the_right_number():
    for count in range(1, 30):
        for share in (0, 0.1, 0.5, 0.77, 1):
            assert evenly(count, share).sum() == round(share * count)


def test_synthetic_mistakes_come_together():
    with pytest.raises(DataError) as caught:
        Synthetic(prosumers=0, pv=1.5)
    assert "prosumers" in str(caught.value)
    assert "pv" in str(caught.value)


def wide(tmp_path, **columns):
    index = pd.date_range("2012-07-02", periods=48, freq="30min", name="timestamp")
    frame = pd.DataFrame({k: np.full(48, v, dtype=float) for k, v in columns.items()}, index=index)
    path = tmp_path / "load.csv"
    frame.to_csv(path)
    return path, frame


def test_wide_tables_are_summed_to_the_step(tmp_path):
    wide(tmp_path, a=0.1, b=0.2)
    (tmp_path / "pv.csv").write_text((tmp_path / "load.csv").read_text().replace(",a,b", ",a,c").replace("c", "b"))
    p = WideTables("load.csv", "pv.csv").read(Window(date(2012, 7, 2), 1, 60, "UTC"), tmp_path, 0)
    np.testing.assert_allclose(p.load, np.tile([0.2, 0.4], (24, 1)))
    assert p.names == ("a", "b")
    assert len(p.files) == 2


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: f.assign(a=-1.0), "must be a number >= 0"),
        (lambda f: f.iloc[:-1], "missing"),
        (lambda f: pd.concat([f, f.iloc[-1:]]), "twice or out of order"),
        (lambda f: f.assign(a="x"), "holds text"),
        (lambda f: f.iloc[::4], "summed"),
    ],
)
def test_damaged_tables_are_named(tmp_path, damage, message):
    path, frame = wide(tmp_path, a=0.1)
    damage(frame).to_csv(path)
    with pytest.raises(DataError, match=message):
        WideTables("load.csv").read(Window(date(2012, 7, 2), 1, 60, "UTC"), tmp_path, 0)


def test_a_file_cut_short_is_named(tmp_path):
    (tmp_path / "homes.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(DataError, match=r"homes\.parquet cannot be read"):
        Ausgrid("homes.parquet").read(WINDOW, tmp_path, 0)


def test_missing_data_says_where_it_looked(tmp_path):
    with pytest.raises(DataError, match=f"{tmp_path}.*HMARL_DATA"):
        Ausgrid().read(WINDOW, tmp_path, 0)
    with pytest.raises(DataError, match="no data folder is set"):
        Ausgrid().read(WINDOW, None, 0)


@real
def test_ausgrid_hourly_statistics():
    p = Ausgrid().read(Window(date(2012, 7, 1), 365, 60, "Australia/Sydney"), DATA, 0)
    assert p.names == ("5", "13", "50", "58", "158", "286", "292", "297")
    assert p.load.sum() / 365 == pytest.approx(114.91, abs=0.01)
    assert p.pv.sum() / 365 == pytest.approx(40.51, abs=0.01)
    assert p.pv_kwp.sum() == pytest.approx(11.76)


@real
def test_ausgrid_days_outside_the_file_are_refused():
    with pytest.raises(DataError, match="warm-up"):
        Ausgrid().read(Window(date(2012, 6, 24), 14, 60, "Australia/Sydney"), DATA, 0)
    with pytest.raises(DataError, match="no customer"):
        Ausgrid(customers=(1,)).read(WINDOW, DATA, 0)
