"""Progress of many jobs: bars on a terminal; elsewhere a line per finished job and one a minute of those that run."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

EVERY = 60.0
"""Seconds between two lines about a running job, where there is no terminal."""


class Board:
    """Shows one bar per running job and one for all.

    Parameters
    ----------
    total : int
        Number of jobs.
    console : Console
        Where to write; without a terminal each finished job is a line, and a running one a line a minute.
    quiet : bool
        Show nothing.
    """

    def __init__(self, total: int, console: Console, *, quiet: bool = False) -> None:
        self.total = total
        self.ended = 0
        self.console = console
        self.quiet = quiet
        self.started: dict[str, float] = {}
        self.said: dict[str, float] = {}
        self.bars: dict[str, TaskID] = {}
        self.progress: Progress | None = None
        if console.is_terminal and not quiet:
            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
            clocks = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
            self.progress = Progress(*columns, *clocks, console=console, transient=True)
            self.all = self.progress.add_task(f"all {total} jobs", total=max(total, 1))

    def __enter__(self) -> Self:
        if self.progress:
            self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.progress:
            self.progress.stop()

    def update(self, job: str, stage: str, fraction: float) -> None:
        """Show how far a job is.

        Parameters
        ----------
        job : str
            Label of the job.
        stage : str
            What it is doing.
        fraction : float 0..1
            Share of the whole job that is done.
        """
        self.started.setdefault(job, time.monotonic())
        if not self.progress:
            self._line(job, stage, fraction)
            return
        if job not in self.bars:
            self.bars[job] = self.progress.add_task(job, total=1.0)
        self.progress.update(self.bars[job], completed=fraction, description=f"{job}  {stage}")
        running = sum(task.completed for task in self.progress.tasks if task.id != self.all)
        self.progress.update(self.all, completed=self.ended + min(running, len(self.bars)))

    def _line(self, job: str, stage: str, fraction: float) -> None:
        """Say how far a job is, if a minute has passed since it was said; whoever reads a log wants to know too."""
        now, began = time.monotonic(), self.started[job]
        if self.quiet or now - self.said.setdefault(job, began) < EVERY:
            return
        self.said[job] = now
        left = "" if fraction <= 0 else f", about {_clock((now - began) * (1 / fraction - 1))} left"
        line = f"{job}: {stage}, {100 * fraction:.0f} % after {_clock(now - began)}{left}"
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def end(self, job: str, outcome: str) -> None:
        """Take a job off the board.

        Parameters
        ----------
        job : str
            Label of the job.
        outcome : str
            ``done``, ``already done`` or ``failed``.
        """
        self.ended += 1
        seconds = time.monotonic() - self.started.get(job, time.monotonic())
        if self.progress:
            if job in self.bars:
                self.progress.remove_task(self.bars.pop(job))
            self.progress.update(self.all, completed=self.ended)
        if not self.quiet:
            took = f" in {seconds:.1f} s" if job in self.started else ""
            line = f"[{self.ended}/{self.total}] {job}: {outcome}{took}"
            self.console.print(line, markup=False, highlight=False, soft_wrap=True)


def _clock(seconds: float) -> str:
    """Seconds for people."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"
