"""Nothing a study, a data file or a run folder holds can run code, leave its folder, or reach the network.

One thing may: a study names the file of a plug-in, ``FILE.py:Class``, and checking or running that study runs the file.
"""

import ast
import contextlib
import gzip
import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from faults.small_study import environment, text

from hmarl.report.page import report_folder
from hmarl.results import load
from hmarl.run import run_study
from hmarl.study import Study, StudyError
from hmarl.study_file import plugins
from hmarl.study_file.problems import PluginError
from wholesale import reading

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(path for name in ("hmarl", "aggregator", "wholesale", "retail") for path in (ROOT / name).rglob("*.py"))
PICKLING = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
NETWORK = {"urllib", "http", "requests", "ftplib", "smtplib", "telnetlib", "asyncio", "httpx", "aiohttp"}
RUNNING = {"eval", "exec", "compile", "__import__"}


def called(node):
    """Dotted name of what a call calls."""
    return ast.unparse(node.func) if isinstance(node, ast.Call) else ""


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_source_has_no_door(path):
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        found += [name for name in names if name.partition(".")[0] in PICKLING | NETWORK]
        what = called(node)
        given = {k.arg: ast.unparse(k.value) for k in node.keywords} if what else {}
        if what in RUNNING or what.endswith((".read_pickle", ".to_pickle")) or what.startswith("os.system"):
            found.append(what)
        if what.startswith("yaml.") and what.rpartition(".")[2] in {"load", "load_all", "unsafe_load", "full_load"}:
            found.append(what)
        if what == "torch.load" and given.get("weights_only") != "True":
            found.append("torch.load without weights_only=True")
        if given.get("allow_pickle") == "True" or given.get("shell") == "True":
            found.append(f"{what} with {given}")
    assert not found


@pytest.mark.parametrize(
    "name", ["os:system", "../evil:Evil", "/tmp/evil.pyc:Evil", "evil.so:Evil", "hmarl.cli:main", "__class__", "a.b:C"]
)
@pytest.mark.parametrize("kind", plugins.KINDS)
def test_names_of_plugins_are_names_only(kind, name):
    with pytest.raises(PluginError, match="is no"):
        plugins.load(kind, name)


def test_code_of_a_file_runs_only_where_a_study_names_it_as_a_plugin(tmp_path, monkeypatch):
    """A study may name a file of code; no other key does, and who only reads results runs nothing of it."""
    monkeypatch.chdir(tmp_path)
    mark = tmp_path / "ran"
    code = f"import pathlib\npathlib.Path({str(mark)!r}).touch()\nraise RuntimeError('ran')\n"
    (tmp_path / "evil.py").write_text(code)
    name = f"{tmp_path / 'evil.py'}:Evil"
    document = Study.parse(text(tmp_path)).document
    for section, values in (("tariff", {"name": name}), ("clusters", name), ("game", {"reward": name})):
        with contextlib.suppress(StudyError):
            Study.parse({**document, section: values})
    folder = run_study(Study.parse(text(tmp_path)), arms=["rule"], out=tmp_path / "runs").folder / "rule" / "0"
    for file in ("manifest.json", "resolved.json"):
        held = json.loads((folder / file).read_text())
        (held.get("resolved") or held)["followers"] = {"name": name}
        (folder / file).write_text(json.dumps(held))
    load(folder)
    report_folder(folder)
    assert not mark.exists()
    with pytest.raises(StudyError, match=r"followers\.name: 'evil\.py:Evil' of file .* RuntimeError: ran"):
        Study.parse({**document, "followers": "evil.py:Evil"})
    assert mark.exists()


@pytest.mark.parametrize("name", ["../up", "/abs", "a/b", "a\\b", "..", ".", "", "a\n", "a b", "x" * 101, "-a", "a.b"])
def test_names_of_studies_and_arms_stay_in_their_folder(tmp_path, name):
    good = text(tmp_path)
    for values in ({"study": name}, {"arms": {name: {}}}):
        with pytest.raises(StudyError):
            Study.parse({**Study.parse(good).document, **values})


