"""Before the leader's search rests it looks around, at prices further off than its model reaches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hmarl.equilibrium.deviations import deviations, gains
from hmarl.equilibrium.iterate import Iterate
from hmarl.policies.base import Learner
from hmarl.world import World

if TYPE_CHECKING:
    from aggregator.leader import TariffRules
    from aggregator.trust_region import Trial

LOOK = 60
"""Prices of one look."""

APART = 3_000_017
"""Added to the seed: a certificate tries other prices than those that were searched on."""


def poll(world: World, learner: Learner, rules: TariffRules, last: Iterate) -> Trial | None:
    """The best of some prices around the one in force, if it seems worth a settled simulation.

    A local model of followers that learned says little about directions in which nobody went. This look costs no
    learning, so it is no proof: the price is then simulated, settled and taken or left like any other.

    Parameters
    ----------
    world : World
    learner : Learner
        As it was settled at the price in force.
    rules : TariffRules
        Make tariffs of prices.
    last : Iterate
        Its search is at rest and its tariff, at the centre of the search, is in force. Its memory says how often the
        coordinator has looked (each look draws its own prices) and which prices were simulated: followers that have
        learned much since may make an old one the best again.

    Returns
    -------
    Trial or None
        None where nothing gains more than ``stop_gain`` of the profit.

    References
    ----------
    T. G. Kolda, R. M. Lewis, V. Torczon, "Optimization by direct search", SIAM Review 45 (2003), section 3: poll step.
    """
    from aggregator.trust_region import Trial  # noqa: PLC0415  pyomo is slow to import

    memory, search = last.memory, last.memory.search
    centre = search.centre.price
    seed = APART + world.seed + 1000 * memory.polls
    tried = [price for _, price in deviations(rules.price_set(), centre, LOOK, seed)]
    tried += [price for price in memory.tried if np.abs(price - centre).max() > 1e-6]
    if not tried:
        return None
    found, profit = gains(
        world, learner, [last.tariff, *(rules.tariff(price) for price in tried)], search.centre.wholesale
    )
    best = int(np.argmax(found))
    if found[best] <= search.terms.stop_gain * abs(profit):
        return None
    return Trial(tried[best], "poll", float(found[best]))
