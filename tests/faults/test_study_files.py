"""Study files of any shape: each is refused with sentences, or means what it says."""

import contextlib
from pathlib import Path

import pytest
from faults.effort import examples
from faults.mutants import at, changed_value, damaged_text
from hypothesis import example, given, settings

from hmarl.study import Study, StudyError
from hmarl.study_file import yaml_reader
from hmarl.study_file.validation import plain

STUDIES = Path(__file__).resolve().parents[2] / "studies"
EVERYTHING = """
study: everything
title: Every section
seeds: [0, 3]
calendar: {start: 2012-07-02, days: 28, step: 30min, zone: Australia/Sydney, hold_out: {every: 4, offset: 1}}
community:
  source: synthetic
  prosumers: 6
  thermal: true
  battery: 0.5
  store: {max_kwh: 8, start_kwh: 3, wear_linear: 0.01, wear_quadratic: 0, wear_blocks: [[0.4, 0.01], [1, 0.05]]}
  vehicle: {share: 0.5, feeds_back: true}
  deferrable: {share: 0.5}
  heat: {pump: 0.5, chp: 0.4, traded: true}
  cold: {}
tariff: {average_cap: 0.23, gas: 0.05, fee: 0.01, ramp: 0.1}
auction: {name: da, price: uniform}
game: {peak: {cap_kw: 12, rate: 0.3}, curtail: true}
clusters: {name: dtw, number: 2}
followers: {name: mappo, episodes: 48}
leader: {name: mark-up, margin: 0.2}
wholesale: {name: dc-opf, case: pjm5, bus: B, replication: 2000}
equilibrium: {method: trust-region, simulations: 9}
arms: {one: {}, two: {leader: fixed, followers: {name: iddpg}}, three: {wholesale: none, leader: fixed}}
measure: [community_cost, peak_kw]
vary: {tariff.peak: {low: 0.3, high: 0.6}, community.prosumers: [4, 6]}
sample: {method: latin, n: 3}
run: {executor: process, jobs: 2}
"""
WRITTEN = [EVERYTHING, *(path.read_text(encoding="utf-8") for path in sorted(STUDIES.glob("*/study.yaml")))]
COMPLETE = {study.name: yaml_reader.read(study.to_yaml()).values for study in map(Study.parse, WRITTEN)}


def judged(text):
    """The study, or None if it was refused in sentences; anything else fails the test."""
    try:
        study = Study.parse(text)
    except StudyError as error:
        assert error.problems
        for problem in error.problems:
            said = str(problem)
            assert len(said.split()) > 2
            assert len(said) < 2000
            assert said.isprintable()
        return None
    full = study.to_yaml()
    full.encode()
    again = Study.parse(full)
    assert again.arms == study.arms
    assert again.to_yaml() == full
    return study


def stands(document, path):
    """Whether something stands at a path; where it was taken away the default may be the same."""
    with contextlib.suppress(KeyError, IndexError, TypeError):
        at(document, path)
        return True
    return False


def says_the_same(path, was, now):
    """Whether a value may be another way to write what stood there."""
    if path == ("seeds",) and isinstance(now, int):
        return was == list(range(now))
    # nothing, or the name alone, where all parameters had been at their defaults
    return isinstance(was, dict) and now in ({}, was.get("name"))


@settings(max_examples=examples(120, 5000))
@given(damaged_text(WRITTEN))
@example("a: " + "9" * 5000)
def test_slips_of_the_hand(tried, text):
    tried("study files with slips")
    judged(text)


@settings(max_examples=examples(200, 7000))
@given(changed_value(COMPLETE))
def test_one_changed_value_is_refused_or_noticed(tried, case):
    tried("study files with a changed value")
    name, document, path = case
    study = judged(document)
    if study is None or not stands(document, path) or plain(document) == plain(COMPLETE[name]):
        return
    if stands(COMPLETE[name], path) and says_the_same(path, at(COMPLETE[name], path), at(document, path)):
        return
    assert study.to_yaml() != Study.parse(COMPLETE[name]).to_yaml(), f"{'.'.join(map(str, path))} changed nothing"


@pytest.mark.parametrize("text", WRITTEN, ids=lambda text: Study.parse(text).name)
def test_a_resolved_study_says_everything(text):
    study = Study.parse(text)
    assert Study.parse(study.to_yaml()).arms == study.arms
