"""Run folders in trouble: full and read-only disks, two processes, other formats, and a manifest that is run again."""

import json
import resource
import shutil
import subprocess
import sys

import pytest
from faults.small_study import command, contents, environment, hmarl, text

from hmarl import again, manifest, storage
from hmarl.run import run_study
from hmarl.study import Study

LATER = "make room or choose another --out. Nothing is lost"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The small study, run once."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "study.yaml").write_text(text(folder))
    assert not run_study(Study.read(folder / "study.yaml"), out=folder / "runs").failures
    return folder


@pytest.fixture
def copy(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "copy")
    return tmp_path / "copy"


def tiny_files():
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))


def test_a_full_disk_stops_in_a_sentence_and_keeps_what_was_there(copy):
    """A limit on the size of files says the same as a full disk, and needs no rights."""
    before = contents(copy / "runs")
    done = hmarl("run", copy / "study.yaml", "--seeds", 2, "--jobs", 1, "--out", copy / "runs", preexec_fn=tiny_files)
    assert done.returncode == 1
    assert LATER in done.stderr
    assert "Traceback" not in done.stderr
    after = contents(copy / "runs")
    assert {name: after[name] for name in before} == before
    assert not [name for name in after if name.endswith(".part")]
    assert not run_study(Study.read(copy / "study.yaml"), seeds=[1], out=copy / "runs").failures


def mounted(script, place, words, **settings):
    """A command in a mount name space of its own, after a script that mounts something at a place."""
    whole = ["unshare", "--user", "--map-root-user", "--mount", "bash", "-c", script, "-", str(place), *words]
    try:
        done = subprocess.run(
            whole, check=False, capture_output=True, text=True, timeout=240, env=environment(**settings)
        )
    except FileNotFoundError:
        pytest.skip("there is no unshare here")
    if "unshare:" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"may not mount a file system: {done.stderr.strip().splitlines()[-1]}")
    return done


@pytest.mark.slow
def test_a_small_file_system_that_fills_up(copy, tmp_path):
    """The same on a real file system of 60 kB, where this user may mount one."""
    place = tmp_path / "full"
    script = (
        'set -e; mkdir -p "$1"; mount -t tmpfs -o size=60k tmpfs "$1"; shift; set +e; "$@"; code=$?; '
        "ls -A $OUT/small/*/0 >&2; exit $code"
    )
    words = command("run", copy / "study.yaml", "--jobs", 1, "--out", place)
    done = mounted(script, place, words, OUT=str(place))
    assert done.returncode == 1, done.stderr
    assert LATER in done.stderr
    assert "Traceback" not in done.stderr
    assert ".part" not in done.stderr


@pytest.mark.slow
def test_a_read_only_folder_is_said_before_anything_runs(copy):
    before = contents(copy / "runs")
    script = 'set -e; mount --bind "$1" "$1"; mount -o remount,bind,ro "$1"; shift; exec "$@"'
    words = command("run", copy / "study.yaml", "--seeds", 2, "--jobs", 1, "--out", copy / "runs")
    done = mounted(script, copy / "runs", words)
    assert done.returncode == 1, done.stderr
    assert "cannot be written (read-only file system); choose an --out that may be written to" in done.stderr
    assert "Traceback" not in done.stderr
    assert contents(copy / "runs") == before


