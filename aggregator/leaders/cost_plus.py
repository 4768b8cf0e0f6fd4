"""What leaders share that price by a formula: cut the wish into the rules and say where that was needed."""

from __future__ import annotations

import numpy as np

from aggregator.leader import Bids, Offer, View
from aggregator.promise import seal
from aggregator.prosumers import Array


def offer_wish(leader: Bids, view: View, wish: Array, method: str) -> Offer:
    """Offer the admissible price next to a wish.

    Parameters
    ----------
    leader : Bids
        Whose offer it is.
    view : View
    wish : array [T] $/kWh
        Buy price before the rules.
    method : str
        How the wish came about.

    Returns
    -------
    Offer
    """
    price = view.rules.clip(wish)
    cut = int((np.abs(price - wish) > 1e-5).sum())
    if cut:
        method += f", clipped into the rules at {cut} of {len(wish)} steps"
    return seal(view, Offer(leader.name, leader.information, view.rules.tariff(price), None, method=method))
