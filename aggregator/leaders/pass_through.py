"""Wholesale price passed through: the expected price of the hour and a fee."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from aggregator.leader import Bids, Offer, View
from aggregator.leaders.wishes import offer_wish
from aggregator.prosumers import Array


@dataclass(frozen=True)
class PassThrough(Bids):
    """Offer mean LMP of the hour + fee + network charge + levies, within the rules.

    Parameters
    ----------
    fee : float $/kWh
        What the aggregator keeps on each kWh bought, finite; 0 = no margin at all.
    information, bid, risk, block_hours, shift
        See ``Bids``.

    Raises
    ------
    LeaderError
        If the fee is not finite, or a bidding parameter is outside its range.
    """

    name: ClassVar[str] = "pass-through"

    fee: float = 0.02

    def __post_init__(self) -> None:
        self.check([] if np.isfinite(self.fee) else [f"fee is {self.fee!r}; give $/kWh, such as 0.02."])

    def wish(self, view: View) -> Array:
        """The price before the rules.

        Parameters
        ----------
        view : View

        Returns
        -------
        array [T] $/kWh
        """
        return np.asarray(view.wholesale_price.mean(axis=0) + self.fee + view.rules.network + view.rules.levy)

    def offer(self, view: View) -> Offer:
        """Offer the price passed through, cut into the rules where it breaks them.

        Parameters
        ----------
        view : View

        Returns
        -------
        Offer
        """
        return offer_wish(self, view, self.wish(view), f"LMP + {self.fee:g} + network + levy")
