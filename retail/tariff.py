"""Retail tariffs: what a prosumer pays and earns outside the peer-to-peer market."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

TICKS_PER_UNIT = 100_000
"""Ticks of price in one unit of currency per kWh (1 tick = 1e-5 $/kWh)."""


class TariffError(ValueError):
    """A tariff that cannot be used; the message says which price, its value and the allowed range."""


def to_ticks(price: ArrayLike | Tensor) -> Tensor:
    """Round prices to ticks, half away from zero.

    Parameters
    ----------
    price : array_like [...] $/kWh
        Finite, any sign.

    Returns
    -------
    Tensor [...] int64
        Price in ticks of 1e-5 $/kWh.

    Raises
    ------
    TariffError
        If a price is not finite.
    """
    value = np.asarray(price, dtype=np.float64) * TICKS_PER_UNIT
    if not np.isfinite(value).all():
        raise TariffError("A price is not a finite number of $/kWh; give every step of the tariff a number.")
    # A decimal like 0.285 is stored a hair below itself: rounding to 1e-4 of a tick first undoes that.
    rounded = np.copysign(np.floor(np.abs(np.round(value, 4)) + 0.5), value)
    return torch.from_numpy(np.ascontiguousarray(rounded).astype(np.int64))


class Dollars(NamedTuple):
    """Prices in floating point, for what need not be exact.

    Attributes
    ----------
    buy, sell : Tensor [..., T] float64 $/kWh
        Price of imported energy and feed-in price.
    """

    buy: Tensor
    sell: Tensor


@dataclass(frozen=True)
class Tariff:
    """The outside option of every prosumer, exact in ticks of 1e-5 $/kWh.

    The buy price is ``energy + network + levy``: the aggregator earns on ``energy`` only, network charge and levies
    pass through to their own accounts. Prices are made once and never rounded again.

    Parameters
    ----------
    energy, network, levy : Tensor [..., T] int64 ticks
        Parts of the price of imported energy, paid by the prosumer.
    sell : Tensor [..., T] int64 ticks
        Feed-in price, paid to the prosumer for exported energy.
    fee : Tensor [..., T] int64 ticks
        Network fee per kWh traded between peers, at least 0; a pair trades only if bid - ask >= fee.

    Raises
    ------
    TariffError
        If a step has ``sell > buy`` (free money for anyone who buys and sells at once) or a negative fee.
    """

    energy: Tensor
    network: Tensor
    levy: Tensor
    sell: Tensor
    fee: Tensor

    def __post_init__(self) -> None:
        excess = self.sell - self.buy
        if bool((excess > 0).any()):
            worst = int(excess.flatten().argmax())
            raise TariffError(
                f"The feed-in price exceeds the buy price by {float(excess.max()) / TICKS_PER_UNIT:.5f} $/kWh at step "
                f"{worst % excess.shape[-1]}; the feed-in price must stay at or below energy + network + levy."
            )
        if bool((self.fee < 0).any()):
            raise TariffError(
                f"The peer-to-peer network fee is {float(self.fee.min()) / TICKS_PER_UNIT:.5f} $/kWh; it must be >= 0."
            )

    @classmethod
    def make(
        cls,
        *,
        energy: ArrayLike,
        sell: ArrayLike,
        network: ArrayLike = 0.0,
        levy: ArrayLike = 0.0,
        fee: ArrayLike = 0.0,
    ) -> Tariff:
        """Build a tariff from prices in $/kWh; all arguments broadcast against each other.

        Parameters
        ----------
        energy, sell, network, levy, fee : array_like [..., T] $/kWh
            At least one of them has a time axis.

        Returns
        -------
        Tariff
            Rounded to ticks, half away from zero.
        """
        parts = torch.broadcast_tensors(*(to_ticks(p) for p in (energy, network, levy, sell, fee)))
        return cls(*(p.contiguous() for p in parts))

    @cached_property
    def buy(self) -> Tensor:
        """Price of imported energy, Tensor [..., T] int64 ticks."""
        return self.energy + self.network + self.levy

    @cached_property
    def dollars(self) -> Dollars:
        """Both prices as float64 tensors [..., T] in $/kWh."""
        # Dividing integer tensors would give float32.
        return Dollars(self.buy.double() / TICKS_PER_UNIT, self.sell.double() / TICKS_PER_UNIT)

    @property
    def steps(self) -> int:
        """Steps of a day, T."""
        return int(self.sell.shape[-1])

    @property
    def buy_price(self) -> NDArray[np.float64]:
        """Price of imported energy, array [..., T] $/kWh."""
        return self.buy.numpy() / TICKS_PER_UNIT

    @property
    def sell_price(self) -> NDArray[np.float64]:
        """Feed-in price, array [..., T] $/kWh."""
        return self.sell.numpy() / TICKS_PER_UNIT

    @property
    def fee_price(self) -> NDArray[np.float64]:
        """Peer-to-peer network fee, array [..., T] $/kWh."""
        return self.fee.numpy() / TICKS_PER_UNIT

    def over(self, days: int) -> Tariff:
        """The same tariff with an explicit day axis.

        Parameters
        ----------
        days : int
            Number of days D; a tariff that already has a day axis must have this many days.

        Returns
        -------
        Tariff
            With parts [D, T].
        """
        shape = (days, self.steps)
        return Tariff(*(p.expand(shape).contiguous() for p in self._parts()))

    def on(self, days: Tensor) -> Tariff:
        """Prices of some days.

        Parameters
        ----------
        days : Tensor [B] int64
            Rows of a tariff with a day axis; a tariff without one is the same on every day.

        Returns
        -------
        Tariff
            With parts [B, T].
        """
        return self[days] if self.sell.dim() > 1 else self.over(len(days))

    def __getitem__(self, index: Any) -> Tariff:
        """Select days (or scenarios) along the leading axis."""
        return Tariff(*(p[index] for p in self._parts()))

    def _parts(self) -> tuple[Tensor, ...]:
        return (self.energy, self.network, self.levy, self.sell, self.fee)
