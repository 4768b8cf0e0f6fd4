"""Collect, learn, evaluate: how a learner becomes better on training days."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import cast

import numpy as np
import torch
from torch import Tensor

from hmarl.asynchronous import Made, Shareable, by_workers
from hmarl.diagnosis import EXPLODED, broken_tensors
from hmarl.evaluation import look, play
from hmarl.halfway import Halfway, Keeper, fingerprint
from hmarl.policies.base import Descending, Learner, Misfit, Rollout, Tunable
from hmarl.public import publish, reads_public, unpublished
from hmarl.tuning import tune
from retail.game import Game, GameError
from retail.observation import Features
from retail.tariff import Tariff

Report = Callable[[str, float], None]
Row = dict[str, float | str]


class TrainingError(RuntimeError):
    """Learning that went wrong; the message names policy, episode and tensor."""


@dataclass(frozen=True)
class Ground:
    """Where a learner trains.

    Attributes
    ----------
    game : Game
        Rules.
    days : Tensor [D] int64
        Training days of the community.
    arrival : Tensor [community days, T, N] int64
        Order of arrival in each auction.
    keeper : Keeper or None
        Where a training keeps its state, so that a stopped one goes on with the same bytes; nowhere when None.
    journal : callable or None
        Gets each row of the training log as it is made, e.g. ``hmarl.tensorboard.Journal``.
    """

    game: Game
    days: Tensor
    arrival: Tensor
    keeper: Keeper | None = None
    journal: Callable[[Row], None] | None = None


def train(
    learner: Learner,
    ground: Ground,
    tariff: Tariff,
    episodes: int,
    rng: np.random.Generator,
    *,
    batch_days: int = 96,
    done: int = 0,
    budget: int = 1,
    evaluate_every: int = 20,
    report: Report = lambda label, share: None,
) -> list[Row]:
    """Improve a learner at a tariff.

    Parameters
    ----------
    learner : Learner
        Of any policy; those without training return at once.
    ground : Ground
        Game and training days.
    tariff : Tariff [T] or [community days, T]
        Prices in ticks.
    episodes : int
        Days to play, rounded up to whole batches.
    rng : numpy.random.Generator
        Stream ``days``: which days are played.
    batch_days : int
        Parallel days of an update.
    done, budget : int
        Episodes already played and planned in all; sets the learner's progress.
    evaluate_every : int
        Updates between evaluations on training days, exploration off; the last update is always evaluated.
    report : callable
        Gets a label and the share done, 0..1.

    Returns
    -------
    list of dict
        One row per update: episode, mean reward ($ per home and day), scalars of the learner; with evaluations the
        cost of the community ($ a day). First, for a learner with a rule (``Assisted``), what tuning chose.

    Raises
    ------
    TrainingError
        If rewards, losses or actions stop being numbers; it names episode, agent and tensor.
    """
    if learner.training == "tune":
        return [tune(cast("Tunable", learner), ground.game, ground.days, tariff, ground.arrival)]
    rule = getattr(learner, "rule", None)
    tuned: list[Row] = [] if rule is None else [tune(rule, ground.game, ground.days, tariff, ground.arrival)]
    if learner.training == "none" or episodes <= 0:
        return tuned
    updates = -(-episodes // batch_days)
    beginning = _beginning(learner, ground, tariff, rng, (episodes, batch_days, done, budget))
    crew = _crew(learner, ground, tariff, rng, (batch_days, done, budget, updates), evaluate_every)
    # Asynchronous workers cannot be repeated, so nothing of theirs is kept half-way.
    keeper = ground.keeper if crew is None else None
    kept = None if keeper is None else keeper.read(beginning)
    rows: list[Row] = [] if kept is None else kept.rows
    carried: Tensor | None = None if kept is None else kept.carried
    if kept is not None:
        learner.load(kept.learner)
        rng.bit_generator.state = kept.days
    for k in range(len(rows), updates):
        played = done + (k + 1) * batch_days
        if crew is None:
            days = _draw(ground.days, batch_days, rng)
            with _diagnosed(learner, played):
                row, carried = _update(learner, ground, tariff, days, played, budget, carried)
        else:
            reward, scalars = next(crew)
            row = _whole(learner, {"episode": played, "reward_per_day": reward, **scalars})
        if (k + 1) % evaluate_every == 0 or k == updates - 1:
            with _diagnosed(learner, played):
                cost = play(ground.game, learner, ground.days, tariff, ground.arrival).cost.mean()
            row["training_cost_per_day"] = float(cost)
        rows.append(row)
        if ground.journal is not None:
            ground.journal(row)
        if keeper is not None and keeper.due(k + 1, updates):
            state = learner.state()
            keeper.write(Halfway(beginning, state, dict(rng.bit_generator.state), rows, carried))
        report("training", (k + 1) / updates)
    return tuned + rows


def _beginning(
    learner: Learner, ground: Ground, tariff: Tariff, rng: np.random.Generator, counts: tuple[int, ...]
) -> str:
    """Fingerprint of a training before its first update; empty where nothing is kept."""
    if ground.keeper is None:
        return ""
    prices = [getattr(tariff, f.name) for f in fields(tariff)]
    try:
        return fingerprint(learner.state(), rng.bit_generator.state, prices, ground.days, counts)
    except TypeError as error:  # all but the state is ours
        raise Misfit(f"{type(learner).__name__}.state() cannot be kept: {error}.") from error


def _update(
    learner: Learner,
    ground: Ground,
    tariff: Tariff,
    days: Tensor,
    played: int,
    budget: int,
    carried: Tensor | None,
) -> tuple[Row, Tensor | None]:
    """One batch of days; the row of the log, and where the stores ended."""
    row: Row = {"episode": played}
    if learner.training == "gradient":
        state = ground.game.reset(days, tariff.on(days), ground.arrival[days])
        row |= cast("Descending", learner).descend(state, played / max(budget, 1))
    else:
        rollout, carried = collect(learner, ground, tariff, days, carried)
        row |= {"reward_per_day": float(rollout.reward.sum(0).mean())}
        row |= dict(learner.learn(rollout, played / max(budget, 1)))
    return _whole(learner, row), carried


def _whole(learner: Learner, row: Row) -> Row:
    """The row itself, if all its entries are numbers of a sensible size."""
    broken = [name for name, value in row.items() if isinstance(value, float) and not abs(value) <= EXPLODED]
    if broken:
        raise _broken(learner, row["episode"], ", ".join(f"{name} is {row[name]}" for name in broken))
    return row


@contextlib.contextmanager
def _diagnosed(learner: Learner, played: int) -> Iterator[None]:
    """Say of an action that is no number when it came and which tensor is to blame."""
    try:
        yield
    except GameError as error:
        raise _broken(learner, played, str(error).partition(";")[0]) from error


def _broken(learner: Learner, played: float | str, what: str) -> TrainingError:
    tensors = "; ".join(broken_tensors(learner.state())) or "all tensors of its state are numbers"
    return TrainingError(
        f"{type(learner).__name__} broke at episode {played}: {what} ({tensors}); lower the learning rate or the noise."
    )


def _crew(
    learner: Learner,
    ground: Ground,
    tariff: Tariff,
    rng: np.random.Generator,
    counts: tuple[int, int, int, int],
    evaluate_every: int,
) -> Iterator[Made] | None:
    """Workers that play and learn on their own, for learners that ask for some."""
    if not getattr(learner, "workers", 0):
        return None
    batch_days, done, budget, updates = counts
    shares = ((done + (k + 1) * batch_days) / max(budget, 1) for k in range(updates))
    jobs = [(_draw(ground.days, batch_days, rng), share) for share in shares]
    return by_workers(cast("Shareable", learner), Collector(ground, tariff), jobs, evaluate_every)


@dataclass
class Collector:
    """Plays days for a worker, and carries stores from batch to batch where the game does.

    Parameters
    ----------
    ground : Ground
        Game and arrivals.
    tariff : Tariff
        Prices in ticks.
    carried : Tensor [B, N] kWh, optional
        Where the stores are (``storage_end: carry``).
    """

    ground: Ground
    tariff: Tariff
    carried: Tensor | None = None

    def __call__(self, learner: Learner, job: Tensor) -> Rollout:
        """Play the days [B] of a job with exploration on."""
        rollout, self.carried = collect(learner, self.ground, self.tariff, job, self.carried)
        return rollout

    def of_worker(self, place: int) -> Collector:
        """The same for all workers: which days are played is said by the job."""
        return self


def collect(
    learner: Learner,
    ground: Ground,
    tariff: Tariff,
    days: Tensor,
    stored: Tensor | None = None,
    *,
    explore: bool = True,
) -> tuple[Rollout, Tensor | None]:
    """Play a batch of days and keep what the learner saw.

    Parameters
    ----------
    learner : Learner
        Acts.
    ground : Ground
        Game and arrivals.
    tariff : Tariff [T] or [community days, T]
        Prices in ticks.
    days : Tensor [B] int64
        Days of the community.
    stored : Tensor [B, N] kWh, optional
        Where the stores start (``storage_end: carry``).
    explore : bool
        Whether it explores.

    Returns
    -------
    Rollout
        Features (scaled), actions, rewards ($), time first.
    Tensor [B, N] kWh or None
        Where the stores ended, under ``carry`` only.
    """
    game = ground.game
    state = game.reset(days, tariff.on(days), ground.arrival[days], stored)
    features, actions, rewards = [], [], []
    public = [unpublished(learner, len(days), game.community.prosumers)]
    for _ in range(game.community.steps):
        seen = look(game, learner, state, public[-1].vector)
        action = learner.act(seen, explore=explore)
        before = state
        state, outcome = game.step(state, action, learner.heads)
        public.append(publish(game, before, outcome, action) if reads_public(learner) else public[-1])
        features.append(seen.features)
        actions.append(action)
        rewards.append(outcome.reward.to(torch.float32))
    features.append(look(game, learner, state).features)
    stacked = Features(*(torch.stack(part) for part in zip(*features, strict=True)))
    published = [torch.stack(part) for part in zip(*public[1:], strict=True)]
    rollout = Rollout(stacked, torch.stack(actions), torch.stack(rewards), game.terminates, *published)
    return rollout, None if game.terminates else state.stored


def _draw(days: Tensor, count: int, rng: np.random.Generator) -> Tensor:
    """Every day equally often, up to one, in random order."""
    rounds = -(-count // len(days))
    order = np.concatenate([rng.permutation(len(days)) for _ in range(rounds)])[:count]
    return days[torch.from_numpy(order)]
