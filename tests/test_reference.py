"""The website of these pages, with the reference of every module, builds without a warning."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sphinx", reason="Sphinx is not installed (extra docs): the reference is not built here")
pytest.importorskip("myst_parser", reason="MyST is not installed (extra docs): the reference is not built here")
pytest.importorskip("furo", reason="Furo is not installed (extra docs): the reference is not built here")

ROOT = Path(__file__).parents[1]
SEEN = {
    "index.html": "howto/own_policy.html",
    "_made/start.html": "make run",
    "howto/own_data.html": "street.yaml",
    "_made/api/hmarl.results.html": "hmarl.results.load",
    "_made/api/retail.html": "retail.game",
    "_made/packages/wholesale.html": "merit-order",
}


@pytest.mark.slow
def test_every_page_and_every_docstring_can_be_read(tmp_path):
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", ROOT / "docs", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    for page, words in SEEN.items():
        assert words in (tmp_path / page).read_text(encoding="utf-8"), page
    modules = {path.name.removesuffix(".html") for path in (tmp_path / "_made" / "api").glob("*.html")}
    for package in ("hmarl", "aggregator", "retail", "wholesale"):
        for path in (ROOT / package).rglob("*.py"):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            assert name in modules, f"{name} is not in the reference"
