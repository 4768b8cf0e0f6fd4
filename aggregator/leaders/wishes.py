"""Prices leaders wish for: cut into the rules, and the familiar ones every search starts from."""

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


def familiar(view: View) -> dict[str, Array]:
    """Prices worth comparing with, before the rules.

    Parameters
    ----------
    view : View

    Returns
    -------
    dict of str to array [T] $/kWh
        The default tariff (mean over days), cost plus a quarter, and the last offer if it has one price per step.
    """
    rules, last = view.rules, view.last
    default = view.on_scenario_days(rules.default).buy_price
    cost = view.wholesale_price.mean(axis=0) * 1.25 + rules.network + rules.levy
    known = {"default tariff": default if default.ndim == 1 else default.mean(axis=0), "cost plus": cost}
    if last is not None and last.tariff.buy.ndim == 1 and last.tariff.steps == rules.steps:
        known["last offer"] = last.tariff.buy_price
    return known
