"""Plug-ins of others: their code is told apart, and what one of them gets wrong stays its own."""

import importlib
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from hmarl import storage
from hmarl.run import run_study
from hmarl.study import Study
from hmarl.study_file import plugin_code, plugins
from hmarl.summary import summarize
from hmarl.sweep import run_sweep

STEADY = '''
from dataclasses import dataclass

import torch

from hmarl.policies.base import Stateless


@dataclass(frozen=True)
class Steady:
    """Ask the same of every battery all day.

    Source: these tests.
    """

    times: float = 1.0

    def start(self, spec):
        return SteadyHomes(self, spec)


class SteadyHomes(Stateless):
    training = "none"
    heads = ("battery",)

    def __init__(self, policy, spec):
        self.times = policy.times

    def act(self, seen, explore):
        return torch.full((*seen.state.stored.shape, 1), LEVEL * self.times)
'''

STUDY = """
study: steady
seeds: 1
calendar: {start: 2012-07-02, days: 4, hold_out: 2}
community: {source: synthetic, prosumers: 2, pv: 0.5, battery: 1.0}
equilibrium: {certificate: none}
followers: steady
arms:
  grid-only: {auction: none}
  market: {}
measure: [community_cost]
"""


def steady(level):
    return STEADY.replace("LEVEL", str(level))


class Others:
    """Distributions of others in a folder of their own; each change of it is seen as a new process would see it."""

    def __init__(self, folder):
        self.folder = folder

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        self.forget()
        return path

    def offer(self, distribution, **names):
        lines = [f"{name.replace('_', '-')} = {target}" for name, target in names.items()]
        self.write(f"{distribution}-1.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1\n")
        self.write(f"{distribution}-1.dist-info/entry_points.txt", "\n".join(["[hmarl.policies]", *lines]))

    def forget(self):
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", None) or "").startswith(str(self.folder)):
                del sys.modules[name]
        for path in self.folder.rglob("*.pyc"):
            path.unlink()
        importlib.invalidate_caches()
        plugins._foreign.cache_clear()
        plugin_code.digest.cache_clear()


@pytest.fixture
def others(tmp_path, monkeypatch):
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    made = Others(folder)
    yield made
    made.forget()


@pytest.fixture
def offered(others):
    others.write("steady_homes.py", steady(0.1))
    others.offer("steady", steady="steady_homes:Steady")
    return others


def test_results_of_edited_code_are_refused(offered, tmp_path, command):
    out = tmp_path / "runs"
    assert len(run_study(Study.parse(STUDY), out=out).done) == 2
    folder = out / "steady" / "market" / "0"
    before = storage.measured(folder)
    offered.forget()
    assert len(run_study(Study.parse(STUDY), out=out).skipped) == 2
    offered.write("steady_homes.py", steady(0.2))
    edited = Study.parse(STUDY)
    with pytest.raises(storage.RunFolderError, match=r"other code of policy steady.*--fresh.*--out"):
        run_study(edited, out=out)
    assert not summarize(edited, out).rows  # another arm may have been run today
    code, heard, said = command("run", folder / "manifest.json", "--out", tmp_path / "again")
    assert (code, "Warning: The code of policy steady has changed since." in said) == (0, True)
    assert "differ" in heard
    assert run_study(edited, arms=["market"], out=out, fresh=True).done
    assert storage.measured(folder)["community_cost"] != before["community_cost"]


def test_half_a_run_of_edited_code_is_refused(offered, tmp_path):
    study = Study.parse(STUDY)
    folder = storage.job_folder(tmp_path, "steady", "market", 0)
    storage.prepare(folder, study.arm("market").resolved())
    (folder / storage.HALFWAY).write_bytes(b"half a training")
    storage.prepare(folder, study.arm("market").resolved())
    offered.write("steady_homes.py", steady(0.2))
    with pytest.raises(storage.RunFolderError, match=r"other code of policy steady.*--fresh"):
        run_study(Study.parse(STUDY), out=tmp_path)


def test_folders_that_do_not_say_go_on(offered, tmp_path):
    old = Study.parse(STUDY).arm("market").resolved()
    said = old.pop("plugins")
    assert list(said) == ["policy steady"]
    storage.prepare(tmp_path / "a", old)
    (tmp_path / "a" / storage.HALFWAY).write_bytes(b"half a training")
    storage.prepare(tmp_path / "a", {**old, "plugins": said})
    with pytest.raises(storage.RunFolderError):  # from now on it says
        storage.prepare(tmp_path / "a", {**old, "plugins": dict.fromkeys(said, "0")})
    storage.write_json(tmp_path / storage.MANIFEST, {"resolved": old})
    assert storage.finished(tmp_path, {**old, "plugins": said})


