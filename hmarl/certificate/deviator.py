"""Gains really found by playing: one home follows a plan or shades its limit price, all others act as they do."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hmarl.equilibrium.deviations import ROWS
from hmarl.evaluation import play_rows, stretches
from hmarl.plans import Plan, heads_of, load_of
from hmarl.policies.base import Learner, Seen, Stateless
from hmarl.world import World
from retail.auctions.none import NoAuction
from retail.devices import at_meter
from retail.game import Game
from retail.heads import Asked
from retail.state import State
from retail.tariff import Tariff

Array = NDArray[np.float64]


class Deviator(Stateless):
    """All homes act as they do, but in row r home ``who[r]`` follows a plan of its own.

    Parameters
    ----------
    learner : Learner
        Of all homes.
    game : Game
        Whoever gets no traded heat burns gas instead, so that electricity does not depend on the trade.
    who : Tensor [R] int64
        Deviating home of each row.
    plan : dict of str to Tensor [R, T] kWh, or None
        Its moves as named by ``hmarl.plans.plan_of``; None keeps its devices as they are.
    shade : float
        Its limit price, from the truthful one (0) to the middle of the tariff's two prices (1).
    """

    def __init__(self, learner: Learner, game: Game, who: Tensor, plan: Plan | None, shade: float) -> None:
        self.learner, self.game, self.who, self.plan, self.shade = learner, game, who, plan, shade
        self.reads_features = learner.reads_features
        own = ("price",) if plan is None else ("price", *heads_of(game))
        self.heads = (*learner.heads, *(h for h in own if h not in learner.heads))

    def act(self, seen: Seen, explore: bool) -> Tensor:
        """Actions with a price head, so that the deviating home's limit may differ.

        Parameters
        ----------
        seen : Seen
            Of R rows.
        explore : bool
            As for the learner.

        Returns
        -------
        Tensor [R, N, A]
            One column for each of ``heads``.
        """
        game, state, rows = self.game, seen.state, torch.arange(len(self.who))
        action = self.learner.act(seen, explore).to(torch.float64)
        asked = dict(zip(self.learner.heads, action.clone().unbind(-1), strict=True))
        if self.plan is not None:
            asked = self._planned(state, asked, rows)
        base = load_of(game, state, asked)
        change, _, _ = game.move(state, base, asked)
        side = torch.sign(base + at_meter(change, game.community.battery))
        asked["price"] = self._own(asked.get("price", side), side * (1.0 - self.shade), rows)
        return torch.stack([asked[h] for h in self.heads], -1)

    def _planned(self, state: State, asked: Asked, rows: Tensor) -> Asked:
        """The same heads with those of the deviating homes set by their plans, and nobody else's moves changed."""
        assert self.plan is not None
        game, equipment = self.game, self.game.equipment
        like = torch.zeros_like(state.stored)
        plan = {name: torch.index_put(like, (rows, self.who), x[:, state.step]) for name, x in self.plan.items()}
        asked = {"battery": like} | asked  # a game without the head plays it as 0
        if "curtail" in asked:  # where feeding in earns something nothing is thrown away
            wanted = asked["curtail"] * (state.tariff.dollars.sell[:, state.step, None] < 0)
            asked["curtail"] = self._own(asked["curtail"], wanted, rows)
        if equipment.present:
            # A head is for all homes: where the policy leaves one out, the others' asks for the devices' own rule.
            now = (state.levels, state.days, state.step)
            kept = equipment.heads_for(*now, equipment.operation(*now, asked)) | asked
            moved = equipment.heads_for(*now, plan)
            asked |= {head: self._own(kept[head], moved[head], rows) for head in equipment.heads}
        battery = game.action_for(state, plan["battery"], load_of(game, state, asked))
        return asked | {"battery": self._own(asked["battery"], battery, rows)}

    def _own(self, kept: Tensor, moved: Tensor, rows: Tensor) -> Tensor:
        """The one head for all homes but the deviating ones, which have the other."""
        return torch.index_put(kept, (rows, self.who), moved[rows, self.who])


def found_gains(
    world: World,
    learner: Learner,
    prices: Tariff,
    days: Tensor,
    cost: Array,
    plans: dict[str, Plan],
    who: NDArray[np.int64],
) -> Array:
    """Best mean gain of each searched home over a handful of ways to deviate.

    Parameters
    ----------
    world : World
        As for ``Deviator``.
    learner : Learner
        All homes, as they are.
    prices : Tariff [D, T]
        Of the days.
    days : Tensor [D] int64
        Ascending; under ``storage_end: carry`` stores go on from day to day until a gap.
    cost : array [D, N] $
        Of all homes as they are.
    plans : dict of str to plan [D, T, H]
        Moves of the searched homes to try, by name.
    who : array of int [H]
        Searched homes.

    Returns
    -------
    array [H] $/day
        At least 0.
    """
    best = np.zeros(len(who))
    auction = not isinstance(world.game.auction, NoAuction)
    for plan in (*plans.values(), None):
        for shade in (0.0, 0.5, 1.0) if auction else (0.0,):
            if plan is not None or shade > 0.0:
                best = np.maximum(best, _gains(world, learner, prices, days, cost, plan, who, shade))
    return best


def _gains(
    world: World,
    learner: Learner,
    prices: Tariff,
    days: Tensor,
    cost: Array,
    plan: Plan | None,
    who: NDArray[np.int64],
    shade: float,
) -> Array:
    """Mean gain of each home when it alone deviates; homes side by side, and days too unless stores carry over."""
    game, gains = world.game, np.zeros(len(who))
    every = torch.arange(len(days))
    waves = [every] if game.terminates else list(every.split(1))
    begins = {first for first, _ in stretches(days)}
    each = max(1, ROWS // (len(waves[0]) * game.community.prosumers))
    for first in range(0, len(who), each):
        some = slice(first, first + each)
        homes, carried = torch.from_numpy(who[some]), torch.empty(0)
        total = np.zeros(len(homes))
        for wave in waves:
            home, day = homes.repeat_interleave(len(wave)), wave.repeat(len(homes))
            place = torch.arange(len(who))[some].repeat_interleave(len(wave))
            moves = None if plan is None else {name: x[day, :, place] for name, x in plan.items()}
            begin = None if int(wave[0]) in begins else carried
            deviator = Deviator(learner, game, home, moves, shade)
            outcome, stored = play_rows(game, deviator, days[day], prices[day], world.arrival[days[day]], begin)
            carried = stored[:, -1]
            mine = outcome.cost.sum(1)[torch.arange(len(home)), home]
            total += mine.reshape(len(homes), -1).sum(1).numpy()
        gains[some] = (cost[:, who[some]].sum(axis=0) - total) / len(days)
    return gains
