"""Cost plus: the expected wholesale price of the hour with a margin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from aggregator.leader import Bids, Offer, View
from aggregator.leaders.wishes import offer_wish
from aggregator.prosumers import Array


@dataclass(frozen=True)
class MarkUp(Bids):
    """Offer mean LMP of the hour * (1 + margin) + network charge + levies, within the rules.

    Parameters
    ----------
    margin : float
        Relative mark-up on the wholesale price, > -1.
    information, bid, risk, block_hours, shift
        See ``Bids``.

    Raises
    ------
    LeaderError
        If the margin is not a finite number above -1, or the information set is unknown.
    """

    name: ClassVar[str] = "mark-up"

    margin: float = 0.25

    def __post_init__(self) -> None:
        known = np.isfinite(self.margin) and self.margin > -1.0
        self.check([] if known else [f"margin is {self.margin!r}; give a finite number > -1, such as 0.25."])

    def wish(self, view: View) -> Array:
        """The price before the rules.

        Parameters
        ----------
        view : View

        Returns
        -------
        array [T] $/kWh
        """
        energy = view.wholesale_price.mean(axis=0) * (1.0 + self.margin)
        return np.asarray(energy + view.rules.network + view.rules.levy)

    def offer(self, view: View) -> Offer:
        """Offer the marked-up price, cut into the rules where it breaks them.

        Parameters
        ----------
        view : View

        Returns
        -------
        Offer
        """
        return offer_wish(self, view, self.wish(view), f"LMP x {1.0 + self.margin:g} + network + levy")
