"""How much memory and time large studies take: printed with what was tried, and never more than a laptop has."""

import os
import subprocess

import pytest
from faults.small_study import command, environment

YEAR = """
study: year
seeds: 1
calendar: {start: 2012-07-01, days: 372, zone: Australia/Sydney, hold_out: {every: 7, offset: 2}, warm_up: 7}
community: {source: synthetic, prosumers: 300, pv: 0.6, battery: 0.5}
followers: rule-based
equilibrium: {certificate: none}
arms: {none: {auction: none}, mmr: {auction: mmr}, da: {auction: da}}
"""
THOUSANDS = """
study: thousands
seeds: 1
calendar: {start: 2012-07-01, days: 2, zone: Australia/Sydney, hold_out: 1, warm_up: 1}
community: {source: synthetic, prosumers: 10000, pv: 0.6, battery: 0.5}
tariff: {name: time-of-use, average_cap: 0.23}
auction: da
followers: rule-based
leader: stackelberg
wholesale: {name: dc-opf, case: ieee118, bus: "59", replication: 10, load_shape: daily}
equilibrium: {rounds: 3}
arms: {two-level: {}}
"""
MANY = """
study: many
seeds: 1
calendar: {start: 2012-07-01, days: 2, zone: Australia/Sydney, hold_out: 1, warm_up: 1}
community: {source: synthetic, prosumers: 3, pv: 0.6, battery: 0.5}
followers: rule-based
equilibrium: {certificate: none}
arms: {rule: {}}
vary: {tariff.peak: {low: 0.3, high: 0.6}}
sample: {method: latin, n: 1000}
"""


def measured(*words):
    """Processor seconds and largest memory in MB of a command, and what it said."""
    with subprocess.Popen(
        command(*words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment()
    ) as process:
        said = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, said[-2000:]
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "kind", "what"),
    [
        (YEAR, "run", "a year of 300 homes in 3 arms"),
        (THOUSANDS, "run", "10,000 homes on two levels, a day to learn from and one to judge"),
        (MANY, "sweep", "1,000 runs in one sweep"),
    ],
    ids=["year", "thousands", "many"],
)
def test_large_studies_stay_small(tmp_path, tried, text, kind, what):
    (tmp_path / "study.yaml").write_text(text)
    seconds, megabytes = measured(kind, tmp_path / "study.yaml", "--jobs", 1, "--out", tmp_path / "runs")
    tried(f"processor seconds of {what}", round(seconds))
    tried(f"MB of {what}", round(megabytes))
    assert megabytes < 4096
