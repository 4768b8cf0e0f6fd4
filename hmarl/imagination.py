"""Imagined steps of single homes: the game's own physics and costs, with modelled trades."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hmarl.readings import Readings
from retail.devices import at_meter, feasible_range, from_meter, self_consumption, wear
from retail.game import Game
from retail.observation import PRICE_SCALE, Features
from retail.storage_end import end_of_day


@dataclass(frozen=True)
class Imagined:
    """What a step would bring.

    Attributes
    ----------
    reward : Tensor [..., N] $
        Own saving, as the game counts it under reward ``own``.
    stored : Tensor [..., N] kWh
        After the step.
    traded, paid : Tensor [..., N] kWh, $/kWh
        With peers.
    """

    reward: Tensor
    stored: Tensor
    traded: Tensor
    paid: Tensor


@dataclass(frozen=True)
class Imagination:
    """Plays single steps of a committed game on features, with forecast trades in place of the auction.

    Parameters
    ----------
    game : Game
        Physics, costs, end of the day.
    """

    game: Game

    @property
    def readings(self) -> Readings:
        """Features in units."""
        return Readings(self.game)

    def range(self, stored: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Least and largest store change of a step, each [..., N] kWh."""
        c = self.game.community
        restore = self.game.storage_end == "restore"
        return feasible_range(stored, c.battery, c.step_hours, c.steps - step - 1, restore)

    def head_for(self, features: Features, quantity: Tensor) -> Tensor:
        """Battery head at which the meter shows a quantity [..., N] kWh, cut to [-1, 1]."""
        battery, hours = self.game.community.battery, self.game.community.step_hours
        net = self.readings.net(features)
        change = from_meter(quantity - net, battery)
        if self.game.action == "residual":
            change = change - self_consumption(net, battery)
        rating = torch.where(change > 0, battery.charge_kw, battery.discharge_kw) * hours
        return (change / rating.clamp(min=1e-12) * (rating > 0)).clamp(-1, 1)

    def step(
        self,
        features: Features,
        step: int,
        asked: dict[str, Tensor],
        forecast: tuple[Tensor, ...],
        dearest: Tensor,
    ) -> Imagined:
        """Move the store, trade as forecast, settle the rest at the tariff.

        As much as the forecast quantity is matched, on the same side, if the limit price is no worse than the forecast
        price; the rest goes to the grid.

        Parameters
        ----------
        features : Features
            Of one step, [..., P].
        step : int
            Of the day.
        asked : dict of Tensor [..., N]
            Heads ``battery`` and ``price``, each in [-1, 1]; truthful prices without the latter.
        forecast : two of Tensor [..., N]
            Quantity over size, and price over ``PRICE_SCALE``.
        dearest : Tensor [..., 1] $/kWh
            Highest buy price of the day.

        Returns
        -------
        Imagined
            Of each home as if it were alone.
        """
        c, read = self.game.community, self.readings
        battery, net, stored = c.battery, read.net(features), read.stored(features)
        buy, sell = read.price(features, "buy"), read.price(features, "sell")
        head = asked["battery"].double() if "battery" in asked else torch.zeros_like(net)
        wish = head * torch.where(head > 0, battery.charge_kw, battery.discharge_kw) * c.step_hours
        if self.game.action == "residual":
            wish = wish + self_consumption(net, battery)
        low, high = self.range(stored, step)
        change = torch.minimum(torch.maximum(wish, low), high)
        position = net + at_meter(change, battery)
        quantity, price = forecast[0].double() * read.size, forecast[1].double() * PRICE_SCALE
        price = torch.minimum(torch.maximum(price, sell), buy)
        if "price" in asked:
            limit = sell + (asked["price"].double() + 1) / 2 * (buy - sell)
        else:
            limit = torch.where(position > 0, buy, sell)
        crosses = torch.where(position > 0, limit >= price, limit <= price) & (position * quantity > 0)
        traded = torch.sign(position) * torch.minimum(position.abs(), quantity.abs()) * crosses
        grid = position - traded
        cost = price * traded + buy * grid.clamp(min=0) + sell * grid.clamp(max=0)
        cost = cost + wear(change, battery, c.step_hours)
        after = stored + change
        if step == c.steps - 1:
            shortfall, value = end_of_day(after, battery, self.game.storage_end, dearest, self.game.end_value)
            cost = cost + shortfall - value
        without = buy * net.clamp(min=0) + sell * net.clamp(max=0)
        return Imagined(without - cost, after, traded, price * (traded != 0))
