"""How followers answer a price, as the leader believes it: their own programs, calibrated on what they were seen to do.

Only imports need structure: their slope is the curvature of the followers' optimal cost, hence symmetric and negative
semidefinite for anyone who minimises cost. The model through the last simulation is ``aggregator.local_response``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from aggregator.portfolio import BestResponse, Portfolio, PortfolioError
from aggregator.prosumers import Array

AVAILABILITIES = (1.0, 0.75, 0.5, 0.25, 0.0)
WEARS = (1.0, 2.0, 4.0, 8.0)
SWEEPS = 2
GOOD_ENOUGH = 0.01  # relative error of the net load below which nothing is calibrated


@dataclass(frozen=True)
class Observed:
    """One settled simulation on D scenario days.

    Attributes
    ----------
    price : array [T] $/kWh
        Buy price in force.
    importing, exporting : array [D, T] kWh per step
        Energy the community bought from and sold to the tariff, >= 0.
    profit : array [D] $/day
        Delivered to the leader, for one community.
    wholesale : array [D, T] $/kWh
        Price of the leader's own purchases.
    impact : array [D, T] $/kWh per kWh
        How much that price rises with the community's net load, >= 0.
    """

    price: Array
    importing: Array
    exporting: Array
    profit: Array
    wholesale: Array
    impact: Array

    @property
    def net(self) -> Array:
        """Net load, array [D, T] kWh per step, + = import."""
        return self.importing - self.exporting


@dataclass(frozen=True)
class Prediction:
    """What followers are expected to do at a price.

    Attributes
    ----------
    importing, exporting : array [D, T] kWh per step
    import_slope, export_slope : array [D, T, T] kWh per $/kWh
        Change of the row's step with the column's price; ``import_slope`` is symmetric negative semidefinite.
    radius : float $/kWh
        How far from the price (largest change of a step) the slopes are trusted.
    """

    importing: Array
    exporting: Array
    import_slope: Array
    export_slope: Array
    radius: float

    @property
    def net(self) -> Array:
        """Net load, array [D, T] kWh per step, + = import."""
        return self.importing - self.exporting

    @property
    def jacobian(self) -> Array:
        """Slope of the net load, array [D, T, T] kWh per $/kWh."""
        return self.import_slope - self.export_slope


class ResponseModel(Protocol):
    """A picture of the followers that a trust region can climb on."""

    def predict(self, price: Array) -> Prediction:
        """What followers do at a price.

        Parameters
        ----------
        price : array [T] $/kWh

        Returns
        -------
        Prediction
        """
        ...


@dataclass(frozen=True)
class Structural:
    """The followers' own programs, shifted so that they agree with the last observation.

    Parameters
    ----------
    portfolio : Portfolio
        D scenario days. Stores need quadratic wear: linear followers have no slope.
    sell : array [T] $/kWh
        Feed-in price.
    radius : float $/kWh
        Where the programs' pieces end is not known beforehand; this is what is claimed.
    slope_days : int
        Slopes are those of so many days, evenly spaced; where that is not all, each day gets their mean.
    import_bias, export_bias : array [D, T] kWh per step
        Added to what the programs say (a modifier of order 0).

    Raises
    ------
    PortfolioError
        If a store has no quadratic wear.
    """

    portfolio: Portfolio
    sell: Array
    radius: float = 0.02
    slope_days: int = 7
    import_bias: Array | float = 0.0
    export_bias: Array | float = 0.0

    def __post_init__(self) -> None:
        p = self.portfolio
        if (p.wear_quadratic[p.has_battery] <= 0.0).any():
            raise PortfolioError(
                "A store has no quadratic wear, so its answer to a price jumps and has no slope; raise wear_quadratic "
                "to 0.03 $/kWh^2 in the picture (Structural.bent does)."
            )

    @classmethod
    def bent(cls, portfolio: Portfolio, sell: Array, *, least_wear: float = 0.03, radius: float = 0.02) -> Structural:
        """A model whose stores have at least some quadratic wear.

        Parameters
        ----------
        portfolio : Portfolio
        sell : array [T] $/kWh
        least_wear : float $/kWh^2
            > 0.
        radius : float $/kWh

        Returns
        -------
        Structural
        """
        return cls(portfolio.bent(least_wear), sell, radius)

    def predict(self, price: Array) -> Prediction:
        """Imports, exports and their slopes at a price.

        Parameters
        ----------
        price : array [T] $/kWh
            At or above the feed-in price.

        Returns
        -------
        Prediction
        """
        return Prediction(*self.answer(price), *self.slopes(price), self.radius)

    def slopes(self, price: Array) -> tuple[Array, Array]:
        """How imports and exports move with the price: derivatives of the programs' optimum.

        Parameters
        ----------
        price : array [T] $/kWh
            At or above the feed-in price.

        Returns
        -------
        import_slope, export_slope : array [D, T, T] kWh per $/kWh
            See ``Prediction``.
        """
        days = self.portfolio.days
        few = np.unique(np.linspace(0, days - 1, min(self.slope_days, days)).round()).astype(np.intp)
        into, out = BestResponse(self.portfolio.over(few)).slopes(price, self.sell)
        into = semidefinite(into)
        if len(few) == days:
            return into, out
        return np.repeat(into.mean(axis=0)[None], days, axis=0), np.repeat(out.mean(axis=0)[None], days, axis=0)

    def answer(self, price: Array) -> tuple[Array, Array]:
        """Imports and exports at a price, without slopes.

        Parameters
        ----------
        price : array [T] or [D, T] $/kWh

        Returns
        -------
        tuple of array [D, T] kWh per step
        """
        response = BestResponse(self.portfolio).solve(price, self.sell)
        return response.total_importing + self.import_bias, response.total_exporting + self.export_bias

    def matched(self, observed: Observed) -> Structural:
        """The same programs with a bias that makes them right at an observation.

        Parameters
        ----------
        observed : Observed

        Returns
        -------
        Structural
        """
        importing, exporting = replace(self, import_bias=0.0, export_bias=0.0).answer(observed.price)
        return replace(self, import_bias=observed.importing - importing, export_bias=observed.exporting - exporting)


def calibrated(model: Structural, seen: Sequence[Observed], clusters: NDArray[np.int64]) -> tuple[Structural, float]:
    """Fit, cluster by cluster, how much of its stores a cluster uses and how dear it finds their wear.

    Parameters
    ----------
    model : Structural
        Of D days.
    seen : sequence of Observed
        Of the same days; the last one is met exactly by a bias.
    clusters : array of int [N]
        Label of each follower.

    Returns
    -------
    Structural
        With the smallest squared error of the net load over all observations.
    float
        Its root mean square error relative to that of the net load itself.

    Notes
    -----
    Availability scales power and range of a store around its start. Numbers of one cluster are searched with those of
    the others fixed: first availability, then wear, twice. Nothing is fitted where programs are right to 1 % already.
    """
    size = float(np.sqrt(np.mean([np.mean(o.net**2) for o in seen]))) or 1.0
    base = model.portfolio
    chosen = {int(c): (1.0, 1.0) for c in np.unique(clusters[base.has_battery])}
    fit = _Fit(model, seen, clusters)
    error = fit.error(chosen) / size
    if error <= GOOD_ENOUGH:
        return model.matched(seen[-1]), error
    for label in [*chosen] * SWEEPS:
        for one in ("availability", "wear"):
            share, wear = chosen[label]
            options = [(a, wear) for a in AVAILABILITIES] if one == "availability" else [(share, w) for w in WEARS]
            errors = [fit.error({**chosen, label: option}) / size for option in options]
            if min(errors) < error:
                error, chosen[label] = min(errors), options[int(np.argmin(errors))]
    best = replace(model, portfolio=_used(base, clusters, chosen)) if set(chosen.values()) - {(1.0, 1.0)} else model
    return best.matched(seen[-1]), error


class _Fit:
    """What the programs answer at all observed prices, solved once for each choice of numbers that is tried.

    Where followers settle alone a cluster's answer is its own, and only it is solved anew when its numbers change.
    """

    def __init__(self, model: Structural, seen: Sequence[Observed], clusters: NDArray[np.int64]) -> None:
        self._clusters, self._sell, days = clusters, model.sell, model.portfolio.days
        self._portfolio = model.portfolio.over(np.tile(np.arange(days), len(seen)))
        self._price = np.repeat([one.price for one in seen], days, axis=0)
        bias = np.broadcast_to(model.import_bias - np.asarray(model.export_bias), seen[0].net.shape)
        self._want = np.concatenate([one.net - bias for one in seen])
        self._known: dict[tuple[object, ...], Array] = {}

    def error(self, chosen: dict[int, tuple[float, float]]) -> float:
        """Root mean square error of the net load, kWh, over observations and days."""
        everyone = np.arange(len(self._clusters))
        parts = [everyone]
        if not self._portfolio.pooled:
            parts = [everyone[self._clusters == label] for label in np.unique(self._clusters)]
        net = sum(self._net(who, chosen) for who in parts)
        return float(np.sqrt(np.mean((net - self._want) ** 2)))

    def _net(self, who: NDArray[np.intp], chosen: dict[int, tuple[float, float]]) -> Array:
        labels = np.unique(self._clusters[who]).tolist()
        key = (*labels, *(chosen.get(label) for label in labels))
        if key not in self._known:
            some = self._portfolio if len(who) == len(self._clusters) else self._portfolio.some(who)
            response = BestResponse(_used(some, self._clusters[who], chosen)).solve(self._price, self._sell)
            self._known[key] = response.net
        return self._known[key]


def _used(p: Portfolio, clusters: NDArray[np.int64], chosen: dict[int, tuple[float, float]]) -> Portfolio:
    """Stores of each cluster scaled around their start, and their wear multiplied."""
    share, wear = (np.array([chosen.get(int(c), (1.0, 1.0))[k] for c in clusters]) for k in (0, 1))
    return p.change(
        store_min=p.start - share * (p.start - p.store_min),
        store_max=p.start + share * (p.store_max - p.start),
        charge=share * p.charge,
        discharge=share * p.discharge,
        wear_quadratic=wear * p.wear_quadratic,
    )


def semidefinite(slope: Array) -> Array:
    """Nearest symmetric negative semidefinite matrices (in the Frobenius norm).

    Parameters
    ----------
    slope : array [..., T, T]

    Returns
    -------
    array [..., T, T]

    References
    ----------
    N. J. Higham, "Computing a nearest symmetric positive semidefinite matrix", Linear Algebra Appl. 103, 1988.
    """
    values, vectors = np.linalg.eigh(0.5 * (slope + np.swapaxes(slope, -1, -2)))
    return np.asarray((vectors * np.minimum(values, 0.0)[..., None, :]) @ np.swapaxes(vectors, -1, -2))
