"""Day-ahead positions and what was metered: two settlements of one delivery.

All quantities are seen from the bus: + withdraws and pays. A position cleared day-ahead is paid at the day-ahead price;
the difference to the meter is paid in real time. With one price both directions cost the same; with two prices who is
short pays at least the day-ahead price and who is long earns at most that, so deviating never pays.

Sources: two-settlement system of the PJM manual 28; two-price imbalance rule as in Morales et al. 2014, "Integrating
Renewables in Electricity Markets", chapter 7.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Settlement:
    """Payments of one participant, $ (+ = paid), of shape [T] or [T, ...] as the quantities.

    Attributes
    ----------
    day_ahead : ndarray
        Position x day-ahead price.
    imbalance : ndarray
        Deviation x imbalance price.
    """

    day_ahead: np.ndarray
    imbalance: np.ndarray

    @property
    def total(self) -> np.ndarray:
        """Both together, $."""
        return np.asarray(self.day_ahead + self.imbalance)


def one_price(
    position: np.ndarray, metered: np.ndarray, day_ahead: np.ndarray, real_time: np.ndarray, *, step_h: float = 1.0
) -> Settlement:
    """Settle with one imbalance price.

    Parameters
    ----------
    position, metered : array_like [T, ...]
        MW cleared day-ahead and MW metered, + = withdrawal.
    day_ahead, real_time : array_like [T, ...]
        $/MWh; any sign.
    step_h : float > 0
        Length of a step, hours.

    Returns
    -------
    Settlement
        Over participants whose positions and meters both sum to zero, payments sum to zero.

    Raises
    ------
    ValueError
        Shapes differ, a value is not finite, step_h is not > 0.
    """
    p, m, da, rt = _checked(step_h, position=position, metered=metered, day_ahead=day_ahead, real_time=real_time)
    return Settlement(p * da * step_h, (m - p) * rt * step_h)


def two_price(
    position: np.ndarray,
    metered: np.ndarray,
    day_ahead: np.ndarray,
    short: np.ndarray,
    long: np.ndarray,
    *,
    step_h: float = 1.0,
) -> Settlement:
    """Settle with one price for missing and one for spare energy.

    Parameters
    ----------
    position, metered : array_like [T, ...]
        MW cleared day-ahead and MW metered, + = withdrawal.
    day_ahead : array_like [T, ...]
        $/MWh.
    short : array_like [T, ...]
        $/MWh paid for MW withdrawn beyond the position (or not delivered), >= day_ahead.
    long : array_like [T, ...]
        $/MWh earned for MW not withdrawn (or delivered beyond it), <= day_ahead.
    step_h : float > 0
        Length of a step, hours.

    Returns
    -------
    Settlement
        Its total is never below metered MW x day-ahead price.

    Raises
    ------
    ValueError
        Prices are in the wrong order, shapes differ, a value is not finite, step_h is not > 0.
    """
    p, m, da, up, down = _checked(
        step_h, position=position, metered=metered, day_ahead=day_ahead, short=short, long=long
    )
    for where in np.argwhere((up < da) | (down > da))[:1]:
        t = tuple(where.tolist())
        raise ValueError(
            f"In step {t[0] if t else 0} the prices are long {down[t]:g}, day-ahead {da[t]:g}, short {up[t]:g} $/MWh; "
            "two-price settlement needs long <= day-ahead <= short. `imbalance_prices` makes such prices."
        )
    deviation = m - p
    return Settlement(p * da * step_h, (np.maximum(deviation, 0.0) * up + np.minimum(deviation, 0.0) * down) * step_h)


def imbalance_prices(day_ahead: np.ndarray, real_time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Make the two prices of a two-price settlement from day-ahead and real-time prices.

    Parameters
    ----------
    day_ahead, real_time : array_like [T, ...]
        $/MWh.

    Returns
    -------
    short, long : ndarray [T, ...]
        Larger and smaller of the two, $/MWh: who leans against the system is paid the day-ahead price, no more.
    """
    da, rt = np.broadcast_arrays(np.asarray(day_ahead, float), np.asarray(real_time, float))
    return np.maximum(da, rt), np.minimum(da, rt)


def _checked(step_h: float, **values: np.ndarray) -> list[np.ndarray]:
    if not (np.isfinite(step_h) and step_h > 0):
        raise ValueError(f"A step of {step_h} h is not possible; step_h must be finite and > 0.")
    arrays = {name: np.asarray(value, float) for name, value in values.items()}
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{name} holds {np.count_nonzero(~np.isfinite(array))} values that are not finite.")
    try:
        return [np.asarray(a) for a in np.broadcast_arrays(*arrays.values())]
    except ValueError as error:
        shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in arrays.items())
        raise ValueError(
            f"Quantities and prices do not fit each other: {shapes}; give all of them [T, ...]."
        ) from error