def test_tags_of_yaml_are_refused_and_run_nothing(tmp_path):
    mark = tmp_path / "ran"
    tag = f"title: !!python/object/apply:os.system ['touch {mark}']"
    with pytest.raises(StudyError, match="is a tag, which is not allowed"):
        Study.parse(text(tmp_path) + tag)
    assert not mark.exists()


def test_a_checkpoint_runs_nothing(tmp_path):
    import pickle

    from hmarl.halfway import Keeper
    from hmarl.storage import RunFolderError

    mark = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return eval, (f"open({str(mark)!r}, 'w')",)

    path = tmp_path / "training.pt"
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(RunFolderError, match="cannot be read by this version"):
        Keeper(path).read("x")
    assert not mark.exists()


def test_a_packed_file_may_not_fill_the_memory(tmp_path, monkeypatch):
    path = tmp_path / "case.m.gz"
    path.write_bytes(gzip.compress(b"0" * 1_000_000))
    monkeypatch.setattr(reading, "MOST_BYTES", 100_000)
    with pytest.raises(ValueError, match="when unpacked; no case is that large"):
        reading.content(path)


class Tags(HTMLParser):
    """Every element and attribute of a page."""

    def __init__(self):
        super().__init__()
        self.seen, self.words = [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)


EVIL = "<script>alert(1)</script>"
IMAGE = '"><img src=x onerror=alert(2)>'
HOME = "<b onclick=alert(3)>../../up</b>"


def test_a_report_escapes_what_a_study_and_its_data_say(tmp_path):
    from hmarl.report.page import report_folder

    study = Study.parse(text(tmp_path)).change(title=EVIL, **{"tariff.currency": IMAGE})
    for name in ("load.csv", "pv.csv"):
        pd.read_csv(tmp_path / name).rename(columns={"a": HOME}).to_csv(tmp_path / name, index=False)
    (tmp_path / "inner").mkdir()
    out = tmp_path / "inner" / "runs"
    assert not run_study(study, arms=["rule"], out=out).failures
    (out / "small" / "study.yaml").write_text(study.to_yaml())
    said = report_folder(out / "small").read_text()
    page = Tags()
    page.feed(said)
    assert EVIL not in said and IMAGE not in said and HOME not in said
    assert not [attributes for _, attributes in page.seen if any(name.startswith("on") for name in attributes)]
    assert not [tag for tag, _ in page.seen if tag in {"img", "iframe", "object", "embed", "link"}]
    links = [value for _, a in page.seen for name, value in a.items() if name in {"src", "href", "xlink:href"}]
    assert all(value.startswith(("#", "data:")) for value in links if value), links
    assert any("alert(1)" in words for words in page.words), "the title is shown, as text"
    assert not (tmp_path / "up").exists() and not (tmp_path / "inner" / "up").exists()
    for path in out.rglob("*.svg"):
        assert "<script" not in path.read_text() and "onclick" not in path.read_text().replace("&lt;b onclick", "")


NO_NETWORK = """
import sys
def refuse(event, given):
    if event in ("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        raise RuntimeError("NETWORK " + event)
sys.addaudithook(refuse)
from hmarl import cli
for words in (*COMMANDS, ["list", "policies"], ["schema"]):
    sys.argv = ["hmarl", *words]
    try:
        cli.main()
    except SystemExit as end:
        assert end.code == 0, (words, end.code)
print("ALL DONE")
"""


@pytest.mark.slow
def test_no_command_reaches_for_the_network(tmp_path):
    (tmp_path / "study.yaml").write_text(text(tmp_path))
    out, place = ["--out", str(tmp_path / "runs")], str(tmp_path / "runs" / "small")
    run = ["run", str(tmp_path / "study.yaml"), "--jobs", "1", *out]
    script = f"COMMANDS = {[run, ['report', place], ['compare', place, '--baseline', 'rule']]!r}\n{NO_NETWORK}"
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True, timeout=300, env=environment()
    )
    assert done.stdout.rstrip().endswith("ALL DONE"), done.stdout[-500:] + done.stderr[-2000:]
    assert "NETWORK" not in done.stderr
