from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.ledger import LedgerError, settle
from aggregator.meter import Meter
from retail.tariff import Tariff
from wholesale.market import Clearing

UNIT_BUS = np.array([0, 1])


def clearing(net_mw, load=5.0, limit=4.0):
    """Two buses, cheap unit at A, dear unit at B, the community and the load at B, one line with a limit."""
    withdrawal = load + np.asarray(net_mw, dtype=float)
    flow = np.minimum(withdrawal, limit)
    lmp = np.stack([np.full(len(flow), 20.0), np.where(withdrawal > limit, 50.0, 20.0)], axis=1)
    steps, zero = len(flow), np.zeros((len(flow), 2))
    return Clearing(
        buses=("A", "B"), units=("cheap", "dear"), lines=("AB",), lmp=lmp, energy=lmp[:, 0],
        congestion=lmp - lmp[:, :1],
        dispatch=np.stack([flow, withdrawal - flow], axis=1), accepted=np.asarray(net_mw, dtype=float)[:, None],
        flow=flow[:, None], cost=np.zeros(steps), shed=zero, surplus=zero, lower=lmp, upper=lmp,
        load=np.stack([np.zeros(steps), np.full(steps, load)], axis=1), ends=np.array([[0, 1]]),
    )  # fmt: skip


def retail(rng, steps=4, prosumers=3):
    cash = rng.integers(-(10**9), 10**9, (steps, prosumers))
    cash[:, -1] -= cash.sum(axis=1)
    tariff = Tariff.make(energy=rng.uniform(-0.1, 0.3, steps), network=0.06, levy=0.02, sell=-0.1)
    return {
        "trade_cash": cash,
        "fee_cash": rng.integers(0, 10**8, (steps, prosumers)),
        "grid_kwh": rng.normal(0, 2, (steps, prosumers)),
        "tariff": tariff,
        "shortfall": rng.uniform(0, 0.1, (steps, prosumers)),
    }


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), k=st.integers(1, 5000), hours=st.sampled_from([0.25, 0.5, 1.0]))
def test_every_step_sums_to_exactly_zero(seed, k, hours):
    rng = np.random.default_rng(seed)
    inputs, meter = retail(rng), Meter(k, hours)
    metered = meter.to_mw(inputs["grid_kwh"].sum(axis=1))
    plan = metered + rng.normal(0, 1, 4)
    ledger = settle(
        **inputs,
        meter=meter,
        bus="B",
        day_ahead=clearing(plan),
        bid=plan,
        real_time=clearing(metered),
        unit_bus=UNIT_BUS,
    )
    assert (ledger.nano.sum(axis=1) == 0).all()
    ledger.check()
    assert (ledger.nano[:, :3] == k * ledger.paid).all()
    parts = ledger.energy + ledger.network + ledger.levy + ledger.fee + ledger.peer + ledger.feed_in + ledger.shortfall
    assert (parts == ledger.paid).all()
    alone = settle(**inputs)
    assert (alone.paid == ledger.paid).all()
    assert all(alone.total(name) == 0.0 for name in ("generators", "other_loads", "congestion_rent"))


def test_profit_by_hand():
    rng = np.random.default_rng(1)
    inputs, meter = retail(rng), Meter(2000, 0.5)
    metered = meter.to_mw(inputs["grid_kwh"].sum(axis=1))
    plan = metered * 0.9 + 0.1
    first, second = clearing(plan), clearing(metered)
    ledger = settle(**inputs, meter=meter, bus="B", day_ahead=first, bid=plan, real_time=second, unit_bus=UNIT_BUS)
    kwh, tariff = inputs["grid_kwh"], inputs["tariff"]
    energy = tariff.energy.numpy()[:, None] / 1e5
    income = np.where(kwh > 0, energy * kwh, tariff.sell_price[:, None] * kwh).sum(axis=1) + inputs["shortfall"].sum(
        axis=1
    )
    wholesale = 0.5 * (plan * first.lmp[:, 1] + (metered - plan) * second.lmp[:, 1])
    assert ledger.profit == pytest.approx(income - wholesale / 2000, abs=1e-8)
    assert ledger.profit.sum() * 2000 == pytest.approx(-ledger.total("aggregator"), rel=1e-12)
    assert ledger.total("congestion_rent") < 0.0  # + = paid: the rent is received
    fees = 0.06 * np.maximum(kwh, 0).sum() + inputs["fee_cash"].sum() / 1e9
    assert ledger.total("network") == pytest.approx(-2000 * fees, rel=1e-6)


