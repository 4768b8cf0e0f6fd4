"""Ranking of arms: order, groups, sureness of a place."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from hmarl.ranking import place_ranges, rank
from hmarl.report.page import report_folder
from hmarl.results import load
from hmarl.study import Study, StudyError
from hmarl.study_file.plan import Rank


@pytest.fixture
def study(runs):
    return Study.read(runs / "study.yaml")


def test_order_differences_and_certificate(runs):
    found = rank(load(runs), Rank(within=("wholesale",)))
    frame = found.frame
    profit = {arm: [_measure(runs / arm / str(s)) for s in (0, 1)] for arm in ("regulated", "mark-up")}
    means = {arm: np.mean(x) for arm, x in profit.items()}
    assert list(frame.arm) == sorted(means, key=means.get, reverse=True)
    assert list(frame.place) == [1, 2]
    assert set(frame.group) == {"dc-opf"}
    first, second = frame.arm
    apart = np.subtract(profit[second], profit[first])
    assert frame.behind.tolist() == [0, pytest.approx(apart.mean())]
    assert frame.behind_high[1] - frame.behind[1] == pytest.approx(12.706 * apart.std(ddof=1) / np.sqrt(2), rel=1e-3)
    assert frame[["converged_percent", "leader_gap_per_day", "exploitability_per_day"]].notna().all(axis=None)
    found.write()
    assert pd.read_csv(runs / "ranking.csv").arm.tolist() == frame.arm.tolist()
    (runs / "ranking.csv").unlink()


def _measure(folder):
    return json.loads((folder / "measures.json").read_text())["aggregator_profit"]


def test_less_is_better_for_a_cost_and_groups_compete_inside(runs):
    by_cost = rank(load(runs), Rank(by="community_cost")).frame
    assert by_cost["mean"].is_monotonic_increasing
    assert set(by_cost.group) == {""}
    alone = rank(load(runs), Rank(by="community_cost", within=("leader",))).frame
    assert alone.place.tolist() == [1, 1]
    assert sorted(alone.group) == ["fixed", "mark-up"]


def test_places_are_as_sure_as_the_seeds():
    clear = place_ranges(np.array([[1.0, 1.1, 0.9], [5.0, 5.1, 4.9], [9.0, 9.1, 8.9]]))
    assert [x.tolist() for x in clear] == [[1, 2, 3], [1, 2, 3]]
    crossing = place_ranges(np.array([[1.0, 3.0, 1.0], [2.0, 2.0, 2.0]]))
    assert [x.tolist() for x in crossing] == [[1, 1], [2, 2]]
    equal = place_ranges(np.array([[0.1, 0.2, 0.3], [0.1, 0.2, 0.3]]))
    assert [x.tolist() for x in equal] == [[1, 1], [1, 1]]


def test_ranking_is_checked(study):
    with pytest.raises(StudyError, match="arms can be ranked by aggregator_profit"):
        study.change(rank={"by": "p2p_kwh"})
    with pytest.raises(StudyError, match="within names 'market'"):
        study.change(rank={"within": ["market"]})
    again = study.change(rank={"by": "peak_kw", "within": ["leader", "wholesale"]})
    assert Study.parse(again.to_yaml()).rank == again.rank


def test_run_and_report_end_with_the_ranking(runs, tmp_path, command):
    runs = shutil.copytree(runs, tmp_path / "small")
    text = (runs / "study.yaml").read_text() + "rank: {by: community_cost}\n"
    file = tmp_path / "ranked.yaml"
    file.write_text(text)
    code, said, _ = command("run", file, "--out", runs.parent)
    assert code == 0
    assert said.index("Ranking by community cost [$/day]") > said.index("Replication factor")
    assert max(len(line) for line in said[said.index("Ranking") :].splitlines()) <= 100
    assert "…" not in said
    page = report_folder(runs).read_text()
    assert "Ranking by community cost [$/day]" in page
    assert "NaN" not in page[page.index("Ranking by") :][:2000]
