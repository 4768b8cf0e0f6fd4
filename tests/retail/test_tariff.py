import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from retail.tariff import Tariff, TariffError, to_ticks


@given(st.integers(-(10**7), 10**7))
def test_a_whole_tick_survives(tick):
    assert int(to_ticks(tick * 1e-5)) == tick


def test_halves_round_away_from_zero():
    assert to_ticks([0.000005, -0.000005, 0.000015, 0.285]).tolist() == [1, -1, 2, 28500]


def test_buy_is_the_sum_of_its_parts():
    t = Tariff.make(energy=[0.1, 0.2], network=0.09, levy=0.02, sell=0.04)
    np.testing.assert_allclose(t.buy_price, [0.21, 0.31])
    assert t.over(3).buy.shape == (3, 2)
    assert torch.equal(t.over(3)[1].buy, t.buy)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"energy": [0.03], "sell": 0.04}, "feed-in price exceeds"),
        ({"energy": [0.1], "sell": 0.0, "fee": -0.01}, "fee"),
        ({"energy": [float("nan")], "sell": 0.0}, "finite"),
    ],
)
def test_impossible_tariffs_are_refused(parts, message):
    with pytest.raises(TariffError, match=message):
        Tariff.make(**parts)
