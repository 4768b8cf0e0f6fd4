"""Gate closure: what a leader knows when it takes its day-ahead position, and the options it bids with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from aggregator.meter import Meter
from aggregator.prosumers import Array
from aggregator.rules import LeaderError

if TYPE_CHECKING:
    from wholesale.residual import ResidualCurve

INFORMATION = ("perfect", "forecast", "last-day")
"""Information sets a leader may declare; results carry the one that was used."""

STYLES = ("price-taker", "blocks", "price-maker")


@dataclass(frozen=True)
class Risk:
    """How much the tail of the cost counts in a bid: (1 - beta) mean + beta CVaR.

    Parameters
    ----------
    beta : float
        Weight of the conditional value at risk, 0..1.
    alpha : float
        Its level, in [0, 1): 0.95 = mean of the dearest 5 %.

    Raises
    ------
    LeaderError
        If a number is outside its range.
    """

    beta: float = 0.0
    alpha: float = 0.95

    def __post_init__(self) -> None:
        if not (0.0 <= self.beta <= 1.0 and 0.0 <= self.alpha < 1.0):
            raise LeaderError(
                f"risk has beta {self.beta:g} and alpha {self.alpha:g}; give beta in [0, 1] and alpha in [0, 1)."
            )


@dataclass(frozen=True, eq=False)
class Gate:
    """What is known at gate closure of D days; energies of one community, + = import.

    Attributes
    ----------
    forecast_kwh : array [D, T] kWh per step
        Expected net load by the leader's information set.
    scenarios_kwh : tuple of array [S, T] kWh per step
        For each day net loads that are equally likely; empty = only the forecast is known.
    lmp_per_mwh : array [D, T] $/MWh or None
        Expected day-ahead price; None without a wholesale market.
    curves : tuple of ResidualCurve
        Of the T steps of a day, seen from the aggregator's bus in MW of all communities; empty where prices do not
        depend on the aggregator or the market couples hours.
    two_price : bool
        Whether deviations settle at the worse of day-ahead and real-time price.
    meter : Meter
    shares : array [T], optional
        What the offer in force wants to buy day-ahead, as a share of the forecast.
    """

    forecast_kwh: Array
    scenarios_kwh: tuple[Array, ...] = ()
    lmp_per_mwh: Array | None = None
    curves: tuple[ResidualCurve, ...] = ()
    two_price: bool = False
    meter: Meter = field(default_factory=Meter)
    shares: Array | None = None


@dataclass(frozen=True)
class Bids:
    """How a leader bids; every leader has these parameters.

    Parameters
    ----------
    information : str
        What the day-ahead bid rests on: the metered days themselves (``perfect``), the mean of the last seven
        (``forecast``), or the day before (``last-day``).
    bid : str
        ``"price-taker"``: hour by hour at expected prices. ``"blocks"``: one quantity for each block of hours.
        ``"price-maker"``: against the residual supply curves.
    risk : Risk
        Weight and level of the conditional value at risk over scenarios.
    block_hours : float h
        Length of the blocks.
    shift : float
        Share of an hour's forecast that a price maker may move to other hours of the day, 0..1.

    Raises
    ------
    LeaderError
        If a parameter is outside its range; all mistakes at once.
    """

    name: ClassVar[str] = ""

    information: str = "forecast"
    bid: Literal["price-taker", "blocks", "price-maker"] = "price-taker"
    risk: Risk = field(default_factory=Risk)
    block_hours: float = 4.0
    shift: float = 0.2

    def __post_init__(self) -> None:
        self.check(())

    def check(self, mistakes: tuple[str, ...] | list[str]) -> None:
        """Raise the mistakes of a leader together with those of these parameters.

        Parameters
        ----------
        mistakes : sequence of str
            Found in the leader's own parameters.

        Raises
        ------
        LeaderError
            If there is any mistake.
        """
        found = list(mistakes)
        if self.information not in INFORMATION:
            found.append(f"information is {self.information!r}; give one of {', '.join(INFORMATION)}.")
        if self.bid not in STYLES:
            found.append(f"bid is {self.bid!r}; give one of {', '.join(STYLES)}.")
        if not (np.isfinite(self.block_hours) and self.block_hours > 0.0):
            found.append(f"block_hours is {self.block_hours!r}; give a number of hours > 0.")
        if not 0.0 <= self.shift <= 1.0:
            found.append(f"shift is {self.shift!r}; give a share in [0, 1].")
        if found:
            raise LeaderError(f"Leader {self.name!r} cannot be used. " + " ".join(found))

    @property
    def needs_scenarios(self) -> bool:
        """Whether the bid asks for more than the forecast, where deviations settle at one price."""
        return self.bid != "price-taker" or self.risk.beta > 0.0

    def position(self, gate: Gate) -> Array:
        """Day-ahead position for one community.

        Parameters
        ----------
        gate : Gate
            D days, T steps.

        Returns
        -------
        array [D, T] kWh per step
            Bought day-ahead, + = import.
        """
        if not (self.needs_scenarios or gate.two_price):
            return np.asarray(gate.forecast_kwh, dtype=np.float64)
        from aggregator.bidding import positions  # noqa: PLC0415  pyomo is slow to import

        return positions(gate, self.bid, self.risk, self.block_hours, self.shift)
