"""The leader climbs on settled simulations; runs go on where they were stopped."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from hmarl import storage
from hmarl.equilibrium.answer import settle
from hmarl.equilibrium.coordinator import Coordinator
from hmarl.equilibrium.poll import poll
from hmarl.equilibrium.trust_region import observe
from hmarl.run import run_study
from hmarl.simulate import simulate
from hmarl.study import Study
from hmarl.world import build

TEXT = """
study: climb
seeds: 1
calendar: {start: 2012-07-02, days: 4, zone: Australia/Sydney, hold_out: 1, warm_up: 3}
community: {source: synthetic, prosumers: 4, pv: 0.6, battery: 0.5}
tariff: {name: time-of-use, average_cap: 0.23}
game: {action: raw}
auction: none
followers: optimal
leader: {name: mark-up}
wholesale: {name: dc-opf, case: pjm5, bus: B, replication: 400}
equilibrium: {method: trust-region, climbs: 0, probes: 1, simulations: 6, rounds: 3, tolerance: 1e-9}
arms: {one: {}}
"""
LEARNED = {"auction": "da", "followers": {"name": "mappo", "episodes": 24, "retrain_episodes": 8, "batch_days": 8}}


def study(**changes):
    return Study.parse(TEXT).change(**changes)


def world(**changes):
    return build(study(**changes).arm(), 0, None)


def test_profit_never_falls_and_what_is_in_force_is_the_best_price():
    its = list(Coordinator(world()))
    profits = [it.delivered for it in its]
    assert profits == sorted(profits)
    assert profits[-1] > profits[0]
    best = max((it for it in its if it.step.accepted), key=lambda it: it.step.delivered)
    assert its[-1].delivered == best.step.delivered
    assert torch.equal(its[-1].tariff.buy, best.tariff.buy)
    for it in its:
        assert it.offer.tariff is it.tariff
        assert it.offer.promised == pytest.approx(it.delivered, rel=0.02)  # exact followers, hardly any price impact
        assert world().rules.admissible(it.tariff.buy_price) == []
    assert its[-1].converged or its[-1].reason.startswith("NOT CONVERGED within 6 settled simulations")


def test_a_trial_is_compared_with_the_best_price_after_as_much_learning():
    its = list(Coordinator(world(**LEARNED)))
    steps = [it for it in its if it.step.kind not in ("start", "probe")]
    assert steps
    for it in steps:
        rejected = not it.step.accepted
        assert it.delivered == pytest.approx(it.step.delivered - it.step.gain * rejected)
        assert it.step.error > 0.0
    # two simulations a step, both after learning
    assert its[-1].step.simulations == len(its) + len(steps)
    assert its[-1].episodes > its[0].episodes


def test_iterates_do_not_change_afterwards():
    first = next(iter(Coordinator(world(**LEARNED))))
    kept = {name: value.clone() for name, value in first.learners["actor"].items()}
    its = list(Coordinator(world(**LEARNED)))
    for name, value in its[0].learners["actor"].items():
        assert torch.equal(value, kept[name])


def test_tariffs_of_a_range_stay_admissible_and_differ_by_day():
    from hmarl.equilibrium.tariff_range import spread

    w = world()
    prices, tariff = w.rules.price_set(), w.rules.tariff(w.rules.clip(w.rules.ceiling))
    wide = spread(w.rules, prices, tariff, 0.03, w, 2)
    assert wide.buy.shape == (w.game.community.days, 24)
    assert w.rules.admissible(wide.buy_price) == []
    assert len({row.numpy().tobytes() for row in wide.buy}) == w.game.community.days
    assert not torch.equal(wide.buy, spread(w.rules, prices, tariff, 0.03, w, 3).buy)
    its = Coordinator(world(**LEARNED, **{"equilibrium.tariff_range": 0.02, "equilibrium.simulations": 3}))
    assert list(its)[-1].training


RESTLESS = {"equilibrium.radius": 0.0015, "equilibrium.simulations": 14}
"""A first radius below the one at which the search rests: all that it finds, it finds by looking around."""


def test_a_search_at_rest_looks_around_and_goes_on():
    still = list(Coordinator(world(**RESTLESS)))
    assert still[-1].converged
    assert {it.step.kind for it in still} == {"start", "probe"}
    its = list(Coordinator(world(**RESTLESS, **{"equilibrium.polls": 6})))
    polls = [it for it in its if it.step.kind == "poll"]
    assert 1 <= len(polls) <= 6
    for it in polls:  # exact followers and hardly any price impact: what a look promises comes true
        assert it.step.gain == pytest.approx(it.step.predicted, rel=0.05, abs=1e-3)
        assert world().rules.admissible(it.tariff.buy_price) == []
    assert its[-1].delivered > still[-1].delivered
    assert [it.delivered for it in its] == sorted(it.delivered for it in its)
    assert its[-1].memory.polls <= 6


def test_where_nothing_around_earns_more_the_search_rests_and_says_so():
    coordinator = Coordinator(world(**RESTLESS, **{"equilibrium.polls": 2, "equilibrium.stop_gain": 10.0}))
    last = list(coordinator)[-1]
    assert last.converged
    assert last.reason.endswith("and none of 60 prices around or of those before seems to earn more")
    assert last.memory.polls == 1


def test_a_look_goes_back_to_an_old_price_that_has_become_the_best():
    """The search is put at rest at a bad price: the best that it has simulated before is what a look proposes."""
    one = world(**RESTLESS)
    last = list(Coordinator(one))[-1]
    good, prices = last.memory.search.centre, one.rules.price_set()
    low = prices.clip(prices.low)
    tariff = one.rules.tariff(low)
    learner = one.policy.start(one.spec)
    bad = observe(one, settle(one, learner, tariff), low, impact=False)
    search = replace(last.memory.search, model=replace(last.memory.search.model, at=bad))
    memory = replace(last.memory, search=search)
    found = poll(one, learner, one.rules, replace(last, tariff=tariff, memory=memory))
    assert found.kind == "poll"
    assert np.array_equal(found.price, good.price)
    assert found.predicted == pytest.approx(float((good.profit - bad.profit).mean()), rel=0.02)
    assert len(memory.tried) == len({price.tobytes() for price in memory.tried}) == 2


def test_constant_leaders_have_nothing_to_climb():
    its = list(Coordinator(world(leader="fixed")))
    assert len(its) == 1
    assert its[0].converged


class Killed(BaseException):
    """Stands for a machine that stops."""


def contents(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name != storage.MANIFEST}


@pytest.mark.parametrize(
    ("method", "followers", "leader"),
    [
        ("poll", "mappo", None),
        ("alternate", "zi", None),
        ("alternate", "mappo", None),
        ("alternate", "zi", "learned"),
        ("trust-region", "zi", None),
        ("trust-region", "mappo", None),
    ],
)
def test_a_run_killed_after_any_round_ends_with_the_same_bytes(tmp_path, monkeypatch, method, followers, leader):
    changes = {"equilibrium.method": method, "equilibrium.simulations": 4, "calendar.days": 3}
    if method == "poll":
        changes |= RESTLESS | {"equilibrium.method": "trust-region", "equilibrium.polls": 3}
    if leader is not None:
        changes["leader"] = leader
    changes |= {**LEARNED, "followers": "zi"} if followers == "zi" else LEARNED
    tiny = study(**changes)
    assert not run_study(tiny, out=tmp_path / "straight").failures
    straight = contents(tmp_path / "straight" / "climb" / "one" / "0")
    assert storage.PROGRESS not in straight

    def stops_after(rounds):
        """Each attempt is killed when one more round has been stored."""
        left = [rounds]

        def save(folder, done, last):
            real(folder, done, last)
            left[0] -= 1
            if left[0] == 0:
                raise Killed

        return save

    import hmarl.simulate

    real, out, attempts = hmarl.simulate.save, tmp_path / "killed", 0
    while True:
        monkeypatch.setattr(hmarl.simulate, "save", stops_after(1))
        attempts += 1
        try:
            outcome = run_study(tiny, out=out)
        except Killed:
            assert (out / "climb" / "one" / "0" / storage.PROGRESS).exists()
            continue
        assert not outcome.failures
        break
    assert attempts > 2
    assert contents(out / "climb" / "one" / "0") == straight


def test_progress_of_something_else_is_refused(tmp_path):
    folder = tmp_path / "climb" / "one" / "0"
    storage.prepare(folder, study().arm().resolved())
    (folder / storage.PROGRESS).write_bytes(b"no progress")
    with pytest.raises(storage.RunFolderError, match="use --fresh"):
        simulate(study().arm(), 0, None, lambda label, share: None, folder)
