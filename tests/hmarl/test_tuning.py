"""A search that was made is not made again, and nothing else is mistaken for it."""

import types
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from hmarl import tuning
from hmarl.evaluation import arrivals
from hmarl.policies.base import Spec, portfolio_clusters
from hmarl.policies.rule_based import RuleBased
from hmarl.tuning import tune
from retail import Battery, Community, Game, Tariff, auction
from retail.auctions.double_auction import DoubleAuction

PRICES = Tariff.make(energy=np.array([0.04] * 7 + [0.11] * 10 + [0.33] * 4 + [0.11] * 3), network=0.11, sell=0.04)
POLICY = RuleBased(power=(0.25, 1.0))
DAYS = torch.arange(2, 7)


def small(seed=5, **rules):
    rng = np.random.default_rng(seed)
    load, pv = rng.uniform(0.3, 1.6, (24 * 8, 4)), rng.uniform(0, 2, (24 * 8, 4))
    clock = np.datetime64("2012-07-02", "m") + np.arange(24 * 8) * np.timedelta64(60, "m")
    to = torch.from_numpy
    kwp = torch.full((4,), 3.0, dtype=torch.float64)
    homes = Community(tuple("abcd"), clock, "UTC", 60, to(load), to(pv), Battery.make(4), kwp, 2)
    return Game(homes, **{"auction": auction("da"), **rules})


@pytest.fixture
def searches(monkeypatch):
    """Empty memory; counts the searches that are really made."""
    made = []
    search = tuning._search
    monkeypatch.setattr(tuning, "_searched", type(tuning._searched)())
    monkeypatch.setattr(tuning, "_search", lambda *given: made.append(1) or search(*given))
    return made


def go(game, *, policy=POLICY, days=DAYS, tariff=PRICES, seed=0):
    learner = policy.start(Spec.of(game, portfolio_clusters(game), 0))
    return tune(learner, game, days, tariff, arrivals(game, seed)), learner.numbers


def test_the_same_search_of_another_arm_is_remembered(searches):
    first, numbers = go(small())
    again, same = go(small())
    assert len(searches) == 1
    assert first == again
    assert torch.equal(numbers, same)


@pytest.mark.parametrize(
    "other",
    [
        {"game": small(6)},
        {"game": small(auction=auction("mmr"))},
        {"game": small(storage_end="value")},
        {"policy": replace(POLICY, keep=(1.5,))},
        {"policy": replace(POLICY, band=0.3)},
        {"days": torch.arange(2, 6)},
        {"tariff": Tariff.make(energy=np.full(24, 0.2), network=0.11, sell=0.04)},
        {"seed": 1},
    ],
    ids=["homes", "auction", "end of day", "candidates", "band", "days", "tariff", "arrivals"],
)
def test_whatever_a_search_depends_on_makes_another(searches, other):
    go(small())
    given = {"game": small(), **other}
    remembered = go(**given)
    assert len(searches) == 2
    tuning._searched.clear()
    fresh = go(**given)
    assert remembered[0] == fresh[0]
    assert torch.equal(remembered[1], fresh[1])


def test_an_auction_that_hides_what_it_consists_of_is_searched_each_time(searches):
    class Hidden:
        def __init__(self):
            self.rule = DoubleAuction()

        def clear(self, *given, **named):
            return self.rule.clear(*given, **named)

    @dataclass(frozen=True)
    class MadeHere(DoubleAuction):
        """Its name does not tell it from another class made here."""

    for rule in (Hidden(), MadeHere()):
        game = small(auction=rule)
        assert go(game)[0] == go(game)[0]
    assert len(searches) == 4


def test_a_rule_without_a_policy_is_searched_each_time(searches):
    game = small()
    real = POLICY.start(Spec.of(game, portfolio_clusters(game), 0))

    class Bare(types.SimpleNamespace):
        def act(self, *given, **named):
            real.numbers = self.numbers
            return real.act(*given, **named)

    bare = Bare(candidates=real.candidates, heads=real.heads, reads_features=False, choose=real.choose)
    for _ in range(2):
        tune(bare, game, DAYS, PRICES, arrivals(game, 0))
    assert len(searches) == 2


def test_memory_does_not_grow_without_end(searches, monkeypatch):
    monkeypatch.setattr(tuning, "KEPT", 2)
    for seed in (0, 1, 2, 0):
        go(small(), seed=seed)
    assert len(tuning._searched) == 2
    assert len(searches) == 4
