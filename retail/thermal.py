"""Heat or cold in homes: pump, combined heat and power, back-up and store. Pure functions on tensors [..., N]."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, NamedTuple

import torch
from torch import Tensor

Fuel = Literal["gas", "electricity"]


@dataclass(frozen=True)
class Thermal:
    """One thermal carrier of a community; a rating or size of 0 means that a prosumer has no such device.

    Demand is met by the pump (heat pump or chiller), by combined heat and power (CHP), by the store and by other
    prosumers if the carrier is traded; whatever is still missing comes from the back-up (boiler, or the chiller's own
    reserve), which is sized for the peak. What is left over returns to the store or is dumped.

    Parameters
    ----------
    carrier : str
        Such as ``heat`` or ``cold``; its heads are ``<carrier>_pump``, ``<carrier>_chp`` and ``<carrier>_store``.
    demand : Tensor [D or 1, T, N] float64 kWh per step
        Thermal, at least 0.
    pump : Tensor [N] float64 kWh per step
        Largest electricity of the pump.
    cop : Tensor [D or 1, T, N] float64
        Thermal kWh per kWh of electricity, above 0.
    chp : Tensor [N] float64 kWh per step
        Largest electricity that CHP makes.
    chp_heat, chp_fuel : Tensor [N] float64
        Thermal kWh, and fuel, per kWh of electricity from CHP.
    backup_use : Tensor [N] float64
        Fuel or electricity of the back-up per thermal kWh, above 0.
    backup : str
        What the back-up uses, ``gas`` or ``electricity``.
    store_max, store_start, store_rate : Tensor [N] float64 kWh, kWh, kWh per step
        Size of the store, content at the start and the end of a day, largest gain or loss in a step.
    keep : Tensor [N] float64
        Share of the content that is still there after a step, in (0, 1].
    fuel_price : Tensor [T] float64 $/kWh
        Of gas, for CHP and boiler.
    traded : bool
        Whether prosumers trade the carrier with each other, in the auction of the game and without losses.
    """

    carrier: str
    demand: Tensor
    pump: Tensor
    cop: Tensor
    chp: Tensor
    chp_heat: Tensor
    chp_fuel: Tensor
    backup_use: Tensor
    backup: Fuel
    store_max: Tensor
    store_start: Tensor
    store_rate: Tensor
    keep: Tensor
    fuel_price: Tensor
    traded: bool = False

    @property
    def heads(self) -> tuple[str, ...]:
        """Heads of an action for this carrier."""
        own = {"pump": self.pump, "chp": self.chp, "store": self.store_max}
        return tuple(f"{self.carrier}_{device}" for device, size in own.items() if bool((size > 0).any()))

    def controls(self, head: str) -> Tensor:
        """Who owns what a head moves, Tensor [N] bool."""
        sizes = {"pump": self.pump, "chp": self.chp, "store": self.store_max}
        return sizes[head.removeprefix(f"{self.carrier}_")] > 0

    def mistakes(self, names: tuple[str, ...], days: int, steps: int) -> list[str]:
        """What cannot be, one sentence each.

        Parameters
        ----------
        names : tuple of str
            Of the prosumers.
        days, steps : int
            Of the community.

        Returns
        -------
        list of str
            Empty if all is well; values in kWh.
        """
        homes = len(names)
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, Tensor):
                continue
            rank = tuple(value.shape)
            if field.name in ("demand", "cop"):
                fits = len(rank) == 3 and rank[0] in (1, days) and rank[1:] == (steps, homes)
            else:
                fits = rank == ((steps,) if field.name == "fuel_price" else (homes,))
            if not fits:
                return [f"{self.carrier}.{field.name} has shape {rank}; it does not fit {homes} homes x {steps} steps."]
            if not bool(torch.isfinite(value).all()) or (field.name != "fuel_price" and bool((value < 0).any())):
                return [f"{self.carrier}.{field.name} holds a negative value or none at all; give numbers >= 0."]
        rules = (
            ("store_start", self.store_start > self.store_max, "at most store_max (kWh)"),
            ("keep", (self.keep <= 0) | (self.keep > 1), "in (0, 1]"),
            ("backup_use", self.backup_use <= 0, "above 0"),
            ("cop", (self.cop <= 0).flatten(0, 1).any(0), "above 0"),
            ("store_rate", self.store_rate < (1 - self.keep) * self.store_start, "enough to make up standing losses"),
        )
        found = []
        for name, wrong, allowed in rules:
            if bool(wrong.any()):
                who = int(wrong.nonzero()[0])
                found.append(f"{self.carrier}.{name} of {names[who]} is outside its range; it must be {allowed}.")
        return found

    def backup_price(self, step: int, buy: Tensor) -> Tensor:
        """What a thermal kWh from the back-up costs, Tensor [B, N] $/kWh; ``buy`` [B] $/kWh of electricity."""
        price = self.fuel_price[step].expand(len(buy), 1) if self.backup == "gas" else buy[:, None]
        return price * self.backup_use


class Made(NamedTuple):
    """Thermal production and the intended move of the store in one step; all Tensor [B, N] kWh.

    Attributes
    ----------
    pump, chp : kWh of electricity used, and made
    heat : kWh thermal produced
    change : kWh thermal into the store, + charges
    low, high : kWh thermal
        Range of that change.
    """

    pump: Tensor
    chp: Tensor
    heat: Tensor
    change: Tensor
    low: Tensor
    high: Tensor


def store_path(thermal: Thermal, steps: int) -> tuple[Tensor, Tensor]:
    """Least and largest content after each step that lets the store end the day where it began, each [T, N] kWh.

    Parameters
    ----------
    thermal : Thermal
        Store data.
    steps : int
        T.
    """
    low, high = [thermal.store_start], [thermal.store_start]
    for _ in range(steps - 1):
        low.insert(0, ((low[0] - thermal.store_rate) / thermal.keep).clamp(min=0))
        high.insert(0, torch.minimum((high[0] + thermal.store_rate) / thermal.keep, thermal.store_max))
    return torch.stack(low), torch.stack(high)


def produce(
    thermal: Thermal,
    asked: dict[str, Tensor],
    content: Tensor,
    demand: Tensor,
    cop: Tensor,
    path: tuple[Tensor, Tensor],
    raw: bool,
) -> Made:
    """Decide production and the intended move of the store.

    Without heads devices follow the demand: the pump covers what it can, then CHP, and the store takes up the
    difference. A head adds to that, in units of the rating; with ``raw`` it is the whole operation.

    Parameters
    ----------
    thermal : Thermal
        Devices.
    asked : dict of str to Tensor [B, N]
        Heads in [-1, 1]; absent ones follow the rule.
    content, demand, cop : Tensor [B, N] kWh, kWh, thermal per electric kWh
        Of the step.
    path : tuple of Tensor [N] kWh
        Range of the content after the step.
    raw : bool
        Meaning of the heads.

    Returns
    -------
    Made
        Every entry feasible.
    """

    def operate(name: str, led: Tensor, least: Tensor, most: Tensor, rating: Tensor) -> Tensor:
        head = asked.get(f"{thermal.carrier}_{name}")
        wish = led if head is None else head.double() * rating + (0 if raw else led)
        return torch.minimum(torch.maximum(wish, least), most)

    zero = torch.zeros_like(demand)
    pump = operate("pump", demand / cop, zero, thermal.pump + zero, thermal.pump)
    ratio = thermal.chp_heat.clamp(min=1e-12)
    chp = operate("chp", (demand - pump * cop).clamp(min=0) / ratio, zero, thermal.chp + zero, thermal.chp)
    heat = pump * cop + chp * thermal.chp_heat
    kept = content * thermal.keep
    low = torch.maximum(-thermal.store_rate, path[0] - kept)
    high = torch.minimum(thermal.store_rate, path[1] - kept)
    low = torch.minimum(low, high)
    change = operate("store", heat - demand, low, high, thermal.store_rate)
    return Made(pump, chp, heat, change, low, high)


class Met(NamedTuple):
    """How the demand of a step was met; all Tensor [B, N].

    Attributes
    ----------
    content : kWh
        Of the store after the step.
    use : kWh
        Electricity of all devices at the meter, + = import.
    fuel : kWh
        Fuel burnt.
    backup, dumped : kWh thermal
        From the back-up, and thrown away.
    """

    content: Tensor
    use: Tensor
    fuel: Tensor
    backup: Tensor
    dumped: Tensor


def meet(thermal: Thermal, made: Made, content: Tensor, demand: Tensor, bought: Tensor) -> Met:
    """Close the thermal balance of a step after trade.

    Parameters
    ----------
    thermal : Thermal
        Devices.
    made : Made
        Production and intended move of the store.
    content, demand : Tensor [B, N] kWh
        Store before the step, and demand.
    bought : Tensor [B, N] kWh thermal
        From other prosumers, - = sold.

    Returns
    -------
    Met
        ``heat + bought + backup = demand + change of the store + dumped`` to rounding.
    """
    missing = demand + made.change - made.heat - bought
    backup = missing.clamp(min=0)
    # Unsold energy returns to the store as far as there is room.
    kept_back = torch.minimum((-missing).clamp(min=0), made.high - made.change)
    dumped = (-missing).clamp(min=0) - kept_back
    after = content * thermal.keep + made.change + kept_back
    from_wire = backup * thermal.backup_use if thermal.backup == "electricity" else torch.zeros_like(backup)
    burnt = backup * thermal.backup_use if thermal.backup == "gas" else torch.zeros_like(backup)
    return Met(after, made.pump - made.chp + from_wire, made.chp * thermal.chp_fuel + burnt, backup, dumped)


def heads_for(thermal: Thermal, plan: dict[str, Tensor], demand: Tensor, cop: Tensor, raw: bool) -> dict[str, Tensor]:
    """Heads that ask for an operation; the inverse of ``produce`` where it is feasible.

    Parameters
    ----------
    thermal : Thermal
        Devices.
    plan : dict of str to Tensor [B, N] kWh
        ``pump`` and ``chp`` in kWh of electricity, ``store`` as change of the content.
    demand, cop : Tensor [B, N] kWh, thermal per electric kWh
        Of the step.
    raw : bool
        Meaning of the heads.

    Returns
    -------
    dict of str to Tensor [B, N]
        One entry for each of ``thermal.heads``.
    """
    heat = plan["pump"] * cop + plan["chp"] * thermal.chp_heat
    led = {
        "pump": demand / cop,
        "chp": (demand - plan["pump"] * cop).clamp(min=0) / thermal.chp_heat.clamp(min=1e-12),
        "store": heat - demand,
    }
    rating = {"pump": thermal.pump, "chp": thermal.chp, "store": thermal.store_rate}
    wish = {name: plan[name] - (0 if raw else led[name]) for name in rating}
    heads = {f"{thermal.carrier}_{name}": wish[name] / rating[name].clamp(min=1e-12) for name in rating}
    return {head: heads[head] for head in thermal.heads}
