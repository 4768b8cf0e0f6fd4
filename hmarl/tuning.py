"""Searching a few numbers of a rule on training days; what one arm has searched, the next in this process knows."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor

from hmarl.evaluation import lane_costs
from hmarl.halfway import fingerprint
from hmarl.policies.base import Tunable
from retail.game import Game
from retail.tariff import Tariff

CELLS = 6_000_000
"""Homes times steps times parallel rows of one batch of candidates; each takes some 200 bytes."""

KEPT = 64
"""Searches that a process remembers: some hundred numbers each."""

_searched: OrderedDict[str, Tensor] = OrderedDict()


def tune(
    learner: Tunable, game: Game, days: Tensor, tariff: Tariff, arrival: Tensor, rows_at_once: int = 4096
) -> dict[str, float | str]:
    """Try all candidates of a rule and take the best.

    Arms of a study share homes, days and prices, and every run needs the tuned rule as a yardstick, so costs of a
    search are remembered by the contents of all they depend on.

    Parameters
    ----------
    learner : Tunable
        The rule; its numbers are changed.
    game : Game
        Rules.
    days : Tensor [D] int64
        Training days of the community.
    tariff : Tariff [T] or [community days, T]
        Prices in ticks.
    arrival : Tensor [community days, T, N] int64
        Order of arrival in each auction.
    rows_at_once : int
        Candidates times days of one batch; fewer where homes are many.

    Returns
    -------
    dict
        Row of the training log: what was chosen.
    """
    key = _key(learner, game, days, tariff, arrival)
    cost = None if key is None else _searched.get(key)
    if cost is None:
        cost = _search(learner, game, days, tariff, arrival, rows_at_once)
    if key is not None:
        _searched[key] = cost
        _searched.move_to_end(key)
        while len(_searched) > KEPT:
            _searched.popitem(last=False)
    return {"episode": 0.0, **learner.choose(cost)}


def _key(learner: Tunable, game: Game, days: Tensor, tariff: Tariff, arrival: Tensor) -> str | None:
    """Fingerprint of a search; None where a plug-in's rule or auction does not show what it consists of."""
    policy = getattr(learner, "policy", None)
    if policy is None:
        return None
    try:
        return fingerprint(policy, learner.candidates, game, days, tariff, arrival)
    except TypeError:
        return None


def _search(learner: Tunable, game: Game, days: Tensor, tariff: Tariff, arrival: Tensor, rows_at_once: int) -> Tensor:
    """Cost of every candidate, Tensor [K] $ a day: all at once, as rows of one batch, as far as memory goes."""
    candidates = torch.tensor(learner.candidates, dtype=torch.float64)
    # Under ``carry`` days follow each other, so a batch holds one row for each candidate, not one for each day too.
    rows_each = len(days) if game.terminates else 1
    rows_at_once = min(rows_at_once, CELLS // (game.community.prosumers * game.community.steps))
    costs = []
    for part in candidates.split(max(1, rows_at_once // rows_each)):
        learner.numbers = part.repeat_interleave(rows_each, 0)
        costs.append(lane_costs(game, learner, days, tariff, arrival, len(part)))
    return torch.cat(costs)