def test_a_planted_fault_is_found():
    ledger = settle(**retail(np.random.default_rng(2)))
    nano = ledger.nano.copy()
    nano[2, 1] += 1
    with pytest.raises(LedgerError, match="step 2: difference 1 nano"):
        replace(ledger, nano=nano).check()
    moved = ledger.nano.copy()
    moved[1, 0] += 5
    moved[1, 1] -= 5
    with pytest.raises(LedgerError, match="step 1"):
        replace(ledger, nano=moved).check()
    nano = ledger.nano.copy()
    nano[3, ledger.accounts.index("aggregator")] += 7
    nano[3, ledger.accounts.index("network")] -= 7
    with pytest.raises(LedgerError, match="aggregator"):
        replace(ledger, nano=nano).check()


def test_money_made_in_the_auction_is_refused():
    inputs = retail(np.random.default_rng(3))
    inputs["trade_cash"][1, 0] += 1
    with pytest.raises(LedgerError, match="step 1: difference 1 nano"):
        settle(**inputs)


def test_flows_that_do_not_fit_the_payments_are_refused():
    inputs = retail(np.random.default_rng(4))
    metered = Meter().to_mw(inputs["grid_kwh"].sum(axis=1))
    good = clearing(metered)
    flow = good.flow.copy()
    flow[2] *= 0.99
    given = {**inputs, "bus": "B", "day_ahead": good, "bid": metered, "unit_bus": UNIT_BUS}
    settle(**given, real_time=good)
    with pytest.raises(LedgerError, match="At step 2 "):
        settle(**{**given, "day_ahead": replace(good, flow=flow)}, real_time=replace(good, flow=flow))
    with pytest.raises(LedgerError, match="real-time clearing must contain the metered net load"):
        settle(**given, real_time=clearing(metered + 1.0))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"trade_cash": np.zeros((4, 3))}, "int64 nano"),
        ({"fee_cash": np.zeros((3, 3), int)}, "fee_cash"),
        ({"tariff": Tariff.make(energy=np.zeros(5), sell=0.0)}, "5 steps"),
        ({"shortfall": np.full((4, 3), np.nan)}, "not finite"),
        ({"day_ahead": clearing(np.zeros(4))}, "give all three"),
        ({"day_ahead": clearing(np.zeros(4)), "real_time": clearing(np.zeros(4)), "bus": "C"}, "'C'"),
        ({"day_ahead": clearing(np.zeros(3)), "real_time": clearing(np.zeros(4)), "bus": "B"}, "3 hours"),
        ({"day_ahead": clearing(np.zeros(4)), "real_time": clearing(np.zeros(4)), "bus": "B"}, "unit_bus"),
    ],
)
def test_mistakes_are_named(change, word):
    with pytest.raises(LedgerError, match=word):
        settle(**{**retail(np.random.default_rng(5)), **change})


def test_an_unknown_account_is_named():
    with pytest.raises(LedgerError, match="no account 'bank'"):
        settle(**retail(np.random.default_rng(6))).total("bank")


@pytest.mark.parametrize("seed", range(4))
def test_two_prices_take_from_the_aggregator_what_the_operator_gets(seed):
    rng = np.random.default_rng(seed)
    inputs, meter = retail(rng), Meter(2000, 0.5)
    metered = meter.to_mw(inputs["grid_kwh"].sum(axis=1))
    plan = metered + rng.normal(0, 3, 4)
    market = {"meter": meter, "bus": "B", "day_ahead": clearing(plan), "bid": plan, "real_time": clearing(metered)}
    one = settle(**inputs, **market, unit_bus=UNIT_BUS)
    both = settle(**inputs, **market, unit_bus=UNIT_BUS, two_price=True)
    first, second = clearing(plan).price("B"), clearing(metered).price("B")
    settled_at = np.where(metered > plan, np.maximum(first, second), np.minimum(first, second))
    extra = (settled_at - second) * (metered - plan) * 0.5
    assert one.total("imbalance") == 0.0
    assert both.total("imbalance") == pytest.approx(-extra.sum(), abs=1e-8)
    assert one.profit - both.profit == pytest.approx(extra / 2000, abs=1e-8)
    assert (both.nano.sum(axis=1) == 0).all()
    assert (extra >= 0).all()
    exact = settle(
        **inputs, **{**market, "bid": metered, "day_ahead": clearing(metered)}, unit_bus=UNIT_BUS, two_price=True
    )
    assert exact.total("imbalance") == 0.0
