"""Run folders: atomic, the same bytes, refused when they hold something else."""

import errno
import json
import os

import numpy as np
import pandas as pd
import pytest

from hmarl import manifest, storage


def test_parquet_bytes_depend_on_contents_only(tmp_path):
    frame = pd.DataFrame(
        {"time": pd.date_range("2012-07-02", periods=3, freq="h", tz="UTC"), "net_kwh": [1.0, 2.0, np.nan]}
    )
    storage.write_frame(tmp_path / "a.parquet", frame)
    same = pd.concat([frame.iloc[:1], frame.iloc[1:]], ignore_index=True)
    storage.write_frame(tmp_path / "b.parquet", same)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "a.parquet"), frame)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.parquet", "b.parquet"]


def test_an_index_that_would_be_lost_is_refused(tmp_path):
    with pytest.raises(ValueError, match="reset_index"):
        storage.write_frame(tmp_path / "a.parquet", pd.DataFrame({"x": [1]}, index=[5]))


def test_json_is_strict_and_sorted(tmp_path):
    storage.write_json(
        tmp_path / "x.json", {"b": np.float32(0.5), "a": float("inf"), "c": np.arange(2), "d": float("nan")}
    )
    text = (tmp_path / "x.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail) == {"a": "inf", "b": 0.5, "c": [0, 1], "d": "nan"}
    assert text.index('"a"') < text.index('"b"')
    assert storage.read_json(tmp_path / "no.json") is None


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x"
    storage.write_bytes(path, b"old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(storage.os, "fsync", full)
    with pytest.raises(OSError, match=rf"(?i)no space.*{path.name}"):
        storage.write_bytes(path, b"new")
    assert path.read_bytes() == b"old"


def test_folders_of_another_study_are_refused(tmp_path):
    folder = storage.job_folder(tmp_path, "s", "a", 0)
    storage.prepare(folder, {"leader": {"margin": 0.1}, "layers": (1, 2)})
    storage.prepare(folder, {"leader": {"margin": 0.1}, "layers": (1, 2)})
    (folder / "half.parquet").write_bytes(b"")
    with pytest.raises(storage.RunFolderError, match=r"leader\.margin is 0\.1 there and 0\.2 here.*--fresh"):
        storage.prepare(folder, {"leader": {"margin": 0.2}, "layers": (1, 2)})
    storage.prepare(folder, {"leader": {"margin": 0.2}}, fresh=True)
    assert [path.name for path in folder.iterdir()] == ["resolved.json"]


@pytest.mark.parametrize("fresh", [True, False])
def test_folders_that_are_no_run_are_never_deleted(tmp_path, fresh):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(storage.RunFolderError, match="no run of hmarl"):
        storage.prepare(tmp_path, {"a": 1}, fresh=fresh)
    assert (tmp_path / "thesis.tex").exists()


def test_finished_means_the_same_resolved_study(tmp_path):
    assert not storage.finished(tmp_path, {"a": 1})
    storage.write_json(tmp_path / storage.MANIFEST, {"resolved": {"a": 1}})
    assert storage.finished(tmp_path, {"a": 1})
    assert not storage.finished(tmp_path, {"a": 2})
    (tmp_path / storage.MANIFEST).write_text('{"resolved"')
    assert not storage.finished(tmp_path, {"a": 1})


def test_manifest(tmp_path):
    data = tmp_path / "homes.csv"
    data.write_bytes(b"abc")
    about = manifest.describe({"a": 1}, seed=3, replication=7, seconds=1.23456, data_files=[data])
    assert about["data"] == {"homes.csv": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}
    assert (about["seed"], about["replication"], about["machine"]["seconds"]) == (3, 7, 1.235)
    assert about["versions"]["numpy"] == np.__version__


def test_changed_data_is_noticed(tmp_path):
    folder = tmp_path / "data" / "homes"
    folder.mkdir(parents=True)
    (folder / "a.csv").write_text("one")
    about = manifest.describe(
        {}, seed=0, replication=1, seconds=1.0, data_files=[folder / "a.csv"], data=tmp_path / "data"
    )
    assert list(about["data"]) == ["homes/a.csv"]
    assert manifest.changed_data(about, tmp_path / "data") == []
    (folder / "a.csv").write_text("two")
    assert manifest.changed_data(about, tmp_path / "data") == ["homes/a.csv"]
    assert manifest.changed_data(about, tmp_path / "elsewhere") == manifest.changed_data(about, None) == []
