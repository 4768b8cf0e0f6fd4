"""Plug-ins of others: their code is told apart, and what one of them gets wrong stays its own."""

import importlib
import sys

import pytest

from hmarl import storage
from hmarl.run import run_study
from hmarl.study import Study
from hmarl.study_file import plugin_code, plugins
from hmarl.summary import summarize

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
    "elsewhere": ("", "has no attribute 'Steady'"),
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
