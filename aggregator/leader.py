"""What a leader sees, what it offers and what every leader must be able to do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from aggregator.gate import INFORMATION, Bids, Gate, Risk
from aggregator.meter import Meter
from aggregator.price_set import PriceSet
from aggregator.prosumers import Array, Portfolio
from aggregator.rules import LeaderError, TariffRules

if TYPE_CHECKING:
    from retail.tariff import Tariff

__all__ = [
    "INFORMATION",
    "Bids",
    "Gate",
    "Leader",
    "LeaderError",
    "Offer",
    "PriceSet",
    "Risk",
    "TariffRules",
    "View",
]


@dataclass(frozen=True)
class Offer:
    """A tariff for the coming days and what the leader expects of it.

    Attributes
    ----------
    leader : str
        Name of the leader in the table.
    information : str
        What its day-ahead bid rests on, one of ``INFORMATION``. Prices are set on the scenario days of the view, which
        are training days and as such known history.
    tariff : Tariff ([T] or [D_all, T])
        On ticks.
    promised : float or None $/day
        Profit for one community at exactly this tariff: mean over its scenario days at the followers' own best
        response, with ties falling against the leader; None if its picture cannot price the tariff.
    bound : float or None $/day
        Certified upper bound of the profit of any admissible tariff in the leader's picture.
    gap : float or None
        ``(bound - promised) / |bound|``.
    method : str
        How the tariff was found, and every compromise made on the way.
    mip_gap : float or None
        Relative gap at which the exact model stopped; None where it was not used.
    worst_tie, best_tie : float or None $/day
        Profit if followers break ties against and for the leader.
    delivered : float or None $/day
        Profit of the settled simulation at this tariff, one community; None until it was simulated.
    shares : array [T] or None
        Share of the forecast that this leader buys day-ahead; None = by its ``bid``.
    state : dict or None
        What the leader wants to remember when it sees this offer again as ``View.last``; plain values and arrays.
    """

    leader: str
    information: str
    tariff: Tariff
    promised: float | None
    bound: float | None = None
    gap: float | None = None
    method: str = ""
    mip_gap: float | None = None
    worst_tie: float | None = None
    best_tie: float | None = None
    delivered: float | None = None
    shares: Array | None = None
    state: dict[str, Any] | None = None


@dataclass(frozen=True)
class View:
    """All a leader knows when it makes an offer.

    Attributes
    ----------
    round : int
        Round of the coordinator, from 0.
    rules : TariffRules
        What it may offer.
    portfolio : Portfolio
        Its picture of the followers on D scenario days.
    lmp_per_mwh : array [D, T] $/MWh
        Its forecast of the wholesale price at its bus on these days.
    meter : Meter
        Units and replication.
    last : Offer or None
        Its last offer.
    profit : float or None $/day
        Delivered by ``last``, for one community.
    seed : int
        For leaders that draw random numbers.
    days : array of int [D], optional
        Rows of a tariff with a day axis (such as ``rules.default``) that the scenario days are; without it such a
        tariff is read as one row per scenario day.

    Raises
    ------
    LeaderError
        If shapes do not fit each other.
    """

    round: int
    rules: TariffRules
    portfolio: Portfolio
    lmp_per_mwh: Array
    meter: Meter
    last: Offer | None = None
    profit: float | None = None
    seed: int = 0
    days: NDArray[np.intp] | None = None

    def __post_init__(self) -> None:
        lmp = np.array(self.lmp_per_mwh, dtype=np.float64)
        shape = (self.portfolio.days, self.portfolio.steps)
        mistakes = []
        if lmp.shape not in (shape, shape[1:]):
            mistakes.append(f"lmp_per_mwh has shape {lmp.shape}; give [D, T] = {list(shape)} $/MWh.")
        elif not np.isfinite(lmp).all():
            mistakes.append("lmp_per_mwh holds a value that is not finite; give $/MWh at every step.")
        if self.rules.steps != shape[1]:
            mistakes.append(
                f"the default tariff has {self.rules.steps} steps, the followers {shape[1]}; use one length."
            )
        if mistakes:
            raise LeaderError("The leader's view cannot be used. " + " ".join(mistakes))
        object.__setattr__(self, "lmp_per_mwh", np.broadcast_to(lmp, shape))

    @property
    def wholesale_price(self) -> Array:
        """Forecast wholesale price, array [D, T] $/kWh."""
        return self.meter.to_per_kwh(self.lmp_per_mwh)

    def over(self, days: NDArray[np.intp]) -> View:
        """The same view on some of its scenario days.

        Parameters
        ----------
        days : array of int [D']
            Positions in the day axis.

        Returns
        -------
        View
        """
        rows = None if self.days is None else self.days[days]
        return replace(self, portfolio=self.portfolio.over(days), lmp_per_mwh=self.lmp_per_mwh[days], days=rows)

    def thinned(self, count: int) -> View:
        """The same view on at most ``count`` of its scenario days, evenly spaced.

        Parameters
        ----------
        count : int
            At least 1.

        Returns
        -------
        View
        """
        most = self.portfolio.days
        return self.over(np.unique(np.linspace(0, most - 1, min(count, most)).round()).astype(np.intp))

    def on_scenario_days(self, tariff: Tariff) -> Tariff:
        """The rows of a tariff that the scenario days are.

        Parameters
        ----------
        tariff : Tariff ([T] or [D_all, T])
            Ticks.

        Returns
        -------
        Tariff ([T] or [D, T])
        """
        return tariff if tariff.sell.dim() == 1 or self.days is None else tariff[self.days]


@runtime_checkable
class Leader(Protocol):
    """A pricing strategy: a frozen dataclass of its parameters with these members.

    A leader whose tariff can never change from round to round may also say ``constant: ClassVar[bool] = True``.
    """

    @property
    def information(self) -> str:
        """Information set, one of ``INFORMATION``."""
        ...

    def offer(self, view: View) -> Offer:
        """Choose a tariff.

        Parameters
        ----------
        view : View

        Returns
        -------
        Offer
        """
        ...

    def position(self, gate: Gate) -> Array:
        """Day-ahead position for one community; ``Bids.position`` serves most leaders.

        Parameters
        ----------
        gate : Gate
            What is known at gate closure.

        Returns
        -------
        array [D, T] kWh per step
            Bought day-ahead, + = import.
        """
        ...
