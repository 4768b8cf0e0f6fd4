"""A small real study, run once for all tests that read results."""

STUDY = """
study: small
title: Two arms for tests
seeds: 2
calendar: {start: 2012-07-02, days: 14, step: 60min, zone: Australia/Sydney, hold_out: 7}
community: {source: synthetic, prosumers: 5, battery: 0.6, pv: 0.8}
followers: rule-based
wholesale: {name: dc-opf, case: pjm5, bus: B, replication: 2000}
arms:
  regulated: {leader: fixed}
  mark-up: {leader: {name: mark-up, margin: 0.25}}
measure: [aggregator_profit, community_cost, peak_kw, p2p_share]
"""


def run(folder):
    from hmarl.run import run_study
    from hmarl.study import Study
    from hmarl.summary import summarize

    study = Study.parse(STUDY)
    assert not run_study(study, out=folder).failures
    summarize(study, folder).write()
    return folder / "small"
