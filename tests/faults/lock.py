"""Write the lock file: every wheel that set-up installs here, with the hashes of all its builds on the package index.

    python tests/faults/lock.py requirements.lock

The list is what pip would install for the tests on this machine under ``constraints.txt``, and what builds the project;
`make setup LOCKED=1` installs from it and refuses any file with another hash.
"""

import json
import re
import subprocess
import sys
import urllib.request
from html.parser import HTMLParser
from pathlib import Path

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

ROOT = Path(__file__).parents[2]
INDEX = "https://pypi.org/simple"
BUILD = ("hatchling", "editables")


class Links(HTMLParser):
    """Addresses on a page of the index."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        self.found += [value for name, value in attributes if tag == "a" and name == "href"]


def planned():
    """(name, version, hash) of each file that pip would install here."""
    ask = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--report", "-"]
    done = subprocess.run(
        [*ask, "-c", "constraints.txt", "-e", ".[test]", *BUILD], cwd=ROOT, check=True, capture_output=True, text=True
    )
    for item in json.loads(done.stdout)["install"]:
        name, version = canonicalize_name(item["metadata"]["name"]), item["metadata"]["version"]
        if name != "hmarl":
            yield name, version, item["download_info"]["archive_info"]["hashes"]["sha256"]


def published(name, version, *, linux=True):
    """Hashes of all wheels of a version on the index; of its source where there is no wheel."""
    page = Links()
    with urllib.request.urlopen(f"{INDEX}/{name}/") as reply:
        page.feed(reply.read().decode())
    wheels, sources = set(), set()
    for link in page.found:
        address, _, mark = link.partition("#sha256=")
        file = address.rpartition("/")[2]
        try:
            if str(parse_wheel_filename(file)[1]) == version and (linux or "linux" not in file):
                wheels.add(mark)
        except InvalidWheelFilename:
            if re.fullmatch(rf".*-{re.escape(version)}\.(tar\.gz|zip)", file):
                sources.add(mark)
    return wheels or sources


def main(path):
    """Write the lock."""
    lines = ["# Written by tests/faults/lock.py: `make lock`. Installed by `make setup LOCKED=1`."]
    for name, version, here in sorted(planned()):
        public, _, local = version.partition("+")  # torch 2.13.0+cpu: the Linux wheels of the index need gigabytes more
        hashes = sorted({here} | published(name, public, linux=not local))
        lines.append(" \\\n".join([f"{name}=={public}", *(f"    --hash=sha256:{mark}" for mark in hashes)]))
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
