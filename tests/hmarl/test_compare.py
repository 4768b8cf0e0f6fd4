"""Paired comparison: the right pairs, scipy's numbers, honest coverage."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from hmarl.compare import pairs
from hmarl.results import ResultsError, load
from hmarl.statistics import iqm, resampled

MEAN = {"mean": lambda x: x.mean(axis=-1)}


def test_iqm_is_scipys_trimmed_mean():
    rng = np.random.default_rng(0)
    for n in (1, 2, 3, 4, 7, 40):
        values = rng.normal(size=(3, n))
        assert iqm(values) == pytest.approx(stats.trim_mean(values, 0.25, axis=-1))


def test_the_bootstrap_of_days_is_scipys_and_seeds_widen_it():
    rng = np.random.default_rng(1)
    days = rng.normal(3.0, 2.0, size=(1, 200))
    ours = resampled(days, MEAN)["mean"]
    theirs = stats.bootstrap((days[0],), np.mean, method="percentile", rng=np.random.default_rng(2))
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval), abs=0.02)
    # days of a seed that are all alike carry the information of one day
    alike = np.repeat(rng.normal(size=(20, 1)), 50, axis=1)
    once, often = resampled(alike[:, :1], MEAN)["mean"], resampled(alike, MEAN)["mean"]
    assert often.high - often.low == pytest.approx(once.high - once.low, rel=0.1)
    assert resampled(days, MEAN, seed=5) == resampled(days, MEAN, seed=5)
    assert math.isnan(resampled([[1.0]], MEAN)["mean"].low)


def test_coverage_at_ten_seeds():
    rng = np.random.default_rng(3)
    hits = 0
    for trial in range(150):
        sample = rng.normal(size=(10, 1)) + rng.normal(size=(10, 7))
        found = resampled(sample, MEAN, resamples=299, seed=trial)["mean"]
        hits += found.low <= 0 <= found.high
    assert 0.85 <= hits / 150 <= 0.98


def test_pairs_share_seed_and_day(runs):
    results = load(runs)
    own, other, by = pairs(results, "mark-up", "regulated", "community_cost")
    assert (by, own.shape) == ("seed and day", (2, 7))
    agents = pd.read_parquet(runs / "mark-up" / "1" / "agents.parquet")
    held = agents[agents["held_out"]].groupby("day")["cost"].sum()
    assert own[1] == pytest.approx(held.to_numpy())
    row = results.compare().frame.set_index("measure").loc["community_cost"]
    assert row["mean"] == pytest.approx((own - other).mean())
    assert row["iqm"] == pytest.approx(stats.trim_mean((own - other).ravel(), 0.25))
    assert row["improvement"] == pytest.approx((own < other).mean())
    assert row["percent"] == pytest.approx(100 * (own.mean() / other.mean() - 1))  # the baseline's cost is positive
    assert row["mean_low"] <= row["mean"] <= row["mean_high"]


def test_figures_of_a_whole_run_pair_by_seed(runs):
    results = load(runs)
    own, _, by = pairs(results, "mark-up", "regulated", "p2p_share")
    assert (by, own.shape) == ("seed", (2, 1))
    row = results.compare(measures=["p2p_share"]).frame.iloc[0]
    assert np.isnan(row["improvement"])  # more trade is neither better nor worse


def test_arms_of_an_earlier_study_file_are_called_so(runs):
    results = load(runs)
    assert not any("No longer in the study" in note for note in results.compare().notes())
    found = replace(results, about={**results.about, "arms": ["regulated"]}).compare()
    assert found.former == ("mark-up",)
    assert any("from earlier runs: mark-up" in note for note in found.notes())


def test_the_other_arm_as_baseline_turns_every_sign(runs):
    results = load(runs)
    one = results.compare("regulated").frame.set_index("measure")
    two = results.compare("mark-up").frame.set_index("measure")
    assert one["mean"].to_numpy() == pytest.approx(-two["mean"].to_numpy())
    assert one["iqm"].to_numpy() == pytest.approx(-two["iqm"].to_numpy())
    better = one["improvement"] + two["improvement"]
    assert better.dropna().to_numpy() == pytest.approx(1.0)


def test_on_the_console_and_as_csv(runs, command):
    code, out, _ = command("compare", runs)
    assert code == 0
    assert "Difference to regulated" in out
    assert "community cost [$/day]" in out
    assert "(2 seeds, 7 days)" in out.replace("\n", " ")
    assert max(len(line) for line in out.splitlines()[:-1]) <= 100
    stored = pd.read_csv(runs / "compare.csv")
    pd.testing.assert_frame_equal(stored, load(runs).compare().frame)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--baseline", "regulatd"], "did you mean 'regulated'"),
        (["--measure", "community_costs"], "did you mean 'community_cost'"),
    ],
)
def test_mistakes_are_sentences(runs, command, words, said):
    code, _, err = command("compare", runs, *words)
    assert (code, said in err, "Traceback" in err) == (2, True, False)


def test_nothing_to_compare(runs):
    with pytest.raises(ResultsError, match="holds only arm mark-up"):
        load(runs / "mark-up").compare()
