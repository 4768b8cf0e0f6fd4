"""Homes that nobody learns from, and what a world model says of days that nobody learned from."""

import json
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch

from hmarl import storage
from hmarl.clustering import choices, distances, group, silhouette
from hmarl.evaluation import play
from hmarl.generalise import onto
from hmarl.model_tables import model_tables
from hmarl.report.figures import Lacking
from hmarl.report.figures_effects import responses
from hmarl.report.page import report
from hmarl.results import load
from hmarl.run import run_study
from hmarl.simulate import simulate
from hmarl.study import Study
from hmarl.summary import summarize
from hmarl.world import build

BRIEF = "episodes: 16, batch_days: 8, retrain_episodes: 8"
STUDY = f"""
study: small
seeds: 1
calendar: {{start: 2012-07-02, days: 12, step: 60min, zone: Australia/Sydney, hold_out: 4}}
community: {{source: synthetic, prosumers: 8, battery: 0.5, pv: 0.8, hold_out: 0.25}}
game: {{reward: own, peak: {{cap_kw: 6, rate: 0.5}}}}
equilibrium: {{certificate: none}}
followers: {{name: ps-maddpg, {BRIEF}, critic_first: 1, batch: 16}}
arms:
  rule: {{followers: rule-based}}
  shared: {{}}
  alone: {{followers: {{name: da-maddpg, {BRIEF}, critic_first: 1, batch: 16}}}}
  modelled:
    followers: {{name: mb-a3c3, {BRIEF}, body: ff, model: gru, warm_days: 8, refit_days: 16, model_epochs: 2,
                 price: learned}}
measure: [community_cost, unseen_cost, unseen_peak_kw, training_time, quantity_rmse, price_rmse]
"""


@pytest.fixture(scope="module")
def study():
    return Study.parse(STUDY)


