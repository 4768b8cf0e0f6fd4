"""Perfect foresight at home: the yardstick of what one prosumer could do alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hmarl.pictures import picture
from hmarl.policies.base import Seen, Spec, Stateless
from retail.state import State


@dataclass(frozen=True)
class Optimal:
    """Perfect-foresight optimum of each prosumer alone against the tariff, under exactly the game's costs.

    A yardstick, not a strategy: it knows the whole day, but ignores the peer-to-peer market it then trades in. Limit
    prices are truthful.

    Source: linear or convex quadratic program of one prosumer (``aggregator.portfolio``), solved by HiGHS.
    """

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
        """
        return Planner(spec)


class Planner(Stateless):
    """Live planners; the plan of a day and tariff is made once and kept."""

    def __init__(self, spec: Spec) -> None:
        self.game = spec.retail
        self.plans: dict[tuple[int, bytes, bytes], Tensor] = {}
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
        Tensor [B, N, 1]
            Battery head; limit prices are truthful.
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
        plan = torch.stack([self.plans[k][state.step] for k in keys])
        return self.game.action_for(state, plan).unsqueeze(-1)

    def _key(self, state: State, row: int) -> tuple[int, bytes, bytes]:
        tariff = state.tariff
        prices = tariff.buy[row].numpy().tobytes() + tariff.sell[row].numpy().tobytes()
        return int(state.days[row]), prices, self.begins[row]

    def _plan(self, state: State, missing: dict[tuple[int, bytes, bytes], int]) -> None:
        from aggregator.portfolio import BestResponse  # noqa: PLC0415  pyomo is slow to import

        rows = torch.tensor(list(missing.values()))
        # Days that begin in different states are different portfolios; otherwise all are solved together.
        batches = [rows[i : i + 1] for i in range(len(rows))] if self.game.storage_end == "carry" else [rows]
        plans = []
        for batch in batches:
            start = state.stored[batch[0]].numpy() if self.game.storage_end == "carry" else None
            homes = picture(self.game, state.days[batch], pooled=False, start=start)
            prices = state.tariff[batch]
            plans.append(BestResponse(homes).solve(prices.buy_price, prices.sell_price).store_change)
        for key, plan in zip(missing, torch.from_numpy(np.concatenate(plans)).transpose(1, 2), strict=True):
            self.plans[key] = plan.contiguous()