def test_a_worker_refuses_other_code_than_was_checked(offered):
    arm = Study.parse(STUDY).arm("market")
    arm.followers.make()
    offered.write("steady_homes.py", steady(0.2))
    with pytest.raises(plugins.PluginError, match="policy: 'steady' has other code than when the study was read"):
        arm.followers.make()


def test_code_of_a_package_is_all_of_it_and_no_more(others):
    others.write("street/__init__.py", "from street.inner.homes import Steady\n")
    others.write("street/inner/__init__.py", "")
    others.write("street/inner/homes.py", steady(0.1))
    others.offer("street", steady="street:Steady", again="hmarl.policies.rule_based:RuleBased")
    first = plugins.code("policies", "steady")
    others.write("street/results.csv", "1\n")
    assert plugins.code("policies", "steady") == first
    others.write("street/inner/more.py", "")
    second = plugins.code("policies", "steady")
    assert second != first
    others.write("street/inner/more.py", "LEVEL = 1\n")
    assert plugins.code("policies", "steady") not in (first, second)
    # ours may change: version and commit stand in the manifest
    assert plugins.code("policies", "again") is None
    assert plugins.code("policies", "rule-based") is None


def test_code_is_of_the_class_too_and_no_neighbour_in_a_namespace(others):
    others.write("company/homes/__init__.py", steady(0.1))
    others.write("company/other/__init__.py", "")
    others.write("glue.py", "from company.homes import Steady\n")
    others.offer("company", steady="company.homes:Steady", glued="glue:Steady")
    first = {name: plugins.code("policies", name) for name in ("steady", "glued")}
    others.write("company/other/__init__.py", "LEVEL = 1\n")
    assert {name: plugins.code("policies", name) for name in first} == first
    others.write("company/homes/__init__.py", steady(0.2))
    assert all(plugins.code("policies", name) != first[name] for name in first)


BROKEN = {
    "raises": (
        "raise RuntimeError('no licence\\nfor this machine')",
        "cannot be imported: RuntimeError: no licence (mend it",
    ),
    "leaves": ("raise SystemExit(3)", "cannot be imported: SystemExit: 3 (mend it"),
    "elsewhere": ("", "cannot be imported: it has no class Steady (mend it"),
    "function": ("def Steady(): ...", "is no dataclass (a frozen dataclass"),
    "unfrozen": (steady(0).replace("(frozen=True)", ""), "is a dataclass that is not frozen (a frozen dataclass"),
    "strange": (
        steady(0).replace("times: float = 1.0", "times: torch.Generator = None"),
        "has a field that no study file can hold: PydanticSchemaGenerationError: ",
    ),
    "careless": (
        steady(0).replace("    def start", "    def __post_init__(self):\n        None + 1\n\n    def start"),
        "'steady' cannot be made: TypeError: unsupported operand",
    ),
}


@pytest.mark.parametrize(("text", "said"), BROKEN.values(), ids=BROKEN)
def test_a_broken_plugin_is_named_and_stands_in_nobodys_way(others, tmp_path, command, text, said):
    others.write("steady_homes.py", text)
    others.offer("faulty", steady="steady_homes:Steady")
    (tmp_path / "study.yaml").write_text(STUDY)
    code, _, heard = command("check", tmp_path / "study.yaml")
    assert (code, said in heard) == (2, True), heard
    assert "study.yaml has 1 mistake:\n  line 7: followers.name: 'steady' " in heard
    assert "of faulty (steady_homes:Steady)" in heard or "cannot be made" in heard
    assert Study.parse(STUDY.replace("followers: steady", "followers: rule-based"))


def test_what_cannot_be_loaded_is_listed_last(others, command):
    others.write("steady_homes.py", steady(0.1))
    others.write("licensed.py", "raise RuntimeError('no licence')\n")
    others.offer("mixed", steady="steady_homes:Steady", licensed="licensed:Steady", mappo="steady_homes:Steady")
    code, table, heard = command("list", "policies")
    assert code == 0
    names = [line.split(" ")[0] for line in table.splitlines()]
    assert {"steady", "ippo"} < set(names)
    assert not {"licensed", "mappo"} & set(names)
    assert heard.splitlines() == [
        "Not usable: policies: 'mappo' is offered by hmarl (hmarl.policies.ppo:MAPPO) and by mixed "
        "(steady_homes:Steady): the name is taken (rename the entry point, or remove the distribution)",
        "Not usable: policies: 'licensed' of mixed (licensed:Steady) cannot be imported: RuntimeError: no licence "
        "(mend it, or remove it; the form is module:Class)",
    ]
    code, schema, _ = command("schema")
    assert (code, '"steady"' in schema, '"licensed"' in schema) == (0, True, False)
    Study.parse(STUDY.replace("followers: steady", "followers: ippo"))
    with pytest.raises(ValueError, match=r"followers\.name: 'mappo' is offered by hmarl .* the name is taken"):
        Study.parse(STUDY.replace("followers: steady", "followers: mappo"))