@pytest.fixture(scope="module")
def made(study, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unseen")
    assert not run_study(study, out=folder).failures
    summarize(study, folder).write()
    return folder


def test_homes_are_split_and_the_cap_with_them(study):
    arm, whole = study.arm("shared"), study.change(**{"community.hold_out": 0}).arm("shared")
    world, every = build(arm, 0, None), build(whole, 0, None)
    seen, unseen = world.game.community, world.unseen.game.community
    assert (seen.prosumers, unseen.prosumers) == (6, 2)
    assert sorted((*seen.names, *unseen.names)) == sorted(every.game.community.names)
    assert every.unseen is None
    for home in (seen, unseen):
        places = [every.game.community.names.index(name) for name in home.names]
        assert torch.equal(home.load, every.game.community.load[:, places])
        assert torch.equal(home.pv, every.game.community.pv[:, places])
    assert world.game.peak.cap_kw == 6
    assert world.unseen.game.peak.cap_kw == pytest.approx(2)


def test_a_rule_keeps_its_numbers_and_nets_those_of_the_nearest_cluster(study, made):
    for name in ("rule", "shared"):
        arm = study.arm(name)
        world, folder = build(arm, 0, None), made / "small" / name / "0"
        state = torch.load(folder / storage.CHECKPOINT, weights_only=False)
        others = world.unseen
        if name == "rule":
            learner = world.policy.start(world.spec)
            learner.load(state)
            numbers = learner.numbers
            learner = type(learner)(world.policy, world.spec)
            learner.game, learner.numbers = others.game, numbers
        else:
            learner = onto(world.policy, state, world.spec, world.training, others.game, world.training, 0)
        cost = play(others.game, learner, world.judged, world.rules.default, others.arrival).cost.mean()
        assert storage.measured(folder)["unseen_cost"] == pytest.approx(float(cost), abs=1e-9)


def test_actors_that_are_taken_over_act_as_they_did_at_home(study, made):
    world = build(study.arm("shared"), 0, None)
    state = torch.load(made / "small" / "shared" / "0" / storage.CHECKPOINT, weights_only=False)
    at_home = world.policy.start(world.spec)
    at_home.load(dict(state))
    moved = onto(world.policy, state, world.spec, world.training, world.game, world.training, 0)
    costs = [play(world.game, x, world.judged, world.rules.default, world.arrival).cost for x in (at_home, moved)]
    assert torch.equal(*costs)
    fresh = world.policy.start(world.spec)
    assert not torch.equal(costs[0], play(world.game, fresh, world.judged, world.rules.default, world.arrival).cost)


def test_followers_that_fit_no_other_home_say_so(made):
    folder = made / "small" / "alone" / "0"
    assert "unseen_cost" not in storage.measured(folder)
    assert "fits no other" in json.loads((folder / storage.CERTIFICATE).read_text())["unseen_homes"]
    assert "unseen_homes" not in json.loads((folder.parents[1] / "shared/0" / storage.CERTIFICATE).read_text())


def test_training_time_is_shown_but_belongs_to_the_machine(study, made):
    folder = made / "small" / "shared" / "0"
    assert "training_time" not in json.loads((folder / storage.MEASURES).read_text())
    seconds = json.loads((folder / storage.MANIFEST).read_text())["machine"]["training_seconds"]
    assert seconds > 0
    assert load(made / "small").summary.set_index("arm").loc["shared", "training_time_s"] == seconds
    shown = {row.arm: row.values["training_time"].mean for row in summarize(study, made).rows}
    assert shown["shared"] == seconds


def test_a_training_that_went_on_is_not_timed(study, tmp_path):
    (tmp_path / storage.HALFWAY).write_bytes(b"")  # what a stopped run leaves, even if nothing of it is of use
    arm, told = study.arm("rule"), []
    assert simulate(arm, 0, None, lambda *x: told.append(x), folder=tmp_path).training_seconds is None
    (tmp_path / storage.HALFWAY).unlink()
    assert simulate(arm, 0, None, lambda *x: told.append(x)).training_seconds > 0


def test_no_gaps_are_certified_where_none_are_asked_for(made):
    said = json.loads((made / "small" / "rule" / "0" / storage.CERTIFICATE).read_text())
    assert said["size"] == {"option": "none"}
    assert said["invariants_hold"]
    assert not {"leader_gap", "follower_exploitability", "welfare", "fairness"} & set(said)


def test_errors_of_the_world_model_are_those_of_its_table(made):
    folder = made / "small" / "modelled" / "0"
    table, measures = pd.read_parquet(folder / "forecasts.parquet"), storage.measured(folder)
    assert len(table) == 4 * 24 * 6
    assert table.groupby("prosumer")["group"].nunique().eq(1).all()
    wrong = table["quantity_forecast_kwh"] - table["quantity_kwh"]
    assert measures["quantity_rmse"] == pytest.approx(np.sqrt((wrong**2).mean()), rel=1e-4)
    traded = table[table["price_per_kwh"].notna()]
    assert len(traded) == (table["quantity_kwh"] != 0).sum() > 0
    off = (traded["price_forecast_per_kwh"] - traded["price_per_kwh"]) / traded["price_per_kwh"]
    large = traded["price_per_kwh"] > 0.05
    assert measures["price_mape"] == pytest.approx(100 * off[large].abs().mean(), rel=1e-4)


def test_actual_quantities_are_the_trades_of_the_held_out_days(made):
    folder = made / "small" / "modelled" / "0"
    table, trades = (pd.read_parquet(folder / f"{name}.parquet") for name in ("forecasts", "trades"))
    both = trades.merge(table, on=["timestamp", "prosumer"])
    held_out = trades["timestamp"].isin(table["timestamp"])
    assert len(both) == held_out.sum() == (table["quantity_kwh"] != 0).sum()
    assert np.allclose(both["bought_wh"] / 1000, both["quantity_kwh"], atol=1e-5)
    assert np.allclose(both["paid_nano"] * 1e-6 / both["bought_wh"], both["price_per_kwh"], atol=1e-5)


def test_learners_without_a_model_leave_no_forecasts(study, made):
    world = build(study.arm("shared"), 0, None)
    assert model_tables(world, world.policy.start(world.spec), world.rules.default) == ({}, {})
    assert not (made / "small" / "shared" / "0" / "forecasts.parquet").exists()


def test_choices_of_groups_are_those_that_grouping_makes(study):
    world = build(study.arm("shared"), 0, None)
    days = np.random.default_rng(1).normal(size=(12, 24)) + np.repeat(np.eye(3)[:, :1] * 9, 4, 0)
    for method in ("dtw", "euclidean"):
        rows = [row for row in choices(days, 3.0, 0) if row["method"] == method]
        found = group(world.game, world.training, method, 0, series=days)
        (chosen,) = (row for row in rows if row["chosen"])
        assert chosen["number"] == found.number
        assert chosen["silhouette"] == pytest.approx(silhouette(distances(days, method, 3), found.labels.numpy()))
        assert all(a["inertia"] >= b["inertia"] - 1e-9 for a, b in pairwise(rows))


def test_the_report_shows_times_groups_and_forecasts(made):
    page = report(load(made / "small"))
    assert {"training-time", "groupings", "group-days", "forecasts"} <= {picture.name for picture in page.pictures}


def test_measures_are_drawn_against_what_was_varied():
    path = "arms.mb.followers.number"
    indices = pd.DataFrame({"path": path, "measure": ["community_bill", "peak_kw"], "arm": "mb"})
    points = pd.DataFrame(
        {"arm": "mb", path: [2, 2, 4], "community_bill_per_day": [3.0, 5.0, 1.0], "peak_kw": [9.0] * 3}
    )
    drawn = responses(indices, points)
    assert ">number<" in drawn.svg
    assert ">community bill<" in drawn.svg
    assert path in drawn.caption
    for broken in (points.assign(**{path: list("abc")}), points.drop(columns=["community_bill_per_day", "peak_kw"])):
        with pytest.raises(Lacking, match="no number, or nothing was measured"):
            responses(indices, broken)
