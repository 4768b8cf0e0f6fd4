"""Means with intervals, and paired differences: a simulation study is a sample of seeds or days."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Estimate:
    """A mean and how well it is known.

    Parameters
    ----------
    mean : float
        In the unit of the sample; nan for an empty one.
    half_width : float or None
        Half of the interval around the mean; None for fewer than two values, which say nothing about spread.
    count : int
        Size of the sample.
    """

    mean: float
    half_width: float | None
    count: int

    @property
    def low(self) -> float:
        """Lower end of the interval; nan without one."""
        return self.mean - self.half_width if self.half_width is not None else math.nan

    @property
    def high(self) -> float:
        """Upper end of the interval; nan without one."""
        return self.mean + self.half_width if self.half_width is not None else math.nan

    @property
    def differs_from_zero(self) -> bool:
        """Whether there is an interval and it excludes 0."""
        return self.half_width is not None and abs(self.mean) > self.half_width


def plus_minus(mean: float, half_width: float | None, digits: int, *, sign: bool = False) -> str:
    """Write a figure with half of its interval.

    Parameters
    ----------
    mean : float
        In the unit of the sample.
    half_width : float or None
        None leaves the interval out.
    digits : int
        Decimals.
    sign : bool
        Whether a plus is written.

    Returns
    -------
    str
        Such as ``+1.5 ± 0.3``.
    """
    figure = f"{mean:{'+' if sign else ''}.{digits}f}"
    return figure if half_width is None else f"{figure} ± {half_width:.{digits}f}"


def interval(values: ArrayLike, confidence: float = 0.95) -> Estimate:
    """Mean and t interval.

    Parameters
    ----------
    values : array_like [n]
        Independent values of one quantity, e.g. one per seed. Values that are nan count as absent.
    confidence : float (0, 1)
        Of the interval.

    Returns
    -------
    Estimate
        Without interval for n < 2.
    """
    sample = _sample(values)
    if sample.size < 2:
        return Estimate(float(sample.mean()) if sample.size else math.nan, None, int(sample.size))
    from scipy.special import stdtrit  # noqa: PLC0415 - keeps the command line quick

    quantile = float(stdtrit(sample.size - 1, (1 + confidence) / 2))
    error = float(sample.std(ddof=1)) / math.sqrt(sample.size)
    return Estimate(float(sample.mean()), quantile * error, int(sample.size))


def paired(values: ArrayLike, baseline: ArrayLike, confidence: float = 0.95) -> Estimate:
    """Mean difference to a baseline that met the same luck, with paired t interval.

    Parameters
    ----------
    values, baseline : array_like [n]
        Same seeds (or days) in the same order; pairs with a nan count as absent.
    confidence : float (0, 1)
        Of the interval.

    Returns
    -------
    Estimate
        Of ``values - baseline``.

    Raises
    ------
    ValueError
        If the lengths differ.
    """
    left, right = np.asarray(values, dtype=float), np.asarray(baseline, dtype=float)
    if left.shape != right.shape:
        raise ValueError(f"Pairs need equal lengths: {left.size} values, {right.size} of the baseline.")
    return interval(left - right, confidence)


def bootstrap(
    values: ArrayLike, *, block: int = 1, confidence: float = 0.95, resamples: int = 9999, seed: int = 0
) -> Estimate:
    """Mean and percentile bootstrap interval over blocks, for days that resemble their neighbours.

    Parameters
    ----------
    values : array_like [n]
        In their order; the last block may be short.
    block : int >= 1
        Values that are drawn together, e.g. 7 days.
    confidence : float (0, 1)
        Of the interval.
    resamples : int
        Number of redrawn samples.
    seed : int
        Of the redrawing; the same seed gives the same interval.

    Returns
    -------
    Estimate
        ``count`` is the number of blocks; ``half_width`` half of the (perhaps lopsided) interval.

    Raises
    ------
    ValueError
        If block < 1.
    """
    if block < 1:
        raise ValueError(f"A block has at least 1 value; block is {block}.")
    sample = _sample(values)
    starts = np.arange(0, sample.size, block)
    if starts.size < 2:
        return Estimate(float(sample.mean()) if sample.size else math.nan, None, int(starts.size))
    from scipy import stats  # noqa: PLC0415 - 1.6 s to import

    sums = np.add.reduceat(sample, starts)
    counts = np.diff(np.append(starts, sample.size))
    drawn = stats.bootstrap(
        (sums, counts),
        lambda s, c, axis: s.sum(axis=axis) / c.sum(axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=resamples,
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Estimate(float(sample.mean()), float(drawn.high - drawn.low) / 2, int(starts.size))


def iqm(values: ArrayLike) -> NDArray[np.float64]:
    """Interquartile mean over the last axis: the mean of the middle half, which neither luck nor one bad run moves.

    Parameters
    ----------
    values : array_like [..., n]
        At least one value.

    Returns
    -------
    array [...]
        In the unit of the values; the quarter cut at each end is rounded down, as in Agarwal et al. (2021).
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64), axis=-1)
    cut = ordered.shape[-1] // 4
    return np.asarray(ordered[..., cut : ordered.shape[-1] - cut].mean(axis=-1))


@dataclass(frozen=True)
class Range:
    """A figure with a percentile interval, which need not lie evenly around it.

    Parameters
    ----------
    value : float
        Of the whole sample.
    low, high : float
        Ends of the interval; nan where the sample says nothing about spread.
    """

    value: float
    low: float
    high: float


def resampled(
    pairs: ArrayLike,
    statistics: Mapping[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]],
    *,
    confidence: float = 0.95,
    resamples: int = 4999,
    seed: int = 0,
) -> dict[str, Range]:
    """Percentile bootstrap intervals of paired differences by seed and day.

    Seeds are drawn with replacement, and inside each drawn seed its days: days of one seed share their homes, so they
    are no independent draws. With a single seed only days are drawn, with a single day only seeds.

    Parameters
    ----------
    pairs : array_like [S, D]
        Difference to the baseline of S seeds on D days (D = 1 where a figure exists once a run).
    statistics : mapping of str to callable
        Each maps [..., n] to [...].
    confidence : float (0, 1)
        Of the intervals.
    resamples : int
        Number of redrawn samples.
    seed : int
        Of the redrawing; the same seed gives the same intervals.

    Returns
    -------
    dict of str to Range
        Without interval for a single pair.
    """
    sample = np.asarray(pairs, dtype=np.float64)
    seeds, days = sample.shape
    whole = {name: float(found(sample.reshape(-1))) for name, found in statistics.items()}
    if sample.size < 2:
        return {name: Range(value, math.nan, math.nan) for name, value in whole.items()}
    rng = np.random.default_rng(seed)
    drawn: dict[str, list[NDArray[np.float64]]] = {name: [] for name in statistics}
    chunk = max(1, 2_000_000 // sample.size)
    for start in range(0, resamples, chunk):
        count = min(chunk, resamples - start)
        which = rng.integers(seeds, size=(count, seeds, 1))
        again = sample[which, rng.integers(days, size=(count, seeds, days))].reshape(count, -1)
        for name, found in statistics.items():
            drawn[name].append(found(again))
    tails = (1 - confidence) / 2, (1 + confidence) / 2
    ends = {name: np.quantile(np.concatenate(parts), tails) for name, parts in drawn.items()}
    return {name: Range(whole[name], float(ends[name][0]), float(ends[name][1])) for name in statistics}


def _sample(values: ArrayLike) -> NDArray[np.float64]:
    sample = np.asarray(values, dtype=np.float64).ravel()
    return sample[~np.isnan(sample)]
