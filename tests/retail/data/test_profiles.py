"""Wide tables: sums, gaps, and every kind of damage named in one sentence."""

import tempfile
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retail.data import DataError, Window
from retail.data.profiles import WideTables

DAY = Window(date(2012, 7, 2), 1, 60, "Australia/Sydney")


def frame(periods=48, freq="30min", **columns):
    index = pd.date_range("2012-07-02", periods=periods, freq=freq, name="timestamp")
    return pd.DataFrame({k: np.broadcast_to(np.asarray(v, dtype=float), periods) for k, v in columns.items()}, index)


def wide(tmp_path, **columns):
    made = frame(**columns)
    path = tmp_path / "load.csv"
    made.to_csv(path)
    return path, made


def sun(steps=48, noon=12.0):
    hour = (np.arange(steps) + 0.5) * 24 / steps
    return np.maximum(np.cos((hour - noon) / 12 * np.pi), 0) * 0.5


def test_wide_tables_are_summed_to_the_step(tmp_path):
    wide(tmp_path, a=0.1, b=0.2)
    frame(b=sun()).to_csv(tmp_path / "pv.csv")
    p = WideTables("load.csv", "pv.csv").read(DAY, tmp_path, 0)
    np.testing.assert_allclose(p.load, np.tile([0.2, 0.4], (24, 1)))
    np.testing.assert_allclose(p.pv[:, 1], sun().reshape(24, 2).sum(axis=1))
    assert p.pv[:, 0].sum() == 0
    assert p.pv_kwp.tolist() == [0, pytest.approx(p.pv[:, 1].max())]
    assert p.names == ("a", "b")
    assert len(p.files) == 2
    assert p.notes == ()
    assert np.array_equal(p.generation, p.pv)


def test_parquet_with_a_stored_index(tmp_path):
    frame(a=0.1).to_parquet(tmp_path / "load.parquet")
    frame(a=0.1).rename_axis(None).to_parquet(tmp_path / "nameless.parquet")
    for name in ("load.parquet", "nameless.parquet"):
        assert WideTables(name).read(DAY, tmp_path, 0).load.sum() == pytest.approx(4.8)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: f.assign(a=-1.0), r"row 2012-07-02 00:00:00, column a: -1 kWh; it must be a number >= 0"),
        (lambda f: f.assign(a=np.inf), r"column a: inf kWh"),
        (lambda f: f.iloc[:-1], r"1 of 48 steps are missing, the first 2012-07-02 23:30.*set `gaps`"),
        (lambda f: pd.concat([f, f.iloc[-1:]]), r"row 50, column 'timestamp': .* comes twice or out of order"),
        (lambda f: f.iloc[::-1], r"row 3, column 'timestamp': .* comes twice or out of order"),
        (lambda f: f.assign(a=["x" if n == 7 else 0.1 for n in range(48)]), r"row 9, column 'a' holds text \('x'\)"),
        (lambda f: f.iloc[::4], "steps of 120 min cannot be summed to 60 min"),
        (lambda f: f.tz_localize("UTC"), r"row 2, column 'timestamp': 2012-07-02 00:00:00\+00:00 carries a zone"),
        (lambda f: f.set_index(f.index.strftime("%Y-%m-%dT%H:%MZ")).rename_axis("timestamp"), "carries a zone"),
        (lambda f: f.set_index(pd.Index(["?", *f.index[1:].astype(str)], name="t")), r"row 2, column 't': '\?' is no"),
        (
            lambda f: f.set_index(f.index.strftime("%-d/%m/%Y %H:%M")).rename_axis("t"),
            "'2/07/2012 00:00' is no time stamp",
        ),
        (lambda f: f.reset_index(drop=True).rename_axis("step"), "row 2, column 'step': .* is no time stamp"),
        (lambda f: f * 1000, r"column a: the mean daily energy is 4,800 kWh.*W or Wh"),
        (lambda f: f / 1000, r"column a: the mean daily energy is 0\.0048 kWh.*MWh"),
        (lambda f: f.iloc[:0], "has no rows"),
        (lambda f: f[[]], "no column but 'timestamp'"),
    ],
)
def test_damaged_tables_are_named(tmp_path, damage, message):
    path, made = wide(tmp_path, a=0.1)
    damage(made).to_csv(path)
    with pytest.raises(DataError, match=message) as caught:
        WideTables("load.csv").read(DAY, tmp_path, 0)
    assert str(path) in str(caught.value)


