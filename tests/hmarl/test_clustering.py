"""Groups of homes: distances against plain loops, medoids against trying all, training days only."""

from itertools import combinations, product

import numpy as np
import pytest
import torch

from hmarl import clustering
from hmarl.clustering import ClusterError, choose_number, distances, group, k_medoids, mean_days, silhouette
from hmarl.policies.base import portfolio_clusters
from hmarl.study import Study
from hmarl.world import build
from retail import Battery, Community, Game, auction
from retail.streams import stream


def plain_dtw(x, y, band):
    far = np.full((len(x) + 1, len(y) + 1), np.inf)
    far[0, 0] = 0
    for i, j in product(range(1, len(x) + 1), range(1, len(y) + 1)):
        if abs(i - j) <= band:
            far[i, j] = (x[i - 1] - y[j - 1]) ** 2 + min(far[i - 1, j], far[i, j - 1], far[i - 1, j - 1])
    return far[-1, -1] ** 0.5


def homes(kinds, days=6, seed=3):
    """Homes of known kinds: morning, evening or sunny days, with noise."""
    rng, hours = np.random.default_rng(seed), np.arange(24 * days) % 24
    shape = {"morning": (hours >= 6) & (hours < 9), "evening": (hours >= 18) & (hours < 22), "sun": hours < 0}
    load = np.stack([0.3 + 2.0 * shape[k] + rng.uniform(0, 0.2, 24 * days) for k in kinds], 1)
    sun = np.clip(np.sin((hours - 6) / 12 * np.pi), 0, None)
    pv = np.stack([sun * (3.0 if k == "sun" else 0.0) for k in kinds], 1)
    clock = np.datetime64("2012-07-02", "m") + np.arange(24 * days) * np.timedelta64(60, "m")
    names, to = tuple(f"h{i}" for i in range(len(kinds))), torch.from_numpy
    community = Community(names, clock, "UTC", 60, to(load), to(pv), Battery.make(len(kinds)), to(pv.max(0)), 1)
    return Game(community, auction("da"), scale_days=torch.arange(1, 4))


KINDS = ["morning", "evening", "sun"] * 4
TRAINING = torch.arange(1, 4)


