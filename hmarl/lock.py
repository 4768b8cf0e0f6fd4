"""One process at a time in a run folder: a lock that the system itself drops when its holder ends or is killed."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from hmarl.storage import RunFolderError

try:
    import fcntl
except ImportError:  # not on Windows, where a file that is open cannot be opened again for locking
    fcntl = None  # type: ignore[assignment]


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a run folder, or refuse it while another process does.

    Parameters
    ----------
    folder : Path
        From `hmarl.storage.job_folder`; need not exist. The lock lies beside it, so that it may be replaced.

    Raises
    ------
    RunFolderError
        If another process is at work there.
    """
    path = _beside(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = _grab(path)
    if handle is None:
        holder = path.read_text(encoding="utf-8").strip() or "another process"
        raise RunFolderError(
            f"{folder} is being run by {holder}; wait until it has ended, stop it, or choose another --out."
        )
    try:
        try:
            os.ftruncate(handle, 0)
            os.write(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        except OSError as error:
            error.filename = str(path)
            raise
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def clear_dead(folder: Path) -> None:
    """Remove the lock that a killed process left beside a run folder; one that is held stays.

    Parameters
    ----------
    folder : Path
        As for `locked`.
    """
    if _beside(folder).exists():
        with contextlib.suppress(RunFolderError), locked(folder):
            pass


def _beside(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.lock")


def _grab(path: Path) -> int | None:
    """Open and lock a file; None if it is locked already."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        if fcntl is not None:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(handle)
                return None
        # the last holder may have removed the file between opening and locking: then this is nobody's lock
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), path.stat()):
                return handle
        os.close(handle)
