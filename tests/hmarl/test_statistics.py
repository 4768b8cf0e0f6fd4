"""Intervals against scipy and their coverage."""

import numpy as np
import pytest
from scipy import stats

from hmarl.statistics import bootstrap, interval, paired


def test_interval_is_scipys_t_interval():
    values = np.array([3.0, 5.0, 4.0, 8.0])
    found = interval(values)
    low, high = stats.t.interval(0.95, 3, loc=values.mean(), scale=stats.sem(values))
    assert (found.low, found.high, found.mean, found.count) == pytest.approx((low, high, 5.0, 4))


def test_one_value_has_no_interval():
    assert interval([2.0]).half_width is None
    assert np.isnan(interval([2.0]).low)
    assert not interval([2.0]).differs_from_zero
    assert np.isnan(interval([]).mean)
    assert interval([1.0, np.nan, 3.0]).count == 2
    assert interval([1.0, 1.0]).half_width == 0.0


def test_pairing_removes_common_luck():
    rng = np.random.default_rng(0)
    luck = rng.normal(scale=100, size=10)
    base, better = luck + rng.normal(size=10), luck - 5 + rng.normal(size=10)
    change = paired(better, base)
    low, high = stats.ttest_rel(better, base).confidence_interval(0.95)
    assert (change.low, change.high) == pytest.approx((low, high))
    assert change.differs_from_zero
    assert not interval(better).differs_from_zero
    with pytest.raises(ValueError, match="equal lengths"):
        paired([1.0], [1.0, 2.0])


def test_bootstrap_over_blocks():
    rng = np.random.default_rng(1)
    independent = rng.normal(size=400)
    assert bootstrap(independent).half_width == pytest.approx(interval(independent).half_width, rel=0.1)
    # days that repeat 10 times carry a tenth of the information
    repeated = np.repeat(rng.normal(size=40), 10)
    ratio = bootstrap(repeated, block=10).half_width / bootstrap(repeated).half_width
    assert ratio == pytest.approx(np.sqrt(10), rel=0.15)
    assert bootstrap(independent, seed=3) == bootstrap(independent, seed=3)
    assert bootstrap(np.arange(10.0), block=4).count == 3
    assert bootstrap([1.0, 2.0], block=5).half_width is None
    with pytest.raises(ValueError, match="block is 0"):
        bootstrap([1.0, 2.0], block=0)


def test_coverage():
    rng = np.random.default_rng(2)
    samples = rng.normal(size=(2000, 5))
    hits = np.mean([not interval(sample).differs_from_zero for sample in samples])
    assert hits == pytest.approx(0.95, abs=0.02)
