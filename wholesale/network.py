"""Lines as linear (DC) elements: susceptance and flow limits, in the two conventions that published cases use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from wholesale.names import unknown
from wholesale.system import System

Convention = Literal["matpower", "pglib"]
NO_LIMIT_DEG = 360.0  # angle limits of a full turn are the file formats' word for "none"


@dataclass(frozen=True, eq=False)
class Network:
    """Every line obeys flow = susceptance x (angle from - angle to) - shifted, low <= flow <= high.

    Attributes
    ----------
    susceptance : ndarray [line]
        MW per rad; negative for a series capacitor.
    shifted : ndarray [line]
        MW that a phase shifter takes off the flow.
    low, high : ndarray [line]
        MW; +-inf without a limit.
    """

    susceptance: np.ndarray
    shifted: np.ndarray
    low: np.ndarray
    high: np.ndarray


def check_convention(convention: str) -> None:
    """Refuse a convention that does not exist.

    Parameters
    ----------
    convention : str
        How branch data become susceptances; no unit.

    Raises
    ------
    ValueError
        Neither "matpower" nor "pglib".
    """
    if convention not in get_args(Convention):
        raise ValueError(unknown("convention", convention, get_args(Convention)))


def network(system: System, convention: Convention) -> Network:
    """Turn the lines of a system into linear elements.

    Parameters
    ----------
    system : System
        Lines with per-unit values on `base_mva`.
    convention : {"matpower", "pglib"}
        "matpower": b = 1 / (x tap), phase shifts count (MATPOWER user's manual, section 3.7). "pglib":
        b = x / (r^2 + x^2), no taps, no shifts (PowerModels.jl, DCPPowerModel).

    Returns
    -------
    Network
        Limits of the angle difference are written as flow limits. A negative reactance turns them round, so they are
        sorted; keeping the sign would make an empty interval (case300 would be infeasible).

    Raises
    ------
    ValueError
        Unknown convention.
    """
    check_convention(convention)
    fields = ("x", "r", "tap", "shift_deg", "rate_mw", "angle_min_deg", "angle_max_deg")
    data = np.array([[getattr(line, f) for f in fields] for line in system.lines], float).reshape(-1, len(fields))
    x, r, tap, shift, rate, *angles = data.T
    if convention == "pglib":
        susceptance, shift = system.base_mva * x / (r**2 + x**2), np.zeros_like(x)
    else:
        susceptance, shift = system.base_mva / (x * tap), np.deg2rad(shift)
    limits = []
    for angle, none in zip(angles, (-np.inf, np.inf), strict=True):
        free = np.abs(angle) >= NO_LIMIT_DEG
        limits.append(np.where(free, np.sign(susceptance) * none, susceptance * (np.deg2rad(angle) - shift)))
    low, high = np.sort(limits, axis=0)
    return Network(
        susceptance=susceptance,
        shifted=susceptance * shift,
        low=np.maximum(low, -rate),
        high=np.minimum(high, rate),
    )
