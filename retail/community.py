"""A community of prosumers: device parameters and profiles, immutable."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from retail.thermal import Thermal
from retail.timed_store import TimedStore
from retail.wear_blocks import WearBlocks, block_mistakes


class CommunityError(ValueError):
    """A community that cannot exist; the message lists every mistake with object, value, unit and range."""


@dataclass(frozen=True)
class Battery:
    """One battery per prosumer, measured on the store side; ``store_max == store_min`` means none.

    Parameters
    ----------
    store_min, store_max : Tensor [N] float64 kWh
        Range of stored energy.
    start : Tensor [N] float64 kWh
        Stored energy at the start of a day.
    charge_kw, discharge_kw : Tensor [N] float64 kW
        Largest gain and loss of stored energy (store side), at least 0.
    eta_charge, eta_discharge : Tensor [N] float64
        One-way efficiencies in (0, 1]: a gain of x kWh takes ``x / eta_charge`` at the meter, a loss of x kWh gives
        ``x * eta_discharge``.
    wear_linear : Tensor [N] float64 $/kWh
        kappa, per kWh through the store.
    wear_quadratic : Tensor [N] float64 $/kWh²
        rho: an hour with x kWh through the store costs ``rho / 2 * x²`` (scaled so that the cost of a given power per
        hour does not depend on the length of the step).
    wear_blocks : tuple of (share of rated power, $/kWh)
        Beside kappa and rho, a price that rises with the power: a kWh moved at up to so much of ``charge_kw`` or
        ``discharge_kw`` costs so much, the next ones the price of the next block. 2 or 3 blocks, the last one ends at
        1; () = none. One table for all homes: it is a curve of the make in shares of the rating, which each home has.
    """

    store_min: Tensor
    store_max: Tensor
    start: Tensor
    charge_kw: Tensor
    discharge_kw: Tensor
    eta_charge: Tensor
    eta_discharge: Tensor
    wear_linear: Tensor
    wear_quadratic: Tensor
    wear_blocks: WearBlocks = ()

    @classmethod
    def make(
        cls,
        prosumers: int,
        *,
        has: ArrayLike = True,
        min_kwh: ArrayLike = 0.0,
        max_kwh: ArrayLike = 10.0,
        power_kw: ArrayLike = 5.0,
        efficiency: ArrayLike = 0.95,
        start_kwh: ArrayLike | None = None,
        wear_linear: ArrayLike = 0.0,
        wear_quadratic: ArrayLike = 0.0,
        wear_blocks: WearBlocks = (),
    ) -> Battery:
        """Build batteries from scalars or one value per prosumer.

        Parameters
        ----------
        prosumers : int
            N.
        has : array_like [N] bool
            Who owns a battery.
        min_kwh, max_kwh, start_kwh : array_like [N] kWh
            Stored energy; the start defaults to the middle.
        power_kw : array_like [N] kW
            Rating both ways, store side.
        efficiency : array_like [N]
            One-way, both ways.
        wear_linear, wear_quadratic : array_like [N] $/kWh, $/kWh²
            Wear.
        wear_blocks : tuple of (share of rated power, $/kWh)
            Wear that rises with the power, of all homes.

        Returns
        -------
        Battery
            Homes without one have zero range and rating.
        """
        own = np.broadcast_to(np.asarray(has, dtype=bool), (prosumers,))

        def tensor(value: ArrayLike, absent: float) -> Tensor:
            full = np.broadcast_to(np.asarray(value, dtype=np.float64), (prosumers,))
            return torch.from_numpy(np.where(own, full, absent))

        low, high = np.asarray(min_kwh, dtype=np.float64), np.asarray(max_kwh, dtype=np.float64)
        start = (low + high) / 2 if start_kwh is None else start_kwh
        return cls(
            store_min=tensor(low, 0.0),
            store_max=tensor(high, 0.0),
            start=tensor(start, 0.0),
            charge_kw=tensor(power_kw, 0.0),
            discharge_kw=tensor(power_kw, 0.0),
            eta_charge=tensor(efficiency, 1.0),
            eta_discharge=tensor(efficiency, 1.0),
            wear_linear=tensor(wear_linear, 0.0),
            wear_quadratic=tensor(wear_quadratic, 0.0),
            wear_blocks=wear_blocks,
        )

    @property
    def capacity(self) -> Tensor:
        """Usable capacity, Tensor [N] kWh."""
        return self.store_max - self.store_min

    @cached_property
    def wears(self) -> bool:
        """Whether any battery wears."""
        return bool(self.wear_blocks) or bool((self.wear_linear > 0).any() or (self.wear_quadratic > 0).any())

    @property
    def has(self) -> Tensor:
        """Who owns a battery, Tensor [N] bool."""
        return self.capacity > 0


@dataclass(frozen=True)
class Community:
    """Prosumers with their profiles and devices.

    Parameters
    ----------
    names : tuple of str
        One name per prosumer, N in all, unique.
    clock : array [H] datetime64[m]
        Local wall clock at the *start* of each step; H is a whole number of days of T steps.
    zone : str
        IANA time zone of the clock.
    step_minutes : int
        15, 30 or 60.
    load, pv : Tensor [H, N] float64 kWh per step
        Consumption and generation, both at least 0.
    battery : Battery
        Stores [N].
    pv_kwp : Tensor [N] float64 kWp
        Installed PV.
    warm_up : int
        First days that only feed forecasts.
    timed : tuple of TimedStore
        Electric vehicles, deferrable loads.
    thermal : tuple of Thermal
        Heat, cold.

    Raises
    ------
    CommunityError
        All mistakes at once.
    """

    names: tuple[str, ...]
    clock: NDArray[np.datetime64]
    zone: str
    step_minutes: int
    load: Tensor
    pv: Tensor
    battery: Battery
    pv_kwp: Tensor
    warm_up: int = 0
    timed: tuple[TimedStore, ...] = ()
    thermal: tuple[Thermal, ...] = ()

    def __post_init__(self) -> None:
        mistakes = list(_mistakes(self))
        if mistakes:
            raise CommunityError("\n".join(mistakes))

    @property
    def prosumers(self) -> int:
        """Number of prosumers N."""
        return len(self.names)

    @property
    def steps(self) -> int:
        """Steps of a day T."""
        return 24 * 60 // self.step_minutes

    @property
    def step_hours(self) -> float:
        """Length of a step, h."""
        return self.step_minutes / 60

    @property
    def days(self) -> int:
        """Number of days, warm-up included."""
        return self.load.shape[0] // self.steps

    @property
    def fixed(self) -> Tensor:
        """Inflexible net load, Tensor [H, N] kWh per step, + = import."""
        return self.load - self.pv

    def daily(self, profile: Tensor) -> Tensor:
        """View a profile day by day.

        Parameters
        ----------
        profile : Tensor [H, ...]
            Any per-step table, for example kWh.

        Returns
        -------
        Tensor [days, T, ...]
            The same numbers.
        """
        return profile.reshape(self.days, self.steps, *profile.shape[1:])

    def with_battery(self, battery: Battery) -> Community:
        """The same homes with other batteries.

        Parameters
        ----------
        battery : Battery
            Parameters [N], kWh and kW.

        Returns
        -------
        Community
            A new one.
        """
        return replace(self, battery=battery)


def _mistakes(c: Community) -> list[str]:
    found = []
    n, table = len(c.names), tuple(c.load.shape)
    if c.step_minutes not in (15, 30, 60):
        return [f"The step of the community is {c.step_minutes} min; allowed are 15, 30 and 60."]
    if len(set(c.names)) != n:
        found.append("Two prosumers have the same name; give each its own.")
    if table != (len(c.clock), n) or tuple(c.pv.shape) != table:
        return [f"Profiles load {table} and pv {tuple(c.pv.shape)} must be [steps, prosumers] = {(len(c.clock), n)}."]
    if table[0] == 0 or table[0] % c.steps:
        found.append(f"{table[0]} steps are not a whole number of days of {c.steps} steps; cut or fill the last day.")
    for label, profile in (("load", c.load), ("pv", c.pv)):
        bad = ~torch.isfinite(profile) | (profile < 0)
        if bool(bad.any()):
            row, column = (int(i) for i in bad.nonzero()[0])
            found.append(
                f"Profile {label} of {c.names[column]} at {c.clock[row]} is {float(profile[row, column])} kWh; "
                "it must be a number >= 0."
            )
    for field in fields(c.battery):
        value = getattr(c.battery, field.name)
        if field.name == "wear_blocks":
            found += [f"Battery {sentence}" for sentence in block_mistakes(value)]
        elif tuple(value.shape) != (n,):
            return [
                *found,
                f"Battery {field.name} has shape {tuple(value.shape)}; it needs one value per prosumer, {n}.",
            ]
    found += _battery_mistakes(c.names, c.battery)
    devices: tuple[TimedStore | Thermal, ...] = (*c.timed, *c.thermal)
    for device in devices:
        found += device.mistakes(c.names, table[0] // c.steps, c.steps)
    heads = [t.name for t in c.timed] + [t.carrier for t in c.thermal]
    if len(set(heads)) != len(heads) or {"battery", "price"} & set(heads):
        found.append(f"Devices are named {', '.join(heads)}; give each its own name, not battery or price.")
    if not 0 <= c.warm_up < max(table[0] // c.steps, 1):
        found.append(f"warm_up is {c.warm_up} days; it must leave at least one of the {table[0] // c.steps} days.")
    return found


def _battery_mistakes(names: tuple[str, ...], b: Battery) -> list[str]:
    rules = (
        ("store_max", b.store_max < b.store_min, "kWh", "at least store_min"),
        ("store_min", b.store_min < 0, "kWh", "at least 0"),
        ("start", (b.start < b.store_min) | (b.start > b.store_max), "kWh", "between store_min and store_max"),
        ("charge_kw", b.charge_kw < 0, "kW", "at least 0"),
        ("discharge_kw", b.discharge_kw < 0, "kW", "at least 0"),
        ("eta_charge", (b.eta_charge <= 0) | (b.eta_charge > 1), "", "in (0, 1]"),
        ("eta_discharge", (b.eta_discharge <= 0) | (b.eta_discharge > 1), "", "in (0, 1]"),
        ("wear_linear", b.wear_linear < 0, "$/kWh", "at least 0"),
        ("wear_quadratic", b.wear_quadratic < 0, "$/kWh²", "at least 0"),
    )
    found = []
    for name, outside, unit, allowed in rules:
        value = getattr(b, name)
        wrong = outside | ~torch.isfinite(value)
        if bool(wrong.any()):
            who = int(wrong.nonzero()[0])
            found.append(f"Battery {name} of {names[who]} is {float(value[who])} {unit}; it must be {allowed}.")
    return found
