"""Asynchronous learning (A3C): processes that play and learn on their own, on nets in shared memory.

Each worker copies the shared nets, plays its days, and adds its gradient steps to the shared nets without a lock (Mnih
et al. 2016, arXiv 1602.01783; Recht et al. 2011, NIPS). One worker does exactly what the synchronous learner does; with
more the result depends on timing and cannot be repeated.
"""

from __future__ import annotations

import queue
import traceback
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn
from torch.multiprocessing import get_context

from hmarl.policies.base import Learner, Rollout, Spec
from hmarl.study_file.plugin_code import LoadedFiles
from retail.streams import torch_stream

Made = tuple[float, Mapping[str, float]]
"""Mean return of an agent, and scalars of the learner."""
ADAM = ("step", "exp_avg", "exp_avg_sq")
PATIENCE_S = 2.0
"""How often a waiting parent looks whether its workers live, s."""


class WorkerError(RuntimeError):
    """A worker that ended early; the message says which and why."""


class Player(Protocol):
    """Plays one job with exploration on; moves to a worker by pickling."""

    def __call__(self, learner: Learner, job: Any) -> Rollout:
        """Play.

        Parameters
        ----------
        learner : Learner
            Acts.
        job : Any
            Which days, or whatever the environment needs.

        Returns
        -------
        Rollout
            Of B days.
        """
        ...

    def of_worker(self, place: int) -> Player:
        """The player of a worker: the same for the first, with random numbers of its own for all others."""
        ...


class Shareable(Learner, Protocol):
    """A learner whose gradient steps can be redirected to nets in shared memory.

    Attributes
    ----------
    policy, spec : Any, Spec
        ``policy.start(spec)`` makes an equal learner in a worker.
    workers : int
        0: synchronous.
    parameters : list of Tensor
        In a fixed order.
    optimizer : torch.optim.Adam
        Over ``parameters``.
    noise : torch.Generator
        Of exploration.
    advance : callable
        Takes the gradient step.
    calibrated : bool
        Whether scales are known; they come from the first rollout, which is learned before workers start.
    """

    policy: Any
    spec: Spec
    workers: int
    optimizer: torch.optim.Optimizer
    noise: torch.Generator
    advance: Any

    @property
    def parameters(self) -> list[Tensor]:
        """All parameters, in a fixed order."""
        ...

    @property
    def calibrated(self) -> bool:
        """Whether scales are known."""
        ...


class Crew:
    """Workers of one learner; a context manager, since processes must end.

    Parameters
    ----------
    learner : Shareable
        Calibrated; its parameters and Adam's moments move to shared memory and stay the learner's own.
    player : Player
        A copy goes to each worker.
    """

    def __init__(self, learner: Shareable, player: Player) -> None:
        self.learner = learner
        context = get_context("spawn")
        self.jobs, self.done, self.end = context.Queue(), context.Queue(), context.Event()
        parameters, moments = _share(learner)
        state = {k: v for k, v in learner.state().items() if k not in ("optimizer", "parameters")}
        fixed = (learner.policy, learner.spec, state, parameters, moments, self.jobs, self.done, self.end)
        self.processes = [
            context.Process(target=_work, args=(LoadedFiles(), place, player.of_worker(place), *fixed), daemon=True)
            for place in range(learner.workers)
        ]

    def __enter__(self) -> Self:
        for process in self.processes:
            process.start()
        return self

    def __exit__(self, *reason: object) -> None:
        for process in self.processes:
            process.terminate()
            process.join()

    def run(self, jobs: Sequence[tuple[Any, float]]) -> list[Made]:
        """Do jobs and wait for all of them.

        Parameters
        ----------
        jobs : sequence of (job, progress)
            What to play, and the share of the training budget used by then.

        Returns
        -------
        list of (float, mapping)
            Mean return of an agent and scalars of the learner, in the order of jobs.
        """
        for place, job in enumerate(jobs):
            self.jobs.put((place, *job))
        made = dict(self._next() for _ in jobs)
        return [made[place] for place in range(len(jobs))]

    def finish(self) -> None:
        """End all workers in good order; the learner takes over the noise of the first."""
        for _ in self.processes:
            self.jobs.put(None)
        self.learner.noise.set_state(dict(self._next() for _ in self.processes)[0])

    def _next(self) -> tuple[int, Any]:
        while True:
            try:
                place, value = self.done.get(timeout=PATIENCE_S)
            except queue.Empty:
                dead = [p for p in self.processes if p.exitcode not in (None, 0)]
                if dead:
                    raise WorkerError(
                        f"A worker of {type(self.learner).__name__} ended with code {dead[0].exitcode}."
                    ) from None
                continue
            if isinstance(value, str):
                raise WorkerError(f"A worker of {type(self.learner).__name__} failed:\n{value}")
            return place, value


