"""Which homes are alike: by what they own, where they are, by their mean day, or by chance. Training days only."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from torch import Tensor

from hmarl.policies.base import portfolio_clusters
from retail.game import Game
from retail.streams import stream

Method = Literal["portfolio", "random", "location", "euclidean", "dtw"]
Table = NDArray[np.float64]
Labels = NDArray[np.int64]
RESTARTS = 10
MOST = 10
"""Largest number of clusters that is tried."""
COMPARED = 3000
"""Most homes whose days are compared pair by pair: 72 MB of distances, and many times that while they are searched."""


class ClusterError(ValueError):
    """Homes that cannot be grouped as asked; the message says why and what to choose instead."""


@dataclass(frozen=True)
class Clustering:
    """Groups of homes.

    Attributes
    ----------
    labels : Tensor [N] int64
        0..k-1, without gaps.
    centres : array [k, T]
        Typical mean day of each group, in units of a home's size: the medoid, or the mean where days did not decide.
    method : str
        How they were found.
    band : int
        Steps that DTW may shift.
    series : array [N, T]
        The mean days that were compared, or would have been.
    agreement : float
        Mean adjusted Rand index of the restarts against the best one; 1 where nothing was searched.
    """

    labels: Tensor
    centres: Table
    method: Method
    band: int
    series: Table = field(repr=False)
    agreement: float = 1.0

    @cached_property
    def between(self) -> Table:
        """Distances [N, N] of the method (Euclidean where days did not decide); only made where they are asked for."""
        return distances(self.series, self.method, self.band)

    @property
    def number(self) -> int:
        """Number of groups k."""
        return len(self.centres)

    @property
    def silhouette(self) -> float:
        """Mean silhouette on ``between``, -1 to 1; 0 for a single group."""
        return silhouette(self.between, self.labels.numpy())

    @property
    def note(self) -> str:
        """A sentence for the notes of a run."""
        return (
            f"Homes grouped by {self.method}: {self.number} groups, silhouette {self.silhouette:.2f}, "
            f"agreement of restarts {self.agreement:.2f} (adjusted Rand)."
        )

    def nearest(self, days: Table) -> Tensor:
        """Group of homes that were not there.

        Parameters
        ----------
        days : array [M, T]
            Their mean days, in units of their size (`mean_days`).

        Returns
        -------
        Tensor [M] int64
            Label of the nearest centre; ties go to the lower label.
        """
        both = np.concatenate([self.centres, days])
        return torch.from_numpy(distances(both, self.method, self.band)[self.number :, : self.number].argmin(1))


def mean_days(game: Game, days: Tensor) -> Table:
    """Mean daily profile of what each home would bring to market without a battery, in units of its size.

    Parameters
    ----------
    game : Game
        Its observer holds the sizes (95 % quantile of |net load|, kWh per step).
    days : Tensor [D] int64
        Training days.

    Returns
    -------
    array [N, T]
        Net load over size, + = import.
    """
    c = game.community
    mean: Table = (c.daily(c.fixed)[days].mean(0) / game.observer.size).T.contiguous().numpy()
    return mean


def distances(days: Table, method: Method, band: int) -> Table:
    """Distance of each pair of mean days.

    Parameters
    ----------
    days : array [N, T]
        No unit.
    method : str
        ``dtw``: dynamic time warping (Sakoe and Chiba 1978) with squared differences and a band; else Euclidean.
    band : int
        Largest shift, in steps.

    Returns
    -------
    array [N, N]
        Symmetric, 0 on the diagonal.
    """
    if method != "dtw":
        return np.asarray(cdist(days, days))
    from dtaidistance import dtw  # noqa: PLC0415  a compiled library that few studies need

    # The library's window counts the diagonal too.
    return np.asarray(
        dtw.distance_matrix_fast(np.ascontiguousarray(days), window=band + 1, compact=False, parallel=False)
    )


def group(
    game: Game,
    days: Tensor,
    method: Method,
    seed: int,
    *,
    number: int | None = None,
    postcodes: tuple[str, ...] = (),
    band_hours: float = 3.0,
    series: Table | None = None,
) -> Clustering:
    """Group the homes of a game.

    Parameters
    ----------
    game : Game
        Homes and profiles.
    days : Tensor [D] int64
        Training days; no others are looked at.
    method : str
        ``portfolio``: PV or not, battery or not. ``location``: postcode. ``euclidean``, ``dtw``: k-medoids on distances
        of mean days. ``random``: by chance, in groups as large as those of ``dtw``, so that only the choice differs.
    seed : int
        Of stream ``clusters``.
    number : int, optional
        k; where absent, the best silhouette within one of the elbow.
    postcodes : tuple of str
        For ``location``, one per home; homes whose postcode is empty make a group of their own.
    band_hours : float
        Largest shift of ``dtw``, h.
    series : array [N, T], optional
        Days to compare instead of `mean_days`, for example traded quantities over size.

    Returns
    -------
    Clustering
        Same input and seed, same labels.

    Raises
    ------
    ClusterError
        If no postcode is known, more groups are asked for than there are homes, or days of too many homes are to be
        compared.
    """
    c = game.community
    mean, band = mean_days(game, days) if series is None else series, round(band_hours * c.steps / 24)
    if number is not None and not 1 <= number <= c.prosumers:
        raise ClusterError(f"{number} groups asked of {c.prosumers} homes; give 1 to {c.prosumers}, or none.")
    agreement, between = 1.0, None
    if method == "portfolio":
        labels = portfolio_clusters(game).numpy()
    elif method == "location":
        labels = _by_postcode(postcodes, c.prosumers)
    elif c.prosumers > COMPARED:
        raise ClusterError(
            f"Groups by {method} compare the days of {c.prosumers} homes pair by pair, and {COMPARED} are the most; "
            "group by portfolio or location."
        )
    else:
        base: Method = "euclidean" if method == "euclidean" else "dtw"
        between = distances(mean, base, band)
        labels, agreement = _searched(between, number, seed)
        if method == "random":
            labels, agreement = labels[stream(seed, "clusters at random").permutation(len(labels))], 1.0
    labels = np.unique(labels, return_inverse=True)[1].astype(np.int64)
    centres = _centres(mean, None if method == "random" else between, labels)
    return Clustering(torch.from_numpy(labels), centres, method, band, mean, agreement)


def choices(days: Table, band_hours: float, seed: int) -> list[dict[str, str | int | float]]:
    """What k-medoids make of homes for each number of groups, with DTW and with Euclidean distances.

    Parameters
    ----------
    days : array [N, T]
        Mean days, in units of a home's size.
    band_hours : float
        Largest shift of ``dtw``, h.
    seed : int
        Of stream ``clusters``.

    Returns
    -------
    list of dict
        method, number (k), inertia (sum of squared distances), silhouette, and whether this k is the one that `group`
        chooses; no unit.
    """
    rows: list[dict[str, str | int | float]] = []
    methods: tuple[Method, ...] = ("dtw", "euclidean")
    for method in methods:
        between = distances(days, method, round(band_hours * days.shape[1] / 24))
        tried = _tried(between, stream(seed, "clusters"))
        best = {k: runs[0] for k, runs in tried.items()}
        chosen = choose_number(between, best)
        for k, (labels, inertia) in best.items():
            about = {"inertia": inertia, "silhouette": silhouette(between, labels), "chosen": k == chosen}
            rows.append({"method": method, "number": k, **about})
    return rows


def _tried(between: Table, rng: np.random.Generator) -> dict[int, list[tuple[Labels, float]]]:
    """Runs of every k from 1 to the largest that is tried."""
    most = max(1, min(MOST, len(between) - 1))
    return {k: k_medoids(between, k, rng) for k in range(1, most + 1)}


def _by_postcode(postcodes: tuple[str, ...], homes: int) -> Labels:
    if len(postcodes) != homes or not any(postcodes):
        raise ClusterError("Groups by location need postcodes, which this source does not give; choose another one.")
    return np.unique(np.asarray(postcodes), return_inverse=True)[1].astype(np.int64)


def _centres(days: Table, between: Table | None, labels: Labels) -> Table:
    """Medoid of each group by distance; its mean where no distance decided."""
    rows = []
    for k in range(int(labels.max()) + 1):
        mine = np.flatnonzero(labels == k)
        rows.append(days[mine].mean(0) if between is None else days[mine[between[np.ix_(mine, mine)].sum(1).argmin()]])
    return np.stack(rows)


def _searched(between: Table, number: int | None, seed: int) -> tuple[Labels, float]:
    """Labels of the chosen k, and the agreement of its restarts."""
    from sklearn.metrics import adjusted_rand_score  # noqa: PLC0415  slow to import

    rng = stream(seed, "clusters")
    if number is None:
        tried = _tried(between, rng)
        number = choose_number(between, {k: runs[0] for k, runs in tried.items()})
        runs = tried[number]
    else:
        runs = k_medoids(between, number, rng)
    alike = [adjusted_rand_score(runs[0][0], labels) for labels, _ in runs[1:]]
    return runs[0][0], float(np.mean(alike))


def choose_number(between: Table, best: dict[int, tuple[Labels, float]]) -> int:
    """Choose k: the best silhouette among the elbow (Thorndike 1953) and its neighbours.

    Parameters
    ----------
    between : array [N, N]
        Distances.
    best : dict
        k from 1 on -> labels and inertia of the best run.

    Returns
    -------
    int
        k; 1 only where nothing else was tried.
    """
    numbers = sorted(best)
    if len(numbers) < 3:
        return numbers[-1]
    inertia = np.array([best[k][1] for k in numbers])
    across = np.linspace(0, 1, len(numbers))
    fall = (inertia - inertia[-1]) / max(inertia[0] - inertia[-1], 1e-12)
    elbow = numbers[int((1 - across - fall).argmax())]
    near = [k for k in numbers if k >= 2 and abs(k - elbow) <= 1]
    return max(near, key=lambda k: silhouette(between, best[k][0]))


def silhouette(between: Table, labels: Labels) -> float:
    """Mean silhouette (Rousseeuw 1987).

    Parameters
    ----------
    between : array [N, N]
        Distances.
    labels : array [N]
        Groups.

    Returns
    -------
    float
        -1 to 1; 0 where there is one group, or each home is its own.
    """
    from sklearn.metrics import silhouette_score  # noqa: PLC0415  slow to import

    if not 2 <= len(np.unique(labels)) < len(labels):
        return 0.0
    return float(silhouette_score(between, labels, metric="precomputed"))


def k_medoids(between: Table, number: int, rng: np.random.Generator) -> list[tuple[Labels, float]]:
    """Group by distance to k of the homes (Kaufman and Rousseeuw 1987), several times.

    Each run starts from medoids drawn far apart (Arthur and Vassilvitskii 2007) and swaps a medoid for another home as
    long as that lowers the sum of squared distances.

    Parameters
    ----------
    between : array [N, N]
        Distances.
    number : int
        k, 1..N.
    rng : numpy.random.Generator
        Starts.

    Returns
    -------
    list of (array [N], float)
        Labels and sum of squared distances of each run, the best first.
    """
    square = np.square(between)
    runs = []
    for _ in range(RESTARTS):
        medoids = _far_apart(square, number, rng)
        medoids = _swapped(square, medoids)
        near = square[:, np.sort(medoids)]
        runs.append((near.argmin(1).astype(np.int64), float(near.min(1).sum())))
    return sorted(runs, key=lambda run: run[1])


def _far_apart(square: Table, number: int, rng: np.random.Generator) -> Labels:
    chosen = [int(rng.integers(len(square)))]
    while len(chosen) < number:
        weight = square[:, chosen].min(1)
        weight[chosen] = 0
        if weight.sum() == 0:  # all others are doubles of a medoid
            weight = np.ones(len(square))
            weight[chosen] = 0
        chosen.append(int(rng.choice(len(square), p=weight / weight.sum())))
    return np.array(chosen)


def _swapped(square: Table, medoids: Labels) -> Labels:
    """Swap one medoid at a time, the best swap first, until none helps."""
    best = square[:, medoids].min(1).sum()
    while True:
        gains = []
        for place in range(len(medoids)):
            rest = np.delete(medoids, place)
            kept = square[:, rest].min(1) if len(rest) else np.full(len(square), np.inf)
            gains.append(np.minimum(kept[:, None], square).sum(0))
        table = np.stack(gains)
        place, home = (int(i) for i in np.unravel_index(table.argmin(), table.shape))
        if table[place, home] >= best - 1e-12 * max(best, 1.0):
            return medoids
        best, medoids = table[place, home], medoids.copy()
        medoids[place] = home
