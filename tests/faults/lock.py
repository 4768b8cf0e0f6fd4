"""Write the lock file: what one resolver run chooses under the constraints, each with the hash of its wheel."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEAD = """# Exact wheels with their hashes for Linux x86-64 and Python {python}; written by `make lock`, installed by
# `make setup LOCKED=1`. torch is the build that the machine which wrote this file was served ({torch}); where another
# index serves another build of the same version, write the file anew.
"""


def lines(report):
    """One entry per distribution, by name."""
    for one in sorted(report["install"], key=lambda one: one["metadata"]["name"].lower()):
        about, where = one["metadata"], one["download_info"]
        if "archive_info" in where:
            digest = where["archive_info"]["hashes"]["sha256"]
            yield f"{about['name']}=={about['version']} \\\n    --hash=sha256:{digest}"


def main(path):
    wanted = ["hatchling", "editables", ".[test]"]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        words = ["install", "--dry-run", "--quiet", "--ignore-installed", "--report", report, "-c", "constraints.txt"]
        subprocess.run([sys.executable, "-m", "pip", *words, *wanted], check=True, cwd=ROOT)
        found = list(lines(json.loads(report.read_text())))
    torch = next(line.partition(" ")[0] for line in found if line.startswith("torch=="))
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    Path(path).write_text(HEAD.format(python=python, torch=torch) + "\n".join(found) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
