"""Bill sharing: prices of the source, and the community's bill to the last nano-currency."""

import numpy as np
import pytest
import torch

from retail.bill_sharing import BillSharingError, bill_sharing


def to(x):
    return torch.tensor(np.asarray(x), dtype=torch.int64)


@pytest.mark.parametrize("seed", range(20))
def test_sums_to_the_bill_at_the_grid_and_follows_the_formula(seed):
    rng = np.random.default_rng(seed)
    steps, homes = 24, int(rng.integers(1, 40))
    wh = rng.integers(-3000, 3001, (3, steps, homes))
    buy, sell = np.full((3, steps), 30_000), np.full((3, steps), 4000)
    arrival = np.argsort(rng.random((3, homes)), -1)
    shared = bill_sharing(to(wh), to(buy), to(sell), to(arrival))
    net = wh.sum(-1)
    pooled = (np.clip(net, 0, None) * buy * 10 + np.clip(net, None, 0) * sell * 10).sum(-1)
    assert shared.cash.sum(-1).tolist() == pooled.tolist()
    taken, given = np.clip(wh, 0, None).sum(1), -np.clip(wh, None, 0).sum(1)
    p_buy = 0.3 * np.clip(net, 0, None).sum(-1) / np.maximum(taken.sum(-1), 1)
    p_sell = 0.04 * -np.clip(net, None, 0).sum(-1) / np.maximum(given.sum(-1), 1)
    assert np.allclose(shared.buy, p_buy)
    assert np.allclose(shared.sell, p_sell)
    expected = (p_buy[:, None] * taken - p_sell[:, None] * given) / 1000
    assert np.abs(shared.cash.numpy() / 1e9 - expected).max() < 3e-9


def test_tariffs_may_vary_over_the_window_and_be_negative():
    shared = bill_sharing(to([[1000, 0], [0, 500], [-100, 0]]), to([30_000, 10_000, 1]), to([0, 0, -500]))
    cost, income = 1000 * 300_000 + 500 * 100_000, -100 * 5000
    assert int(shared.cash.sum()) == cost - income
    # 1000 and 500 Wh taken; rounding the running sum down gives the first its 2/3 and the second the rest.
    first = cost * 2 // 3
    assert shared.cash.tolist() == [first - income, cost - first]


def test_somebody_may_be_worse_off_than_alone():
    """One gives at noon what it would have sold, another takes in the evening: sharing is over the whole window."""
    wh, buy, sell = to([[-1000, 900], [0, 100]]), to([30_000, 30_000]), to([4000, 4000])
    cash = bill_sharing(wh, buy, sell).cash.tolist()
    assert cash[0] > -1000 * 40_000


def test_nobody_there():
    assert bill_sharing(to(np.zeros((3, 0))), to([1, 1, 1]), to([0, 0, 0])).cash.shape == (0,)
    quiet = bill_sharing(to(np.zeros((3, 2))), to([1, 1, 1]), to([0, 0, 0]))
    assert quiet.cash.tolist() == [0, 0]
    assert float(quiet.buy) == float(quiet.sell) == 0


def test_windows_too_large_for_int64_are_refused():
    with pytest.raises(BillSharingError, match="2147483648 Wh; at most 2147483647"):
        bill_sharing(to([[2**30, -(2**30)]]), to([1]), to([0]))
    with pytest.raises(BillSharingError, match="use a shorter window"):
        bill_sharing(to([[2**30, 5]]), to([2**33]), to([0]))
