"""Sweeps: the points that were asked for, indices with known answers, resumption, and little overhead."""

import importlib
import json
import math
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hmarl import cluster, storage
from hmarl.design import design
from hmarl.measures import column
from hmarl.results import load
from hmarl.sensitivity import indices
from hmarl.study import Study, StudyError
from hmarl.sweep import collect, run_sweep

TINY = """
study: tiny
calendar: {start: 2012-07-02, days: 7, step: 60min, zone: Australia/Sydney, hold_out: 3}
community: {source: synthetic, prosumers: 3, battery: 0.6, pv: 0.8}
followers: zi
arms: {one: {leader: fixed}}
measure: [community_cost, peak_kw]
vary: {tariff.peak: {low: 0.3, high: 0.6}, tariff.sell: [0.02, 0.04]}
sample: {method: morris, n: 2}
"""


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    yield importlib.import_module("toy_simulate")
    sys.modules.pop("toy_simulate", None)


@pytest.fixture
def study(head):
    return Study.parse(
        head
        + "measure: [community_cost, peak_kw]\narms: {one: {}, two: {game: {reward: own}}}\n"
        + "vary: {community.battery: {low: 0.2, high: 0.8}, community.prosumers: {low: 5, high: 8, whole: true}}\n"
        + "sample: {method: grid, n: 2}\n"
    )


def planned(method, n, vary, seed=0):
    text = f"{TINY.partition('vary:')[0]}\nsample: {{method: {method}, n: {n}, seed: {seed}}}\n"
    return design(Study.parse({**Study.parse(text).document, "vary": vary}))


def summary_of(plan, function):
    """A summary as if a run had given function(unit row)."""
    values = {point: function(plan.unit[plan.rows.index(point)]) for point in plan.points}
    rows = [{"arm": "one", "seed": 0, "point": point, column("peak_kw"): value} for point, value in values.items()]
    return pd.DataFrame(rows)


def test_a_grid_is_every_combination():
    plan = planned(
        "grid", 3, {"community.pv": {"low": 0.0, "high": 1.0}, "leader": ["fixed"] * 2, "auction": ["da", "mmr"]}
    )
    found = {tuple(point.values()) for point in plan.points.values()}
    assert found == {(pv, "fixed", auction) for pv in (0.0, 0.5, 1.0) for auction in ("da", "mmr")}
    assert len(plan.rows) == 12  # two equal values of a list share their points


@pytest.mark.parametrize(("method", "n", "rows"), [("latin", 7, 7), ("morris", 5, 20), ("sobol", 8, 40)])
def test_designs_fill_the_space_and_repeat_exactly(method, n, rows):
    vary = {
        "community.pv": {"low": 0.1, "high": 0.9},
        "community.battery": {"low": 0, "high": 1},
        "auction": ["da", "mmr"],
    }
    plan, again, other = planned(method, n, vary), planned(method, n, vary), planned(method, n, vary, seed=1)
    assert plan.unit.shape == (rows, 3)
    assert plan.described() == again.described()
    assert plan.described() != other.described()
    shares = np.array([[p["community.pv"], p["community.battery"]] for p in plan.points.values()])
    assert (shares >= [0.1, 0]).all()
    assert (shares <= [0.9, 1]).all()
    assert {p["auction"] for p in plan.points.values()} == {"da", "mmr"}
    if method == "latin":
        assert sorted(np.floor(plan.unit[:, 0] * n)) == list(range(n))
    if method == "morris":
        steps = np.diff(plan.unit.reshape(n, 4, 3), axis=1)
        assert ((steps != 0).sum(axis=2) == 1).all()


def test_whole_numbers_are_all_met_equally_often():
    plan = planned("latin", 400, {"community.prosumers": {"low": 3, "high": 6, "whole": True}})
    met = [plan.points[row]["community.prosumers"] for row in plan.rows]
    assert {n: met.count(n) for n in (3, 4, 5, 6)} == {3: 100, 4: 100, 5: 100, 6: 100}
    assert all(isinstance(n, int) for n in met)


def test_sobol_indices_of_the_ishigami_function():
    vary = {path: {"low": 0, "high": 1} for path in ("community.pv", "community.battery", "tariff.sell")}
    plan = planned("sobol", 2048, vary)

    def ishigami(u):
        a, b, c = (2 * u - 1) * math.pi
        return math.sin(a) + 7 * math.sin(b) ** 2 + 0.1 * c**4 * math.sin(a)

    frame, notes = indices(plan, summary_of(plan, ishigami), ("peak_kw",))
    again, _ = indices(plan, summary_of(plan, ishigami), ("peak_kw",))
    pd.testing.assert_frame_equal(frame, again, check_exact=True)
    found = frame.pivot_table(index="path", columns="index", values="value")
    exact = {"community.pv": (0.3139, 0.5576), "community.battery": (0.4424, 0.4424), "tariff.sell": (0.0, 0.2437)}
    for path, (first, total) in exact.items():
        assert found.loc[path, "S1"] == pytest.approx(first, abs=0.03)
        assert found.loc[path, "ST"] == pytest.approx(total, abs=0.03)
    assert notes == []
    assert (frame["low"] <= frame["value"]).all()
    assert (frame["value"] <= frame["high"]).all()


