"""How Sphinx builds these pages: `make docs`."""

from __future__ import annotations

import pkgutil
import re
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from sphinx.util import logging

logger = logging.getLogger(__name__)
HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
MADE = "_made"
"""Folder of the pages that every build makes anew: files of the repository that are shown, and the reference."""
PACKAGES = ("hmarl", "aggregator", "retail", "wholesale")
sys.path.insert(0, str(ROOT))

project = "hmarl"
author = "The hmarl authors"
project_copyright = "2026, the hmarl authors, MIT licence"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = "hmarl"
exclude_patterns = ["_build"]
default_role = "code"
myst_heading_anchors = 3
suppress_warnings = [
    "myst.header",  # a README that is included may begin below the first level
    "ref.python",  # a field such as `cost` belongs to several classes; the first is linked
    "myst.xref_missing",  # links between READMEs are paths of the repository
]
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True  # attributes are listed; named tuples show each of them as a field anyway
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # signatures have them; docstrings have shapes and units

# -- READMEs of the packages are pages too -----------------------------------------------------------------------------

INCLUDED = {
    "start": "README.md",
    "contributing": "CONTRIBUTING.md",
    "changelog": "CHANGELOG.md",
    **{f"packages/{name}": f"{name}/README.md" for name in PACKAGES},
    "packages/policies": "hmarl/policies/README.md",
    **{f"studies/{path.parent.name}": f"studies/{path.parent.name}/README.md"
       for path in sorted((ROOT / "studies").glob("*/README.md"))},
}  # fmt: skip
"""Page -> file of the repository that it shows."""

SHOWN: set[Path] = set()
"""Pages made by this build."""

LINK = re.compile(r"(\[[^\]]*\])\(([^)#:\s]+)(#[^)]*)?\)")


def written() -> list[Path]:
    """Pages that people wrote: those of this folder that no build made."""
    return [path for path in sorted(HERE.glob("**/*.md")) if not path.relative_to(HERE).parts[0].startswith("_")]


def relinked(text: str, folder: Path, page: str) -> str:
    """Point the links of a file at the pages that show what they mean.

    Parameters
    ----------
    text : str
        Markdown of a file of the repository.
    folder : Path
        Of that file.
    page : str
        Name of the page that shows it.

    Returns
    -------
    str
        Links to files that are no page become code.
    """
    pages = {(ROOT / file).resolve(): f"{MADE}/{name}" for name, file in INCLUDED.items()}
    pages |= {path: str(path.relative_to(HERE).with_suffix("")) for path in written()}

    def better(match: re.Match[str]) -> str:
        words, target, part = match[1], (folder / match[2]).resolve(), match[3] or ""
        if target in pages:
            return f"{words}(/{pages[target]}.md{part})"
        if not target.exists():
            logger.warning("%s: the link %s leads nowhere", page, match[2])
            return words[1:-1]
        return f"{words[1:-1]} (`{target.relative_to(ROOT)}`)"

    return LINK.sub(better, text)


def show_files(app: Any) -> None:
    """Write one page for each file that is shown; they are made anew by every build."""
    for page, file in INCLUDED.items():
        path = ROOT / file
        if path.is_file():
            write(f"{page}.md", relinked(path.read_text(encoding="utf-8"), path.parent, page))


# -- the reference is made by walking the packages ---------------------------------------------------------------------


def modules(package: ModuleType) -> list[str]:
    """Name every module below a package.

    Parameters
    ----------
    package : module
        Top of the walk.

    Returns
    -------
    list of str
        Sorted, the package first.
    """
    below = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    return [package.__name__, *sorted(found.name for found in below)]


def show_modules(app: Any) -> None:
    """Write a page for each package and one for each of its modules."""
    for name in PACKAGES:
        found = modules(import_module(name))
        for module in found[1:]:
            write(
                f"api/{module}.rst", page_of(module, f".. automodule:: {module}\n   :members:\n   :show-inheritance:\n")
            )
        toctree = "".join(f"   {module}\n" for module in found[1:])
        about = f".. automodule:: {name}\n   :no-members:\n\n.. toctree::\n   :maxdepth: 1\n\n{toctree}"
        write(f"api/{name}.rst", page_of(name, about))


def page_of(title: str, text: str) -> str:
    """Put a heading over a text.

    Parameters
    ----------
    title, text : str
        reStructuredText.

    Returns
    -------
    str
        A page.
    """
    return f"{title}\n{'=' * len(title)}\n\n{text}"


def forget(app: Any) -> None:
    """Take away pages of earlier builds whose file or module is gone."""
    for path in (HERE / MADE).rglob("*.*"):
        if path not in SHOWN:
            path.unlink()


def write(name: str, text: str) -> None:
    """Write a page, unless it is there already: an unchanged page is not built again.

    Parameters
    ----------
    name : str
        Path below the pages that are made.
    text : str
        What it says.
    """
    path = HERE / MADE / name
    path.parent.mkdir(parents=True, exist_ok=True)
    SHOWN.add(path)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


# -- docstrings are plain sentences ------------------------------------------------------------------------------------


def plain(app: Any, what: str, name: str, owner: Any, options: Any, lines: list[str]) -> None:
    """Escape what reStructuredText would take for markup outside of literals: ``T * N``, ``|x|``, ``a_``."""
    for row, line in enumerate(lines):
        parts = re.split(r"(``.*?``|`[^`]*`)", line)
        parts[::2] = [re.sub(r"(?<!^)([*|])|(?<=\w)(_)(?!\w)", r"\\\1\2", part) for part in parts[::2]]
        lines[row] = "".join(parts)


def setup(app: Any) -> None:
    """Connect the parts.

    Parameters
    ----------
    app : sphinx.application.Sphinx
        The build.
    """
    app.connect("builder-inited", show_files)
    app.connect("builder-inited", show_modules)
    app.connect("builder-inited", forget)
    app.connect("autodoc-process-docstring", plain, priority=400)  # before the sections are read
