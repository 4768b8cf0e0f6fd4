"""Perfect foresight at home: the yardstick of what one prosumer could do alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from hmarl.pictures import picture
from hmarl.plans import Plan, follow, heads_of, plan_of
from hmarl.policies.base import Seen, Spec, Stateless
from hmarl.policies.mpc import Scope, check_scope
from retail.state import State


@dataclass(frozen=True)
class Optimal:
    """Perfect-foresight optimum of each home alone, or of the community, under exactly the game's costs.

    A yardstick, not a strategy: it knows the whole day. Limit prices are truthful.

    Plays: the retail game; scope community needs an auction

    Source: linear or convex quadratic program of one prosumer (``aggregator.portfolio``), solved by HiGHS.

    Parameters
    ----------
    scope : str
        ``home``: each home against the tariff, blind to the peer-to-peer market it then trades in. ``community``: all
        stores as one balance, the least cost there is.
    """

    foresight: ClassVar[bool] = True
    scope: Scope = "home"

    @property
    def private(self) -> bool:
        """Whether no move of a home rests on what belongs to others."""
        return self.scope == "home"

    def start(self, spec: Spec) -> Planner:
        """Start the planners.

        Parameters
        ----------
        spec : Spec
            Game in kWh and $/kWh.

        Returns
        -------
        Planner
            Plans a day when it begins.

        Raises
        ------
        Misfit
            If a community that cannot trade is to be planned as one.
        """
        check_scope("optimal", self.scope, spec.retail)
        return Planner(self, spec)


class Planner(Stateless):
    """Live planners; the plan of a day and tariff is made once and kept."""

    def __init__(self, policy: Optimal, spec: Spec) -> None:
        self.policy, self.game = policy, spec.retail
        self.heads = heads_of(self.game)
        self.plans: dict[tuple[int, bytes, bytes], Plan] = {}
        self.begins: list[bytes] = []

    def act(self, seen: Seen, explore: bool) -> Tensor:
        """Follow the plan of the day.

        Parameters
        ----------
        seen : Seen
            State in kWh and ticks.
        explore : bool
            No difference.

        Returns
        -------
        Tensor [B, N, A]
            Battery and other devices; limit prices are truthful.
        """
        state = seen.state
        if state.step == 0:
            # Under ``carry`` a day may begin anywhere, so where it began belongs to the key of its plan.
            carry = self.game.storage_end == "carry"
            self.begins = [row.numpy().tobytes() if carry else b"" for row in state.stored]
        keys = [self._key(state, row) for row in range(len(state.days))]
        missing = {k: row for row, k in enumerate(keys) if k not in self.plans}
        if missing:
            self._plan(state, missing)
        plans = [self.plans[k] for k in keys]
        now = {name: torch.stack([plan[name][state.step] for plan in plans]) for name in plans[0]}
        return follow(self.game, state, now)

    def _key(self, state: State, row: int) -> tuple[int, bytes, bytes]:
        tariff = state.tariff
        prices = tariff.buy[row].numpy().tobytes() + tariff.sell[row].numpy().tobytes()
        return int(state.days[row]), prices, self.begins[row]

    def _plan(self, state: State, missing: dict[tuple[int, bytes, bytes], int]) -> None:
        from aggregator.portfolio import BestResponse  # noqa: PLC0415  pyomo is slow to import

        rows = torch.tensor(list(missing.values()))
        # Days that begin in different states are different portfolios; otherwise all are solved together.
        batches = [rows[i : i + 1] for i in range(len(rows))] if self.game.storage_end == "carry" else [rows]
        found: list[Plan] = []
        for batch in batches:
            start = state.stored[batch[0]].numpy() if self.game.storage_end == "carry" else None
            prices, pooled = state.tariff[batch], self.policy.scope == "community"
            fee = float(prices.fee_price.min()) if pooled else 0.0
            homes = picture(self.game, state.days[batch], pooled=pooled, fee=fee, start=start)
            response = BestResponse(homes).solve(prices.buy_price, prices.sell_price)
            plan = plan_of(self.game, state.days[batch], response, pooled=pooled)
            found += [{name: move[d].contiguous() for name, move in plan.items()} for d in range(len(batch))]
        self.plans |= dict(zip(missing, found, strict=True))