def by_workers(learner: Shareable, player: Player, jobs: Sequence[tuple[Any, float]], every: int) -> Iterator[Made]:
    """Play and learn by workers.

    Parameters
    ----------
    learner : Shareable
        With at least one worker; before each result that ends a stretch it has learned all jobs up to there.
    player : Player
        Plays a job.
    jobs : sequence of (job, progress)
        At least one; what to play, and the share of the training budget used by then.
    every : int
        Length of a stretch: workers wait at its end, so that the learner can be judged.

    Yields
    ------
    float, mapping
        Mean return of an agent and scalars of the learner, in the order of jobs.
    """
    first: list[Made] = []
    if not learner.calibrated:
        rollout = player(learner, jobs[0][0])
        first = [(float(rollout.reward.sum(0).mean()), learner.learn(rollout, jobs[0][1]))]
    stretches = [list(jobs[k : k + every]) for k in range(0, len(jobs), every)]
    stretches[0] = stretches[0][len(first) :]
    with Crew(learner, player) as crew:
        for stretch in stretches[:-1]:
            yield from [*first, *crew.run(stretch)]
            first = []
        last = [*first, *crew.run(stretches[-1])]
        crew.finish()
    yield from last


def _share(learner: Shareable) -> tuple[list[Tensor], list[tuple[Tensor, ...]]]:
    """Move parameters and Adam's moments to shared memory, in place."""
    moments = []
    for p in learner.parameters:
        p.share_memory_()
        kept = learner.optimizer.state[p]
        moments.append(tuple(kept[name].share_memory_() for name in ADAM))
    return [p.detach() for p in learner.parameters], moments


class _Master:
    """The shared nets as a worker sees them."""

    def __init__(self, learner: Shareable, parameters: list[Tensor], moments: list[tuple[Tensor, ...]]) -> None:
        self.learner, self.parameters = learner, [nn.Parameter(p) for p in parameters]
        settings = {k: v for k, v in learner.optimizer.defaults.items() if k in ("lr", "eps", "fused")}
        self.optimizer = torch.optim.Adam(self.parameters, **settings)
        for p, kept in zip(self.parameters, moments, strict=True):
            self.optimizer.state[p] = dict(zip(ADAM, kept, strict=True))

    def fetch(self) -> None:
        """Copy the shared nets."""
        with torch.no_grad():
            for mine, shared in zip(self.learner.parameters, self.parameters, strict=True):
                mine.copy_(shared)

    def advance(self) -> None:
        """Add the worker's gradient to the shared nets, then copy them."""
        for mine, shared in zip(self.learner.parameters, self.parameters, strict=True):
            shared.grad = mine.grad
        self.optimizer.param_groups[0]["lr"] = self.learner.optimizer.param_groups[0]["lr"]
        self.optimizer.step()
        self.fetch()


def _work(
    files: LoadedFiles,
    place: int,
    player: Player,
    policy: Any,
    spec: Spec,
    state: dict[str, Any],
    parameters: list[Tensor],
    moments: list[tuple[Tensor, ...]],
    jobs: Any,
    done: Any,
    end: Any,
) -> None:
    """Life of a worker: fetch, play, learn, until there is no job left."""
    torch.set_num_threads(1)
    try:
        learner = policy.start(spec)
        begun = int(moments[0][0])
        learner.load(state | {"parameters": parameters, "optimizer": learner.optimizer.state_dict()})
        if place > 0:  # the first one goes on with the learner's own noise
            learner.noise = torch_stream(spec.seed, f"exploration of worker {place} from step {begun}")
        master = _Master(learner, parameters, moments)
        learner.advance = master.advance
        while (task := jobs.get()) is not None:
            number, job, progress = task
            master.fetch()
            rollout = player(learner, job)
            scalars = dict(learner.learn(rollout, progress))
            done.put((number, (float(rollout.reward.sum(0).mean()), scalars)))
        done.put((place, learner.noise.get_state()))
    except Exception:  # whatever it was, the parent must hear of it
        done.put((place, traceback.format_exc()))
    # The parent still reads tensors of this process, and ends it when it has them.
    end.wait()


__all__ = ["Crew", "Player", "Shareable", "WorkerError", "by_workers"]
