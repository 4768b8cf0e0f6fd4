"""What is expected of load, PV and prices: one named component for planners, leaders and model-based learners."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Protocol

import torch
from torch import Tensor

from hmarl.policies.ranges import check_ranges
from retail.community import Community
from retail.forecast import mean_of_last_days
from retail.streams import torch_stream

FORECASTS: dict[str, str] = {
    "perfect": "hmarl.forecasts:Perfect",
    "persistence": "hmarl.forecasts:Persistence",
    "noisy": "hmarl.forecasts:Noisy",
}
"""Name -> ``module:Class`` of every forecast; a study names one in its section ``forecast``."""

What = Literal["load", "pv", "price"]


class Forecast(Protocol):
    """A frozen dataclass that says what it expects of the rest of a day; it keeps nothing."""

    def ahead(self, what: What, series: Tensor, days: Tensor, step: int, seed: int) -> Tensor:
        """Expect the rest of some days.

        Parameters
        ----------
        what : str
            ``load`` or ``pv`` (kWh per step) or ``price`` ($/kWh or $/MWh).
        series : Tensor [days, T, ...]
            The quantity itself on all days, warm-up included; only ``perfect`` and ``noisy`` look at its future.
        days : Tensor [B] int64
            Where B forecasts are made.
        step : int
            Step t of the day at which they are made.
        seed : int
            Seed of the run (stream ``forecast``).

        Returns
        -------
        Tensor [B, T - t, ...]
            In the unit of the series; the first entry is step t itself, as it is metered.
        """
        ...


@dataclass(frozen=True)
class Perfect:
    """The future as it will be: what information is worth at most.

    Source: own; the upper end of any study of forecast errors.
    """

    def ahead(self, what: What, series: Tensor, days: Tensor, step: int, seed: int) -> Tensor:
        """See ``Forecast.ahead``."""
        return series[days, step:]


@dataclass(frozen=True)
class Persistence:
    """The last days go on: mean of the same step on days before, drawn towards what today has shown so far.

    Load is expected at the mean of ``window`` days; PV and prices at that mean mixed with yesterday. Both are then
    multiplied by what today has brought up to now over what was expected of it, drawn to 1 as long as little was
    expected, and kept within ``limit`` either way. Prices are not scaled.

    Source: naive forecasts as in any textbook, e.g. Hyndman and Athanasopoulos (2021), Forecasting, section 5.2.

    Parameters
    ----------
    window : int
        Days that are averaged.
    yesterday : float
        Weight of yesterday alone for PV and prices, 0..1.
    today : float
        How much of the ratio of today to expectation is believed, 0..1; 0 leaves expectations as they are.
    limit : float
        Largest factor (and 1 over the smallest), at least 1.
    """

    window: int = 7
    yesterday: float = 0.5
    today: float = 0.5
    limit: float = 2.0

    def __post_init__(self) -> None:
        check_ranges(self, least={"window": 1, "limit": 1}, shares=("yesterday", "today"))

    def ahead(self, what: What, series: Tensor, days: Tensor, step: int, seed: int) -> Tensor:
        """See ``Forecast.ahead``."""
        weight = 0.0 if what == "load" else self.yesterday
        mean, last = (mean_of_last_days(series, window)[days] for window in (self.window, 1))
        expected, now = (1 - weight) * mean + weight * last, series[days, step]
        later = expected[:, step + 1 :]
        if what != "price" and self.today > 0:
            later = later * self._factor(series[days, : step + 1], expected, step).unsqueeze(1)
        return torch.cat([now.unsqueeze(1), later], 1)

    def _factor(self, shown: Tensor, expected: Tensor, step: int) -> Tensor:
        """Ratio of today so far to what was expected of it, drawn to 1 by a quarter of an expected day."""
        anchor = expected.sum(1) / 4
        ratio = (shown.sum(1) + anchor) / (expected[:, : step + 1].sum(1) + anchor).clamp(min=1e-9)
        believed = 1 + self.today * (ratio - 1)
        return torch.where(anchor > 1e-9, believed.clamp(1 / self.limit, self.limit), 1.0)


@dataclass(frozen=True)
class Noisy:
    """The future times a random factor of mean 1 whose spread is stated and grows with the lead time.

    The logarithm of the factor is the path of a random walk between now and the step that is forecast, corrected so
    that the mean is exactly 1: forecasts are unbiased, errors of neighbouring steps belong together, a later forecast
    of the same step is a better one, and the relative standard deviation is ``sqrt((1 + error²)^(h / 24) - 1)`` for a
    lead of h hours: 0 now, ``error`` a day ahead. Load, PV and prices, and each home, have walks of their own.

    Source: multiplicative martingale of forecast evolution, Heath and Jackson (1994), doi:10.1080/07408179408966604.

    Parameters
    ----------
    error : float
        Relative standard deviation 24 hours ahead, at least 0; 0 is ``perfect``.
    """

    error: float = 0.2

    def __post_init__(self) -> None:
        check_ranges(self, least={"error": 0})

    def ahead(self, what: What, series: Tensor, days: Tensor, step: int, seed: int) -> Tensor:
        """See ``Forecast.ahead``."""
        variance = math.log1p(self.error**2) / series.shape[1]
        walk = _walk(what, tuple(series.shape), seed)[days, step:]
        lead = torch.arange(walk.shape[1], dtype=walk.dtype).reshape(-1, *[1] * (walk.dim() - 2))
        return series[days, step:] * torch.exp(variance**0.5 * (walk - walk[:, :1]) - variance * lead / 2)


@lru_cache(maxsize=3)
def _walk(what: What, shape: tuple[int, ...], seed: int) -> Tensor:
    """Random walk of unit steps along each day, of every series alike in length and width."""
    generator = torch_stream(seed, f"forecast {what}")
    return torch.randn(shape, dtype=torch.float64, generator=generator).cumsum(1)


def expected_net(forecast: Forecast, community: Community, days: Tensor, step: int, seed: int) -> Tensor:
    """Inflexible net load expected of the rest of some days.

    Parameters
    ----------
    forecast : Forecast
        Of load and PV.
    community : Community
        Its profiles.
    days : Tensor [B] int64
        Days of the community.
    step : int
        Step t at which the forecast is made; what is metered in it is known.
    seed : int
        Seed of the run.

    Returns
    -------
    Tensor [B, N, T - t] kWh per step
        + = import; the first entry is exact.
    """
    load = forecast.ahead("load", community.daily(community.load), days, step, seed)
    pv = forecast.ahead("pv", community.daily(community.pv), days, step, seed)
    return (load - pv).transpose(1, 2)
