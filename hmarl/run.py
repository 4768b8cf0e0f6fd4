"""Run a study: arms x seeds as independent jobs, in this process or in several, with the same bytes out."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from queue import Empty
from typing import Any

from rich.console import Console

from hmarl import manifest, storage
from hmarl.fitting import check_followers
from hmarl.job import Computed, Failure, Job, Simulate, compute, keep, prepare_process, work
from hmarl.lock import clear_dead, locked
from hmarl.progress import Board
from hmarl.study import Study
from hmarl.study_file.plan import Execution
from hmarl.tensorboard import check_installed

REPORTS_PER_SECOND = 5


@dataclass(frozen=True)
class Outcome:
    """What became of the jobs of a study.

    Parameters
    ----------
    folder : Path
        Of the study.
    done, skipped : tuple of str
        Labels of the jobs run now, and of those finished before.
    failures : tuple of Failure
        The others.
    """

    folder: Path
    done: tuple[str, ...]
    skipped: tuple[str, ...]
    failures: tuple[Failure, ...]


def run_study(
    study: Study,
    *,
    arms: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    jobs: int = 1,
    data: Path | None = None,
    out: Path = Path("runs"),
    fresh: bool = False,
    console: Console | None = None,
    simulate: Simulate | None = None,
    tensorboard: bool = False,
) -> Outcome:
    """Run all jobs of a study that are not finished yet.

    Parameters
    ----------
    study : Study
        Checked.
    arms, seeds : sequence, optional
        Only these; all if left out.
    jobs : int >= 1
        Processes at a time; 1 stays in this process. The results do not depend on it.
    data : Path, optional
        Folder of the real data.
    out : Path
        Folder of all runs.
    fresh : bool
        Redo everything.
    console : Console, optional
        Where progress goes; nowhere if left out.
    simulate : callable, optional
        ``(arm, seed, data, report) -> Result``; `hmarl.simulate.simulate` if left out. Importable by name if jobs > 1.
    tensorboard : bool
        Also log training for TensorBoard, in the run folders.

    Returns
    -------
    Outcome
        A job that fails does not stop the others.

    Raises
    ------
    StudyError
        If there is no such arm, or followers refuse to play in one; nothing has been run then.
    RunFolderError
        If a folder holds a different study, or another process is at work there; nothing has been run then.
    TensorBoardMissing
        If TensorBoard logs are asked for and it is not installed.
    """
    if tensorboard:
        check_installed()
    chosen = [study.arm(name) for name in arms] if arms else list(study.arms)
    wanted = [
        Job(arm, seed, storage.job_folder(out, study.name, arm.name, seed), data, tensorboard=tensorboard)
        for seed in (study.seeds if seeds is None else seeds)
        for arm in chosen
    ]
    if simulate is None:
        # What is finished has played; its followers need no trial.
        left = [job.arm for job in wanted if fresh or not storage.finished(job.folder, job.arm.resolved())]
        check_followers(study, {arm.name: arm for arm in left}.values())
    return run_jobs(
        wanted,
        folder=out / study.name,
        jobs=jobs,
        data=data,
        fresh=fresh,
        console=console,
        simulate=simulate,
        cluster=study.run if study.run.executor == "ray" else None,
    )


def run_jobs(
    wanted: Sequence[Job],
    *,
    folder: Path,
    jobs: int = 1,
    data: Path | None = None,
    fresh: bool = False,
    console: Console | None = None,
    simulate: Simulate | None = None,
    cluster: Execution | None = None,
) -> Outcome:
    """Run those of many independent jobs that are not finished yet.

    Parameters
    ----------
    wanted : sequence of Job
        Each with a folder of its own.
    folder : Path
        Of all of them.
    jobs, data, fresh, console, simulate
        As for `run_study`.
    cluster : Execution, optional
        Run on this Ray cluster instead of in processes of this machine; the results do not depend on it.

    Returns
    -------
    Outcome
        A job that fails does not stop the others.

    Raises
    ------
    RunFolderError
        If a folder holds a different study, or another process is at work there; nothing has been run then.
    """
    prepare_process()
    resolved = {job.folder: job.arm.resolved() for job in wanted}
    ended = set() if fresh else {job.folder for job in wanted if storage.finished(job.folder, resolved[job.folder])}
    skipped = [job for job in wanted if job.folder in ended]
    todo = [job for job in wanted if job.folder not in ended]
    for job in skipped:
        clear_dead(job.folder)
        storage.tidy(job.folder)
        changed = manifest.changed_data(storage.read_json(job.folder / storage.MANIFEST) or {}, data)
        if changed:
            raise storage.RunFolderError(
                f"{job.folder} is finished, but its data has changed since: {', '.join(changed)}; use --fresh to redo "
                "the study or --out DIR to keep both."
            )
    # All are checked before the first is touched.
    for job in todo:
        with locked(job.folder):
            storage.check_folder(job.folder, resolved[job.folder], fresh=fresh)
    for job in todo:
        with locked(job.folder):
            storage.prepare(job.folder, resolved[job.folder], fresh=fresh)
    failures: list[Failure] = []
    done: list[str] = []
    with Board(len(wanted), console or Console(), quiet=console is None) as board:
        for job in skipped:
            board.end(job.label, "already done")
        run = _here if jobs == 1 or len(todo) <= 1 else _spawned
        if cluster is not None:
            run = partial(_on_cluster, cluster=cluster)
        for job, failure in run(todo, simulate, jobs, board):
            board.end(job.label, "failed" if failure else "done")
            if failure:
                failures.append(failure)
            else:
                done.append(job.label)
    return Outcome(folder, tuple(done), tuple(job.label for job in skipped), tuple(failures))


def _here(todo: list[Job], simulate: Simulate | None, jobs: int, board: Board) -> Iterator[tuple[Job, Failure | None]]:
    """Run jobs one after the other in this process."""
    for job in todo:
        yield job, work(job, simulate, partial(board.update, job.label))


def _spawned(
    todo: list[Job], simulate: Simulate | None, jobs: int, board: Board
) -> Iterator[tuple[Job, Failure | None]]:
    """Run jobs in fresh processes; one that dies takes its pool along, so the others get a new one each."""
    orphans: list[Job] = []
    for job, failure in _pool(todo, simulate, jobs, board):
        if isinstance(failure, BrokenProcessPool):
            orphans.append(job)
        else:
            yield job, failure
    for job in orphans:
        for _, failure in _pool([job], simulate, 1, board):
            if isinstance(failure, BrokenProcessPool):
                message = "the process of this job was killed, perhaps for lack of memory; try fewer --jobs"
                yield job, Failure(job.label, message, str(failure))
            else:
                yield job, failure


def _pool(
    todo: list[Job], simulate: Simulate | None, jobs: int, board: Board
) -> Iterator[tuple[Job, Failure | BrokenProcessPool | None]]:
    context = multiprocessing.get_context("spawn")
    messages = context.Queue()
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(min(jobs, len(todo)), context, initializer=_start_worker, initargs=(messages,))
    try:
        # Workers start with Ctrl-C blocked, so none is interrupted before it can say that it ignores it.
        unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            # few at a time: watching thousands of futures costs more than small runs do
            ahead = iter(todo)
            waiting: dict[Future[Failure | None], Job] = {
                pool.submit(_remote, job, simulate): job for job in islice(ahead, 2 * jobs)
            }
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
        while waiting:
            ended, _ = wait(waiting, timeout=0.1, return_when=FIRST_COMPLETED)
            _drain(messages, board)
            for future in ended:
                job = waiting.pop(future)
                try:
                    yield job, future.result()
                except BrokenProcessPool as error:
                    yield job, error
                    yield from ((other, error) for other in ahead)
                waiting |= {pool.submit(_remote, job, simulate): job for job in islice(ahead, 1)}
    except BaseException:
        # Ctrl-C: the workers are told to ignore it, so that only one message is seen; end them here
        pool.shutdown(wait=False, cancel_futures=True)
        for child in set(multiprocessing.active_children()) - before:
            child.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        messages.close()
        messages.join_thread()


def _on_cluster(
    todo: list[Job], simulate: Simulate | None, jobs: int, board: Board, *, cluster: Execution
) -> Iterator[tuple[Job, Failure | None]]:
    """Run jobs on a Ray cluster; what they computed comes back here and is stored here."""
    from hmarl.cluster import each  # noqa: PLC0415 - Ray is an extra

    for place, computed in each(partial(_quietly, simulate=simulate), todo, cluster.address, cluster.jobs):
        yield todo[place], keep(todo[place], _lost(todo[place], computed))


def _lost(job: Job, computed: Any) -> Computed | Failure:
    """Turn what Ray gave up with into a sentence."""
    if isinstance(computed, Exception):
        said = f"the worker of this job was lost: {computed}"
        return Failure(job.label, said, str(computed), type(computed).__name__)
    found: Computed | Failure = computed
    return found


def _quietly(job: Job, simulate: Simulate | None) -> Computed | Failure:
    prepare_process()
    return compute(job, simulate, lambda stage, share: None)


def _drain(messages: Any, board: Board) -> None:
    with contextlib.suppress(Empty):
        while True:
            board.update(*messages.get_nowait())


class _Channel:
    """Way from a worker to the board; lives as long as the process."""

    messages: Any = None


def _start_worker(messages: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    _Channel.messages = messages
    prepare_process()


def _end_with(parent: int) -> None:
    """End this worker when its parent is gone, even if that was killed: nobody else would."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _remote(job: Job, simulate: Simulate | None) -> Failure | None:
    last = 0.0

    def report(stage: str, share: float) -> None:
        nonlocal last
        now = time.monotonic()
        if share <= 0 or now - last > 1 / REPORTS_PER_SECOND:
            last = now
            _Channel.messages.put((job.label, stage, share))

    return work(job, simulate, report)
