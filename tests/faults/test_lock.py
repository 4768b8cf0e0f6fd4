"""Every dependency is locked by hash; an audit never takes silence for a clean bill."""

import json
import re
import tomllib
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from faults.audit import audit, locked

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements.lock"


def plain_name(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_locked_package_has_hashes_and_the_version_of_the_constraints():
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    pins = {plain_name(name): version.split()[0] for name, version in pins.items()}
    versions = dict(locked(LOCK))
    assert {name: pins.get(name) for name in versions} == versions
    blocks = re.split(r"\n(?=[a-z0-9])", LOCK.read_text().partition("\n")[2])
    assert len(blocks) == len(versions)
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", block) for block in blocks)


def test_what_the_project_asks_for_is_locked():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = project["project"]["dependencies"] + project["project"]["optional-dependencies"]["test"]
    asked += project["build-system"]["requires"]
    assert {plain_name(re.match(r"[A-Za-z0-9._-]+", one)[0]) for one in asked} <= set(dict(locked(LOCK)))


@pytest.fixture
def service():
    """A package index that knows two packages, one of them weak, and answers nonsense of a third."""
    known = {"/sound/1.0/json": [], "/weak/2.0/json": [{"id": "X-1"}, {"id": "X-2", "withdrawn": "2026-01-01"}]}

    class Index(BaseHTTPRequestHandler):
        def do_GET(self):
            found = known.get(self.path)
            self.send_response(404 if found is None and "odd" not in self.path else 200)
            self.end_headers()
            self.wfile.write(b"<html>" if found is None else json.dumps({"vulnerabilities": found}).encode())

        def log_message(self, *words):
            pass

    server = HTTPServer(("127.0.0.1", 0), Index)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("packages", "status", "said"),
    [
        (["sound==1.0"], 0, "1 packages: 0 weak, 0 unaudited, 1 clean"),
        (["sound==1.0", "weak==2.0"], 1, "WEAK weak 2.0: X-1\n"),
        (["sound==1.0", "unknown==3.0"], 1, "UNAUDITED unknown 3.0"),
        (["odd==1.0"], 1, "1 packages: 0 weak, 1 unaudited, 0 clean"),
        ([], 1, "0 packages"),
    ],
)
def test_only_an_answer_counts_as_clean(tmp_path, capsys, service, packages, status, said):
    path = tmp_path / "lock"
    path.write_text("".join(f"{one} \\\n    --hash=sha256:{'0' * 64}\n" for one in packages))
    assert audit(path, service) == status
    assert said in capsys.readouterr().out


def test_a_service_that_cannot_be_reached_leaves_all_unaudited(tmp_path, capsys):
    path = tmp_path / "lock"
    path.write_text("sound==1.0\n")
    assert audit(path, "http://127.0.0.1:9") == 1
    assert "1 unaudited" in capsys.readouterr().out
