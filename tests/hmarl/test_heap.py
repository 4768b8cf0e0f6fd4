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
