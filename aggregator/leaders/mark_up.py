"""Cost plus: the expected wholesale price of the hour with a margin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aggregator.leader import BidsForecast, LeaderError, Offer, View, check_information
from aggregator.promise import promise
from aggregator.prosumers import Array


@dataclass(frozen=True)
class MarkUp(BidsForecast):
    """Offer mean LMP of the hour * (1 + margin) + network charge + levies, within the rules.

    Parameters
    ----------
    margin : float
        Relative mark-up on the wholesale price, > -1.
    information : str
        Information set the day-ahead bid rests on.

    Raises
    ------
    LeaderError
        If the margin is not a finite number above -1, or the information set is unknown.
    """

    margin: float = 0.25
    information: str = "forecast"

    def __post_init__(self) -> None:
        check_information("mark-up", self.information)
        if not (np.isfinite(self.margin) and self.margin > -1.0):
            raise LeaderError(f"Leader 'mark-up' has margin {self.margin!r}; give a finite number > -1, such as 0.25.")

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
        wish = self.wish(view)
        price = view.rules.clip(wish)
        method = f"LMP x {1.0 + self.margin:g} + network + levy"
        cut = int((np.abs(price - wish) > 1e-5).sum())
        if cut:
            method += f", clipped into the rules at {cut} of {len(wish)} steps"
        tariff = view.rules.tariff(price)
        return Offer("mark-up", self.information, tariff, promise(view, tariff), method=method)
