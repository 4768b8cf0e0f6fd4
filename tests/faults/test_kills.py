"""Killed at any moment, a study and a sweep go on: no damaged file, nothing finished redone, the same bytes."""

import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from faults.effort import examples
from faults.small_study import contents, environment, text

STEPS = 50
"""About as many steps of writing as a study has between two kills."""


class Forks:
    """The server of `forks.py`."""

    def __init__(self):
        script = [sys.executable, str(Path(__file__).with_name("forks.py"))]
        self.process = subprocess.Popen(
            script, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
        )
        assert self.process.stdout.readline() == "ready\n"

    def __call__(self, *argv, **order):
        self.process.stdin.write(json.dumps({"argv": [str(word) for word in argv], **order}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture(scope="module")
def forks():
    made = Forks()
    yield made
    made.close()


@pytest.fixture(scope="module", params=["run", "sweep"])
def whole(request, forks, tmp_path_factory):
    """A study or sweep that nobody stopped: its command, its files, how long it takes."""
    kind, folder = request.param, tmp_path_factory.mktemp(request.param)
    (folder / "study.yaml").write_text(text(folder, episodes=240))
    only = [] if kind == "run" else ["--arm", "rule"]
    words = ["hmarl", kind, folder / "study.yaml", *only, "--jobs", "1", "--out"]
    began = time.monotonic()
    done = forks(*words, folder / "runs")
    assert done["code"] == 0, done["said"]
    return words, folder, contents(folder / "runs"), time.monotonic() - began


def manifests(folder):
    return {path: path.read_bytes() for path in folder.rglob("manifest.json")}


def whole_files(folder, wanted):
    """Every file is complete: those of finished jobs as in the run that nobody stopped, tables readable at least."""
    for path in folder.rglob("*.parquet"):
        pq.read_table(path)
    for path in folder.rglob("*.json"):
        json.loads(path.read_text())
    for path in manifests(folder):
        for file in path.parent.iterdir():
            if file != path and file.suffix in (".parquet", ".json"):
                assert file.read_bytes() == wanted[str(file.relative_to(folder))], file


def stopped_often(forks, whole, out, kills, order_of, tried, label):
    """Stop at some moments, go on each time, and let it end; begin again as often as there are kills left."""
    words, _, wanted, _ = whole
    done = {}
    count, kinds = 0, set()
    while count < kills:
        end = forks(*words, out, **order_of(count))
        assert "Traceback" not in end["said"], end["said"]
        whole_files(out, wanted)
        now = manifests(out)
        assert {path: now.get(path) for path in done} == done, "something finished was redone"
        done = now
        if end["code"] == 0:  # it came to its end before the moment
            assert contents(out) == wanted
            shutil.rmtree(out)
            done = {}
            count += 1 if not kinds else 0  # never loop without end
            continue
        kinds.add(end["code"])
        count += 1
        tried(label)
    end = forks(*words, out)
    assert end["code"] == 0, end["said"]
    after = manifests(out)
    assert {path: after[path] for path in done} == done, "something finished was redone"
    assert contents(out) == wanted
    return kinds


@pytest.mark.slow
def test_killed_at_random_moments(forks, whole, tmp_path, tried):
    rng = random.Random(examples(1, time.time_ns()))
    kind, long = whole[0][1], whole[3]
    stopped_often(
        forks, whole, tmp_path / "runs", examples(2, 25), lambda k: {"signal": "SIGKILL", "after": rng.random() * long},
        tried, f"kill -9 of a {kind} at random moments",
    )  # fmt: skip


@pytest.mark.slow
def test_killed_at_steps_of_writing(forks, whole, tmp_path, tried):
    rng = random.Random(examples(2, time.time_ns()))
    kind = whole[0][1]
    kinds = stopped_often(
        forks, whole, tmp_path / "runs", examples(2, 25), lambda k: {"at_write": rng.randint(1, STEPS)}, tried,
        f"kill -9 of a {kind} at steps of writing",
    )  # fmt: skip
    assert kinds == {-9}


@pytest.mark.slow
def test_interrupted_in_time(forks, whole, tmp_path, tried):
    """Ctrl-C: the process has ended within two seconds (here with room for a machine that is busy with other tests)."""
    words, _, wanted, long = whole
    rng, slowest = random.Random(examples(3, time.time_ns())), 0.0
    for _ in range(examples(1, 6)):
        end = forks(*words, tmp_path / "runs", signal="SIGINT", after=rng.random() * long)
        if end["sent"]:
            tried(f"Ctrl-C in a {words[1]}")
            assert end["code"] in (130, 0), end["said"]
            slowest = max(slowest, end["seconds"])
        assert "Traceback" not in end["said"]
        whole_files(tmp_path / "runs", wanted)
    tried(f"slowest end after Ctrl-C in a {words[1]}, ms", round(1000 * slowest))
    assert slowest < 5
    assert forks(*words, tmp_path / "runs")["code"] == 0
    assert contents(tmp_path / "runs") == wanted


def test_interrupted_inside_a_solver(forks, tmp_path, tried):
    begun = tmp_path / "begun"
    end = forks("solve", begun, signal="SIGINT", after=0.5, wait_for=str(begun))
    tried("Ctrl-C in a solver")
    tried("end after Ctrl-C in a solver, ms", round(1000 * end["seconds"]))
    assert end["code"] == 130, end
    assert end["seconds"] < 5
    assert "Interrupted. Finished seeds are kept" in end["said"]


@pytest.mark.slow
@pytest.mark.parametrize("moment", [0.0, 0.5])
def test_a_report_is_whole_or_not_there(forks, whole, tmp_path, tried, moment):
    if whole[0][1] == "sweep":
        pytest.skip("one report suffices")
    out = tmp_path / "runs"
    shutil.copytree(whole[1] / "runs", out)
    page = out / "small" / "report.html"
    for k in range(examples(1, 8)):
        step = 1 + int(moment * 20) + k
        end = forks("hmarl", "report", out / "small", at_write=step)
        assert end["code"] in (-9, 0), end["said"]
        tried("kill -9 of a report at steps of writing", end["code"] != 0)
        assert not page.exists() or page.read_text().rstrip().endswith("</html>")
    assert forks("hmarl", "report", out / "small")["code"] == 0
    assert page.read_text().rstrip().endswith("</html>")
