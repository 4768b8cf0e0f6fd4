"""The run folder of one job: atomic writes, the same bytes for the same result, a manifest written last.

``runs/<study>/<arm>/<seed>/`` holds ``resolved.json`` (what was asked, written first), ``<name>.parquet``,
``checkpoint.pt``, ``certificate.json``, ``measures.json`` and ``manifest.json`` (its presence says: finished).
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

RESOLVED = "resolved.json"
MANIFEST = "manifest.json"
MEASURES = "measures.json"
CERTIFICATE = "certificate.json"
CHECKPOINT = "checkpoint.pt"
ERROR = "error.txt"
PROGRESS = "progress.pt"
HALFWAY = "training.pt"


FORMAT = 2
"""Of run folders: 2 says so in ``resolved.json`` and ``manifest.json``; 1 did not, and is read as it is."""


class RunFolderError(ValueError):
    """A run folder that holds something else; the message says what to do."""


class Result(Protocol):
    """What one simulation leaves behind; everything in it is decided by arm, seed and data alone."""

    @property
    def frames(self) -> Mapping[str, pd.DataFrame]:
        """Tables by file name, with units in their column names and without wall-clock columns."""

    @property
    def checkpoint(self) -> bytes:
        """State of the learners."""

    @property
    def certificate(self) -> Mapping[str, Any]:
        """Gaps and invariants; ``converged`` is true or false where a coordinator ran."""

    @property
    def measures(self) -> Mapping[str, float]:
        """Name in `hmarl.measures.MEASURES` -> value in the unit given there."""

    @property
    def data_files(self) -> list[Path]:
        """Data files that were read."""


def job_folder(out: Path, study: str, arm: str, seed: int) -> Path:
    """Where a job is stored.

    Parameters
    ----------
    out : Path
        Folder of all runs.
    study, arm : str
        Their names.
    seed : int
        Of the job.

    Returns
    -------
    Path
        ``out/study/arm/seed``.
    """
    return out / study / arm / str(seed)


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Write a file so that it is there completely or not at all, even if the machine stops.

    Parameters
    ----------
    path : Path
        In an existing folder.
    content : bytes or memoryview
        The whole file; a view of a buffer saves a copy of it.
    """
    draft = path.with_name(f".{path.name}.part")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)  # half a file would only fill the disk further
        error.filename = str(path)
        raise
    if hasattr(os, "O_DIRECTORY"):
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write values as JSON: sorted keys, numbers that JSON does not know as ``"nan"``, ``"inf"``, ``"-inf"``.

    Parameters
    ----------
    path : Path
        In an existing folder.
    values : mapping
        Plain values, NumPy scalars and arrays.
    """
    text = json.dumps(_finite(values), sort_keys=True, indent=2, allow_nan=False, ensure_ascii=False)
    write_bytes(path, text.encode() + b"\n")


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a JSON file.

    Parameters
    ----------
    path : Path
        May be missing.

    Returns
    -------
    dict or None
        None if there is no readable mapping.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None


def write_frame(path: Path, frame: pd.DataFrame) -> None:
    """Write a table as parquet with bytes that depend on its contents only.

    Parameters
    ----------
    path : Path
        In an existing folder.
    frame : DataFrame
        With the default index 0, 1, ...; anything worth keeping is a column.

    Raises
    ------
    ValueError
        If the index holds something that would be lost.
    """
    if not frame.index.equals(pd.RangeIndex(len(frame))):
        raise ValueError(f"{path.name}: the index would be lost; make it a column with reset_index().")
    table = pa.Table.from_pandas(frame, preserve_index=False, nthreads=1)
    sink = pa.BufferOutputStream()
    # pandas' own metadata names its version and guesses at an index: neither is part of the result
    pq.write_table(table.replace_schema_metadata(None), sink, compression="zstd")
    write_bytes(path, sink.getvalue().to_pybytes())


def check_format(folder: Path, held: Mapping[str, Any]) -> None:
    """Refuse what a newer version wrote; older formats are read.

    Parameters
    ----------
    folder : Path
        Of the run, for the message.
    held : mapping
        ``resolved.json`` or ``manifest.json``; empty if it is not there.

    Raises
    ------
    RunFolderError
        If its format is newer than `FORMAT`, or none.
    """
    said = held.get("format", 1)
    if not isinstance(said, int) or not 1 <= said <= FORMAT:
        raise RunFolderError(
            f"{folder} was written in format {said!r} of run folders; this version reads 1 to {FORMAT}: update hmarl, "
            "or choose another --out."
        )


def check_folder(folder: Path, resolved: Mapping[str, Any], *, fresh: bool = False) -> None:
    """Refuse a run folder that holds something else; nothing is changed.

    Parameters
    ----------
    folder : Path
        From `job_folder`.
    resolved : mapping
        From `hmarl.study.Arm.resolved`.
    fresh : bool
        What is there may be replaced.

    Raises
    ------
    RunFolderError
        If the folder holds another study or a run of other code of a plug-in (unless fresh), or something that is no
        run.
    """
    if not folder.exists():
        return
    held = read_json(folder / RESOLVED)
    if not fresh:
        check_format(folder, held or {})
        check_format(folder, read_json(folder / MANIFEST) or {})
    if held is None and any(not path.name.endswith(".part") for path in folder.iterdir()):
        raise RunFolderError(f"{folder} holds files that are no run of hmarl; move them or choose another --out.")
    if held is None or fresh or _barren(folder):
        return
    then, now = _settings(held), _settings(_as_read(resolved))
    if then != now:
        raise RunFolderError(
            f"{folder} holds a run of a different study ({_difference(then, now)}); use --fresh to replace it or "
            "--out DIR to keep both."
        )
    if changed := changed_code(held, resolved):
        raise RunFolderError(
            f"{folder} holds a run with other code of {' and '.join(changed)}, which has changed since; use --fresh to "
            "redo the run or --out DIR to keep both."
        )


def changed_code(held: Mapping[str, Any], resolved: Mapping[str, Any]) -> list[str]:
    """Which plug-ins of others had other code in an earlier run.

    Parameters
    ----------
    held : mapping
        The resolved study of that run; older ones do not say and are trusted.
    resolved : mapping
        From `hmarl.study.Arm.resolved`.

    Returns
    -------
    list of str
        As named there, e.g. ``policy patient``.
    """
    then, now = held.get("plugins"), resolved.get("plugins") or {}
    said = then if isinstance(then, Mapping) else {}
    return [name for name in sorted(now) if said.get(name, now[name]) != now[name]]


def _settings(held: Mapping[str, Any]) -> dict[str, Any]:
    """A resolved study without what is compared in its own way."""
    return {name: value for name, value in held.items() if name not in ("format", "plugins")}


def _barren(folder: Path) -> bool:
    """Whether nothing came of a run: one refused for a mistake must not stand in the way of its correction."""
    return {path.name for path in folder.iterdir()} <= {RESOLVED, ERROR}


def prepare(folder: Path, resolved: Mapping[str, Any], *, fresh: bool = False) -> None:
    """Make a run folder ready for a job, or refuse it as `check_folder` does.

    Parameters
    ----------
    folder : Path
        From `job_folder`.
    resolved : mapping
        From `hmarl.study.Arm.resolved`.
    fresh : bool
        Replace what is there.
    """
    check_folder(folder, resolved, fresh=fresh)
    if fresh and folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / RESOLVED, {"format": FORMAT, **resolved})


def finished(folder: Path, resolved: Mapping[str, Any]) -> bool:
    """Whether a folder holds exactly this job, finished.

    Parameters
    ----------
    folder : Path
        From `job_folder`.
    resolved : mapping
        From `hmarl.study.Arm.resolved`.

    Returns
    -------
    bool
        True if the manifest, which is written last, names the same resolved study and code of plug-ins.

    Raises
    ------
    RunFolderError
        If a newer version wrote it.
    """
    manifest = read_json(folder / MANIFEST)
    held = (manifest or {}).get("resolved")
    if manifest is None or not isinstance(held, dict) or _settings(held) != _settings(_as_read(resolved)):
        return False
    if changed_code(held, resolved):
        return False
    check_format(folder, manifest)
    return True


def tidy(folder: Path) -> None:
    """Remove what only an unfinished job needs: states to go on from, its last error, drafts of a killed process.

    Parameters
    ----------
    folder : Path
        Of a finished job.
    """
    for path in [*(folder / name for name in (ERROR, PROGRESS, HALFWAY)), *folder.glob(".*.part")]:
        path.unlink(missing_ok=True)


def measured(folder: Path) -> dict[str, float]:
    """Read the figures of a finished run.

    Parameters
    ----------
    folder : Path
        Of the run.

    Returns
    -------
    dict
        Name in `hmarl.measures.MEASURES` -> value. ``training_time`` comes from the manifest, since it differs between
        equal runs.
    """
    measures = read_json(folder / MEASURES) or {}
    machine = (read_json(folder / MANIFEST) or {}).get("machine") or {}
    seconds = machine.get("training_seconds")
    return {**measures, **({} if seconds is None else {"training_time": seconds})}


def store(folder: Path, result: Result, manifest: Mapping[str, Any]) -> None:
    """Write a result; the manifest comes last.

    Parameters
    ----------
    folder : Path
        A prepared run folder.
    result : Result
        What the simulation returned.
    manifest : mapping
        From `hmarl.manifest.describe`.
    """
    for name, frame in sorted(result.frames.items()):
        write_frame(folder / f"{name}.parquet", frame)
    write_bytes(folder / CHECKPOINT, result.checkpoint)
    write_json(folder / CERTIFICATE, result.certificate)
    write_json(folder / MEASURES, result.measures)
    write_json(folder / MANIFEST, manifest)
    tidy(folder)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        return _finite(value.tolist())
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return str(value) if isinstance(value, Path) else value


def _as_read(values: Mapping[str, Any]) -> Any:
    """Bring values to what comes back from a JSON file, so that they can be compared."""
    return json.loads(json.dumps(_finite(values)))


def _difference(held: Any, wanted: Any, path: str = "") -> str:
    """Name the first value that differs."""
    if isinstance(held, dict) and isinstance(wanted, dict):
        for key in sorted({*held, *wanted}):
            if held.get(key) != wanted.get(key):
                return _difference(held.get(key), wanted.get(key), f"{path}.{key}" if path else key)
    return f"{path} is {held!r} there and {wanted!r} here"
