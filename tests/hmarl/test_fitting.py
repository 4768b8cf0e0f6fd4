"""Followers that cannot play are found before anything runs; those that can are never refused."""

import pytest

from hmarl.fitting import misfits
from hmarl.run import run_study
from hmarl.shipped import find, names
from hmarl.study import Study, StudyError

REFUSED = """
study: fit
seeds: 1
calendar: {start: 2012-07-02, days: 10, hold_out: 2}
community: {source: synthetic, prosumers: 5}
equilibrium: {certificate: none}
arms:
  good:   {followers: zi}
  opt:    {auction: none, followers: {name: optimal, scope: community}}
  price:  {game: {reward: difference}, followers: {name: ippo, price: learned}}
  agent:  {followers: {name: q-learning, mode: frozen, agent: 7}}
  look:   {game: {reward: difference}, followers: {name: mb-a3c3, use: lookahead}}
  number: {followers: {name: mb-a3c3, number: 9}}
  heads:  {game: {curtail: true}, followers: {name: mb-a3c3, use: dyna}}
"""


def test_every_refusal_is_said_before_the_first_run(tmp_path):
    study = Study.parse(REFUSED)
    found = {problem.reason.split(": ")[0].removeprefix("cannot play in arm ") for problem in misfits(study.arms)}
    assert found == {"opt", "price", "agent", "look", "number", "heads"}
    with pytest.raises(StudyError, match="study has 6 mistakes") as error:
        run_study(study, out=tmp_path)
    assert "followers: 'q-learning' cannot play in arm agent: agent is 7, but there are 5 homes" in str(error.value)
    assert not list(tmp_path.iterdir())
    # Arms that were not asked for stand in nobody's way.
    assert run_study(study, arms=["good"], out=tmp_path).done == ("good/0",)


def test_what_is_finished_is_not_tried_again(tmp_path, monkeypatch):
    study, tried = Study.parse(REFUSED), []
    monkeypatch.setattr("hmarl.run.check_followers", lambda _, arms: tried.append([arm.name for arm in arms]))
    for fresh in (False, False, True):
        run_study(study, arms=["good"], out=tmp_path, fresh=fresh)
    assert tried == [["good"], [], ["good"]]


def test_where_only_the_data_know_the_homes_the_benefit_of_the_doubt_is_given():
    few = (
        "study: s\ncalendar: {start: 2012-07-08, days: 10, hold_out: 2}\n"
        "community: {source: ausgrid%s}\narms: {a: {followers: %s}}"
    )
    number, agent = "{name: mb-a3c3, number: 9}", "{name: q-learning, mode: frozen, agent: 50}"
    for followers in (number, agent, "maddpg"):
        assert not misfits(Study.parse(few % ("", followers)).arms)
    two = ", customers: [1, 2]"
    for followers in (number, agent):
        assert misfits(Study.parse(few % (two, followers)).arms)


@pytest.mark.parametrize("name", names())
def test_shipped_studies_fit(name):
    assert not misfits(Study.read(find(name)).arms)
