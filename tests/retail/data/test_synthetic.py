"""The synthetic source."""

import warnings
from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from retail.data import DataError, Window
from retail.data.synthetic import Synthetic, evenly

WINDOW = Window(date(2012, 7, 2), 14, 60, "Australia/Sydney")


def test_synthetic_is_seeded_and_plausible():
    a, b, c = (Synthetic(12).read(WINDOW, None, seed) for seed in (0, 0, 1))
    assert np.array_equal(a.load, b.load)
    assert not np.array_equal(a.load, c.load)
    assert a.load.shape == a.pv.shape == (14 * 24, 12)
    daily = a.load.sum(axis=0) / 14
    assert 5 < daily.mean() < 35
    sun = a.pv.reshape(14, 24, 12).mean(axis=0)
    assert (sun[:6] == 0).all()  # no sun in a winter night
    assert (sun[10:14][:, a.pv_kwp > 0] > 0).all()
    assert (a.pv <= a.pv_kwp + 1e-9).all()
    assert (a.pv_kwp > 0).sum() == 7  # round(0.6 * 12)


def test_more_pv_leaves_the_rest_alone():
    few, many = (Synthetic(12, pv=share).read(WINDOW, None, 3) for share in (0.3, 0.9))
    assert np.array_equal(few.load, many.load)


@pytest.mark.parametrize("step", [15, 30])
def test_finer_steps_keep_the_energy(step):
    p = Synthetic(4).read(replace(WINDOW, step_minutes=step), None, 0)
    assert p.load.shape[0] == 14 * 24 * 60 // step
    assert 5 < p.load.sum() / 14 / 4 < 35


def test_evenly_chooses_the_right_number():
    for count in range(1, 30):
        for share in (0, 0.1, 0.5, 0.77, 1):
            assert evenly(count, share).sum() == round(share * count)


def test_synthetic_mistakes_come_together():
    with pytest.raises(DataError) as caught:
        Synthetic(prosumers=0, pv=1.5)
    assert "prosumers" in str(caught.value)
    assert "pv" in str(caught.value)


def test_reading_leaves_the_warnings_of_the_process_alone():
    with warnings.catch_warnings():
        warnings.resetwarnings()
        Synthetic(3).read(WINDOW, None, 0)
        assert ("error", None, Warning, None, 0) not in warnings.filters
