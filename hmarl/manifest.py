"""The manifest of a run: what was run, with which versions and data, on which machine."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from hmarl import storage

LIBRARIES = ("hmarl", "highspy", "networkx", "numpy", "pandas", "pvlib", "pyarrow", "pyomo", "scipy", "torch")


def describe(
    resolved: Mapping[str, Any],
    *,
    seed: int,
    replication: int,
    seconds: float,
    training_seconds: float | None = None,
    data_files: Iterable[Path],
    data: Path | None = None,
) -> dict[str, Any]:
    """Describe a finished run.

    Parameters
    ----------
    resolved : mapping
        From `hmarl.study.Arm.resolved`.
    seed : int
        Of the run.
    replication : int
        How many equal communities the simulated one stands for.
    seconds : float [s]
        Wall-clock time.
    training_seconds : float [s], optional
        Processor time of all rounds; None where a stopped training has gone on.
    data_files : iterable of Path
        Data that was read.
    data : Path, optional
        Folder of the real data; files below it are named by their path in it.

    Returns
    -------
    dict
        ``machine`` holds what may differ between equal runs.
    """
    return {
        "format": storage.FORMAT,
        "resolved": dict(resolved),
        "seed": seed,
        "replication": replication,
        "versions": versions(),
        "python": platform.python_version(),
        "commit": commit(),
        "data": {_named(path, data): sha256(path) for path in sorted(data_files)},
        "machine": {
            "cpu": _processor(),
            "cores": os.cpu_count(),
            "system": f"{platform.system()} {platform.machine()}",
            "seconds": round(seconds, 3),
            "training_seconds": None if training_seconds is None else round(training_seconds, 3),
        },
    }


def versions() -> dict[str, str | None]:
    """Versions of everything installed that can change a result.

    Returns
    -------
    dict
        Name of the distribution -> version, None if it is not installed.
    """
    return {name: _version(name) for name in LIBRARIES}


@lru_cache(maxsize=1)
def commit() -> str | None:
    """Find the git commit of the source.

    Returns
    -------
    str or None
        Hash, with ``+changes`` if the source differs from it; None outside a repository.
    """
    here = Path(__file__).resolve().parent
    if not (here.parent / ".git").exists():
        return None  # an installed package inside somebody else's repository has no commit of its own
    try:
        head = _git(here, "rev-parse", "HEAD")
        changed = _git(here, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{head}+changes" if changed else head


def changed_data(manifest: Mapping[str, Any], data: Path | None) -> list[str]:
    """Which data files of a finished run read otherwise today.

    Parameters
    ----------
    manifest : mapping
        Of the run.
    data : Path or None
        Folder of the real data today; files that are not in it cannot be compared.

    Returns
    -------
    list of str
        Paths below the folder.
    """
    if data is None:
        return []
    recorded = manifest.get("data") or {}
    there = {name: data / name for name in recorded if (data / name).is_file()}
    return [name for name, path in there.items() if sha256(path) != recorded[name]]


def _named(path: Path, data: Path | None) -> str:
    inside = data is not None and path.resolve().is_relative_to(data.resolve())
    return path.resolve().relative_to(data.resolve()).as_posix() if inside and data is not None else path.name


def sha256(path: Path) -> str:
    """Hash a file.

    Parameters
    ----------
    path : Path
        An existing file.

    Returns
    -------
    str
        Hexadecimal SHA-256.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()


@lru_cache(maxsize=64)
def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
