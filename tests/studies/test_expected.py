"""Every shipped study with an ``expected.json``: the arms named there, at the reduced size named there.

The file holds ``set`` (changes as for ``--set``), ``seed``, and for each arm measure -> [value, tolerance], both in the
unit of the measure. Learned arms have wide tolerances: their last digits differ from machine to machine.
"""

import json
import os
from pathlib import Path

import pytest

from hmarl.measures import MEASURES
from hmarl.shipped import find, names
from hmarl.simulate import simulate
from hmarl.study import Study

DATA = Path(os.environ.get("HMARL_DATA", Path(__file__).parents[3] / "shared" / "data"))


def expected(name):
    return json.loads(find(name).with_name("expected.json").read_text())


LONG = ("ps_maddpg", "mean_field")
"""Studies whose reduced size still takes more than ten seconds."""

CASES = [
    pytest.param(name, arm, id=f"{name}-{arm}", marks=[pytest.mark.slow] if name in LONG else [])
    for name in names()
    if find(name).with_name("expected.json").is_file()
    for arm in expected(name)["arms"]
]


@pytest.mark.parametrize(("name", "arm"), CASES)
def test_reduced_study_gives_the_expected_figures(name, arm):
    wanted = expected(name)
    chosen = Study.read(find(name)).set(*wanted["set"]).arm(arm)
    needs = any(word in str(chosen.resolved()) for word in ("price-series", "'ausgrid'", "'semi-real'"))
    if needs and not DATA.is_dir():
        pytest.skip(f"real data not found in {DATA}; set HMARL_DATA")
    result = simulate(chosen, wanted["seed"], DATA if DATA.is_dir() else None, lambda label, share: None)
    assert result.certificate["invariants_hold"]
    found = {measure: result.measures[measure] for measure in wanted["arms"][arm]}
    wrong = {
        measure: f"{found[measure]:.6g} instead of {value} +- {tolerance} ({MEASURES[measure]})"
        for measure, (value, tolerance) in wanted["arms"][arm].items()
        if not abs(found[measure] - value) <= tolerance
    }
    assert not wrong


def test_the_sweep_of_sensitivity_is_what_its_readme_says():
    from hmarl.design import design

    study = Study.read(find("sensitivity"))
    plan = design(study)
    assert (len(plan.paths), len(plan.rows), study.sample.method) == (8, 90, "morris")
    plan.studies(study)  # every point is allowed
    sobol = design(study.set("sample.method=sobol", "sample.n=64"))
    assert len(sobol.rows) == 64 * 10


@pytest.mark.parametrize("name", ["mb_a3c3", "mb_a3c3_300", "ps_maddpg", "mean_field"])
def test_arms_of_published_studies_have_equal_budgets(name):
    """Every learner plays the same number of training days, in batches of the same size, against the same homes."""
    arms = Study.read(find(name)).arms
    learners = [arm for arm in arms if "episodes" in arm.followers.parameters]
    assert len(learners) >= 4
    for key in ("episodes", "retrain_episodes", "batch_days", "price"):
        assert len({arm.followers.parameters[key] for arm in learners}) == 1
    assert len({str((arm.calendar, arm.community, arm.tariff, arm.game)) for arm in arms}) == 1
