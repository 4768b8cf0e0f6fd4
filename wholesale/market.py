"""What every wholesale market takes and gives: bids of outsiders in, one clearing out.

Powers are MW over hours of length one, prices $/MWh. A bid is seen from its bus: + withdraws. A dispatch is seen from
its unit: + generates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

from wholesale.names import position
from wholesale.system import System


@dataclass(frozen=True, eq=False)
class Bid:
    """What someone outside the system wants at one bus, hour by hour.

    Parameters
    ----------
    bus : str
        Name of the bus.
    mw : array_like [T]
        MW, + = withdrawal, - = injection.
    price : array_like [T] or None
        Limit in $/MWh of an elastic bid: withdraw between 0 and `mw` while the price is at most this, or (mw < 0)
        inject while it is at least this. None: the whole of `mw` must be served, whatever the price.
    name : str
        Who bids.

    Raises
    ------
    ValueError
        `mw` or `price` is not finite, not one-dimensional, or their lengths differ.
    """

    bus: str
    mw: np.ndarray
    price: np.ndarray | None = None
    name: str = "aggregator"

    def __post_init__(self) -> None:
        object.__setattr__(self, "mw", _hourly(self.mw, f"MW of bid {self.name!r}"))
        if self.price is not None:
            price = _hourly(self.price, f"$/MWh of bid {self.name!r}")
            if price.shape != self.mw.shape:
                raise ValueError(
                    f"Bid {self.name!r} has {len(self.mw)} hours of MW but {len(price)} of $/MWh; one price per hour."
                )
            object.__setattr__(self, "price", price)


@dataclass(frozen=True, eq=False)
class Clearing:
    """The outcome of a market over T hours.

    The congestion part is measured against the reference bus, which is the first bus of the system: there `energy`
    equals the price and `congestion` is 0. Losses are not modelled, so the two parts add up.

    Attributes
    ----------
    buses, units, lines : tuple of str
        Names along the last axes below. A market without a network has no lines.
    lmp : ndarray [T, bus]
        Locational price, $/MWh; may be negative.
    energy : ndarray [T]
        Price at the reference bus, $/MWh.
    congestion : ndarray [T, bus]
        lmp - energy, $/MWh.
    dispatch : ndarray [T, unit]
        MW generated.
    accepted : ndarray [T, bid]
        MW withdrawn (-: injected) by each bid, in the order in which the bids came.
    flow : ndarray [T, line]
        MW from a line's `from_bus` to its `to_bus`.
    cost : ndarray [T]
        $ per hour of generation, without the penalties for `shed` and `surplus`.
    shed, surplus : ndarray [T, bus]
        MW of withdrawal not served and MW of injection thrown away, >= 0; both are 0 in a sound system.
    lower, upper : ndarray [T, bus]
        The interval of valid prices, $/MWh; equal to `lmp` where a market does not compute it.
    load : ndarray [T, bus]
        MW withdrawn by all others than the bids: loads plus shunt conductances.
    ends : ndarray [line, 2] of int
        Positions in `buses` of the two ends of each line, from and to.
    method : tuple of str [T]
        How each hour was solved, e.g. "active set" or "solver"; empty where there is only one way.
    uplift : ndarray [unit]
        $ over all hours that units lack at these prices, >= 0; empty where prices always cover costs.

    Notes
    -----
    In every hour, sum(dispatch) - sum(accepted) + sum(shed) - sum(surplus) = sum(load).
    """

    buses: tuple[str, ...]
    units: tuple[str, ...]
    lines: tuple[str, ...]
    lmp: np.ndarray
    energy: np.ndarray
    congestion: np.ndarray
    dispatch: np.ndarray
    accepted: np.ndarray
    flow: np.ndarray
    cost: np.ndarray
    shed: np.ndarray
    surplus: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    load: np.ndarray
    ends: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), int))
    method: tuple[str, ...] = ()
    uplift: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def price(self, bus: str) -> np.ndarray:
        """Locational price [T] at a bus, $/MWh.

        Raises
        ------
        ValueError
            The bus is unknown.
        """
        return self.lmp[:, position(bus, self.buses)]

    def shortages(self, least_mw: float = 1e-3) -> list[str]:
        """Say where load was not served or injection thrown away.

        Parameters
        ----------
        least_mw : float
            Smaller amounts are rounding, MW.

        Returns
        -------
        list of str
            One sentence with hour, bus and MW each, in order of time; empty in a sound system.
        """
        what = ((self.shed, "of load not served"), (self.surplus, "of injection thrown away"))
        found = [(t, n, mw[t, n], words) for mw, words in what for t, n in np.argwhere(mw > least_mw)]
        return [f"Hour {t}, bus {self.buses[n]}: {mw:.3f} MW {words}." for t, n, mw, words in sorted(found)]

    def rent(self) -> np.ndarray:
        """Congestion rent [T], $ per hour: over all lines, flow x (price at the far end - price at the near end).

        Computed from flows alone, so that it can be held against what all parties pay and receive at their buses:
        payments of loads and bids minus receipts of units equal this rent when nothing is shed or thrown away.

        Raises
        ------
        ValueError
            The clearing has lines but not their ends.
        """
        if len(self.ends) != len(self.lines):
            raise ValueError(
                f"A clearing of {len(self.lines)} lines has {len(self.ends)} line ends; give both the same."
            )
        difference = self.lmp[:, self.ends[:, 1]] - self.lmp[:, self.ends[:, 0]]
        return np.asarray((self.flow * difference).sum(axis=1))


@runtime_checkable
class Market(Protocol):
    """A wholesale market: a frozen dataclass of rules that clears any system."""

    @property
    def name(self) -> str:
        """Name in the table `MARKETS`."""
        ...

    def clear(self, system: System, bids: Sequence[Bid] = ()) -> Clearing:
        """Clear all hours of `system.loads` together with `bids`.

        Raises
        ------
        ValueError
            A bid names an unknown bus or has another number of hours than the system.
        SolverError
            An hour has no solution.
        """
        ...


def _hourly(values: object, what: str) -> np.ndarray:
    array = np.atleast_1d(np.array(values, float))
    if array.ndim != 1 or not np.isfinite(array).all():
        raise ValueError(
            f"{what} must be finite numbers, one per hour; given: shape {list(array.shape)}, "
            f"{np.count_nonzero(~np.isfinite(array))} of them not finite."
        )
    array.flags.writeable = False
    return array
