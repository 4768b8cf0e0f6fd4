"""Features of a retail game read back as kWh and prices: what a home itself knows of its day."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from retail.devices import at_meter
from retail.game import Game
from retail.observation import PRICE_SCALE, Features


@dataclass(frozen=True)
class Readings:
    """Names and units of features.

    Parameters
    ----------
    game : Game
        Whose observer made the features.
    """

    game: Game

    @cached_property
    def _places(self) -> dict[str, int]:
        observer = self.game.observer
        common = list(observer.common_names)
        personal = observer.names[len(common) :]
        return {n: k for k, n in enumerate(common)} | {f"own {n}": k for k, n in enumerate(personal)}

    def common(self, features: Features, name: str) -> Tensor:
        """A common feature as it is, [...]."""
        return features.common[..., self._places[name]]

    def own(self, features: Features, name: str) -> Tensor:
        """A personal feature as it is, [..., N]."""
        return features.personal[..., self._places[f"own {name}"]]

    @property
    def size(self) -> Tensor:
        """Size of each home, Tensor [N] kWh per step."""
        return self.game.observer.size

    def net(self, features: Features) -> Tensor:
        """Inflexible net load of the step, [..., N] kWh."""
        return self.own(features, "net").double() * self.size

    def stored(self, features: Features) -> Tensor:
        """Stored energy before the step, [..., N] kWh."""
        battery = self.game.community.battery
        return self.own(features, "stored").double() * battery.capacity + battery.store_min

    def price(self, features: Features, name: str) -> Tensor:
        """Tariff ``buy`` or ``sell`` of the step, [..., 1] $/kWh."""
        return self.common(features, name).double().unsqueeze(-1) * PRICE_SCALE

    def traded(self, features: Features) -> Tensor:
        """What the home bought (+) or sold in the step before, [..., N] kWh."""
        return self.own(features, "last_traded").double() * self.size

    def paid(self, features: Features) -> Tensor:
        """Price of what was traded in the step before, [..., N] $/kWh; 0 without trade."""
        return self.own(features, "last_price").double() * PRICE_SCALE

    def reward(self, features: Features) -> Tensor:
        """Reward of each step but the last, eq. (3) of Sanayha and Vateekul: minus the bill, [T, ..., N] $.

        Parameters
        ----------
        features : Features
            Of T + 1 steps of a day in a row.

        Returns
        -------
        Tensor [T, ..., N] $
            From the home's own meter, store and trades.
        """
        stored, net, traded = self.stored(features), self.net(features)[:-1], self.traded(features)[1:]
        grid = net + at_meter(stored[1:] - stored[:-1], self.game.community.battery) - traded
        buy, sell = (self.price(features, name)[:-1] for name in ("buy", "sell"))
        return -(self.paid(features)[1:] * traded + buy * grid.clamp(min=0) + sell * grid.clamp(max=0))

    def moved_on(self, features: Features, stored: Tensor, traded: Tensor, paid: Tensor) -> Tensor:
        """Personal features with another store and last trade, all else as given.

        Parameters
        ----------
        features : Features
            Of any steps.
        stored : Tensor [..., N] kWh
            Stored energy.
        traded, paid : Tensor [..., N] kWh, $/kWh
            Of the step before.

        Returns
        -------
        Tensor [..., N, P] float32
            Scaled as ever.
        """
        battery = self.game.community.battery
        room = battery.capacity.clamp(min=1e-9)
        values = {
            "stored": (stored - battery.store_min) / room,
            "stored_above_start": (stored - battery.start) / room,
            "last_traded": traded / self.size,
            "last_price": paid / PRICE_SCALE,
        }
        personal = features.personal.clone()
        for name, value in values.items():
            personal[..., self._places[f"own {name}"]] = value.float()
        return personal
