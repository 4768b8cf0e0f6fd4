import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.meter import Meter, MeterError


def test_the_factor_of_a_thousand():
    assert Meter().to_mw(1000.0) == 1.0
    assert Meter(replication=500).to_mw(2.0) == 1.0
    assert Meter(replication=500, step_hours=0.5).to_mw(1.0) == 1.0
    assert Meter.to_per_kwh(250.0) == 0.25
    assert Meter.to_per_mwh(0.25) == 250.0


@settings(max_examples=50, deadline=None)
@given(
    k=st.integers(1, 10_000),
    hours=st.sampled_from([0.25, 0.5, 1.0]),
    kwh=st.floats(-1e4, 1e4),
    price=st.floats(-500, 500),
)
def test_money_is_the_same_on_both_sides(k, hours, kwh, price):
    meter = Meter(k, hours)
    wholesale = meter.to_mwh(meter.to_mw(kwh)) * price
    retail = k * kwh * Meter.to_per_kwh(price)
    assert wholesale == pytest.approx(retail, rel=1e-12, abs=1e-12)
    assert meter.to_kwh(meter.to_mw(kwh)) == pytest.approx(kwh, rel=1e-12)
    assert np.sign(meter.to_mw(kwh)) == np.sign(kwh) or abs(kwh) < 1e-300


@pytest.mark.parametrize("k", [0, -1, 1.5, True])
def test_replication_is_a_positive_whole_number(k):
    with pytest.raises(MeterError, match="replication"):
        Meter(replication=k)


@pytest.mark.parametrize("hours", [0.0, -1.0, 25.0, float("nan")])
def test_step_length_has_a_range(hours):
    with pytest.raises(MeterError, match="step_hours"):
        Meter(step_hours=hours)
