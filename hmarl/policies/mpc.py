"""Model-predictive control: plan the rest of the day on forecasts, move, plan again; the realistic ceiling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from hmarl.forecasts import expected_net
from hmarl.pictures import rest_of_day
from hmarl.policies.base import Misfit, Seen, Spec, Stateless
from retail.auctions.none import NoAuction
from retail.game import Game
from retail.state import State

Scope = Literal["home", "community"]
AT_ONCE = 4096
"""Largest number of home-days planned in one batch; it bounds memory, results do not depend on it."""


@dataclass(frozen=True)
class MPC:
    """Model-predictive control: the optimal plan for the forecast rest of the day, made anew in every step.

    Each step minimises the bill at the tariff plus wear until the end of the day, under exactly the game's costs and
    its ``storage_end``, and carries out the first move. Load and PV of this step are known, later ones expected by the
    study's section ``forecast``; the tariff of the day is known. Limit prices are truthful. Of equally good plans
    one in the middle is taken, which spreads a move over the steps that serve equally well.

    Plays: the retail game; scope community needs an auction

    Source: linear or convex quadratic program (``aggregator.portfolio``); receding horizon as in Rawlings, Mayne and
    Diehl (2017), Model Predictive Control, chapter 1.

    Parameters
    ----------
    scope : str
        ``home``: each home plans alone against the tariff and knows nothing of the others. ``community``: all stores
        are planned as one balance with all homes known, a centralised yardstick and no strategy of single homes.
    """

    scope: Scope = "home"

    @property
    def private(self) -> bool:
        """Whether no move of a home rests on what belongs to others."""
        return self.scope == "home"

    def start(self, spec: Spec) -> Controller:
        """Start the controllers.

        Parameters
        ----------
        spec : Spec
            Game in kWh and $/kWh, and the forecast.

        Returns
        -------
        Controller
            Without memory: a move depends on the state alone.

        Raises
        ------
        Misfit
            If a community that cannot trade is to be planned as one.
        """
        check_scope("mpc", self.scope, spec.retail)
        return Controller(self, spec)


def check_scope(policy: str, scope: Scope, game: Game) -> None:
    """Refuse to plan as one what settles apart.

    Parameters
    ----------
    policy : str
        Its name, for the message.
    scope : str
        ``home`` or ``community``.
    game : Game
        Has an auction, or none.

    Raises
    ------
    Misfit
        If the scope is the community and there is no auction.
    """
    if scope == "community" and isinstance(game.auction, NoAuction):
        raise Misfit(
            f"followers.scope of {policy} is 'community', but under auction none no energy changes hands; choose scope "
            "home, or an auction."
        )


class Controller(Stateless):
    """Live controllers of all homes."""

    def __init__(self, policy: MPC, spec: Spec) -> None:
        self.policy, self.spec, self.game = policy, spec, spec.retail

    def act(self, seen: Seen, explore: bool) -> Tensor:
        """Plan the rest of the day and make its first move.

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
        size = max(1, AT_ONCE // state.stored.shape[1])
        rows = torch.arange(len(state.days)).split(size)
        plan = torch.cat([self._first_move(state, part) for part in rows])
        return self.game.action_for(state, plan).unsqueeze(-1)

    def _first_move(self, state: State, rows: Tensor) -> Tensor:
        """Store change of this step, [rows, N] kWh."""
        from aggregator.portfolio import BestResponse  # noqa: PLC0415  pyomo is slow to import

        spec, pooled = self.spec, self.policy.scope == "community"
        expected = expected_net(spec.forecast, self.game.community, state.days[rows], state.step, spec.seed)
        if self.game.equipment.present:
            # Other devices follow their own rule, whose use is taken as known.
            expected = expected + self.game.equipment.usual.use[state.days[rows], state.step :].transpose(1, 2)
        tariff = state.tariff[rows]
        buy, sell = (price[:, state.step :] for price in (tariff.buy_price, tariff.sell_price))
        fee = float(tariff.fee_price.min()) if pooled else 0.0
        homes = rest_of_day(self.game, expected.numpy(), state.stored[rows].numpy(), pooled=pooled, fee=fee)
        return torch.from_numpy(BestResponse(homes, together=True).solve(buy, sell).store_change[:, :, 0].copy())