HOLD = """
import sys
from pathlib import Path
from hmarl.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_refused(copy, command_line):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(copy / "runs" / "small" / "rule" / "1")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(),
    ) as holder:  # fmt: skip
        assert holder.stdout.readline() == "held\n"
        code, _, said = command_line("run", copy / "study.yaml", "--seeds", 2, "--out", copy / "runs")
        holder.stdin.close()
    assert code == 2
    assert f"is being run by process {holder.pid}" in said
    assert not (copy / "runs" / "small" / "rule" / "1").exists()


def test_the_lock_of_a_killed_process_does_not_stay(copy, command_line):
    left = copy / "runs" / "small" / "rule" / ".0.lock"
    left.write_text("process 1 on elsewhere\n")
    before = contents(copy / "runs")
    code, _, said = command_line("run", copy / "study.yaml", "--out", copy / "runs")
    assert code == 0, said
    assert not left.exists()
    del before["small/rule/.0.lock"]
    after = contents(copy / "runs")
    assert {name: after.get(name) for name in before} == before


def test_a_job_that_another_process_finished_meanwhile_is_not_redone(copy, monkeypatch):
    study = Study.read(copy / "study.yaml")
    real, seen = storage.finished, []

    def late(folder, resolved):
        seen.append(folder)
        return len(seen) > 2 and real(folder, resolved)

    monkeypatch.setattr(storage, "finished", late)
    before = contents(copy / "runs")

    def never(arm, seed, data, report):
        raise AssertionError("run again")

    assert not run_study(study, out=copy / "runs", simulate=never).failures
    assert contents(copy / "runs") == before


def restamp(path, number):
    held = json.loads(path.read_text())
    held.pop("format")
    path.write_text(json.dumps(held if number is None else held | {"format": number}))


def test_formats_of_run_folders(copy):
    from hmarl.results import load

    study, folder = Study.read(copy / "study.yaml"), copy / "runs" / "small" / "rule" / "0"
    stamped = [folder / storage.MANIFEST, folder / storage.RESOLVED]
    assert all(json.loads(path.read_text())["format"] == storage.FORMAT for path in stamped)
    for path in stamped:  # older: read as it is
        restamp(path, None)
    assert len(run_study(study, out=copy / "runs").skipped) == 2
    assert len(load(copy / "runs").runs) == 2
    (folder / storage.MANIFEST).rename(folder / "kept")
    storage.check_folder(folder, study.arm("rule").resolved())
    (folder / "kept").rename(folder / storage.MANIFEST)
    for path in stamped:  # newer: refused
        path.write_text(json.dumps(json.loads(path.read_text()) | {"format": storage.FORMAT + 1}))
        for act in (lambda: run_study(study, out=copy / "runs"), lambda: load(copy / "runs")):
            with pytest.raises(storage.RunFolderError, match=r"format 3 of run folders; this version reads 1 to 2"):
                act()


def test_leftovers_of_a_process_killed_at_the_very_end_are_removed(copy):
    folder = copy / "runs" / "small" / "rule" / "0"
    for name in (storage.PROGRESS, storage.HALFWAY, ".steps.parquet.part"):
        (folder / name).write_bytes(b"left")
    before = {name for name in contents(copy / "runs") if not name.endswith(("progress.pt", "training.pt", ".part"))}
    assert len(run_study(Study.read(copy / "study.yaml"), out=copy / "runs").skipped) == 2
    assert set(contents(copy / "runs")) == before


def test_a_manifest_is_run_again_and_says_what_differs(copy, command_line, monkeypatch):
    path = copy / "runs" / "small" / "learned" / "0" / "manifest.json"
    held = json.loads(path.read_text())
    path.write_text(json.dumps(held | {"versions": held["versions"] | {"torch": "1.0"}, "data": {"homes.csv": "abc"}}))
    before = contents(copy / "runs")
    monkeypatch.chdir(copy)
    code, shown, said = command_line("run", path, "--jobs", 1)
    assert code == 0, said
    assert f"Warning: torch was 1.0, now it is {held['versions']['torch']}." in said
    assert "Warning: Data file homes.csv (SHA-256 abc...) was not found to compare" in said
    assert said.count("Warning") == 2
    assert "The same bytes as before in all" in shown
    assert contents(copy / "runs") == before
    assert contents(copy / "runs-again" / "small" / "learned" / "0") == contents(path.parent)
    assert "a manifest is run as it is" in command_line("run", path, "--set", "tariff.peak=0.5")[2]
    (path.parent / "steps.parquet").write_bytes(b"other")
    assert "steps.parquet differ" in again.verdict(path.parent, copy / "runs-again" / "small" / "learned" / "0")


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"resolved": {}, "seed": 0}', '{"resolved": 3, "seed": "x"}']
)
def test_what_is_no_manifest_is_refused(tmp_path, content, command_line):
    path = tmp_path / "manifest.json"
    path.write_text(content)
    code, _, said = command_line("run", path)
    assert code == 2
    assert "is no manifest of a run" in said


@pytest.fixture
def command_line(monkeypatch, capsys):
    from hmarl import cli

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["hmarl", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capsys.readouterr()
        return end.value.code, said.out, said.err

    return call


def test_data_that_changed_is_named(tmp_path):
    (tmp_path / "homes.csv").write_text("new")
    held = manifest.describe({}, seed=0, replication=1, seconds=1.0, data_files=[]) | {"data": {"homes.csv": "0" * 64}}
    (said,) = again.differences(held, tmp_path)
    assert said.startswith("Data file homes.csv was 000000000000... (SHA-256), now it is 11507a0e2f5e")
