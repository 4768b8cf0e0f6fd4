"""Results as tables: the parquet files and nothing else, and sentences where something is missing."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from hmarl.measures import MEASURES, column
from hmarl.results import ResultsError, load


def test_tables_are_the_files_with_their_keys(runs):
    results = load(runs)
    assert results.arms == ["regulated", "mark-up"]  # as in the study file, not as in the alphabet
    assert [(run.arm, run.seed) for run in results.runs] == [(arm, seed) for arm in results.arms for seed in (0, 1)]
    for name in ("iterations", "tariffs", "steps", "agents", "trades", "training"):
        whole = results.table(name)
        pd.testing.assert_frame_equal(getattr(results, name), whole)
        assert list(whole.columns[:3]) == ["study", "arm", "seed"]
        one = whole[(whole["arm"] == "mark-up") & (whole["seed"] == 1)].drop(columns=["study", "arm", "seed"])
        stored = pd.read_parquet(runs / "mark-up" / "1" / f"{name}.parquet")
        shared = [c for c in stored.columns if not stored[c].isna().all()]
        pd.testing.assert_frame_equal(one[shared].reset_index(drop=True), stored[shared], check_dtype=False)
    assert set(results.summary["seed"]) == {0, 1}
    assert results.summary["replication"].tolist() == [2000] * 4


def test_days_add_up_to_the_measures(runs):
    results = load(runs)
    judged = results.days[results.days["judged"]]
    assert len(judged) == 4 * 7
    means = judged.groupby(["arm", "seed"])[
        [column(m) for m in ("aggregator_profit", "community_cost", "p2p_kwh")]
    ].mean()
    summary = results.summary.set_index(["arm", "seed"]).loc[means.index]
    for name in means.columns:
        assert means[name].to_numpy() == pytest.approx(summary[name].to_numpy(), rel=1e-9)
    peaks = judged.groupby(["arm", "seed"])["peak_kw"].max()
    assert peaks.to_numpy() == pytest.approx(summary["peak_kw"].to_numpy(), rel=1e-9)


def test_names_of_columns_carry_units():
    assert column("community_cost") == "community_cost_per_day"
    assert column("peak_kw") == "peak_kw"
    assert column("p2p_kwh") == "p2p_kwh_per_day"
    assert column("p2p_share") == "p2p_share_percent"
    assert len({column(name) for name in MEASURES}) == len(MEASURES)


def test_one_run_an_arm_and_a_pattern(runs):
    assert len(load(runs / "mark-up" / "1").runs) == 1
    assert len(load(runs / "mark-up").runs) == 2
    assert [run.arm for run in load(f"{runs}/*/0").runs] == ["regulated", "mark-up"]
    assert load(runs / "mark-up").folder == runs / "mark-up"


def test_what_is_missing_is_a_sentence(runs, tmp_path):
    with pytest.raises(ResultsError, match="nowhere is not there; give a folder"):
        load(tmp_path / "nowhere")
    with pytest.raises(ResultsError, match="holds no run and no finished one"):
        load(tmp_path)
    with pytest.raises(ResultsError, match="did you mean 'steps'"):
        load(runs).table("step")
    shutil.copytree(runs, tmp_path / "again" / "small")
    shutil.copytree(runs, tmp_path / "first" / "small")
    with pytest.raises(ResultsError, match="study small, arm mark-up, seed 0 is there twice"):
        load(f"{tmp_path}/*")
    (tmp_path / "first" / "small" / "mark-up" / "1" / "manifest.json").unlink()
    found = load(tmp_path / "first")
    assert (len(found.runs), [folder.name for folder in found.unfinished]) == (3, ["1"])


def test_numbers_that_json_does_not_know(runs, tmp_path):
    shutil.copytree(runs / "mark-up" / "0", tmp_path / "s" / "mark-up" / "0")
    path = tmp_path / "s" / "mark-up" / "0" / "measures.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"share_T_LP": "nan"}))
    assert np.isnan(load(tmp_path).summary["share_T_LP_percent"][0])
