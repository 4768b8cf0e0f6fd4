"""One rule for all stores of a community at once: what coordination is worth without any learning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from hmarl.policies.base import Spec
from hmarl.policies.rule_based import RuleBased, RuleTrader
from retail.state import State


@dataclass(frozen=True)
class Coordinated(RuleBased):
    """Pooled self-consumption: the tuned rule, applied to the community instead of to each home.

    A centralised yardstick: it knows all stores and the community's net load of this hour. The community's need is
    covered in proportion to what stores hold, its surplus is stored in proportion to their room; reserve and grid
    charge are set by the community's expected need and surplus. Same numbers, same search as ``rule-based``.

    Source: own; the honest opponent of every coordinating learner.
    """

    private: ClassVar[bool] = False
    keep: tuple[float, ...] = (0.0, 0.5, 1.0, 1.5)
    level: tuple[float, ...] = (0.0, 0.5, 0.75, 0.875, 1.0)
    room: tuple[float, ...] = (0.0, 0.5, 1.0)
    power: tuple[float, ...] = (0.1, 0.25, 0.5, 1.0)

    def start(self, spec: Spec) -> PooledTrader:
        """Start the stores.

        Parameters
        ----------
        spec : Spec
            Game in kWh and $/kWh.

        Returns
        -------
        PooledTrader
            With the middle candidates until tuned.
        """
        return PooledTrader(self, spec)


class PooledTrader(RuleTrader):
    """Live pooled rule."""

    def _follow(self, state: State, expected: Tensor, dearer: Tensor, keep: Tensor) -> Tensor:
        battery, hours = self.game.community.battery, self.game.community.step_hours
        net = self.game.base(state).sum(-1, keepdim=True)
        need = torch.einsum("bs,bs->b", dearer, expected.sum(-1).clamp(min=0)).unsqueeze(-1)
        stock = (state.stored - battery.store_min).clamp(min=0)
        usable = (stock * battery.eta_discharge).sum(-1, keepdim=True)
        cover = torch.minimum(net.clamp(min=0), (usable - keep * need).clamp(min=0))
        draw = cover * _share(torch.minimum(stock, battery.discharge_kw * hours) * battery.eta_discharge)
        room = torch.minimum(battery.store_max - state.stored, battery.charge_kw * hours).clamp(min=0)
        fill = (-net).clamp(min=0) * _share(room / battery.eta_charge)
        return torch.minimum(fill * battery.eta_charge, room) - torch.minimum(draw / battery.eta_discharge, stock)

    def _later_surplus(self, expected: Tensor) -> Tensor:
        pooled = (-expected.sum(-1)).clamp(min=0).sum(1, keepdim=True)
        return pooled * _share(self.game.community.battery.capacity.expand(len(pooled), -1))


def _share(weight: Tensor) -> Tensor:
    """Each home's part of the whole, [B, N]; 0 where there is nothing to share by."""
    return weight / weight.sum(-1, keepdim=True).clamp(min=1e-12)
