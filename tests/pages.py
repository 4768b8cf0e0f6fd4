"""What the documentation says is run: every fenced block of a page, in order, as one session in a folder of its own.

======== ===========================================================================================================
fence    what is done
======== ===========================================================================================================
python   executed; one that starts with ``# name.py`` is written to that file and imported
yaml     written to the file named in its first line, ``# name.yaml``; what holds a study is checked
toml     written to the file named in its first line
console  lines after ``$`` are commands; what follows, up to the next, must be what they say (``...`` is anything)
sql      only parsed for the tables it names: DuckDB is no dependency
text     pictures and synopses: not run
======== ===========================================================================================================

Commands are ``hmarl``, run in this process so that none pays for another start; ``make TARGET``, whose lines that call
``hmarl`` are run; ``pip install -e .``, which registers the entry points of the folder's pyproject.toml; ``echo $?``,
the exit code of the last command; anything else goes to the shell. A fence after the comment ``<!-- needs data -->`` or
``<!-- needs ray -->`` is left out where there is none.
"""

import contextlib
import doctest
import importlib
import io
import os
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from hmarl import cli
from hmarl.study import Study
from hmarl.study_file import plugins

ROOT = Path(__file__).parents[1]
LANGUAGES = {"python", "yaml", "toml", "console", "sql", "text"}
LIKE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
FENCE = re.compile(
    r"^(?:<!-- needs (?P<needs>\w+) -->\n+)?(?P<ticks>```+)(?P<language>[^\n]*)\n(?P<text>.*?)^(?P=ticks)\n",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Fence:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str
    needs: str | None

    @property
    def file(self):
        """Name in the first line, if it is one: ``# study.yaml``."""
        named = re.match(r"# ([\w./-]+\.\w+)\n", self.text)
        return named[1] if named else None

    def __str__(self):
        return f"{self.page.relative_to(ROOT)}, line {self.line}"


def written():
    """Pages that are run: the documentation, and the README of every package."""
    made = ROOT / "docs" / "_made"
    pages = [path for path in (ROOT / "docs").glob("**/*.md") if made not in path.parents]
    readmes = [ROOT / name / "README.md" for name in ("", "retail", "wholesale", "aggregator", "hmarl")]
    more = [ROOT / "CONTRIBUTING.md", ROOT / "hmarl" / "policies" / "README.md"]
    return sorted(path for path in [*pages, *readmes, *more] if path.is_file())


def fences(page):
    text = page.read_text(encoding="utf-8")
    if not text.endswith("\n"):
        text += "\n"
    found = []
    for match in FENCE.finditer(text):
        if match["language"].startswith("{"):  # a table of contents
            continue
        line = text.count("\n", 0, match.start("ticks")) + 1
        found.append(Fence(page, line, match["language"].strip(), match["text"], match["needs"]))
    return found


class Session:
    """A folder, a Python namespace and the exit code of the last command."""

    def __init__(self, folder, settings):
        self.folder, self.settings, self.namespace, self.code = folder, settings, {"__name__": "page"}, 0

    def run(self, fence):
        assert fence.language in LANGUAGES, f"{fence}: a fence must say what it is, one of {sorted(LANGUAGES)}"
        if fence.file:
            path = self.folder / fence.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(fence.text, encoding="utf-8")
        getattr(self, f"_{fence.language}")(fence)

    def _python(self, fence):
        if fence.file:
            importlib.import_module(Path(fence.file).stem)
            return
        exec(compile("\n" * fence.line + fence.text, str(fence.page), "exec"), self.namespace)

    def _yaml(self, fence):
        assert fence.file, f"{fence}: say in the first line which file it is"
        if re.search(r"^study:", fence.text, re.MULTILINE):
            Study.read(self.folder / fence.file)

    def _toml(self, fence):
        assert fence.file, f"{fence}: say in the first line which file it is"
        tomllib.loads(fence.text)

    def _sql(self, fence):
        for pattern in re.findall(r"read_parquet\('([^']+)'", fence.text):
            assert list(self.folder.glob(pattern)), f"{fence}: no file is {pattern}"

    def _text(self, fence):
        pass

    def _console(self, fence):
        commands = re.split(r"^\$ ", fence.text, flags=re.MULTILINE)
        assert not commands[0].strip(), f"{fence}: a console starts with $"
        checker = doctest.OutputChecker()
        for command in commands[1:]:
            asked = re.match(r"(?:.*\\\n)*.*\n?", command)[0]
            wanted, line = command[len(asked) :], asked.replace("\\\n", " ").strip()
            said = self._command(line)
            if wanted.strip():
                assert checker.check_output(wanted.strip(), said.strip(), LIKE), (
                    f"{fence}: $ {line}\nwanted:\n{wanted}\ngot:\n{said}"
                )
            assert self.code == 0 or "echo $?" in line, f"{fence}: $ {line} ended with {self.code}:\n{said}"

    def _command(self, line):
        if not line.startswith(("hmarl ", "make ", "pip ")):
            return self._shell(line)
        said = ""
        for part in (shlex.split(part, comments=True) for part in line.split(";")):
            if part == ["echo", "$?"]:
                said += f"{self.code}\n"
            elif part[0] == "hmarl":
                said += self._hmarl(part[1:])
            elif part[0] == "make":
                said += self._make(part[1:])
            else:
                assert part[:3] == ["pip", "install", "-e"], f"no such command on a page: {shlex.join(part)}"
                install(self.folder / part[3])
        return said

    def _hmarl(self, words):
        if ">" in words:
            words, target = words[: words.index(">")], words[words.index(">") + 1]
            said = self._hmarl(words)
            (self.folder / target).write_text(said, encoding="utf-8")
            return ""
        if words[0] in ("run", "sweep"):
            told = " ".join(words)
            words = [*words, *(more for part, extra in self.settings.items() if part in told for more in extra)]
        heard, before = io.StringIO(), sys.argv
        sys.argv = ["hmarl", *words]
        try:
            with contextlib.redirect_stdout(heard), contextlib.redirect_stderr(heard):
                cli.main()
        except SystemExit as end:
            self.code = end.code
        finally:
            sys.argv = before
        return heard.getvalue()

    def _make(self, targets):
        command = ["make", "-n", *targets]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        self.code = done.returncode
        assert self.code == 0, done.stderr
        recipes = [line for line in done.stdout.splitlines() if line.startswith(".venv/bin/hmarl ")]
        return "".join(self._hmarl(shlex.split(line)[1:]) for line in recipes)

    def _shell(self, line):
        done = subprocess.run(["bash", "-c", line], cwd=self.folder, capture_output=True, text=True, check=False)
        self.code = done.returncode
        return done.stdout + done.stderr


def install(folder):
    """Do what an editable install does as far as names go: put the folder on the path, with its entry points."""
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    about = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    about.mkdir(exist_ok=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = project.get("entry-points", {})
    lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in names.items()) for group, names in groups.items()]
    (about / "entry_points.txt").write_text("\n".join(lines))
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    plugins._foreign.cache_clear()


@contextlib.contextmanager
def session(folder, settings):
    """A session in a folder that holds the shipped studies; everything around it is as before afterwards."""
    where, path, modules = Path.cwd(), sys.path[:], set(sys.modules)
    variables = dict(os.environ)
    (folder / "studies").symlink_to(ROOT / "studies")
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    try:
        yield Session(folder, settings)
    finally:
        os.chdir(where)
        sys.path[:] = path
        os.environ.clear()
        os.environ.update(variables)
        for name in set(sys.modules) - modules:
            if str(getattr(sys.modules[name], "__file__", "") or "").startswith(str(folder)):
                del sys.modules[name]
        plugins._foreign.cache_clear()
