"""Run once more what a manifest describes, and say how today differs from then."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hmarl import manifest, storage
from hmarl.study import Study
from hmarl.study_file.merging import SECTIONS
from hmarl.study_file.problems import Problem, StudyError

NOT_COMPARED = (storage.MANIFEST, storage.RESOLVED)


def study_of(path: Path) -> tuple[Study, dict[str, Any]]:
    """Make the study of one finished run from its manifest.

    Parameters
    ----------
    path : Path
        A ``manifest.json``.

    Returns
    -------
    Study
        One arm, one seed, every setting as it was.
    dict
        The manifest.

    Raises
    ------
    StudyError
        If it is no manifest, or the settings are no longer allowed.
    RunFolderError
        If a newer version wrote it.
    """
    held = storage.read_json(path) or {}
    resolved, seed = held.get("resolved"), held.get("seed")
    if not isinstance(resolved, Mapping) or not isinstance(seed, int) or not {"study", "arm"} <= set(resolved):
        reason = "is no manifest of a run"
        raise StudyError([Problem("STUDY", str(path), "a manifest.json that hmarl run wrote", reason=reason)])
    storage.check_format(path.parent, held)
    document = {name: resolved[name] for name in SECTIONS if name in resolved}
    arms: dict[str, dict[str, Any]] = {str(resolved["arm"]): {}}
    return Study.parse({"study": resolved["study"], "seeds": [seed], **document, "arms": arms}, str(path)), held


def differences(held: Mapping[str, Any], data: Path | None, resolved: Mapping[str, Any] | None = None) -> list[str]:
    """Name everything that could change the result: versions, source, plug-ins and data.

    Parameters
    ----------
    held : mapping
        A manifest.
    data : Path or None
        Folder of the real data today.
    resolved : mapping, optional
        The arm as it is today, from `hmarl.study.Arm.resolved`.

    Returns
    -------
    list of str
        One sentence each; empty if today is like then.
    """
    now = manifest.versions()
    then = {**(held.get("versions") or {})}
    pairs = [(name, then.get(name), now.get(name)) for name in {**now, **then}]
    pairs += [("Python", held.get("python"), platform.python_version())]
    pairs += [("the source", held.get("commit"), manifest.commit())]
    said = [f"{name} was {old or 'absent'}, now it is {new or 'absent'}." for name, old, new in pairs if old != new]
    changed = storage.changed_code(held.get("resolved") or {}, resolved or {})
    said += [f"The code of {name} has changed since." for name in changed]
    for name, digest in sorted((held.get("data") or {}).items()):
        path = None if data is None else data / name
        if path is None or not path.is_file():
            where = "no data folder is set" if data is None else f"looked in {data}"
            said.append(f"Data file {name} (SHA-256 {digest[:12]}...) was not found to compare ({where}).")
        elif (new := manifest.sha256(path)) != digest:
            said.append(f"Data file {name} was {digest[:12]}... (SHA-256), now it is {new[:12]}... .")
    return said


def verdict(before: Path, after: Path) -> str:
    """Compare the files of two runs of the same settings.

    Parameters
    ----------
    before, after : Path
        Run folders.

    Returns
    -------
    str
        A sentence.
    """
    names = sorted(path.name for path in before.iterdir() if path.is_file() and path.name not in NOT_COMPARED)
    kept = [name for name in names if not name.startswith(".")]
    off = [name for name in kept if not _same(before / name, after / name)]
    if not off:
        return f"The same bytes as before in all {len(kept)} files of {before}."
    return f"Not the same as {before}: {', '.join(off)} differ; {len(kept) - len(off)} of {len(kept)} files are equal."


def _same(one: Path, other: Path) -> bool:
    return other.is_file() and one.read_bytes() == other.read_bytes()
