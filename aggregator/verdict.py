"""What the search for the leader's price asks and hears: its terms, a price to simulate, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass

from aggregator.prosumers import Array


@dataclass(frozen=True)
class Terms:
    """How the search goes.

    Parameters
    ----------
    radius : float $/kWh
        Largest change of a price in the first step; later at most four times as much.
    least_radius : float $/kWh
        Below it the search rests.
    stop_gain : float
        Share of the profit below which a predicted gain is not worth a simulation.
    accept, good : float
        Ratio of actual to predicted gain from which a price is accepted, and from which the radius grows.
    shrink, grow : float
        Factors of the radius.
    standard_errors : float
        How many paired standard errors a gain must exceed where followers are noisy.
    window : int
        Accepted prices among which a cycle is looked for.
    pace : float
        Exponent a of the leader's slow clock: after k accepted prices steps are at most radius / (1 + k)^a. With a in
        (0.5, 1] step sizes sum to infinity and their squares do not; 0 leaves the radius to the ratio alone.
    """

    radius: float = 0.02
    least_radius: float = 0.002
    stop_gain: float = 3e-4
    accept: float = 0.1
    good: float = 0.7
    shrink: float = 0.4
    grow: float = 1.6
    standard_errors: float = 2.0
    window: int = 12
    pace: float = 0.0


@dataclass(frozen=True)
class Trial:
    """A price to simulate.

    Attributes
    ----------
    price : array [T] $/kWh
        Admissible, on ticks.
    kind : str
        ``start``, ``probe``, ``proposal`` (best of several climbs on the followers' programs), ``step``, ``poll`` (from
        outside the reach of the model) or ``cycle`` (the mean of a cycle).
    predicted : float $/day
        Gain by the model; 0 where none is predicted.
    """

    price: Array
    kind: str
    predicted: float = 0.0


@dataclass(frozen=True)
class Verdict:
    """What became of a trial.

    Attributes
    ----------
    gain, error : float $/day
        Delivered profit less that of the centre, paired by day, and its standard error (0 for exact followers).
    ratio : float or None
        Actual by predicted gain.
    accepted : bool
        Whether the trial is the new centre.
    """

    gain: float
    error: float
    ratio: float | None
    accepted: bool
