"""The public conformance suite of leaders: passed by all of ours, and it finds planted faults."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

import aggregator
from aggregator.leaders.mark_up import MarkUp
from hmarl.contracts import ContractError, check_leader

QUICK = {
    "learned": {"trials": 32, "refresh": 16},
    "search": {"trials": 8},
    "stackelberg": {"method": "bound", "cuts": 5},
}
OPTIONS = [
    ("search", {"on": "simulation"}),
    ("fixed", {"tariff": "flat"}),
]


@pytest.mark.parametrize("name", aggregator.LEADERS)
def test_every_leader_of_the_table_keeps_its_contract(name):
    check_leader(aggregator.leader(name, **QUICK.get(name, {})), views=5)


@pytest.mark.parametrize(("name", "parameters"), OPTIONS)
def test_with_other_options_too(name, parameters):
    check_leader(aggregator.leader(name, **parameters), views=4, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", aggregator.LEADERS)
def test_on_many_views_with_default_parameters(name):
    check_leader(aggregator.leader(name), views=40, seed=2)


@dataclass(frozen=True)
class Greedy(MarkUp):
    def offer(self, view):
        offer = super().offer(view)
        return replace(offer, tariff=replace(offer.tariff, energy=offer.tariff.energy + 50_000))


@dataclass(frozen=True)
class Boaster(MarkUp):
    def offer(self, view):
        offer = super().offer(view)
        return replace(offer, promised=offer.promised + 0.1)


@dataclass(frozen=True)
class Humble(MarkUp):
    def offer(self, view):
        offer = super().offer(view)
        return replace(offer, bound=offer.promised - 0.1)


@dataclass(frozen=True)
class Generous(MarkUp):
    def offer(self, view):
        offer = super().offer(view)
        return replace(offer, tariff=replace(offer.tariff, sell=offer.tariff.sell + 1))


@dataclass(frozen=True)
class Dice(MarkUp):
    def offer(self, view):
        return replace(
            super().offer(view),
            tariff=view.rules.tariff(view.rules.clip(np.random.default_rng().uniform(0.1, 0.3, view.rules.steps))),
        )


@dataclass(frozen=True)
class Careless(MarkUp):
    def offer(self, view):
        return aggregator.leader("fixed").offer(view)


@dataclass(frozen=True)
class Short(MarkUp):
    def position(self, gate):
        return gate.forecast_kwh[0]


@dataclass(frozen=True)
class Meddling(MarkUp):
    def position(self, gate):
        gate.forecast_kwh[:] *= 2
        return gate.forecast_kwh


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        (Greedy(), "breaks the rules"),
        (Boaster(), "is promised"),
        (Humble(), "above its bound"),
        (Generous(), "changes sell"),
        (Dice(), "is promised|second time"),
        (Careless(), "breaks the rules"),
        (Short(), "position is not"),
        (Meddling(), "changes the forecast"),
    ],
)
def test_planted_faults_are_found(fault, word):
    with pytest.raises(ContractError, match=word):
        check_leader(fault, views=8)


def test_a_leader_must_be_a_frozen_dataclass_with_a_known_information_set():
    class Loose:
        information = "forecast"

    with pytest.raises(ContractError, match="frozen"):
        check_leader(Loose())
    odd = MarkUp()
    object.__setattr__(odd, "information", "rumour")
    with pytest.raises(ContractError, match="rumour"):
        check_leader(odd)
