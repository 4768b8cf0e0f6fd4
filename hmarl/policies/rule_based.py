"""The rule that a careful owner would use, tuned on training days: the honest opponent of every learner."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor

from hmarl.policies.base import Rollout, Seen, Spec, Training
from retail.devices import self_consumption
from retail.state import State


@dataclass(frozen=True)
class RuleBased:
    """Tuned time-of-use rule: self-consumption, a reserve for dearer hours, a charge from the grid in cheap hours.

    Surplus is stored. Need is covered from the store down to a reserve of ``keep`` times the own net load expected in
    later, dearer hours. In cheap hours that dearer ones follow, the store is brought to ``level`` of its capacity less
    ``room`` times the surplus expected later, spread over the cheap hours left. Never more than ``power`` of the rating
    is used, which is what wear asks for. Limit prices are truthful. The four numbers are common to all homes and are
    searched on training days; a list of one value fixes it.

    Source: in the spirit of the rule-based farms of MAPDES, and of the tuned rule that learned policies must beat.

    Parameters
    ----------
    keep : tuple of float
        Candidates for the reserve factor, at least 0.
    level : tuple of float
        Candidates for the share of capacity filled in cheap hours, 0..1; 0 never charges from the grid.
    room : tuple of float
        Candidates for the room left for expected surplus, at least 0.
    power : tuple of float
        Candidates for the largest share of the rating used, 0..1.
    band : float
        Hours within this share of the day's price range above its lowest price are cheap, and a price is dearer if it
        is higher by more than this share of the range.
    """

    keep: tuple[float, ...] = (0.0, 0.75, 1.5, 3.0)
    level: tuple[float, ...] = (0.0, 0.5, 1.0)
    room: tuple[float, ...] = (0.0, 1.0, 2.5)
    power: tuple[float, ...] = (0.1, 0.25, 0.5, 1.0)
    band: float = 0.1

    def __post_init__(self) -> None:
        wrong = []
        for name, most in (("keep", math.inf), ("level", 1.0), ("room", math.inf), ("power", 1.0)):
            values = getattr(self, name)
            if not values or not all(0 <= v <= most for v in values):
                limit = "at least 0" if most == math.inf else f"between 0 and {most:g}"
                wrong.append(f"{name} is {values}; give one or more numbers {limit}")
        if not 0 <= self.band < 1:
            wrong.append(f"band is {self.band}; it must be at least 0 and below 1")
        if wrong:
            raise ValueError("; ".join(wrong))

    def start(self, spec: Spec) -> RuleTrader:
        """Start the traders.

        Parameters
        ----------
        spec : Spec
            Game in kWh and $/kWh.

        Returns
        -------
        RuleTrader
            With the middle candidates until tuned.
        """
        return RuleTrader(self, spec)


class RuleTrader:
    """Live rule; its numbers may differ by row of a batch, which is how all candidates are tried at once."""

    training: Training = "tune"
    reads_features = False
    heads: tuple[str, ...] = ("battery",)

    def __init__(self, policy: RuleBased, spec: Spec) -> None:
        self.policy, self.game = policy, spec.retail
        # Without a grid charge the room does not matter: one candidate stands for all.
        every = product(policy.keep, policy.level, policy.room, policy.power)
        self.candidates = [c for c in every if c[1] > 0 or c[2] == policy.room[0]]
        self.numbers = torch.tensor([self.candidates[len(self.candidates) // 2]], dtype=torch.float64)

    def act(self, seen: Seen, explore: bool) -> Tensor:
        """Apply the rule.

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
        state, game, battery = seen.state, self.game, self.game.community.battery
        keep, level, room, power = (self.numbers[:, i : i + 1] for i in range(4))
        buy = state.tariff.buy.double()
        low, high = buy.amin(-1, keepdim=True), buy.amax(-1, keepdim=True)
        band = self.policy.band * (high - low)
        now = buy[:, state.step : state.step + 1]
        expected = game.observer.expected[state.days, state.step + 1 :]
        dearer = (buy[:, state.step + 1 :] > now + band).double()
        wish = self._follow(state, expected, dearer, keep)
        cheap = (now <= low + band) & (high > low)
        if bool(cheap.any()):
            charge = self._grid_charge(state, buy, band, level, room * self._later_surplus(expected))
            wish = torch.where(cheap, torch.maximum(wish, charge), wish)
        most = power * game.community.step_hours
        wish = torch.maximum(torch.minimum(wish, most * battery.charge_kw), -most * battery.discharge_kw)
        return game.action_for(state, wish).unsqueeze(-1)

    def _follow(self, state: State, expected: Tensor, dearer: Tensor, keep: Tensor) -> Tensor:
        """Store change of an ordinary hour, [B, N] kWh: store surplus, cover need down to the reserve."""
        battery = self.game.community.battery
        wish = self_consumption(self.game.base(state), battery)
        need = torch.einsum("bs,bsn->bn", dearer, expected.clamp(min=0))
        reserve = battery.store_min + keep * need / battery.eta_discharge
        spare = (state.stored - reserve).clamp(min=0)
        return torch.where(wish < 0, -torch.minimum(-wish, spare), wish)

    def _later_surplus(self, expected: Tensor) -> Tensor:
        """Surplus that each store is expected to take in later, [B, N] kWh at the meter."""
        return (-expected).clamp(min=0).sum(1)

    def _grid_charge(self, state: State, buy: Tensor, band: Tensor, level: Tensor, left: Tensor) -> Tensor:
        """Store change of a cheap hour, [B, N] kWh: the way to the target, spread over the cheap hours in a row."""
        battery = self.game.community.battery
        cheap_ahead = (buy[:, state.step :] <= buy.amin(-1, keepdim=True) + band).long()
        in_a_row = cheap_ahead.cumprod(-1).sum(-1, keepdim=True)
        follows = in_a_row < buy.shape[-1] - state.step
        target = battery.store_min + level * battery.capacity - left * battery.eta_charge
        # After the last dear hour only the way back to the start of the day is left.
        target = torch.where(follows, target, battery.start)
        charge = ((target - state.stored) / in_a_row).clamp(min=0)
        return torch.where(follows & (level == 0), torch.full_like(charge, -torch.inf), charge)

    def learn(self, rollout: Rollout, progress: float) -> Mapping[str, float]:
        """Not used: the rule is tuned, not trained; rewards ($) are ignored."""
        return {}

    def choose(self, cost: Tensor) -> Mapping[str, float]:
        """Take the best candidate.

        Parameters
        ----------
        cost : Tensor [K] $
            Cost of each candidate on training days.

        Returns
        -------
        mapping of str to float
            The chosen numbers and their cost, for the training log.
        """
        best = int(cost.argmin())
        self.numbers = torch.tensor([self.candidates[best]], dtype=torch.float64)
        names = ("keep", "level", "room", "power")
        return dict(zip(names, self.candidates[best], strict=True)) | {"cost": float(cost[best])}

    def state(self) -> dict[str, Any]:
        """The four numbers."""
        return {"numbers": self.numbers}

    def load(self, state: dict[str, Any]) -> None:
        """Take over the four numbers.

        Parameters
        ----------
        state : dict
            With ``numbers`` [1, 4].
        """
        self.numbers = state["numbers"]
