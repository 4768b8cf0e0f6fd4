"""Jobs of a study: the same bytes with one and two processes, resumption, failures."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from hmarl import storage
from hmarl.run import run_study
from hmarl.statistics import Estimate
from hmarl.study import Study, StudyError
from hmarl.summary import _figure, summarize


@pytest.fixture
def toy(monkeypatch):
    # spawned workers take the search path along, so they find the module too
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    yield importlib.import_module("toy_simulate")
    sys.modules.pop("toy_simulate", None)


@pytest.fixture
def study(head):
    arms = "{one: {}, two: {game: {reward: own}}, three: {game: {reward: community}}}"
    return Study.parse(f"{head}measure: [community_cost, peak_kw]\narms: {arms}")


def contents(folder):
    kept = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {str(name): data for name, data in kept.items() if name.name != storage.MANIFEST}


@pytest.mark.slow
def test_same_bytes_with_one_and_three_processes(study, toy, tmp_path):
    run_study(study, jobs=1, out=tmp_path / "a", simulate=toy.simulate)
    run_study(study, jobs=3, out=tmp_path / "b", simulate=toy.simulate)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_one_and_two_processes_resumption_and_failures(study, toy, tmp_path):
    alone = run_study(study, jobs=1, out=tmp_path / "a", simulate=toy.simulate)
    assert (len(alone.done), alone.skipped, alone.failures) == (6, (), ())
    first = run_study(study, jobs=2, out=tmp_path / "b", simulate=toy.fails_on_one_seed)
    assert len(first.done) == 5
    assert [(f.job, f.message) for f in first.failures] == [
        ("two/1", "Bus B has no price at hour 3; give it a generator.")
    ]
    failed = tmp_path / "b" / study.name / "two" / "1"
    assert "fails_on_one_seed" in (failed / "error.txt").read_text()
    second = run_study(study, jobs=2, out=tmp_path / "b", simulate=toy.simulate)
    assert (second.done, len(second.skipped)) == (("two/1",), 5)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    names = {path.name for path in failed.iterdir()}
    assert names == {
        "agents.parquet", "certificate.json", "checkpoint.pt", "manifest.json", "measures.json", "resolved.json",
        "steps.parquet",
    }  # fmt: skip


def test_a_killed_worker_does_not_stop_the_others(study, toy, tmp_path):
    outcome = run_study(study, arms=["two"], seeds=[0, 1], jobs=2, out=tmp_path, simulate=toy.dies_on_one_seed)
    assert outcome.done == ("two/0",)
    assert "killed" in outcome.failures[0].message


def test_a_run_that_failed_does_not_stand_in_the_way_of_its_correction(study, toy, tmp_path):
    failed = run_study(study, arms=["two"], seeds=[0, 1], out=tmp_path, simulate=toy.fails_on_one_seed)
    assert len(failed.failures) == 1
    seed = int(failed.failures[0].job.rpartition("/")[2])
    corrected = study.change(**{"community.prosumers": 5})
    assert run_study(corrected, arms=["two"], seeds=[seed], out=tmp_path, simulate=toy.simulate).done
    with pytest.raises(storage.RunFolderError, match="prosumers is 20 there and 5 here"):
        run_study(corrected, arms=["two"], seeds=[1 - seed], out=tmp_path, simulate=toy.simulate)


def test_another_study_is_refused_before_anything_runs(study, toy, tmp_path):
    run_study(study, seeds=[0], arms=["one"], out=tmp_path, simulate=toy.simulate)
    other = study.change(**{"community.prosumers": 5})
    with pytest.raises(storage.RunFolderError, match=r"community\.prosumers is 20 there and 5 here"):
        run_study(other, seeds=[0], out=tmp_path, simulate=toy.simulate)
    assert run_study(other, seeds=[0], arms=["one"], out=tmp_path, fresh=True, simulate=toy.simulate).done
    with pytest.raises(StudyError, match="did you mean 'three'"):
        run_study(study, arms=["thre"], out=tmp_path, simulate=toy.simulate)


def test_nothing_left_to_do(study, toy, tmp_path):
    first = run_study(study, jobs=2, out=tmp_path, simulate=toy.simulate)
    again = run_study(study, jobs=2, out=tmp_path, simulate=toy.simulate)
    assert not again.done
    assert not again.failures
    assert set(again.skipped) == set(first.done)


def test_a_line_per_job_without_a_terminal(study, toy, tmp_path, capsys):
    run_study(study, arms=["one"], out=tmp_path, console=Console(), simulate=toy.simulate)
    assert "[2/2] one/1: done in" in capsys.readouterr().out


def test_bars_on_a_terminal(study, toy, tmp_path):
    console = Console(force_terminal=True, record=True, width=100)
    run_study(study, arms=["one"], out=tmp_path, console=console, simulate=toy.simulate)
    assert "one/1: done" in console.export_text()


def test_summary(study, toy, tmp_path):
    run_study(study, out=tmp_path, simulate=toy.simulate)
    summary = summarize(study, tmp_path)
    rows = {row.arm: row for row in summary.rows}
    assert rows["two"].differences["community_cost"].mean == pytest.approx(2.0)
    assert rows["two"].differences["community_cost"].half_width == pytest.approx(0.0, abs=1e-9)
    assert rows["two"].unconverged == 2
    assert rows["one"].differences == {}
    console = Console(width=100, record=True)
    summary.show(console)
    text = console.export_text()
    assert "community cost" in text
    assert "[$/day]" in text
    assert max(len(line) for line in text.splitlines()[:-1]) <= 100
    assert "NOT CONVERGED" in text
    assert "2000" in text
    assert "7 held-out days" in text
    assert text.strip().endswith(f"Results: {tmp_path / study.name}")
    wide = Console(width=100, record=True, force_terminal=True)
    summary.show(wide)
    assert max(len(line) for line in wide.export_text().splitlines()) <= 100
    lines = summary.write().read_text().splitlines()
    assert len(lines) == 1 + 3 * 2
    assert lines[0].startswith("arm,measure,header,mean")
    before = summary.write().read_bytes()
    assert summarize(study, tmp_path).write().read_bytes() == before


def test_summary_of_one_seed_has_no_interval(study, toy, tmp_path):
    run_study(study, arms=["one"], seeds=[0], out=tmp_path, simulate=toy.simulate)
    summary = summarize(study, tmp_path)
    assert summary.rows[0].values["peak_kw"].half_width is None
    notes = " ".join(summary.notes())
    assert "single seed" in notes
    assert "No finished run: two, three" in notes


def test_a_difference_of_rounding_is_not_marked():
    alike, apart = Estimate(1e-15, 1e-17, 5), Estimate(0.5, 0.1, 5)
    assert [_figure(x, 2, sign=True)[-1] for x in (alike, apart)] == ["0", "*"]


HOLD = """
import sys, time
from pathlib import Path
from hmarl.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(120)
"""


def test_a_second_process_is_refused_and_a_killed_one_leaves_no_lock(study, toy, tmp_path):
    folder = tmp_path / study.name / "one" / "0"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(storage.RunFolderError, match=rf"is being run by process {holder.pid} on .*; wait until"):
            run_study(study, arms=["one"], seeds=[0], fresh=True, out=tmp_path, simulate=toy.simulate)
        assert not folder.exists()
        assert run_study(study, arms=["two"], seeds=[0], out=tmp_path, simulate=toy.simulate).done == ("two/0",)
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    assert run_study(study, arms=["one"], seeds=[0], out=tmp_path, simulate=toy.simulate).done == ("one/0",)
    assert not [*tmp_path.rglob("*.lock")]
