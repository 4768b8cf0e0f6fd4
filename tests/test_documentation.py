"""Every fenced block of the documentation is run; see ``pages.py`` for how."""

import importlib.util
import os
from pathlib import Path

import pages
import pytest

from hmarl.shipped import names
from hmarl.study import Study

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("HMARL_DATA", ROOT.parent / "shared" / "data"))


SMALLER = ("--set", "equilibrium.certificate=none")
SHORT = ("--seeds", "1", "--set", "calendar.days=6", "--set", "calendar.hold_out=2", "--set", "community.prosumers=3")
SETTINGS = {
    "README.md": {
        "": (*SHORT, *SMALLER),
        "quickstart": (
            "--set",
            "followers=rule-based",
            "--set",
            "equilibrium.rounds=1",
            "--arm=regulated",
            "--arm=mark-up",
        ),
    },
    "docs/howto/report.md": {"": SHORT},  # it is about certificates
}
"""Page -> part of a command -> what runs and sweeps are told beside what the page says, so that tests are quick."""


def cases():
    """Every page once as far as it goes without real data, and once more with it where it shows some."""
    for page in pages.written():
        found = pages.fences(page)
        if found:
            name = str(page.relative_to(ROOT))
            yield pytest.param(page, False, id=name)
            if any(fence.needs == "data" for fence in found):
                yield pytest.param(page, True, id=f"{name} with data")


@pytest.mark.parametrize(("page", "data"), list(cases()))
def test_every_fence_of_a_page_runs(page, data, tmp_path, monkeypatch):
    if data and not DATA.is_dir():
        pytest.skip(f"real data not found in {DATA}; set HMARL_DATA")
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0}, raising=False)  # runs stay in this process
    if data:
        monkeypatch.setenv("HMARL_DATA", str(DATA))
    else:
        monkeypatch.delenv("HMARL_DATA", raising=False)
    left_out = []
    settings = SETTINGS.get(str(page.relative_to(ROOT)), {"": SMALLER})
    with pages.session(tmp_path, settings) as session:
        for fence in pages.fences(page):
            if fence.needs == "ray" and importlib.util.find_spec("ray") is None:
                left_out.append(fence)
            elif fence.needs != "data" or data:
                session.run(fence)
    if left_out:
        pytest.skip(f"run but for {'; '.join(map(str, left_out))}: Ray is not installed (extra ray)")


@pytest.mark.parametrize("name", names())
def test_shipped_studies_are_named_in_the_readme_and_checked(name):
    assert f"`{name}`" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert Study.read(ROOT / "studies" / name / "study.yaml").name == name
