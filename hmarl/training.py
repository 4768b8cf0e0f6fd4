"""Collect, learn, evaluate: how a learner becomes better on training days."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor

from hmarl.evaluation import lane_costs, look, play
from hmarl.policies.base import Descending, Learner, Rollout, Tunable
from retail.game import Game
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
    """

    game: Game
    days: Tensor
    arrival: Tensor


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
        If rewards or losses stop being numbers.
    """
    if learner.training == "tune":
        return [_tune(cast("Tunable", learner), ground, tariff)]
    rule = getattr(learner, "rule", None)
    rows: list[Row] = [] if rule is None else [_tune(rule, ground, tariff)]
    if learner.training == "none" or episodes <= 0:
        return rows
    updates = -(-episodes // batch_days)
    carried: Tensor | None = None
    for k in range(updates):
        days, played = _draw(ground.days, batch_days, rng), done + (k + 1) * batch_days
        row: Row = {"episode": played}
        if learner.training == "gradient":
            state = ground.game.reset(days, tariff.on(days), ground.arrival[days])
            row |= cast("Descending", learner).descend(state, played / max(budget, 1))
        else:
            rollout, carried = collect(learner, ground, tariff, days, carried)
            row |= {"reward_per_day": float(rollout.reward.sum(0).mean())}
            row |= dict(learner.learn(rollout, played / max(budget, 1)))
        broken = [name for name, value in row.items() if isinstance(value, float) and not np.isfinite(value)]
        if broken:
            raise TrainingError(
                f"{type(learner).__name__} broke at episode {played}: {', '.join(broken)} is not a number; "
                "lower the learning rate or the noise."
            )
        if (k + 1) % evaluate_every == 0 or k == updates - 1:
            row["training_cost_per_day"] = float(
                play(ground.game, learner, ground.days, tariff, ground.arrival).cost.mean()
            )
        rows.append(row)
        report("training", (k + 1) / updates)
    return rows


def collect(
    learner: Learner, ground: Ground, tariff: Tariff, days: Tensor, stored: Tensor | None = None
) -> tuple[Rollout, Tensor | None]:
    """Play a batch of days with exploration on.

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
    for _ in range(game.community.steps):
        seen = look(game, learner, state)
        action = learner.act(seen, explore=True)
        state, outcome = game.step(state, action, learner.heads)
        features.append(seen.features)
        actions.append(action)
        rewards.append(outcome.reward.to(torch.float32))
    features.append(look(game, learner, state).features)
    stacked = Features(*(torch.stack(part) for part in zip(*features, strict=True)))
    rollout = Rollout(stacked, torch.stack(actions), torch.stack(rewards), game.terminates)
    return rollout, None if game.terminates else state.stored


def _draw(days: Tensor, count: int, rng: np.random.Generator) -> Tensor:
    """Every day equally often, up to one, in random order."""
    rounds = -(-count // len(days))
    order = np.concatenate([rng.permutation(len(days)) for _ in range(rounds)])[:count]
    return days[torch.from_numpy(order)]


def _tune(learner: Tunable, ground: Ground, tariff: Tariff, rows_at_once: int = 4096) -> Row:
    """Try all candidates at once, as rows of one batch."""
    candidates, days = torch.tensor(learner.candidates, dtype=torch.float64), ground.days
    costs = []
    # Under ``carry`` days follow each other, so a batch holds one row for each candidate, not one for each day too.
    rows_each = len(days) if ground.game.terminates else 1
    for part in candidates.split(max(1, rows_at_once // rows_each)):
        learner.numbers = part.repeat_interleave(rows_each, 0)
        costs.append(lane_costs(ground.game, learner, days, tariff, ground.arrival, len(part)))
    row: Row = {"episode": 0.0}
    return row | dict(learner.choose(torch.cat(costs)))
