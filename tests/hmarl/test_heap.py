"""Freed memory is used again: no new pages where a table of the same size was just dropped."""

import ctypes
import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
import numpy as np
from hmarl.heap import give_back_memory, keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
np.ones(8_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    np.ones(8_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
give_back_memory()
print(int(open("/proc/self/statm").read().split()[1]))
"""


def glibc():
    return sys.platform == "linux" and hasattr(ctypes.CDLL(None), "mallopt")


@pytest.mark.skipif(not glibc(), reason="only glibc can be told to keep memory")
def test_a_table_takes_the_pages_of_the_last_one_and_gives_them_back_at_the_end():
    def pages(word):
        done = subprocess.run([sys.executable, "-c", SCRIPT, word], check=True, capture_output=True, text=True)
        return map(int, done.stdout.split())

    (new, _), (kept, left) = pages("leave"), pages("keep")
    assert kept < 100
    assert new > 10 * max(kept, 1)
    assert left * 4096 < 200e6


def test_elsewhere_nothing_is_done(monkeypatch):
    from hmarl import heap

    monkeypatch.setattr(heap.sys, "platform", "darwin")
    monkeypatch.setattr(heap.ctypes, "CDLL", None)
    heap.keep_freed_memory()
    heap.give_back_memory()


@pytest.mark.skipif(not glibc(), reason="only glibc can be told to give memory back")
def test_a_large_job_leaves_its_memory_to_the_system(tmp_path):
    script = """
import sys
from pathlib import Path
import numpy as np
from hmarl import job
from hmarl.study import Study

def simulate(arm, seed, data, report):
    tables = [np.ones(125_000) for _ in range(600)]  # 600 MB
    raise ValueError(f"{len(tables)} tables")

job.prepare_process()
study = Study.parse(Path(sys.argv[1]).read_text())
done = job.work(job.Job(study.arm(), 0, Path(sys.argv[2]), None), simulate, lambda stage, share: None)
assert done.message == "600 tables", done.message
print(int(open("/proc/self/statm").read().split()[1]) * 4096 / 1e6)
"""
    text = "calendar: {start: 2012-07-02, days: 3}\ncommunity: {source: synthetic, prosumers: 3}\n"
    text += "followers: zi\narms: {one: {}}\n"
    (tmp_path / "study.yaml").write_text(f"study: heap\n{text}")
    (tmp_path / "run").mkdir()
    given = [sys.executable, "-c", script, str(tmp_path / "study.yaml"), str(tmp_path / "run")]
    done = subprocess.run(given, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 450
