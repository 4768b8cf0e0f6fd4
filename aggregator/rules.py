"""What tariffs a regulator lets the leader offer, in numbers and in sentences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aggregator.price_set import TICKS_PER_UNIT, PriceSet, Ticks, farthest_change, to_ticks
from aggregator.prosumers import Array

if TYPE_CHECKING:
    from retail.tariff import Tariff

TOLERANCE = 1e-9
MOST_TARIFFS = 1000


class LeaderError(ValueError):
    """A leader cannot work with what it was given; the message lists every mistake found."""


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
    blocks : array of int [T] or None
        Time-of-use blocks: steps with one label share one price. None = every step has its own.
    menu : array [K, T] $/kWh or None
        The only tariffs (total buy prices) that may be offered; those that break another rule are left out, and at
        least one must be left. None = any price within the other rules.

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
    blocks: NDArray[np.intp] | None = None
    menu: Array | None = None

    def __post_init__(self) -> None:
        for name, kind in (("blocks", np.intp), ("menu", np.float64)):
            if getattr(self, name) is not None:
                table = np.array(getattr(self, name), dtype=kind)
                table.setflags(write=False)
                object.__setattr__(self, name, table)
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
        if self.blocks is not None and self.blocks.shape != (self.steps,):
            found.append(f"blocks has shape {self.blocks.shape}; give a label for each of {self.steps} steps.")
        if self.menu is not None:
            found += self._menu_shape_mistakes(self.menu)
        return found

    def _menu_shape_mistakes(self, menu: Array) -> list[str]:
        if menu.size == 0:
            return ["menu is empty; give at least one tariff, or leave the menu out."]
        if menu.ndim != 2 or menu.shape[1] != self.steps:
            return [f"menu has shape {menu.shape}; give [K, T] = [tariffs, {self.steps}] $/kWh."]
        if len(menu) > MOST_TARIFFS:
            return [f"menu has {len(menu)} tariffs; give at most {MOST_TARIFFS}, or blocks in its place."]
        if not np.isfinite(menu).all():
            return [f"menu tariff {int(np.argmin(np.isfinite(menu).all(axis=1)))} is not finite; give $/kWh."]
        return []

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
                found.append(self._too_narrow(int(np.argmax(low - high))))
            elif self.average_cap is not None and low.mean() > self.average_cap * TICKS_PER_UNIT + 1e-4:
                found.append(
                    f"average_cap {self.average_cap:g} $/kWh is below the mean of the lowest admissible prices, "
                    f"{low.mean() / TICKS_PER_UNIT:g} $/kWh; raise the cap or lower the floor."
                )
        if not found and self.menu is not None and len(self._allowed_menu(self.menu)) == 0:
            broken = self._outside(to_ticks(self.menu[0]) / TICKS_PER_UNIT)[0]
            found.append(f"Every tariff of the menu breaks a rule, the first one this: {broken} Change one of the two.")
        return found

    def _too_narrow(self, step: int) -> str:
        if self.ramp is not None:
            return (
                f"ramp {self.ramp:g} $/kWh per step cannot follow floor and ceiling at step {step}; widen one of them."
            )
        label = 0 if self.blocks is None else int(self.blocks[step])
        return f"Block {label} has one price, but its floors and ceilings leave none; widen them or split the block."

    def _allowed_menu(self, menu: Array) -> Array:
        """Tariffs of the menu on ticks that break no other rule, each once, array [K', T] $/kWh."""
        ticks = np.unique(to_ticks(menu), axis=0) / TICKS_PER_UNIT
        return ticks[[not self._outside(one) for one in ticks]]

    def _box(self) -> tuple[Ticks, Ticks]:
        low = np.ceil(np.round(self.floor * TICKS_PER_UNIT, 4)).astype(np.int64)
        high = np.floor(np.round(self.ceiling * TICKS_PER_UNIT, 4)).astype(np.int64)
        if self.ramp is None and self.blocks is None:
            return low, high
        slope = np.inf if self.ramp is None else np.floor(self.ramp * TICKS_PER_UNIT + 1e-4)
        far = farthest_change(np.arange(self.steps) if self.blocks is None else self.blocks, float(slope))
        return (low[None, :] - far).max(axis=1).astype(np.int64), (high[None, :] + far).min(axis=1).astype(np.int64)

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
        if self.menu is not None:
            menu = self._allowed_menu(self.menu)
            return PriceSet(menu.min(axis=0), menu.max(axis=0), None, None, None, menu)
        low, high = self._box()
        # whole ticks throughout: the price on ticks next to the optimum of this set is then admissible itself
        whole = (
            np.floor(self.average_cap * TICKS_PER_UNIT * self.steps + 1e-4) if self.average_cap is not None else None
        )
        ramp = float(np.floor(self.ramp * TICKS_PER_UNIT + 1e-4)) / TICKS_PER_UNIT if self.ramp is not None else None
        cap = None if whole is None else float(whole) / (TICKS_PER_UNIT * self.steps)
        return PriceSet(low / TICKS_PER_UNIT, high / TICKS_PER_UNIT, cap, ramp, self.blocks)

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
        found = self._outside(price)
        if self.menu is not None:
            apart = np.abs(price[:, None] - to_ticks(self.menu) / TICKS_PER_UNIT).max(axis=2).min(axis=1).max()
            if apart > TOLERANCE:
                found.append(f"The price is {apart:.6f} $/kWh away from the nearest tariff of the menu.")
        return found

    def _outside(self, buy: Array) -> list[str]:
        """Which rules besides the menu prices [T] or [D, T] break."""
        price, found = np.atleast_2d(buy), []
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
        for label in [] if self.blocks is None else np.unique(self.blocks):
            width = float(np.ptp(price[:, self.blocks == label], axis=1).max())
            if width > TOLERANCE:
                found.append(f"Prices of block {label} differ by {width:.6f} $/kWh; its steps share one price.")
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
        from torch import broadcast_tensors  # noqa: PLC0415  torch is slow to import

        from retail.tariff import Tariff, to_ticks  # noqa: PLC0415

        prices = (buy, self.network, self.levy, self.sell, self.fee)
        total, *parts = (x.contiguous() for x in broadcast_tensors(*map(to_ticks, prices)))
        return Tariff(total - parts[0] - parts[1], *parts)


PRICES = ("floor", "ceiling", "sell", "network", "levy")
