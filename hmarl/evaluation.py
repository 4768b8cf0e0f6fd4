"""Playing days with exploration off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from hmarl.policies.base import Learner, Seen
from hmarl.public import publish, reads_public, unpublished
from retail.game import Game
from retail.observation import Features
from retail.state import Outcome, State, combine, day_record, write_step
from retail.streams import stream
from retail.tariff import Tariff


@dataclass(frozen=True)
class Played:
    """Days that were played.

    Attributes
    ----------
    days : Tensor [D] int64
        Days of the community.
    tariff : Tariff [D, T]
        Prices of these days.
    outcome : Outcome of Tensor [D, T, N]
        Step outcomes in kWh, Wh, $ and nano-currency.
    stored : Tensor [D, T, N] kWh
        Stored energy after each step.
    """

    days: Tensor
    tariff: Tariff
    outcome: Outcome
    stored: Tensor

    @property
    def cost(self) -> Tensor:
        """Cost of the community by day, wear included, Tensor [D] $."""
        return self.outcome.cost.sum((-1, -2))

    @property
    def bill(self) -> Tensor:
        """Cash bill of the community by day (with shortfall charges), Tensor [D] $."""
        return (self.outcome.bill + self.outcome.shortfall).sum((-1, -2))

    @property
    def net(self) -> Tensor:
        """Net load of the community, Tensor [D, T] kWh, + = import."""
        return self.outcome.net.sum(-1)


def arrivals(game: Game, seed: int) -> Tensor:
    """Order of arrival in every auction of a run, the same for every arm of a study.

    Parameters
    ----------
    game : Game
        With D days, T steps and N prosumers.
    seed : int
        Seed of the run (stream ``arrival``).

    Returns
    -------
    Tensor [D, T, N] int64
        Permutations of 0..N-1.
    """
    c = game.community
    # Random bits with the position below them: one fast integer sort gives a permutation.
    bits = stream(seed, "arrival").integers(0, 1 << 48, (c.days, c.steps, c.prosumers), dtype=np.int64)
    key = (bits << 14) | np.arange(c.prosumers)
    key.sort(axis=-1)
    return torch.from_numpy(key & ((1 << 14) - 1))


def play(game: Game, learner: Learner, days: Tensor, tariff: Tariff, arrival: Tensor) -> Played:
    """Play days with exploration off.

    Parameters
    ----------
    game : Game
        Rules.
    learner : Learner
        Acts for all prosumers.
    days : Tensor [D] int64
        Days of the community, ascending; under ``storage_end: carry`` they are played one after the other, and stores
        begin anew after every gap.
    tariff : Tariff [T] or [community days, T]
        Prices; a tariff with a day axis is indexed by day.
    arrival : Tensor [community days, T, N] int64
        From ``arrivals``.

    Returns
    -------
    Played
        Step outcomes [D, T, N].
    """
    prices = tariff.on(days)
    if game.terminates or len(days) <= 1:
        outcome, stored = play_rows(game, learner, days, prices, arrival[days], None)
        return Played(days, prices, outcome, stored)
    parts, carried = [], None
    for i, goes_on in enumerate([False, *follows(days)]):
        one = days[i : i + 1]
        outcome, stored = play_rows(game, learner, one, prices[i : i + 1], arrival[one], carried if goes_on else None)
        carried = stored[:, -1]
        parts.append(Played(one, prices[i : i + 1], outcome, stored))
    return merged(parts)


def merged(parts: Sequence[Played]) -> Played:
    """Put played days in order of time.

    Parameters
    ----------
    parts : sequence of Played
        Different days of one community.

    Returns
    -------
    Played
        All of them, kWh and $ untouched.
    """
    days = torch.cat([p.days for p in parts])
    order = days.argsort()
    tariff = Tariff(*(torch.cat([getattr(p.tariff, f.name) for p in parts])[order] for f in fields(Tariff)))
    outcome = combine([p.outcome for p in parts], lambda part: torch.cat(part)[order])
    return Played(days[order], tariff, outcome, torch.cat([p.stored for p in parts])[order])


def follows(days: Tensor) -> list[bool]:
    """Whether each day but the first comes right after the one before it.

    Parameters
    ----------
    days : Tensor [D] int64
        Days of the community.

    Returns
    -------
    list of bool [D - 1]
        False at a gap.
    """
    steps: list[int] = torch.diff(days).tolist()
    return [step == 1 for step in steps]


def stretches(days: Tensor) -> list[tuple[int, int]]:
    """Stretches of days without a gap.

    Parameters
    ----------
    days : Tensor [D] int64
        Days of the community, ascending.

    Returns
    -------
    list of (int, int)
        Positions [first, last).
    """
    cuts = [0, *(i + 1 for i, next_day in enumerate(follows(days)) if not next_day), len(days)]
    return list(pairwise(cuts))


def lane_costs(game: Game, learner: Learner, days: Tensor, tariff: Tariff, arrival: Tensor, lanes: int) -> Tensor:
    """Mean cost of several variants of one learner, side by side.

    Parameters
    ----------
    game : Game
        Rules.
    learner : Learner
        Acts for ``lanes`` rows that differ in its own numbers; a batch holds all lanes of a day, days inside lanes.
    days : Tensor [D] int64
        Days of the community.
    tariff : Tariff [T] or [community days, T]
        Prices.
    arrival : Tensor [community days, T, N] int64
        From ``arrivals``.
    lanes : int
        K.

    Returns
    -------
    Tensor [K] $
        Cost of the community per day, wear included.
    """
    prices = tariff.on(days)
    if game.terminates:
        rows = torch.arange(len(days)).repeat(lanes)
        outcome, _ = play_rows(game, learner, days[rows], prices[rows], arrival[days[rows]], None)
        return outcome.cost.sum((-1, -2)).reshape(lanes, -1).mean(1)
    total, carried = torch.zeros(lanes, dtype=torch.float64), None
    for i, goes_on in enumerate([False, *follows(days)]):
        rows = torch.full((lanes,), i)
        begin = carried if goes_on else None
        outcome, stored = play_rows(game, learner, days[rows], prices[rows], arrival[days[rows]], begin)
        total, carried = total + outcome.cost.sum((-1, -2)), stored[:, -1]
    return total / len(days)


def play_rows(
    game: Game, learner: Learner, days: Tensor, tariff: Tariff, arrival: Tensor, stored: Tensor | None = None
) -> tuple[Outcome, Tensor]:
    """Play R rows side by side, each with a day, prices and arrivals of its own, exploration off.

    Parameters
    ----------
    game : Game
        Rules.
    learner : Learner
        Acts for all prosumers.
    days : Tensor [R] int64
        Days of the community; one may occur often.
    tariff : Tariff [R, T]
        Prices of each row.
    arrival : Tensor [R, T, N] int64
        Order of arrival of each row.
    stored : Tensor [R, N] kWh, optional
        Where the stores begin.

    Returns
    -------
    Outcome of Tensor [R, T, N]
    Tensor [R, T, N] kWh
        Stored energy after each step.
    """
    state = game.reset(days, tariff, arrival, stored, features=learner.reads_features)
    steps, record = game.community.steps, None
    after = torch.empty(len(days), steps, game.community.prosumers, dtype=torch.float64)
    public = unpublished(learner, len(days), game.community.prosumers).vector
    with torch.no_grad():
        for step in range(steps):
            action = learner.act(look(game, learner, state, public), explore=False)
            before = state
            state, outcome = game.step(state, action, learner.heads)
            if reads_public(learner):
                public = publish(game, before, outcome, action).vector
            # Written where it stays: a list of steps to stack would need twice the memory.
            record = day_record(outcome, steps) if record is None else record
            write_step(record, outcome, step)
            after[:, step] = state.stored
    assert record is not None  # a day has steps
    return record, after


def look(game: Game, learner: Learner, state: State, public: Tensor | None = None) -> Seen:
    """What a learner gets to see.

    Parameters
    ----------
    game : Game
        Rules.
    learner : Learner
        Declares whether it reads features.
    state : State
        Of B days.
    public : Tensor [B, Z], optional
        What was published of the step before; as at the start of a day when absent.

    Returns
    -------
    Seen
        Features (scaled) or none, the state (kWh, ticks), and what was published.
    """
    features = game.features(state) if learner.reads_features else Features(torch.empty(0), torch.empty(0))
    if public is None:
        public = unpublished(learner, len(state.days), game.community.prosumers).vector
    return Seen(features, state, state.step, public)
