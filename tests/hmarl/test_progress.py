"""What a log gets to see of long jobs."""

import io

import pytest
from rich.console import Console

from hmarl import progress
from hmarl.progress import Board


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def written(clock, quiet=False):
    log = io.StringIO()
    with Board(2, Console(file=log, width=200), quiet=quiet) as board:
        for seconds, share in ((0, 0.0), (30, 0.01), (61, 0.02), (90, 0.03), (122, 0.5), (200, 0.5), (9000, 0.6)):
            clock[0] = float(seconds)
            board.update("a/0", "training", share)
        board.end("a/0", "done")
        board.end("b/0", "already done")
    return log.getvalue().splitlines()


def test_a_log_gets_a_line_a_minute_and_one_at_the_end(clock):
    assert written(clock) == [
        "a/0: training, 2 % after 61 s, about 50 min left",
        "a/0: training, 50 % after 2 min, about 2 min left",
        "a/0: training, 50 % after 3 min, about 3 min left",
        "a/0: training, 60 % after 2.5 h, about 100 min left",
        "[1/2] a/0: done in 9000.0 s",
        "[2/2] b/0: already done",
    ]


def test_quiet_is_quiet(clock):
    assert written(clock, quiet=True) == []