def test_kw_for_kwh_is_found_where_the_level_betrays_it(tmp_path):
    # 17 kWh a day, given as mean kW of quarter hours
    frame(96, "15min", a=17 / 24).to_csv(tmp_path / "load.csv")
    with pytest.raises(DataError, match=r"mean daily energy is 68 kWh.*as kW \(multiply by 1 h at 60 min steps\)"):
        WideTables("load.csv").read(DAY, tmp_path, 0)
    assert WideTables("load.csv", daily_kwh=(1, 500)).read(DAY, tmp_path, 0).load.sum() == pytest.approx(68)


def test_pv_of_another_zone_is_found(tmp_path):
    wide(tmp_path, a=0.2)
    frame(a=sun(noon=2.0)).to_csv(tmp_path / "pv.csv")
    with pytest.raises(DataError, match=r"PV centres on 02\.0 h.*Australia/Sydney.*UTC or another zone"):
        WideTables("load.csv", "pv.csv").read(DAY, tmp_path, 0)


def test_pv_without_load(tmp_path):
    wide(tmp_path, a=0.2)
    frame(z=sun()).to_csv(tmp_path / "pv.csv")
    with pytest.raises(DataError, match="column 'z' has PV but no load"):
        WideTables("load.csv", "pv.csv").read(DAY, tmp_path, 0)


