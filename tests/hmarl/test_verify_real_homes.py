"""The table of the real homes is computed as it says; slow: the lines that are asked hold."""

import importlib.util
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hmarl.datafind import data_dir
from hmarl.run import run_study
from hmarl.study import Study

PATH = Path(__file__).with_name("verify_real_homes.py")
found = importlib.util.spec_from_file_location("verify_real_homes", PATH)
verify = importlib.util.module_from_spec(found)
found.loader.exec_module(verify)
DATA = Path(os.environ.get("HMARL_DATA", Path(__file__).parents[3] / "shared" / "data"))


def fake_run(folder, cost):
    """A run folder with one home whose held-out days cost so much."""
    folder.mkdir(parents=True)
    days = pd.date_range("2012-07-22", periods=len(cost), freq="D", tz="Australia/Sydney")
    frame = pd.DataFrame({"day": days, "prosumer": "5", "held_out": True, "cost": cost})
    frame.loc[len(frame)] = [days[0] - pd.Timedelta("1D"), "5", False, 99.0]
    frame.to_parquet(folder / "agents.parquet")
    (folder / "manifest.json").write_text(json.dumps({"machine": {"seconds": 3.0}}))


def test_shares_are_ratios_of_the_same_days(tmp_path):
    rng = np.random.default_rng(1)
    rule = rng.uniform(10, 14, 28)
    gap = rng.uniform(1, 2, 28)
    for arm, seed, cost in (
        ("rule-based", 0, rule),
        ("optimal-community", 0, rule - gap),
        ("mpc-community", 0, rule - gap / 2),
        ("mappo", 0, rule - 0.4 * gap),
        ("mappo", 1, rule - 0.6 * gap),
    ):
        fake_run(tmp_path / arm / str(seed), cost)
    made = verify.table(tmp_path)
    assert made.loc["mappo", "cost"] == pytest.approx((rule - 0.5 * gap).mean())
    assert made.loc["mappo", "T->LP"] == pytest.approx(0.5)
    assert made.loc["mappo", "T->MPC"] == pytest.approx(1.0)
    # Within a seed the share is the same on every day, so all spread is between seeds.
    assert (made.loc["mappo", "T->LP low"], made.loc["mappo", "T->LP high"]) == pytest.approx((0.4, 0.6))
    assert made.loc["rule-based", ["T->LP low", "T->LP", "T->LP high"]].tolist() == [0, 0, 0]
    text = verify.printed(made)
    assert "| mappo | " in text
    assert "0.50 [0.40, 0.60] | >= 0.40 | 1.00 [0.80, 1.20] | 2 | 3 |" in text


def test_an_interval_that_touches_the_rule_is_a_miss():
    assert not verify.missed({"T->LP": 0.3, "T->LP low": 0.1}, 0.2)
    assert verify.missed({"T->LP": 0.3, "T->LP low": -0.1}, 0.2)
    assert verify.missed({"T->LP": 0.3, "T->LP low": 0.1}, 0.4)
    assert verify.missed({"T->LP": 0.1, "T->LP low": 0.0}, 0.0)


MISSED = {
    "apg": "0.74 [0.70, 0.77], with 0.81 on the days it learns from (studies/real_homes)",
    "a3c3-own-long": "0.45 [0.41, 0.51] with one seed: no more than in a third of the time (studies/real_homes)",
}
"""Lines that are not reached, with what was measured."""


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason=f"real data not found in {DATA}; set HMARL_DATA")
def test_learners_reach_what_is_asked():
    """Resumable: finished seeds in HMARL_RUNS (default runs) are not redone. HMARL_SEEDS says how many (default 5)."""
    study, out = Study.read(verify.STUDY), Path(os.environ.get("HMARL_RUNS", "runs"))
    seeds = list(range(int(os.environ.get("HMARL_SEEDS", "5"))))
    data = data_dir(str(DATA))
    assert not run_study(study, arms=list(verify.YARDSTICKS), seeds=[0], data=data, out=out).failures
    assert not run_study(study, arms=list(verify.LEAST), seeds=seeds, data=data, out=out).failures
    made = verify.table(out / study.name)
    print(verify.printed(made))  # noqa: T201
    found = {arm for arm, least in verify.LEAST.items() if verify.missed(made.loc[arm], least)}
    assert not found - set(MISSED)
    if found:
        pytest.xfail("; ".join(f"{arm} {MISSED[arm]}" for arm in sorted(found)))
