"""Zero-intelligence traders."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hmarl.policies.base import Seen, Spec, Stateless
from retail.devices import self_consumption
from retail.streams import stream


@dataclass(frozen=True)
class ZI:
    """Zero-intelligence trader: self-consumption, and a uniformly random limit price within the tariff's bounds.

    With limits at the buy price and the feed-in price, ZI-C (constrained) and ZI-U coincide.

    Source: Gode and Sunder (1993), Journal of Political Economy 101, 119-137, doi 10.1086/261868.
    """

    def start(self, spec: Spec) -> ZITrader:
        """Start the traders.

        Parameters
        ----------
        spec : Spec
            Game and seed (stream ``zi``).

        Returns
        -------
        ZITrader
            Prices as shares of the range between feed-in and buy price.
        """
        return ZITrader(spec)


class ZITrader(Stateless):
    """Live zero-intelligence traders; a day's prices are drawn once, so they do not depend on the batch."""

    heads: tuple[str, ...] = ("battery", "price")

    def __init__(self, spec: Spec) -> None:
        c = spec.retail.community
        self.game = spec.retail
        draws = stream(spec.seed, "zi").uniform(-1, 1, (c.days, c.steps, c.prosumers))
        self.price = torch.from_numpy(draws)

    def act(self, seen: Seen, explore: bool) -> Tensor:
        """Self-consume and quote at random.

        Parameters
        ----------
        seen : Seen
            State in kWh.
        explore : bool
            No difference: the random price is the policy.

        Returns
        -------
        Tensor [B, N, 2]
            Battery head, price head in [-1, 1].
        """
        state = seen.state
        wish = self_consumption(self.game.base(state), self.game.community.battery)
        battery = self.game.action_for(state, wish)
        return torch.stack([battery, self.price[state.days, state.step]], -1)
