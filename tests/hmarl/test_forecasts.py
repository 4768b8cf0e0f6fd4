"""Forecasts: nothing leaks, stated errors are the errors, and a study names one for everybody."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from hmarl.forecasts import Noisy, Perfect, Persistence, expected_net
from hmarl.study import Study
from hmarl.study_file.plugins import make, names
from hmarl.world import build
from retail import Battery, Community

DAYS, HOMES = 30, 3


def homes(seed=0):
    rng = np.random.default_rng(seed)
    hours = np.arange(24 * DAYS)
    clock = np.datetime64("2012-07-02", "m") + hours * np.timedelta64(60, "m")
    load = torch.from_numpy(rng.uniform(0.2, 1.0, (24 * DAYS, HOMES)))
    sun = np.clip(np.sin((hours % 24 - 6) / 12 * np.pi), 0, None)[:, None]
    pv = torch.from_numpy(sun * rng.uniform(0.2, 2.0, (DAYS, HOMES)).repeat(24, 0))
    labels = tuple(f"h{i}" for i in range(HOMES))
    return Community(labels, clock, "UTC", 60, load, pv, Battery.make(HOMES), torch.ones(HOMES), 7)


def changed_after(community, day, step):
    """The same homes with another future after a step."""
    other, first = homes(1), day * community.steps + step + 1
    load, pv = community.load.clone(), community.pv.clone()
    load[first:], pv[first:] = other.load[first:], other.pv[first:]
    return replace(community, load=load, pv=pv)


@pytest.mark.parametrize("step", [0, 9, 14, 23])
def test_the_present_is_known_and_nothing_after_it(step):
    community, days = homes(), torch.tensor([12])
    other = changed_after(community, 12, step)
    for forecast in (Persistence(), Persistence(window=1, yesterday=1.0, today=0.0)):
        one = expected_net(forecast, community, days, step, 0)
        assert one.shape == (1, HOMES, 24 - step)
        assert torch.equal(one, expected_net(forecast, other, days, step, 0))
        assert torch.equal(one[..., 0], community.daily(community.fixed)[days, step])
        assert bool(torch.isfinite(one).all())
    true = expected_net(Perfect(), community, days, step, 0)
    assert torch.equal(true, community.daily(community.fixed)[days, step:].transpose(1, 2))
    assert step == 23 or not torch.equal(true, expected_net(Perfect(), other, days, step, 0))


def test_persistence_is_what_it_says():
    series = torch.rand(20, 24, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    day, step = 11, 7
    mean, last = series[4:11].mean(0), series[10]
    plain = Persistence(today=0.0)
    found = plain.ahead("pv", series, torch.tensor([day]), step, 0)[0]
    torch.testing.assert_close(found[1:], ((mean + last) / 2)[8:])
    found = plain.ahead("load", series, torch.tensor([day]), step, 0)[0]
    torch.testing.assert_close(found[1:], mean[8:])
    # A day that brings twice of everything raises what is left of it, up to the limit, and prices never.
    double = series.clone()
    double[day, :8] = 2 * mean[:8]
    anchor = mean.sum(0) / 4
    ratio = (2 * mean[:8].sum(0) + anchor) / (mean[:8].sum(0) + anchor)
    found = Persistence(today=1.0).ahead("load", double, torch.tensor([day]), step, 0)[0]
    torch.testing.assert_close(found[1:], ratio * mean[8:])
    found = Persistence(today=1.0, limit=1.0).ahead("load", double, torch.tensor([day]), step, 0)[0]
    torch.testing.assert_close(found[1:], mean[8:])
    price = double[..., 0]
    scaled, bare = (Persistence(today=t).ahead("price", price, torch.tensor([day]), step, 0) for t in (1.0, 0.0))
    assert torch.equal(scaled, bare)


def test_noise_has_the_stated_size_and_no_bias():
    series, days = torch.full((4000, 24), 2.0, dtype=torch.float64), torch.arange(4000)
    for error in (0.1, 0.4):
        found = Noisy(error).ahead("load", series, days, 0, 0) / 2.0
        for lead in (1, 6, 23):
            spread = math.sqrt((1 + error**2) ** (lead / 24) - 1)
            assert float(found[:, lead].mean()) == pytest.approx(1.0, abs=4 * spread / math.sqrt(4000))
            assert float(found[:, lead].std()) == pytest.approx(spread, rel=0.08)
    # The error of a step shrinks as it comes nearer, and neighbouring errors belong together.
    early, late = (Noisy(0.4).ahead("load", series, days, step, 0)[:, -1] / 2.0 for step in (2, 20))
    assert float(late.std()) < float(early.std())
    found = Noisy(0.4).ahead("load", series, days, 0, 0)
    assert float(torch.corrcoef(found[:, 20:22].T)[0, 1]) > 0.9


def test_noise_belongs_to_the_seed_and_the_day_and_zero_is_perfect():
    community, some = homes(), torch.tensor([9, 4, 20])
    whole = expected_net(Noisy(0.3), community, torch.arange(DAYS), 5, 3)
    assert torch.equal(whole[some], expected_net(Noisy(0.3), community, some, 5, 3))
    assert not torch.equal(whole, expected_net(Noisy(0.3), community, torch.arange(DAYS), 5, 4))
    exact = expected_net(Perfect(), community, some, 5, 3)
    assert torch.equal(exact, expected_net(Noisy(0.0), community, some, 5, 3))


@pytest.mark.parametrize("name", names("forecasts"))
def test_every_forecast_of_the_table_keeps_shapes(name):
    forecast, series = make("forecasts", name), torch.rand(12, 24, 5, dtype=torch.float64)
    for what in ("load", "pv"):
        assert forecast.ahead(what, series, torch.tensor([8, 9]), 20, 0).shape == (2, 4, 5)
    assert forecast.ahead("price", series[..., 0], torch.tensor([8, 9]), 20, 0).shape == (2, 4)


def test_a_study_names_one_forecast_for_everybody():
    study = Study.parse(
        "{study: s, calendar: {start: 2012-07-02, days: 9, step: 60min, zone: UTC, hold_out: 7}, "
        "community: {source: synthetic, prosumers: 2, battery: 1.0}, followers: mpc, "
        "arms: {usual: {}, noisy: {forecast: {name: noisy, error: 0.3}}, known: {forecast: perfect}}}"
    )
    made = [build(arm, 0, None).spec.forecast for arm in study.arms]
    assert made == [Persistence(), Noisy(0.3), Perfect()]
    wider = study.change(**{"arms.noisy.forecast.error": 0.5})
    assert build(wider.arm("noisy"), 0, None).spec.forecast == Noisy(0.5)
    with pytest.raises(ValueError, match=r"forecast.error.*at least 0"):
        study.change(**{"arms.noisy.forecast.error": -1.0})
