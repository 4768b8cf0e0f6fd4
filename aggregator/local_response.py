"""A straight line through the last settled simulation, and the best step that the leader can take on it.

Slopes learn from each new simulation (Broyden's least change). Before use the imports' slope is made symmetric
negative semidefinite, as it is for anyone who minimises cost; what a learned policy does against that is a diagnostic.
The step is then a concave quadratic program.

References
----------
C. G. Broyden, "A class of methods for solving nonlinear simultaneous equations", Math. Comp. 19(92), 1965.
A. R. Conn, N. I. M. Gould, P. L. Toint, "Trust-Region Methods", SIAM, 2000.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from aggregator.concave import maximise
from aggregator.price_set import PriceSet
from aggregator.prosumers import Array
from aggregator.response import Observed, Prediction, semidefinite

LEAST = 1e-9  # $/kWh, a room below which a price is fixed


@dataclass(frozen=True)
class Local:
    """A straight line through the last settled simulation.

    Parameters
    ----------
    at : Observed
        Where the line is exact.
    import_slope, export_slope : array [D, T, T] kWh per $/kWh
        As learned, not projected.
    radius : float $/kWh
    """

    at: Observed
    import_slope: Array
    export_slope: Array
    radius: float

    def predict(self, price: Array) -> Prediction:
        """Follow the line, with imports made symmetric negative semidefinite.

        Parameters
        ----------
        price : array [T] $/kWh

        Returns
        -------
        Prediction
        """
        step, slope = np.asarray(price) - self.at.price, semidefinite(self.import_slope)
        importing, exporting = self.at.importing + slope @ step, self.at.exporting + self.export_slope @ step
        return Prediction(importing, exporting, slope, self.export_slope, self.radius)

    def learned(self, other: Observed) -> Local:
        """The least change of the slopes that explains a second simulation; the line stays where it is.

        Parameters
        ----------
        other : Observed
            At another price.

        Returns
        -------
        Local
            Unchanged where the prices are equal.
        """
        step = other.price - self.at.price
        length = float(step @ step)
        if length == 0.0:
            return self
        missed_in = other.importing - self.at.importing - self.import_slope @ step
        missed_out = other.exporting - self.at.exporting - self.export_slope @ step
        return replace(
            self,
            import_slope=self.import_slope + missed_in[..., None] * step / length,
            export_slope=self.export_slope + missed_out[..., None] * step / length,
        )

    @property
    def irrational(self) -> float:
        """Share of the mean import slope that no cost minimiser would show, 0..1 (Frobenius norms)."""
        slope = self.import_slope.mean(axis=0)
        size = float(np.linalg.norm(slope))
        return float(np.linalg.norm(slope - semidefinite(slope))) / size if size > 0.0 else 0.0


def best_step(model: Local, prices: PriceSet, *, sell: Array, charges: Array, radius: float) -> tuple[Array, float]:
    """The admissible price within reach that earns most by the model.

    Parameters
    ----------
    model : Local
    prices : PriceSet
        Admissible buy prices; the centre of the model is one of them.
    sell, charges : array [T] $/kWh
        Feed-in price; network charge and levies, which are not the leader's income.
    radius : float $/kWh
        Largest change of any step, > 0; of a menu the nearest other tariff is always within reach.

    Returns
    -------
    price : array [T] $/kWh
        Admissible, not on ticks.
    gain : float $/day
        Predicted, mean over days, >= 0 up to the tolerance of the solver.

    Notes
    -----
    Maximises (p - charges - w)'m(p) - (sell - w)'e(p) with linear imports m and exports e and a wholesale price w that
    rises with the net load by ``Observed.impact``: a concave quadratic program of T variables.
    """
    linear, bend = quadratic(model, sell=sell, charges=charges)
    if prices.menu is not None:
        return _best_on_menu(model.at.price, prices.menu, linear, bend, radius)
    low = np.minimum(np.maximum(prices.low - model.at.price, -radius), 0.0)
    high = np.maximum(np.minimum(prices.high - model.at.price, radius), 0.0)
    free = high - low > LEAST
    step = np.zeros(len(low))
    if free.any():
        rows, limit = step_limits(prices, model.at.price, low / radius, high / radius, radius)
        tied = prices.basis[:, free @ prices.basis > 0.0]  # one variable for all steps of a block
        step = radius * tied @ maximise(tied.T @ linear * radius, tied.T @ bend @ tied * radius**2, rows @ tied, limit)
        step = np.clip(step, low, high)
    return model.at.price + step, float(linear @ step + step @ bend @ step)


def _best_on_menu(centre: Array, menu: Array, linear: Array, bend: Array, radius: float) -> tuple[Array, float]:
    steps = menu - centre
    far = np.abs(steps).max(axis=1)
    others = far > LEAST
    reach = max(radius, float(far[others].min())) if others.any() else radius
    gains = np.where(far <= reach + LEAST, steps @ linear + np.einsum("kt,tu,ku->k", steps, bend, steps), -np.inf)
    best = int(np.argmax(gains))
    return menu[best], float(gains[best])


def step_limits(prices: PriceSet, centre: Array, low: Array, high: Array, radius: float) -> tuple[Array, Array]:
    """Box, cap on the mean and ramp as rows @ (step / radius) <= limit; a centre on a limit may stay where it is.

    Parameters
    ----------
    prices : PriceSet
    centre : array [T] $/kWh
        Admissible.
    low, high : array [T]
        Box of step / radius.
    radius : float $/kWh

    Returns
    -------
    rows : array [R, T]
    limit : array [R]
    """
    steps = len(low)
    rows, limit = [np.eye(steps), -np.eye(steps)], [high, -low]
    if prices.mean_cap is not None:
        rows.append(np.full((1, steps), 1.0 / steps))
        limit.append(np.maximum([prices.mean_cap - centre.mean()], 0.0) / radius)
    if prices.ramp is not None:
        change, now = np.diff(np.eye(steps), axis=0), np.diff(centre)
        rows += [change, -change]
        limit += [np.maximum(prices.ramp - now, 0.0) / radius, np.maximum(prices.ramp + now, 0.0) / radius]
    return np.concatenate(rows), np.concatenate(limit)


def quadratic(model: Local, *, sell: Array, charges: Array) -> tuple[Array, Array]:
    """The leader's profit around the centre of a model: gain(step) = linear @ step + step @ bend @ step.

    Parameters
    ----------
    model : Local
    sell, charges : array [T] $/kWh

    Returns
    -------
    linear : array [T] $ per $/kWh
    bend : array [T, T]
        Symmetric negative semidefinite.
    """
    at = model.at
    guess = model.predict(at.price)
    margin, refund = at.price - charges - at.wholesale, sell - at.wholesale
    linear = at.importing.mean(axis=0)
    linear = linear + np.einsum("dtu,dt->u", guess.import_slope, margin) / len(margin)
    linear = linear - np.einsum("dtu,dt->u", guess.export_slope, refund) / len(margin)
    linear = linear - np.einsum("dtu,dt->u", guess.jacobian, at.impact * at.net) / len(margin)
    bend = guess.import_slope.mean(axis=0)
    bend = bend - np.einsum("dtu,dt,dtv->uv", guess.jacobian, at.impact, guess.jacobian) / len(margin)
    return linear, 0.5 * (bend + bend.T)
