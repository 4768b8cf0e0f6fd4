"""Shipped studies at a reduced size against the figures beside them (``expected.yaml``: value and tolerance).

Rules have no chance in them: their figures hold to the last digits shown. Learned ones differ between processors by what
training makes of last digits, so their tolerance is wide; what they must do is stated as a bound in the test below.
"""

import os
from pathlib import Path

import pytest

from hmarl import storage, yaml_reader
from hmarl.run import run_study
from hmarl.study import Study

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("HMARL_DATA", ROOT.parent / "shared" / "data"))
STUDIES = sorted(path.parent.name for path in (ROOT / "studies").glob("*/expected.yaml"))
REAL = {"ausgrid", "semi-real"}


@pytest.mark.parametrize("name", STUDIES)
def test_reduced_size_says_what_is_expected(name, tmp_path):
    said = yaml_reader.read((ROOT / "studies" / name / "expected.yaml").read_text(encoding="utf-8")).values
    study = Study.read(ROOT / "studies" / name / "study.yaml").set(*said["set"])
    if study.baseline.community.source.name in REAL and not DATA.is_dir():
        pytest.skip(f"real data not found in {DATA}; set HMARL_DATA")
    outcome = run_study(study, arms=list(said["expected"]), seeds=[0], data=DATA, out=tmp_path)
    assert not outcome.failures
    found = {arm: storage.measured(tmp_path / study.name / arm / "0") for arm in said["expected"]}
    assert all(figures for figures in said["expected"].values())
    off = {
        f"{arm}.{measure}": (found[arm][measure], value, tolerance)
        for arm, figures in said["expected"].items()
        for measure, (value, tolerance) in figures.items()
        if not abs(found[arm][measure] - value) <= tolerance
    }
    assert not off
