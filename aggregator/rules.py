"""What tariffs a regulator lets the leader offer, in numbers and in sentences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aggregator.prosumers import Array

if TYPE_CHECKING:
    from retail.tariff import Tariff

# repeated from retail.tariff (a test compares): the package is imported for its names often, torch should wait for use
TICKS_PER_UNIT = 100_000
TOLERANCE = 1e-9


class LeaderError(ValueError):
    """A leader cannot work with what it was given; the message lists every mistake found."""


@dataclass(frozen=True)
class PriceSet:
    """Admissible buy prices of one day as a polyhedron, every limit a whole number of ticks and none of them slack.

    Attributes
    ----------
    low, high : array [T] $/kWh
        Box of each step, already tightened by the ramp.
    mean_cap : float or None $/kWh
        Largest mean over the day.
    ramp : float or None $/kWh
        Largest change from one step to the next.
    """

    low: Array
    high: Array
    mean_cap: float | None
    ramp: float | None

    def clip(self, buy: ArrayLike) -> Array:
        """The admissible price on ticks next to a wish: cut to the box, shifted under the cap, flattened to the ramp.

        Parameters
        ----------
        buy : array_like [T] $/kWh

        Returns
        -------
        array [T] $/kWh
            A whole number of ticks at each step. An admissible wish comes back rounded to ticks.
        """
        low, high = _ticks(self.low), _ticks(self.high)
        most = None if self.mean_cap is None else int(np.floor(self.mean_cap * TICKS_PER_UNIT * len(low) + 1e-4))
        wish = np.clip(np.asarray(buy, dtype=np.float64) * TICKS_PER_UNIT, low, high)
        if most is not None and wish.sum() > most:
            wish = _shifted(wish, low, high, most)
        if self.ramp is None:
            price = np.clip(np.floor(np.round(wish, 4) + 0.5).astype(np.int64), low, high)
        else:
            # the lower envelope of slope <= ramp, and rounding down, never raise a price nor break a ramp
            far = np.abs(np.subtract.outer(np.arange(len(low)), np.arange(len(low))))
            wish = (wish[None, :] + far * _ticks(self.ramp)).min(axis=1)
            price = np.maximum(np.floor(np.round(wish, 4)).astype(np.int64), low)
        while most is not None and price.sum() > most:
            rounded_up = np.where(price > low, price - wish, -np.inf)
            price[np.argsort(-rounded_up, kind="stable")[: int(price.sum() - most)]] -= 1
            price = np.maximum(price, low)
        return price / TICKS_PER_UNIT


@dataclass(frozen=True)
class TariffRules:
    """Limits of the leader's tariff. It sets the buy price; feed-in price, network charge and levies are given.

    Parameters
    ----------
    default : Tariff ([T] or [D, T])
        The regulated tariff a customer would have without this leader.
    floor, ceiling : array [T] $/kWh
        Range of the total buy price (energy + network + levy).
    sell : array [T] $/kWh
        Feed-in price, fixed.
    network, levy : array [T] $/kWh
        Parts of the buy price that pass through to their own accounts; their sum is >= 0.
    fee : float $/kWh
        Network fee on energy traded between peers, >= 0.
    average_cap : float or None $/kWh
        Largest mean of the buy price over the steps of a day; None = no cap.
    ramp : float or None $/kWh per step
        Largest change of the buy price between neighbouring steps; None = no limit.

    Notes
    -----
    Numbers are accepted for arrays and mean the same at every step. Call ``check`` before use; leaders do.
    """

    default: Tariff
    floor: Array
    ceiling: Array
    sell: Array
    network: Array
    levy: Array
    fee: float = 0.0
    average_cap: float | None = None
    ramp: float | None = None

    def __post_init__(self) -> None:
        for name in PRICES:
            value = np.array(getattr(self, name), dtype=np.float64)
            if value.ndim == 0:
                value = np.full(self.default.steps, float(value))
            value.setflags(write=False)
            object.__setattr__(self, name, value)

    @property
    def steps(self) -> int:
        """Steps of a day, T."""
        return self.default.steps

    def check(self) -> None:
        """Refuse rules that contradict themselves, all mistakes at once.

        Raises
        ------
        LeaderError
            One sentence per mistake.
        """
        mistakes = self._shape_mistakes() or self._price_mistakes()
        if mistakes:
            raise LeaderError("The tariff rules cannot be used. " + " ".join(mistakes))

    def _shape_mistakes(self) -> list[str]:
        found = []
        for name in PRICES:
            value = getattr(self, name)
            if value.shape != (self.steps,):
                found.append(
                    f"{name} has shape {value.shape}; give [T] = [{self.steps}] $/kWh like the default tariff."
                )
            elif not np.isfinite(value).all():
                found.append(f"{name} is not a finite number at step {int(np.argmin(np.isfinite(value)))}; give $/kWh.")
        for name in ("fee", "average_cap", "ramp"):
            value = getattr(self, name)
            if value is not None and not np.isfinite(value):
                found.append(f"{name} is {value}; give a finite number of $/kWh.")
        return found

    def _price_mistakes(self) -> list[str]:
        found = []
        pairs = [
            (self.floor, "floor", self.ceiling, "ceiling", "the ceiling must not lie below the floor"),
            (
                self.sell,
                "sell",
                self.floor,
                "floor",
                "a floor below the feed-in price would pay for buying and selling",
            ),
            (0.0 * self.network, "0", self.network + self.levy, "network + levy", "the sum must not be negative"),
        ]
        for small, left, large, right, why in pairs:
            worst = int(np.argmax(small - large))
            if small[worst] > large[worst] + TOLERANCE:
                found.append(f"{left} {small[worst]:g} > {right} {large[worst]:g} $/kWh at step {worst}; {why}.")
        if self.fee < 0.0:
            found.append(f"fee is {self.fee:g} $/kWh; it must be >= 0.")
        if self.ramp is not None and self.ramp < 0.0:
            found.append(f"ramp is {self.ramp:g} $/kWh per step; it must be >= 0.")
        if not found:
            low, high = self._box()
            if (low > high).any():
                found.append(f"ramp {self.ramp:g} $/kWh per step cannot follow floor and ceiling; widen one of them.")
            elif self.average_cap is not None and low.mean() > self.average_cap * TICKS_PER_UNIT + 1e-4:
                found.append(
                    f"average_cap {self.average_cap:g} $/kWh is below the mean of the lowest admissible prices, "
                    f"{low.mean() / TICKS_PER_UNIT:g} $/kWh; raise the cap or lower the floor."
                )
        return found

    def _box(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        low = np.ceil(np.round(self.floor * TICKS_PER_UNIT, 4)).astype(np.int64)
        high = np.floor(np.round(self.ceiling * TICKS_PER_UNIT, 4)).astype(np.int64)
        if self.ramp is None:
            return low, high
        far = np.abs(np.subtract.outer(np.arange(self.steps), np.arange(self.steps)))
        slope = int(np.floor(self.ramp * TICKS_PER_UNIT + 1e-4))
        return (low[None, :] - far * slope).max(axis=1), (high[None, :] + far * slope).min(axis=1)

    def price_set(self) -> PriceSet:
        """Admissible buy prices with all limits on ticks.

        Returns
        -------
        PriceSet

        Raises
        ------
        LeaderError
            If the rules contradict themselves.
        """
        self.check()
        low, high = self._box()
        # whole ticks throughout: the price on ticks next to the optimum of this set is then admissible itself
        whole = (
            np.floor(self.average_cap * TICKS_PER_UNIT * self.steps + 1e-4) if self.average_cap is not None else None
        )
        ramp = np.floor(self.ramp * TICKS_PER_UNIT + 1e-4) / TICKS_PER_UNIT if self.ramp is not None else None
        cap = None if whole is None else float(whole) / (TICKS_PER_UNIT * self.steps)
        return PriceSet(low / TICKS_PER_UNIT, high / TICKS_PER_UNIT, cap, None if ramp is None else float(ramp))

    def admissible(self, buy: ArrayLike) -> list[str]:
        """Which rules a buy price breaks.

        Parameters
        ----------
        buy : array_like [T] or [D, T] $/kWh
            Total buy price.

        Returns
        -------
        list of str
            One sentence per broken rule (worst step); empty if the price is admissible to 1e-9 $/kWh.
        """
        price = np.atleast_2d(np.asarray(buy, dtype=np.float64))
        if price.ndim != 2 or price.shape[1] != self.steps or not np.isfinite(price).all():
            return [
                f"The price has shape {price.shape} or a value that is not finite; give [T] = [{self.steps}] $/kWh."
            ]
        found = []
        excess = {"ceiling": price - self.ceiling, "floor": self.floor - price, "feed-in price": self.sell - price}
        for name, over in excess.items():
            if over.max() > TOLERANCE:
                step = int(np.unravel_index(int(over.argmax()), over.shape)[1])
                side = "above" if name == "ceiling" else "below"
                found.append(f"The price at step {step} is {over.max():.6f} $/kWh {side} the {name}.")
        if self.average_cap is not None and price.mean(axis=1).max() > self.average_cap + TOLERANCE:
            found.append(
                f"The mean price {price.mean(axis=1).max():.6f} exceeds average_cap {self.average_cap:g} $/kWh."
            )
        change = np.abs(np.diff(price, axis=1))
        if self.ramp is not None and change.max(initial=0.0) > self.ramp + TOLERANCE:
            found.append(f"The price changes by {change.max():.6f} $/kWh in one step; ramp allows {self.ramp:g}.")
        return found

    def clip(self, buy: ArrayLike) -> Array:
        """The admissible price on ticks next to a wish; see ``PriceSet.clip``.

        Parameters
        ----------
        buy : array_like [T] $/kWh

        Returns
        -------
        array [T] $/kWh
        """
        return self.price_set().clip(buy)

    def tariff(self, buy: ArrayLike) -> Tariff:
        """The tariff with this total buy price and the given feed-in price, charges and fee.

        Parameters
        ----------
        buy : array_like [T] $/kWh
            Total buy price, as a rule from ``clip``.

        Returns
        -------
        Tariff
            Its ``buy`` is exactly the rounded total: the energy part takes what network and levy leave.
        """
        from retail.tariff import Tariff, to_ticks  # noqa: PLC0415  torch is slow to import

        # only the parts that are given are taken from here; a high energy part keeps any legal feed-in price below it
        parts = Tariff.make(energy=self.ceiling, network=self.network, levy=self.levy, sell=self.sell, fee=self.fee)
        return Tariff(to_ticks(buy) - parts.network - parts.levy, parts.network, parts.levy, parts.sell, parts.fee)


PRICES = ("floor", "ceiling", "sell", "network", "levy")


def _ticks(price: ArrayLike) -> NDArray[np.int64]:
    return np.round(np.asarray(price, dtype=np.float64) * TICKS_PER_UNIT).astype(np.int64)


def _shifted(wish: Array, low: NDArray[np.int64], high: NDArray[np.int64], most: int) -> Array:
    """Euclidean projection of a wish onto the box with a largest sum: one common shift, found by bisection."""
    down, up = 0.0, float((wish - low).max())
    for _ in range(80):
        middle = 0.5 * (down + up)
        down, up = (middle, up) if np.clip(wish - middle, low, high).sum() > most else (down, middle)
    return np.clip(wish - up, low, high)
