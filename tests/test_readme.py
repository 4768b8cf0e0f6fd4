"""The README's Python runs, in order, as one session."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_the_readme_is_true(monkeypatch):
    monkeypatch.chdir(ROOT)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 3
    session: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), session)


@pytest.mark.parametrize("name", ["quickstart", "followers", "ausgrid8", "real_homes"])
def test_shipped_studies_are_named_in_the_readme_and_checked(name):
    from hmarl.study import Study

    assert f"`{name}`" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert Study.read(ROOT / "studies" / name / "study.yaml").name == name