def test_files_cut_short_or_of_another_kind(tmp_path):
    (tmp_path / "homes.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(DataError, match=r"homes\.parquet cannot be read as a table"):
        WideTables("homes.parquet").read(DAY, tmp_path, 0)
    (tmp_path / "load.csv").write_text("timestamp,a\n2012-07-02 00:00,0.1,0.2\n")
    with pytest.raises(DataError, match=r"load\.csv cannot be read as a table"):
        WideTables("load.csv").read(DAY, tmp_path, 0)
    (tmp_path / "load.csv").write_text("")
    with pytest.raises(DataError, match=r"load\.csv cannot be read as a table"):
        WideTables("load.csv").read(DAY, tmp_path, 0)


def test_gaps_are_treated_as_the_study_says(tmp_path):
    _, made = wide(tmp_path, a=np.arange(48) / 100, b=0.2)
    made.iloc[10:13, 0] = np.nan
    made.iloc[0, 0] = np.nan
    made.to_csv(tmp_path / "load.csv")
    half = Window(DAY.start, 1, 30, DAY.zone)
    with pytest.raises(DataError, match=r"row 2012-07-02 00:00:00, column a: nan kWh.*or set `gaps`"):
        WideTables("load.csv").read(half, tmp_path, 0)
    zero = WideTables("load.csv", gaps="zero").read(half, tmp_path, 0)
    assert zero.load[10:13, 0].tolist() == [0, 0, 0]
    line = WideTables("load.csv", gaps="interpolate").read(half, tmp_path, 0)
    assert line.load[[0, 10, 11, 12], 0].tolist() == pytest.approx([0.01, 0.10, 0.11, 0.12])
    assert line.notes == (
        f"{tmp_path / 'load.csv'}: 4 of 48 values of a were filled by straight lines, the first 2012-07-02 00:00:00, "
        "at most 3 steps in a row.",
    )
    some = WideTables("load.csv", gaps="drop-home").read(half, tmp_path, 0)
    assert some.names == ("b",)
    assert some.load.shape == (48, 1)
    assert some.notes == (f"{tmp_path / 'load.csv'}: homes a have gaps and were left out.",)


def test_missing_rows_are_filled_and_leave_no_home_to_drop(tmp_path):
    _, made = wide(tmp_path, a=0.2, b=0.2)
    made.drop(made.index[[5, 6]]).to_csv(tmp_path / "load.csv")
    p = WideTables("load.csv", gaps="interpolate").read(DAY, tmp_path, 0)
    np.testing.assert_allclose(p.load, 0.4)
    assert len(p.notes) == 2
    with pytest.raises(DataError, match="all of the 2 homes have gaps"):
        WideTables("load.csv", gaps="drop-home").read(DAY, tmp_path, 0)
    with pytest.raises(DataError, match="48 of 48 steps are missing"):
        WideTables("load.csv", gaps="zero").read(Window(date(2013, 1, 1), 1, 60, "UTC"), tmp_path, 0)
    made.assign(a=np.nan).to_csv(tmp_path / "load.csv")
    with pytest.raises(DataError, match="column a has no value in the window"):
        WideTables("load.csv", gaps="zero").read(DAY, tmp_path, 0)


def test_options_are_checked():
    with pytest.raises(DataError, match="gaps is 'fill'; allowed: refuse, zero, interpolate, drop-home"):
        WideTables(gaps="fill")
    with pytest.raises(DataError, match="daily_kwh"):
        WideTables(daily_kwh=(5, 1))


CELLS = {
    "nan": ("", "nan kWh"),
    "negative": ("-0.25", "-0.25 kWh"),
    "infinite": ("inf", "inf kWh"),
    "text": ("off", "'off'"),
}


@settings(max_examples=60, deadline=None)
@given(
    row=st.integers(0, 95),
    home=st.integers(0, 3),
    kind=st.sampled_from(sorted(CELLS)),
    seed=st.integers(0, 2**16),
)
def test_any_bad_cell_is_named_with_row_column_and_value(row, home, kind, seed):
    energy = np.random.default_rng(seed).uniform(0, 0.5, (96, 4)).round(3)
    made = frame(96, **{f"home{n}": energy[:, n] for n in range(4)})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "load.csv"
        made.to_csv(path)
        lines = path.read_text().splitlines()
        cells = lines[row + 1].split(",")
        cells[home + 1] = CELLS[kind][0]
        path.write_text("\n".join([*lines[: row + 1], ",".join(cells), *lines[row + 2 :]]) + "\n")
        with pytest.raises(DataError) as caught:
            WideTables("load.csv").read(Window(DAY.start, 2, 60, DAY.zone), Path(folder), 0)
    said = str(caught.value)
    place = f"row {row + 2}," if kind == "text" else f"row {made.index[row]},"
    for part in (str(path), place, f"home{home}", CELLS[kind][1]):
        assert part in said


@settings(max_examples=60, deadline=None)
@given(row=st.integers(0, 46), other=st.integers(0, 46), repeat=st.booleans())
def test_any_disorder_of_stamps_is_named(row, other, repeat):
    made = frame(a=0.2)
    order = np.arange(48)
    order = np.insert(order, row, row) if repeat else np.concatenate((np.delete(order, row), [row]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "load.csv"
        made.iloc[order].to_csv(path)
        with pytest.raises(DataError, match=r"row \d+, column 'timestamp': time stamp .* comes twice or out of order"):
            WideTables("load.csv").read(DAY, Path(folder), 0)


@settings(max_examples=40, deadline=None)
@given(share=st.floats(0, 0.999))
def test_a_table_cut_anywhere_is_refused(share):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "load.csv"
        frame(a=0.2, b=0.3).to_csv(path)
        whole = path.read_bytes()
        last = whole.rstrip().rfind(b"\n")
        path.write_bytes(whole[: int(share * last)])
        with pytest.raises(DataError, match=r"load\.csv"):
            WideTables("load.csv").read(DAY, Path(folder), 0)


@settings(max_examples=40, deadline=None)
@given(holes=st.sets(st.integers(0, 47), min_size=1, max_size=40), option=st.sampled_from(["zero", "interpolate"]))
def test_filling_touches_only_the_gaps(holes, option):
    energy = np.random.default_rng(1).uniform(0.1, 0.5, 48).round(3)
    made = frame(a=energy)
    gap = np.isin(np.arange(48), list(holes))
    with tempfile.TemporaryDirectory() as folder:
        made[~gap].to_csv(Path(folder) / "load.csv")
        try:
            p = WideTables("load.csv", gaps=option).read(Window(DAY.start, 1, 30, "UTC"), Path(folder), 0)
        except DataError as error:
            assert "min cannot be summed" in str(error)  # more holes than rows: the step is unclear
            return
    assert np.array_equal(p.load[~gap, 0], energy[~gap])
    inside = p.load[gap, 0]
    assert (inside == 0).all() if option == "zero" else (inside >= energy[~gap].min()).all()
    assert f"{gap.sum()} of 48 values of a" in p.notes[0]