def test_morris_finds_slopes_and_interaction():
    vary = {path: {"low": 0, "high": 1} for path in ("community.pv", "community.battery", "tariff.sell")}
    plan = planned("morris", 20, vary)
    frame, _ = indices(plan, summary_of(plan, lambda u: 5 * u[0] - 3 * u[1] + 0 * u[2]), ("peak_kw",))
    found = frame.pivot_table(index="path", columns="index", values="value")
    assert found["mu"].to_dict() == pytest.approx(
        {"community.pv": 5, "community.battery": -3, "tariff.sell": 0}, abs=1e-9
    )
    assert found["mu_star"].to_dict() == pytest.approx(
        {"community.pv": 5, "community.battery": 3, "tariff.sell": 0}, abs=1e-9
    )
    assert found["sigma"].to_numpy() == pytest.approx(0, abs=1e-9)
    frame, _ = indices(plan, summary_of(plan, lambda u: u[0] * u[1]), ("peak_kw",))
    found = frame.pivot_table(index="path", columns="index", values="value")
    assert found.loc["community.pv", "sigma"] > 0.1
    assert found.loc["tariff.sell", "mu_star"] == 0


def test_rank_correlation_is_scipys():
    from scipy.stats import spearmanr

    plan = planned("latin", 50, {"community.pv": {"low": 0, "high": 1}, "community.battery": {"low": 0, "high": 1}})
    rng = np.random.default_rng(0)
    table = summary_of(plan, lambda u: u[0] ** 3 + 0.3 * rng.normal())
    frame, _ = indices(plan, table, ("peak_kw",))
    expected = spearmanr(plan.unit[:, 0], table["peak_kw"]).statistic
    assert frame.set_index("path").loc["community.pv", "value"] == pytest.approx(expected)
    low, high = frame.set_index("path").loc["community.battery", ["low", "high"]]
    assert low < 0 < high


def test_a_sweep_resumes_and_ends_with_the_same_bytes(study, toy, tmp_path):
    done = run_sweep(study, out=tmp_path / "a", simulate=toy.simulate)
    assert (len(done.done), done.folder.name) == (4 * 2 * 2, "toy-sweep")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    for lost in ("0001/one/0", "0003/two/1"):
        shutil.rmtree(tmp_path / "b" / "toy-sweep" / lost)
    again = run_sweep(study, out=tmp_path / "b", jobs=2, simulate=toy.simulate)
    assert sorted(again.done) == ["0001/one/0", "0003/two/1"]
    for name in ("a", "b"):
        collect(study, tmp_path / name).write()
    kept = [path for path in (tmp_path / "a").rglob("*") if path.is_file() and path.name != storage.MANIFEST]
    for path in kept:
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()
    summary = load(tmp_path / "a").summary
    assert summary["community.prosumers"].unique().tolist() == [5, 8]
    assert list(summary.columns[:4]) == ["study", "point", "arm", "seed"]


def test_other_points_are_refused(study, toy, tmp_path):
    run_sweep(study, arms=["one"], out=tmp_path, simulate=toy.simulate)
    other = study.change(sample={"n": 3})
    with pytest.raises(storage.RunFolderError, match=r"sweep over other points .*4 points.*--fresh"):
        run_sweep(other, out=tmp_path, simulate=toy.simulate)
    run_sweep(other, arms=["one"], out=tmp_path, fresh=True, simulate=toy.simulate)
    assert len(load(tmp_path / "toy-sweep").runs) == 9 * 2


def test_a_point_without_a_value_is_left_out_and_said(study, toy, tmp_path):
    outcome = run_sweep(study, out=tmp_path, simulate=toy.fails_on_one_seed)
    assert len(outcome.failures) == 4
    found = collect(study, tmp_path)
    assert found.notes == ()  # the other seed of each point is there
    shutil.rmtree(tmp_path / "toy-sweep" / "0000" / "one")
    found = collect(study, tmp_path)
    assert found.notes[0].startswith("one, community_cost: 1 of 4 points have no value, so 1 of 4 rows are left out;")
    assert set(found.indices["arm"]) == {"one", "two"}
    shutil.rmtree(tmp_path / "toy-sweep" / "0001" / "one")
    found = collect(study, tmp_path)
    assert found.notes[0] == "one, community_cost: 2 of 4 points have no value, so no indices."
    assert set(found.indices["arm"]) == {"two"}