@pytest.mark.parametrize("band", [0, 3, 24])
def test_warped_distances_equal_the_plain_recursion(band):
    days = stream(0, "x").normal(size=(6, 24))
    made = distances(days, "dtw", band)
    known = np.array([[plain_dtw(x, y, band) for y in days] for x in days])
    np.testing.assert_allclose(made, known, rtol=1e-9, atol=1e-12)
    if band == 0:
        np.testing.assert_allclose(made, distances(days, "euclidean", 0), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_medoids_are_the_best_of_all(number):
    for seed in range(5):
        between = distances(stream(seed, "x").normal(size=(9, 4)), "euclidean", 0)
        runs = k_medoids(between, number, stream(seed, "clusters"))
        least = min(np.square(between[:, c]).min(1).sum() for c in combinations(range(9), number))
        assert runs[0][1] == pytest.approx(least)


@pytest.mark.parametrize("method", ["euclidean", "dtw"])
def test_kinds_of_homes_are_found_with_their_number(method):
    made = group(homes(KINDS), TRAINING, method, 0)
    assert made.number == 3
    assert all((made.labels[i] == made.labels[j]) == (KINDS[i] == KINDS[j]) for i, j in combinations(range(12), 2))
    assert made.silhouette > 0.7
    assert made.agreement > 0.5


def test_only_training_days_are_looked_at():
    game, other = homes(KINDS), homes(KINDS)
    for profile in (other.community.load, other.community.pv):
        profile[:24] += 5
        profile[4 * 24 :] *= torch.rand(2 * 24, 12, generator=torch.Generator().manual_seed(0)).double() * 9
    a, b = (group(g, TRAINING, "dtw", 0) for g in (game, other))
    assert torch.equal(a.labels, b.labels)
    np.testing.assert_array_equal(a.centres, b.centres)


def test_random_groups_are_as_large_as_those_of_dtw_but_others():
    game = homes(KINDS)
    by_days, by_chance = (group(game, TRAINING, method, 0) for method in ("dtw", "random"))
    assert sorted(by_days.labels.bincount().tolist()) == sorted(by_chance.labels.bincount().tolist())
    assert by_chance.silhouette < by_days.silhouette
    assert torch.equal(group(game, TRAINING, "random", 0).labels, by_chance.labels)
    assert not torch.equal(group(game, TRAINING, "random", 1).labels, by_chance.labels)


def test_location_groups_by_postcode_or_says_what_is_missing():
    game = homes(KINDS)
    made = group(game, TRAINING, "location", 0, postcodes=("2000", "2010", "2000") * 4)
    assert made.labels.tolist() == [0, 1, 0] * 4
    apart = group(game, TRAINING, "location", 0, postcodes=("2000",) * 11 + ("",))
    assert apart.labels.unique(return_counts=True)[1].tolist() == [1, 11]  # the one without a postcode stands alone
    with pytest.raises(ClusterError, match="need postcodes"):
        group(game, TRAINING, "location", 0, postcodes=("",) * 12)
    with pytest.raises(ClusterError, match="13 groups asked of 12 homes"):
        group(game, TRAINING, "dtw", 0, number=13)


def test_portfolio_is_what_it_was():
    game = homes(KINDS)
    assert torch.equal(group(game, TRAINING, "portfolio", 0).labels, portfolio_clusters(game))


@pytest.mark.parametrize("method", ["euclidean", "dtw", "random"])
def test_unseen_homes_join_the_nearest_group(method):
    game = homes(KINDS)
    made = group(game, TRAINING, method, 0)
    unseen = homes(["sun", "morning", "evening", "sun"], seed=9)
    labels = made.nearest(mean_days(unseen, TRAINING))
    if method == "random":
        assert labels.shape == (4,)
    else:
        assert labels.tolist() == [int(made.labels[KINDS.index(k)]) for k in ("sun", "morning", "evening", "sun")]
    assert torch.equal(made.nearest(made.centres), torch.arange(made.number))


def test_the_number_is_near_the_elbow_and_one_group_has_no_silhouette():
    days = np.concatenate([c + 0.01 * stream(c, "x").normal(size=(5, 3)) for c in (0, 1, 5, 9)])
    between = distances(days, "euclidean", 0)
    best = {k: k_medoids(between, k, stream(0, "clusters"))[0] for k in range(1, 9)}
    assert choose_number(between, best) in (2, 3, 4)
    assert silhouette(between, np.zeros(20, dtype=np.int64)) == 0
    assert silhouette(between, np.arange(20)) == 0


STUDY = {
    "study": "groups",
    "calendar": {"start": "2012-07-02", "days": 14, "step": "60min", "zone": "Australia/Sydney", "hold_out": 7},
    "community": {"source": "synthetic", "prosumers": 9, "pv": 0.5, "battery": 1.0},
    "followers": "rule-based",
    "arms": {"owned": {}, "daily": {"clusters": {"name": "dtw", "number": 3}}, "chance": {"clusters": "random"}},
}


def test_a_study_chooses_groups_for_every_policy():
    study = Study.parse(STUDY)
    owned, daily, chance = (build(study.arm(name), 0, None) for name in ("owned", "daily", "chance"))
    assert torch.equal(owned.spec.clusters, portfolio_clusters(owned.game))
    assert torch.equal(daily.spec.clusters, group(daily.game, daily.training, "dtw", 0, number=3).labels)
    assert torch.equal(chance.spec.clusters, group(chance.game, chance.training, "random", 0).labels)
    assert any("Homes grouped by dtw: 3 groups" in note for note in daily.notes)
    assert Study.parse(study.to_yaml()).arms == study.arms


def test_thousands_of_homes_are_not_compared_pair_by_pair(monkeypatch):
    """A table of 10,000 x 10,000 distances took 18 GB for a grouping that never looked at it."""

    def never(*given):
        raise AssertionError("compared")

    monkeypatch.setattr(clustering, "COMPARED", 5)
    monkeypatch.setattr(clustering, "distances", never)
    game = homes(KINDS)
    group(game, TRAINING, "portfolio", 0)
    group(game, TRAINING, "location", 0, postcodes=("2000", "2010", "2000") * 4)
    for method in ("random", "euclidean", "dtw"):
        with pytest.raises(ClusterError, match=f"Groups by {method} compare the days of 12 homes .* 5 are the most"):
            group(game, TRAINING, method, 0)
