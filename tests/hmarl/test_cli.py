"""The command line as users meet it: in a process of its own."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

COMMAND = str(Path(sys.executable).parent / "hmarl")

STUDY = """
study: small
seeds: 2
calendar: {start: 2012-07-02, days: 14, step: 60min, zone: Australia/Sydney, hold_out: 7}
community: {source: synthetic, prosumers: 4}
followers: rule-based
wholesale: {name: merit-order, case: pjm5, bus: B}
arms:
  regulated: {leader: fixed}
  mark-up: {leader: {name: mark-up, margin: 0.25}}
"""
FIVE_MISTAKES = """
study: small
seeds: 2
calendar: {start: 2012-07-02, days: 0, step: 60min, zone: Australia/Sydney}
community: {source: synthetic, prosumers: 4}
tarif: {peak: 0.4}
auction: daa
followers: mapo
arms:
  regulated: {leader: fixed}
  mark-up: {leader: {name: mark-up, margn: 0.25}}
"""


def hmarl(*arguments, **settings):
    environment = {k: v for k, v in os.environ.items() if k != "HMARL_DATA"} | settings
    command = [COMMAND, *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=120, env=environment)


@pytest.fixture
def study(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(STUDY)
    return path


def test_help_is_quick():
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = hmarl("--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0
    assert all(word in done.stdout for word in ("run", "check", "list"))
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.0


def test_five_mistakes_are_all_listed(tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text(FIVE_MISTAKES)
    done = hmarl("check", path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "5 mistakes" in done.stderr
    lines = done.stderr.splitlines()
    expected = {
        "calendar.days: 0": ("an integer >= 1", ""),
        "tarif: 'tarif'": ("calendar", "did you mean 'tariff'?"),
        "auction.name: 'daa'": ("da", "did you mean 'da'?"),
        "followers.name: 'mapo'": ("rule-based", "did you mean 'mappo'?"),
        "arms.mark-up.leader.margn: 'margn'": ("margin", "did you mean 'margin'?"),
    }
    assert len(lines) == 1 + len(expected)
    for start, (allowed, hint) in expected.items():
        line = next(line for line in lines if start in line)
        assert allowed in line
        assert line.endswith(hint)
    assert "Traceback" not in done.stderr
    assert hmarl("run", path, "--out", tmp_path / "runs").returncode == 2


def test_check_says_what_each_arm_will_do(study):
    done = hmarl("check", study, "--set", "arms.mark-up.leader.margin=0.5", "--seeds", 5)
    assert done.returncode == 0, done.stderr
    assert "2 arms x 5 seeds" in done.stdout
    assert "regulated (baseline)" in done.stdout
    assert "margin 0.5" in done.stdout


@pytest.mark.parametrize("kind", ["policies", "auctions", "markets", "leaders", "sources"])
def test_list(kind):
    done = hmarl("list", kind)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) > 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["list", "policy"], "did you mean 'policies'"),
        (["check", "nowhere"], "is not there"),
        (["run", "nowhere.yaml"], "is not there"),
        (["run"], "STUDY"),
        (["rnu"], "rnu"),
        (["check", "STUDY", "--set", "margin"], "path=value"),
        (["run", "STUDY", "--arm", "markup"], "did you mean 'mark-up'"),
        (["run", "STUDY", "--jobs", "0"], "jobs"),
        (["run", "STUDY", "--data", "/nowhere/data"], "/nowhere/data is not a folder"),
    ],
)
def test_mistakes_are_sentences_and_code_2(study, tmp_path, arguments, said):
    done = hmarl(*(study if word == "STUDY" else word for word in arguments))
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_missing_data_names_the_folder_and_the_way_to_set_it(tmp_path):
    from hmarl.datafind import data_dir
    from retail.data import DataMissing
    from retail.data.tables import locate

    assert data_dir(tmp_path) == tmp_path
    with pytest.raises(
        DataMissing, match=rf"ausgrid/x\.parquet was not found \(looked in {tmp_path}.*--data DIR or set HMARL_DATA"
    ):
        locate(tmp_path, "ausgrid/x.parquet")
    with pytest.raises(DataMissing, match="no data folder is set"):
        locate(None, "ausgrid/x.parquet")
    done = hmarl("run", "ausgrid8", "--data", str(tmp_path))
    assert done.returncode == 2
    assert str(tmp_path) in done.stderr
    done = hmarl("run", "nowhere", HMARL_DATA=str(tmp_path / "gone"))
    assert done.returncode == 2
    assert f"{tmp_path / 'gone'} is not a folder" in done.stderr


def test_the_variable_and_the_option(tmp_path, monkeypatch):
    from hmarl.datafind import data_dir

    monkeypatch.delenv("HMARL_DATA", raising=False)
    assert data_dir() is None
    monkeypatch.setenv("HMARL_DATA", str(tmp_path))
    assert data_dir() == tmp_path
    (tmp_path / "other").mkdir()
    assert data_dir(str(tmp_path / "other")) == tmp_path / "other"


@pytest.mark.parametrize("jobs", [1, 2])
def test_interruption_says_how_to_go_on(tmp_path, jobs):
    # the real command line around a simulation that sleeps
    script = tmp_path / "sleepy.py"
    script.write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "if __name__ == '__main__':\n"
        # a shell that runs the tests in the background makes its children ignore Ctrl-C
        "    import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "    import functools, toy_simulate, hmarl.run, hmarl.cli\n"
        "    hmarl.run.run_study = functools.partial(hmarl.run.run_study, simulate=toy_simulate.sleeps)\n"
        "    hmarl.cli.main()\n"
    )
    (tmp_path / "study.yaml").write_text(STUDY)
    command = [sys.executable, script, "run", tmp_path / "study.yaml", "--jobs", str(jobs), "--out", tmp_path / "runs"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("runs/small/mark-up/1/resolved.json")) and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(1.0)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert "run the same command again" in said
    assert "Traceback" not in said