@pytest.mark.parametrize(("method", "n", "size"), [("morris", 20, 4), ("sobol", 512, 5)])
def test_only_the_comparisons_of_a_failed_point_are_lost(method, n, size):
    vary = {path: {"low": 0, "high": 1} for path in ("community.pv", "community.battery", "tariff.sell")}
    plan = planned(method, n, vary)
    table = summary_of(plan, lambda u: 5 * u[0] - 3 * u[1] + u[0] * u[2])
    failed = plan.rows[size * 3 + 1]  # of the fourth trajectory or block, and of any other that shares the point
    spoilt = {place // size for place, row in enumerate(plan.rows) if row == failed}
    holed = table.assign(**{column("peak_kw"): table[column("peak_kw")].where(table["point"] != failed)})
    frame, notes = indices(plan, holed, ("peak_kw",))
    assert f"so {len(spoilt)} of {n} " in notes[0]
    rest = [place for place in range(len(plan.rows)) if place // size not in spoilt]
    without = replace(plan, unit=plan.unit[rest], rows=tuple(plan.rows[place] for place in rest))
    expected, _ = indices(without, table, ("peak_kw",))
    pd.testing.assert_frame_equal(frame, expected)


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ("vary: {comunity.pv: {low: 0, high: 1}}", "did you mean 'community'"),
        ("vary: {arms.tow.leader: [fixed, margin]}", "did you mean 'two'"),
        ("vary: {community.battery: {low: 1, high: 0}}", "low 1 must be below high 0"),
        ("vary: {community.battery: [0.5]}", "vary"),
        ("vary: {community.battery: {low: 0, high: 1}}\nsample: {method: sobol, n: 10}", "a power of two for sobol"),
        ("vary: {community.battery: {low: 0, high: 1}}\nsample: {method: moris}", "did you mean 'morris'"),
        ("run: {executor: ray, adress: here}", "did you mean 'address'"),
        ("run: {address: here}", "belongs to executor ray"),
    ],
)
def test_mistakes_of_a_plan_are_sentences(head, plan, said):
    with pytest.raises(StudyError, match=said):
        Study.parse(f"{head}arms: {{one: {{}}, two: {{game: {{reward: own}}}}}}\n{plan}\n")


@pytest.mark.parametrize(
    ("vary", "said"),
    [
        ({"community.battery": {"low": 0.5, "high": 1.5}}, r"community\.battery: 1\.5"),
        ({"community.prosumers": {"low": 5.5, "high": 8}}, r"community\.prosumers: 5\.5 .*an integer"),
        ({"leader": ["fixed", "margin"]}, "changes no arm"),
    ],
)
def test_a_point_that_cannot_run_is_found_before_anything_runs(study, toy, tmp_path, vary, said):
    arms = {"one": {"leader": "fixed"}, "two": {"leader": "fixed", "auction": "none"}}
    document = {**study.document, "vary": vary, "arms": arms}
    with pytest.raises(StudyError, match=said):
        run_sweep(Study.parse(document), out=tmp_path, simulate=toy.simulate)
    assert list(tmp_path.iterdir()) == []


def test_on_the_command_line(command, tmp_path):
    (tmp_path / "study.yaml").write_text(TINY)
    code, out, _ = command("check", tmp_path / "study.yaml")
    assert code == 0
    assert "tariff.peak, tariff.sell: 4 points (morris)" in out
    code, out, err = command("sweep", tmp_path / "study.yaml", "--jobs", 1, "--out", tmp_path)
    assert code == 0, err
    assert "mu_star" in out
    assert out.index("one: community cost") < out.index("tariff.peak")
    stored = pd.read_csv(tmp_path / "tiny-sweep" / "indices.csv")
    assert set(stored["index"]) == {"mu_star", "mu", "sigma"}
    assert set(json.loads((tmp_path / "tiny-sweep" / "design.json").read_text())["points"]["0000"]) == {
        "tariff.peak",
        "tariff.sell",
    }
    code, _, err = command("sweep", "quickstart", "--out", tmp_path)
    assert (code, "vary" in err) == (2, True)


def overhead(study, out):
    """CPU time of a sweep in this process beyond that of its simulations, as a share of theirs."""
    from hmarl.simulate import simulate

    own = 0.0

    def timed(*arguments):
        nonlocal own
        began = time.process_time()
        try:
            return simulate(*arguments)
        finally:
            own += time.process_time() - began

    timed(study.baseline, 0, None, lambda stage, share: None)  # imports are not counted
    own, began = 0.0, time.process_time()
    outcome = run_sweep(study, out=out, simulate=timed)
    collect(study, out).write()
    assert not outcome.failures
    return (time.process_time() - began) / own - 1, len(outcome.done)


def test_little_overhead(tmp_path):
    share, runs = overhead(Study.parse(TINY), tmp_path)
    assert runs == 4
    assert share < 0.25  # a few runs still carry what is done once; a thousand: below


@pytest.mark.slow
def test_a_thousand_tiny_runs_cost_a_tenth_more_than_their_own_work(tmp_path):
    study = Study.parse(TINY).change(
        sample={"method": "latin", "n": 1000}, **{"vary": {"tariff.peak": {"low": 0.3, "high": 0.6}}}
    )
    share, runs = overhead(study, tmp_path)
    assert runs == 1000
    assert share < 0.10


def test_without_ray_a_sentence_says_what_to_do(study, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    far = study.change(run={"executor": "ray"})
    with pytest.raises(cluster.ClusterError, match=r"pip install 'hmarl\[ray\]'.*run.executor=process"):
        run_sweep(far, out=tmp_path)
