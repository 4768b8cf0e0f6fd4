"""What a leader knows about its followers: fixed energy per day and batteries, and who settles together."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from aggregator.reservoirs import PeakPrice, Reservoir
from retail.wear_blocks import WearBlocks, block_mistakes, least_price

Array = NDArray[np.float64]
STORAGE_ENDS = ("restore", "value")


class PortfolioError(ValueError):
    """A picture of followers that cannot be solved; the message says which prosumer, value and allowed range."""


@dataclass(frozen=True)
class Portfolio:
    """Followers as linear or convex quadratic programs under exactly the game's costs.

    In one step a store gains c or loses d (kWh, store-side); the meter reads ``fixed + c / eta_charge - d *
    eta_discharge``; the step costs ``wear_linear * (c + d) + wear_quadratic / 2 * (c^2 + d^2)``.

    Parameters
    ----------
    fixed_kwh : array [D, N, T] kWh per step
        Load minus generation of each prosumer on each day, + = import.
    store_min, store_max, start : array [N] kWh
        Limits of the stored energy and its value at the start of the day, ``store_min <= start <= store_max``.
    charge, discharge : array [N] kWh per step
        Largest gain and loss of the store in one step, store-side, >= 0; 0 in both = no battery.
    eta_charge, eta_discharge : array [N]
        One-way efficiencies in (0, 1].
    wear_linear : array [N] $/kWh
        Cost of store-side throughput, >= 0.
    wear_quadratic : array [N] $/kWh^2
        Quadratic wear rho, >= 0; 0 makes the followers linear programs (with ties), > 0 makes responses unique.
    storage_end : str
        ``"restore"``: the store ends the day where it began. ``"value"``: its end is free and each kWh above
        (below) the start is worth (costs) ``end_value``.
    end_value : array [N] $/kWh
        Used with ``storage_end="value"`` only.
    pooled : bool
        True: members trade inside, payments between them are transfers, and one balance faces the tariff. False: each
        prosumer is alone against the tariff.
    fee : float $/kWh
        Network fee on energy traded between members, >= 0; used when pooled.
    reservoirs : tuple of Reservoir
        Stores other than batteries: vehicles, deferrable loads, heat and cold.
    peak : PeakPrice, optional
        Price of a pooled community's imports above a cap. Homes alone do not see it, so that their cost is a lower end.
    wear_blocks : tuple of (share of rated power, $/kWh)
        Wear that rises with the power, beside the other two: see ``retail.wear_blocks``; the rated energy of a step is
        ``charge`` or ``discharge``. The followers stay linear programs.
    begin : array [D, N] kWh, optional
        Stored energy before the first step of each day, within the limits; ``start`` when absent. Planners of the rest
        of a day use it: under ``"restore"`` the store still ends at ``start``.

    Notes
    -----
    Battery data may be given as one number for all prosumers; it is stored as an array [N].

    Raises
    ------
    PortfolioError
        If a shape or a value is outside its range.
    """

    fixed_kwh: Array
    store_min: Array
    store_max: Array
    start: Array
    charge: Array
    discharge: Array
    eta_charge: Array
    eta_discharge: Array
    wear_linear: Array
    wear_quadratic: Array
    storage_end: str = "restore"
    end_value: Array | float = 0.0
    pooled: bool = True
    fee: float = 0.0
    reservoirs: tuple[Reservoir, ...] = ()
    peak: PeakPrice | None = None
    begin: Array | None = None
    wear_blocks: WearBlocks = ()

    def __post_init__(self) -> None:
        fixed = np.array(self.fixed_kwh, dtype=np.float64)
        if fixed.ndim != 3 or 0 in fixed.shape:
            raise PortfolioError(
                f"Portfolio.fixed_kwh has shape {fixed.shape}; give a non-empty [day, prosumer, step]."
            )
        fixed.setflags(write=False)
        object.__setattr__(self, "fixed_kwh", fixed)
        for name in BATTERY:
            value = np.asarray(getattr(self, name), dtype=np.float64)
            if value.shape not in ((), (fixed.shape[1],)):
                raise PortfolioError(
                    f"Portfolio.{name} has shape {value.shape}; give one number or [N] = [{fixed.shape[1]}]."
                )
            value = np.broadcast_to(value, (fixed.shape[1],)).copy()
            value.setflags(write=False)
            object.__setattr__(self, name, value)
        if self.begin is not None:
            begin = np.array(self.begin, dtype=np.float64)
            if begin.shape != fixed.shape[:2]:
                raise PortfolioError(f"Portfolio.begin has shape {begin.shape}; give [D, N] = {list(fixed.shape[:2])}.")
            begin.setflags(write=False)
            object.__setattr__(self, "begin", begin)
        self._check()

    def _check(self) -> None:
        if self.storage_end not in STORAGE_ENDS:
            raise PortfolioError(
                f"Portfolio.storage_end is {self.storage_end!r}; give one of {STORAGE_ENDS} ('carry' belongs to the "
                "caller, who solves day after day with a new start)."
            )
        for name in ("fixed_kwh", *BATTERY):
            if not np.isfinite(getattr(self, name)).all():
                raise PortfolioError(f"Portfolio.{name} holds a value that is not a finite number; fill every entry.")
        if not (np.isfinite(self.fee) and self.fee >= 0.0):
            raise PortfolioError(f"Portfolio.fee is {self.fee!r} $/kWh; give a finite fee >= 0.")
        for name in ("charge", "discharge", "wear_linear", "wear_quadratic"):
            _require(getattr(self, name) >= 0.0, f"Portfolio.{name}", getattr(self, name), ">= 0")
        for name in ("eta_charge", "eta_discharge"):
            value = getattr(self, name)
            _require((value > 0.0) & (value <= 1.0), f"Portfolio.{name}", value, "in (0, 1]")
        blocks = block_mistakes(self.wear_blocks)
        if blocks:
            raise PortfolioError("\n".join(f"Portfolio.{sentence}" for sentence in blocks))
        if self.peak is not None and self.pooled and self.fee > 0.0:
            raise PortfolioError("A peak price and a fee between members are not solved together yet; drop one.")
        wrong = [tank.owner for tank in self.reservoirs if not 0 <= tank.owner < self.prosumers]
        if wrong:
            raise PortfolioError(f"A reservoir belongs to prosumer {wrong[0]}; there are {self.prosumers}.")
        inside = (self.store_min <= self.start) & (self.start <= self.store_max)
        _require(inside, "Portfolio.start", self.start, "between store_min and store_max (kWh)")
        if self.begin is not None:
            # a value that is not a number is outside too
            fits = (self.store_min <= self.begin) & (self.begin <= self.store_max)
            worst = self.begin[np.argmin(fits, axis=0), np.arange(self.prosumers)]
            _require(np.asarray(fits.all(axis=0)), "Portfolio.begin", worst, "between store_min and store_max (kWh)")

    @property
    def days(self) -> int:
        """Number of days D."""
        return int(self.fixed_kwh.shape[0])

    @property
    def prosumers(self) -> int:
        """Number of prosumers N."""
        return int(self.fixed_kwh.shape[1])

    @property
    def steps(self) -> int:
        """Steps of a day, T."""
        return int(self.fixed_kwh.shape[2])

    @property
    def has_battery(self) -> NDArray[np.bool_]:
        """Whether a prosumer can move energy in time, array [N].

        False also for a store of no width and for one that can only fill (or only empty) but must end where it began
        or is full (empty) already: its schedule is zero, and as a variable it would leave the programs no interior.
        """
        first = self.start[None] if self.begin is None else self.begin
        rises = (self.charge > 0.0) & (first < self.store_max).any(axis=0)
        falls = (self.discharge > 0.0) & (first > self.store_min).any(axis=0)
        both = (self.charge > 0.0) & (self.discharge > 0.0)
        return (self.store_max > self.store_min) & (both | ((self.storage_end == "value") & (rises | falls)))

    def over(self, days: NDArray[np.intp]) -> Portfolio:
        """The same followers on some of the days.

        Parameters
        ----------
        days : array of int [D']
            Positions in the day axis.

        Returns
        -------
        Portfolio
        """
        tanks = tuple(tank.over(days) for tank in self.reservoirs)
        begin = None if self.begin is None else self.begin[days]
        return self.change(fixed_kwh=self.fixed_kwh[days], reservoirs=tanks, begin=begin)

    def some(self, who: NDArray[np.int64]) -> Portfolio:
        """Some of the followers, each of whom is alone.

        Parameters
        ----------
        who : array of int [N']
            Prosumers, each once.

        Returns
        -------
        Portfolio
            Their reservoirs keep their order.

        Raises
        ------
        PortfolioError
            If followers settle together, so that a reservoir may belong to several.
        """
        if self.pooled:
            raise PortfolioError("Followers that settle together cannot be taken apart; give pooled=False.")
        place = {int(n): k for k, n in enumerate(who)}
        return self.change(
            fixed_kwh=self.fixed_kwh[:, who],
            reservoirs=tuple(replace(r, owner=place[r.owner]) for r in self.reservoirs if r.owner in place),
            begin=None if self.begin is None else self.begin[:, who],
            **{name: np.asarray(getattr(self, name))[who] for name in BATTERY},
        )

    def strung(self, first: int, last: int) -> Portfolio:
        """Days [first, last) as one long day, with batteries whose end is free and worth nothing.

        Parameters
        ----------
        first, last : int
            Positions in the day axis.

        Returns
        -------
        Portfolio
            Of one day; other stores still end each of its days where they began.
        """
        whole = self.fixed_kwh[first:last].transpose(1, 0, 2).reshape(1, self.prosumers, -1)
        tanks = tuple(tank.strung(first, last) for tank in self.reservoirs)
        free = {"storage_end": "value", "end_value": 0.0}
        return self.change(fixed_kwh=whole, reservoirs=tanks, begin=None, **free)

    def change(self, **values: object) -> Portfolio:
        """A copy with some fields replaced and all checks repeated.

        Parameters
        ----------
        **values
            Field names and new values.

        Returns
        -------
        Portfolio
        """
        present = {f.name: getattr(self, f.name) for f in fields(self)}
        return Portfolio(**{**present, **values})

    def bent(self, least: float) -> Portfolio:
        """The same followers with some quadratic cost at every store, so that their answer to a price is unique.

        Parameters
        ----------
        least : float $/kWh^2
            Quadratic wear of batteries, and of other stores per kWh^2 at the meter; larger ones stay.

        Returns
        -------
        Portfolio
            This one where nothing changes.
        """
        flat = self.has_battery & (self.wear_quadratic < least)
        tanks = tuple(replace(tank, ports=tuple(port.bent(least) for port in tank.ports)) for tank in self.reservoirs)
        if not flat.any() and (least <= 0.0 or not tanks):
            return self
        return self.change(wear_quadratic=np.maximum(self.wear_quadratic, least), reservoirs=tanks)

    @property
    def unique(self) -> bool:
        """Whether every store has quadratic cost, so that followers have one best answer to a price only."""
        curved = [bool((port.curve > 0.0).all()) for tank in self.reservoirs for port in tank.ports]
        return all(curved) and bool((self.wear_quadratic[self.has_battery] > 0.0).all())

    def may_burn(self, price: Array) -> bool:
        """Whether some store would gain and lose energy in one step to be paid for the waste.

        The game's battery has one direction per step, the program has two; they agree where wasting a kWh costs
        something: ``2 wear + price * (1 / eta_charge - eta_discharge) >= 0``, with the wear of the first kWh. Below
        that price (a negative one) the optimum here is cheaper than any real schedule, so a bound built on it is no
        bound.

        Parameters
        ----------
        price : array [...] $/kWh
            Lowest marginal value of energy that can occur, as a rule the feed-in price.

        Returns
        -------
        bool
        """
        loss = (1.0 / self.eta_charge - self.eta_discharge)[self.has_battery]
        least = self.wear_linear[self.has_battery] + least_price(self.wear_blocks)
        return bool((2.0 * least + loss * float(np.min(price)) < -1e-12).any())


BATTERY = (
    "store_min",
    "store_max",
    "start",
    "charge",
    "discharge",
    "eta_charge",
    "eta_discharge",
    "wear_linear",
    "wear_quadratic",
    "end_value",
)


def _require(good: NDArray[np.bool_], name: str, value: Array, allowed: str) -> None:
    if not good.all():
        worst = int(np.argmin(good))
        raise PortfolioError(f"{name} of prosumer {worst} is {value[worst]:g}; it must be {allowed}.")