@pytest.fixture
def beside(tmp_path, monkeypatch):
    """A folder with a study and the file that it names, and the user in another one."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "homes.py").write_text(steady(0.1))
    (folder / "study.yaml").write_text(
        STUDY.replace("followers: steady", 'followers: {name: "homes.py:Steady", times: 2}')
    )
    monkeypatch.chdir(tmp_path)
    return folder


def test_a_study_names_a_file(beside, tmp_path, command):
    code, heard, said = command("run", "mine/study.yaml", "--jobs", 1)
    assert (code, said.count(": done")) == (0, 2), said
    full = Study.read(beside / "study.yaml").to_yaml()
    assert f"name: {beside}/homes.py:Steady" in full
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "full.yaml").write_text(full)
    code, _, said = command("run", "elsewhere/full.yaml", "--jobs", 1)
    assert (code, said.count("already done")) == (0, 2)
    code, heard, said = command("run", "runs/steady/market/0/manifest.json")
    assert (code, "Warning" in said, "The same bytes as before" in heard) == (0, False, True)
    # an edit in the same second, of the same length, in the same process
    (beside / "homes.py").write_text(steady(0.2))
    code, _, said = command("run", "mine/study.yaml", "--jobs", 1)
    assert code == 2
    assert f"holds a run with other code of policy {beside}/homes.py:Steady, which has changed since" in said
    code, heard, said = command("run", "runs/steady/market/0/manifest.json", "--fresh")
    assert (code, "homes.py:Steady has changed since." in said, "Not the same as" in heard) == (0, True, True)
    code, _, said = command("run", "mine/study.yaml", "--jobs", 1, "--fresh")
    assert (code, said.count(": done")) == (0, 2)


def test_workers_import_the_file_too(beside, tmp_path):
    study = Study.read(beside / "study.yaml")
    assert len(run_study(study, jobs=2, out=tmp_path / "two").done) == 2
    assert len(run_study(study, jobs=1, out=tmp_path / "one").done) == 2
    for name in ("agents.parquet", "measures.json", "resolved.json", "checkpoint.pt"):
        files = [tmp_path / out / "steady" / "market" / "0" / name for out in ("one", "two")]
        assert files[0].read_bytes() == files[1].read_bytes()


EVERY = """
study: every
seeds: 1
calendar: {start: 2012-07-02, days: 4, hold_out: 2}
community: {source: synthetic, prosumers: 2, pv: 0.5, battery: 1.0}
equilibrium: {certificate: none, rounds: 1}
followers: rule-based
auction: da
forecast: perfect
leader: {name: mark-up, margin: 0.25}
wholesale: {name: merit-order, case: pjm5, bus: B}
arms: {one: {}, two: {leader: {margin: 0.3}, auction: {name: none}}}
measure: [community_cost]
"""


def test_things_of_every_kind_may_stand_in_a_file(tmp_path):
    text = EVERY
    for before, kind, name in [
        ("source: ", "sources", "synthetic"),
        ("followers: ", "policies", "rule-based"),
        ("auction: ", "auctions", "da"),
        ("auction: {name: ", "auctions", "none"),
        ("forecast: ", "forecasts", "perfect"),
        ("leader: {name: ", "leaders", "mark-up"),
        ("wholesale: {name: ", "markets", "merit-order"),
    ]:
        found = plugins.load(kind, name)
        with (tmp_path / f"{kind}.py").open("a") as file:
            file.write(f"from {found.__module__} import {found.__name__}\n")
        text = text.replace(f"{before}{name}", f"{before}{kind}.py:{found.__name__}")
    assert text.count(".py:") == 7
    (tmp_path / "every.yaml").write_text(text)
    (tmp_path / "house.yaml").write_text(EVERY)
    read = [Study.read(tmp_path / name) for name in ("every.yaml", "house.yaml")]
    assert list(read[0].arm("two").resolved()["plugins"]) == [
        f"{plugins.KINDS[kind]} {tmp_path}/{kind}.py:{cls}"
        for kind, cls in [
            ("sources", "Synthetic"),
            ("auctions", "NoAuction"),
            ("forecasts", "Perfect"),
            ("policies", "RuleBased"),
            ("leaders", "MarkUp"),
            ("markets", "MeritOrder"),
        ]
    ]
    for study, out in zip(read, ("a", "b"), strict=True):
        assert not run_study(study, out=tmp_path / out).failures
    for arm in ("one", "two"):
        files = [tmp_path / out / "every" / arm / "0" / "measures.json" for out in ("a", "b")]
        assert files[0].read_bytes() == files[1].read_bytes()


WRONG = {
    "no file": ("home.py:Steady", "'home.py:Steady' of file {0}/home.py cannot be imported: there is no such file"),
    "no class": ("homes.py:Stedy", "'homes.py:Stedy' of file {0}/homes.py cannot be imported: it has no class Stedy"),
    "no name": ("homes.py", "'homes.py' of file {0}/homes.py cannot be imported: no class is named"),
    "no dataclass": ("homes.py:SteadyHomes", "'homes.py:SteadyHomes' of file {0}/homes.py is no dataclass"),
    "fails": ("faulty.py:Steady", "'faulty.py:Steady' of file {0}/faulty.py cannot be imported: ZeroDivisionError: "),
    "no Python": ("text.py:Steady", "'text.py:Steady' of file {0}/text.py cannot be imported: SyntaxError: "),
    "folder": (
        "folder.py:Steady",
        "'folder.py:Steady' of file {0}/folder.py cannot be imported: there is no such file",
    ),
}


@pytest.mark.parametrize(("name", "said"), WRONG.values(), ids=WRONG)
@pytest.mark.parametrize(("section", "key", "line"), [("followers", "name", 7), ("community", "source", 5)])
def test_mistakes_about_files_are_sentences_with_lines(beside, command, section, key, line, name, said):
    (beside / "faulty.py").write_text("1 / 0\n")
    (beside / "text.py").write_text("Dear Sir or Madam\n")
    (beside / "folder.py").mkdir()
    written = (beside / "study.yaml").read_text()
    old = '"homes.py:Steady"' if section == "followers" else "synthetic, prosumers: 2, pv: 0.5, battery: 1.0"
    (beside / "study.yaml").write_text(written.replace(old, name))
    code, _, heard = command("check", "mine/study.yaml")
    assert code == 2
    assert f"line {line}: {section}.{key}: {said.format(beside)}" in heard, heard
    assert "Traceback" not in heard


def test_parameters_of_a_file_are_checked(beside, command):
    code, _, heard = command("check", "mine/study.yaml", "--set", "followers.time=3")
    assert code == 2
    assert "'time' is no parameter of policy homes.py:Steady (parameters: times); did you mean 'times'?" in heard
    code, said, _ = command("check", "mine/study.yaml", "--set", "arms.market.followers=homes.py:Steady")
    assert (code, f"{beside}/homes.py:Steady (times 2.0)" in said) == (0, True), said


def test_a_sweep_may_vary_files_and_its_copy_of_the_study_finds_them(beside, tmp_path):
    (beside / "more.py").write_text(steady(0.3))
    text = (beside / "study.yaml").read_text()
    (beside / "study.yaml").write_text(f"{text}vary: {{followers: [homes.py:Steady, {{name: more.py:Steady}}]}}\n")
    study = Study.read(beside / "study.yaml")
    assert len(run_sweep(study, arms=["grid-only"], out=tmp_path).done) == 2
    copy = tmp_path / "steady-sweep" / "study.yaml"
    assert str(beside / "more.py") in copy.read_text()
    assert len(run_sweep(Study.read(copy), arms=["grid-only"], out=tmp_path).skipped) == 2


def test_things_of_files_travel_to_other_processes(beside):
    """As learners do that have workers."""
    (beside / "plain.py").write_text(
        "import dataclasses\n\n@dataclasses.dataclass(frozen=True)\nclass Plain:\n    x: int = 1\n"
    )
    thing = plugins.make("policies", f"{beside}/plain.py:Plain", x=3)
    assert pickle.loads(fresh_process(pickle.dumps(thing))) is ModuleNotFoundError
    assert pickle.loads(fresh_process(pickle.dumps((plugin_code.LoadedFiles(), thing))))[1] == thing


def fresh_process(pickled):
    """Bytes unpickled and pickled again by a new process, or the class of its error."""
    program = (
        "import pickle, sys\n"
        "try:\n    found = pickle.load(sys.stdin.buffer)\n"
        "except Exception as error:\n    sys.stdout.buffer.write(pickle.dumps(type(error)))\n"
        "else:\n    sys.stdout.buffer.write(pickle.dumps(found))\n"
    )
    settings = {"env": os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}, "timeout": 120}
    done = subprocess.run([sys.executable, "-c", program], input=pickled, capture_output=True, check=True, **settings)
    return done.stdout


@pytest.mark.slow
def test_a_learner_of_a_file_may_have_workers(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from dataclasses import dataclass\nfrom hmarl.policies.a3c3 import A3C3\n\n\n"
        '@dataclass(frozen=True)\nclass Mine(A3C3):\n    """Mine."""\n'
    )
    text = STUDY.replace("steady\narms", "{name: mine.py:Mine, episodes: 16, workers: 2}\narms")
    (tmp_path / "study.yaml").write_text(text)
    assert run_study(Study.read(tmp_path / "study.yaml"), arms=["market"], out=tmp_path).done
