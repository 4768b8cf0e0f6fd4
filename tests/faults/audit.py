"""Ask the package index for known weaknesses of the locked versions.

    python tests/faults/audit.py requirements.lock

Ends with 0 only if every package was answered for and none is weak. A package that the service does not know, or could
not be asked about, is *unaudited* and never counts as clean.
"""

import http.client
import json
import re
import sys
import urllib.error
import urllib.request
from pathlib import Path

SERVICE = "https://pypi.org/pypi"
PATIENCE = 20
"""Seconds to wait for an answer."""


def locked(path):
    """(name, version) of each package of a lock file."""
    return re.findall(r"^([A-Za-z0-9._-]+)==([^\s\\]+)", Path(path).read_text(encoding="utf-8"), re.MULTILINE)


def weaknesses(name, version, service=SERVICE):
    """Identifiers of the weaknesses known of a version, or None where there is no answer."""
    try:
        with urllib.request.urlopen(f"{service}/{name}/{version}/json", timeout=PATIENCE) as reply:
            found = json.load(reply)["vulnerabilities"]
    except (OSError, http.client.HTTPException, ValueError, KeyError):
        return None
    return [one["id"] for one in found if not one.get("withdrawn")]


def say(line):
    sys.stdout.write(line + "\n")


def audit(path, service=SERVICE):
    """Print a line for each package that is weak or unaudited, and a sum; the exit status."""
    packages = locked(path)
    weak = unaudited = 0
    for name, version in packages:
        known = weaknesses(name, version, service)
        if known is None:
            unaudited += 1
            say(f"UNAUDITED {name} {version}: the service gave no answer")
        elif known:
            weak += 1
            say(f"WEAK {name} {version}: {', '.join(known)}")
    say(f"{len(packages)} packages: {weak} weak, {unaudited} unaudited, {len(packages) - weak - unaudited} clean")
    return int(bool(weak or unaudited or not packages))


if __name__ == "__main__":
    sys.exit(audit(*sys.argv[1:]))
