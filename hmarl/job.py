"""One job of a study: an arm with a seed, computed and stored, or the sentence that says why not."""

from __future__ import annotations

import contextlib
import os
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hmarl import manifest, storage
from hmarl.disk import refused
from hmarl.heap import give_back_memory, keep_freed_memory
from hmarl.lock import locked
from hmarl.study_file.arm import Arm

Report = Callable[[str, float], None]
Simulate = Callable[[Arm, int, Path | None, Report], storage.Result]
Computed = tuple[storage.Result, dict[str, Any]]

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


@dataclass(frozen=True)
class Job:
    """One arm with one seed.

    Parameters
    ----------
    arm : Arm
        Complete.
    seed : int
        Of all named random streams.
    folder : Path
        Where the result goes.
    data : Path or None
        Folder of the real data.
    point : str or None
        Of a sweep.
    tensorboard : bool
        Whether training is also logged for TensorBoard.
    """

    arm: Arm
    seed: int
    folder: Path
    data: Path | None
    point: str | None = None
    tensorboard: bool = False

    @property
    def label(self) -> str:
        """How the job is called on the screen."""
        return "/".join([*([self.point] if self.point else []), self.arm.name, str(self.seed)])


@dataclass(frozen=True)
class Failure:
    """A job that ended with an error.

    Parameters
    ----------
    job : str
        Label of the job.
    message : str
        A sentence.
    trace : str
        Where in the code.
    kind : str
        Class of the error.
    mistake : bool
        Whether what was asked for cannot be done, as against a fault or a lost machine.
    """

    job: str
    message: str
    trace: str
    kind: str = ""
    mistake: bool = False


MISTAKES = (ValueError, FileNotFoundError)
"""What the packages raise, with a sentence, about what a user asked for."""


def prepare_process() -> None:
    """Use one thread for linear algebra, here and in processes started from here, and keep memory that was freed.

    More threads would change last digits.
    """
    keep_freed_memory()
    for name in THREADS:
        os.environ[name] = "1"
    import torch  # noqa: PLC0415 - after the environment, which it reads once

    torch.set_num_threads(1)


def work(job: Job, simulate: Simulate | None, report: Report) -> Failure | None:
    """Run one job and store its result.

    Parameters
    ----------
    job : Job
        In a prepared folder.
    simulate : callable or None
        As for `run_study`.
    report : callable
        Takes a stage and the share done.

    Returns
    -------
    Failure or None
        None if all went well.
    """
    try:
        with locked(job.folder):
            if storage.finished(job.folder, job.arm.resolved()):
                return None  # by another process, since this one looked
            return keep(job, compute(job, simulate, report))
    except (storage.RunFolderError, OSError) as error:
        return Failure(job.label, _said(error), traceback.format_exc(), type(error).__name__)
    finally:
        give_back_memory()  # a large job would burden all later ones of this process


def compute(job: Job, simulate: Simulate | None, report: Report) -> Computed | Failure:
    """Run one job without storing anything.

    Parameters
    ----------
    job, simulate, report
        As for `work`.

    Returns
    -------
    tuple of Result and manifest, or Failure
        What `keep` takes.
    """
    try:
        report("starting", 0.0)
        began = time.monotonic()
        # On another machine the folder may not exist: then nothing is kept before the end.
        folder = job.folder if job.folder.is_dir() else None
        real = partial(_real(), folder=folder, tensorboard=job.tensorboard) if simulate is None else simulate
        result = real(job.arm, job.seed, job.data, report)
        about = manifest.describe(
            job.arm.resolved(),
            seed=job.seed,
            replication=job.arm.replication,
            seconds=time.monotonic() - began,
            training_seconds=getattr(result, "training_seconds", None),
            data_files=result.data_files,
            data=job.data,
        )
        return result, about
    except Exception as error:  # a failing job must not stop the others, whatever it is
        mistake = isinstance(error, MISTAKES)
        return Failure(job.label, _said(error), traceback.format_exc(), type(error).__name__, mistake)


def keep(job: Job, computed: Computed | Failure) -> Failure | None:
    """Store what a job computed.

    Parameters
    ----------
    job : Job
        In a prepared folder.
    computed : tuple or Failure
        From `compute`.

    Returns
    -------
    Failure or None
        None if all went well.
    """
    if isinstance(computed, Failure):
        with contextlib.suppress(OSError):  # of a full disk the failure itself speaks
            storage.write_bytes(job.folder / storage.ERROR, computed.trace.encode())
        return computed
    try:
        storage.store(job.folder, *computed)
    except Exception as error:
        return Failure(job.label, f"cannot be stored: {_said(error)}", traceback.format_exc(), type(error).__name__)
    return None


def _said(error: Exception) -> str:
    said = str(error) or "no message"
    if isinstance(error, OSError) and error.errno is not None:
        return refused(error)
    return said if isinstance(error, MISTAKES) else f"{type(error).__name__}: {said}"


def _real() -> Callable[..., storage.Result]:
    from hmarl.simulate import simulate  # noqa: PLC0415 - heavy, and only the worker needs it

    return simulate
