"""The README's Python runs, in order, as one session."""

import re
import shutil
from pathlib import Path

import pytest

from hmarl.run import run_study
from hmarl.shipped import names
from hmarl.study import Study
from hmarl.summary import summarize
from hmarl.sweep import collect, run_sweep

ROOT = Path(__file__).parents[1]


def test_the_readme_is_true(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "studies", "studies")
    # what the reader has run by then, at a size for tests
    small = Study.read("studies/quickstart/study.yaml").change(seeds=1, followers="rule-based")
    small = small.change(**{"community.prosumers": 4, "equilibrium.rounds": 1})
    assert not run_study(small, arms=["regulated", "mark-up"]).failures
    summarize(small, Path("runs")).write()
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 4
    session: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), session)


def test_the_sweep_of_the_readme_runs(tmp_path):
    found = re.search(r"```yaml\n# tiny.yaml\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    study = Study.parse(found[1])
    assert not run_sweep(study, out=tmp_path).failures
    assert set(collect(study, tmp_path).indices["path"]) == {"tariff.peak", "tariff.sell"}


@pytest.mark.parametrize("name", names())
def test_shipped_studies_are_named_in_the_readme_and_checked(name):
    assert f"`{name}`" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert Study.read(ROOT / "studies" / name / "study.yaml").name == name
