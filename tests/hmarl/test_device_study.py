"""A study with every device, from its file to its tables: one account for all of it."""

import json

import numpy as np
import pytest

from hmarl.simulate import simulate
from hmarl.study import Study
from hmarl.study_file.problems import StudyError

TEXT = """
study: devices
seeds: 1
calendar: {start: 2012-06-04, days: 5, zone: Australia/Sydney, hold_out: 2, warm_up: 3}
community:
  source: synthetic
  prosumers: 6
  pv: 0.6
  thermal: true
  battery: 0.5
  vehicle: {share: 0.5, feeds_back: true}
  deferrable: {share: 0.5}
  heat: {pump: 0.5, chp: 0.4, traded: true}
  cold: {}
auction: da
game: {peak: {cap_kw: 12, rate: 0.3}, curtail: true}
tariff: {average_cap: 0.23, gas: 0.05}
followers: rule-based
leader: {name: stackelberg}
wholesale: {name: merit-order, case: pjm5, bus: B, replication: 2000}
equilibrium: {rounds: 1}
arms:
  rule: {leader: {name: fixed}}
  stackelberg: {}
  mappo: {leader: {name: fixed}, followers: {name: mappo, episodes: 48, batch_days: 24}}
  optimal: {leader: {name: fixed}, followers: optimal}
"""


@pytest.fixture(scope="module")
def study():
    return Study.parse(TEXT)


@pytest.mark.parametrize("name", ["rule", "stackelberg", "mappo", "optimal"])
def test_bills_ledger_and_certificate_know_every_device(study, name):
    result = simulate(study.arm(name), 0, None, lambda label, share: None)
    agents, steps = result.frames["agents"], result.frames["steps"]
    parts = [c for c in agents.columns if c.startswith("bill_")]
    assert {"bill_fuel", "bill_peer_heat", "bill_peak_penalty"} <= set(parts)
    np.testing.assert_allclose(agents[parts].sum(axis=1), agents["bill"], rtol=0, atol=1e-9)
    assert agents["bill_fuel"].sum() > 0
    assert agents["bill_peak_penalty"].sum() > 0
    paid = [c for c in steps.columns if c.endswith("_paid")]
    np.testing.assert_allclose(steps[paid].sum(axis=1), 0, atol=1e-5)
    # The gas utility earns what the homes of all communities burn.
    assert -steps["fuel_paid"].sum() == pytest.approx(2000 * agents["bill_fuel"].sum(), rel=1e-9)
    assert agents["heat_bought_from_peers_kwh"].sum() >= 0
    certificate = json.loads(json.dumps(result.certificate))
    assert certificate["invariants_hold"]
    bound = certificate["yardsticks_per_day"]["community_optimum"]
    assert agents[agents["held_out"]]["cost"].sum() / 2 >= bound - 1e-3


def test_mistakes_in_devices_are_said_at_once():
    wrong = TEXT.replace("{share: 0.5, feeds_back: true}", "{leaves: 18, returns: 9}").replace("chp: 0.4", "chp: 4")
    with pytest.raises(StudyError) as caught:
        Study.parse(wrong)
    assert "leaves 18 is not before returns 9" in str(caught.value)
    assert "chp" in str(caught.value)
    with pytest.raises(ValueError, match="the source has no demand for heat"):
        simulate(Study.parse(TEXT.replace("  thermal: true\n", "")).arm("rule"), 0, None, lambda label, share: None)
