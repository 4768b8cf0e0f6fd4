"""From the sections of a study to the devices of a community."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hmarl.study_file.device_sections import Carrier, Cold, Deferrable, Heat, Vehicle
from retail.data import DataError, Profiles
from retail.data.synthetic import evenly
from retail.deferrable_load import deferrable_load
from retail.electric_vehicle import electric_vehicle
from retail.thermal import Thermal
from retail.timed_store import TimedStore


def timed_stores(
    vehicle: Vehicle | None, deferrable: Deferrable | None, homes: int, steps: int
) -> tuple[TimedStore, ...]:
    """Vehicles and deferrable loads.

    Parameters
    ----------
    vehicle, deferrable : section or None
        None: nobody has one.
    homes, steps : int
        N and T.

    Returns
    -------
    tuple of TimedStore
        Tables in kWh per step.
    """
    found = []
    if vehicle is not None:
        given = vehicle.model_dump(exclude={"share"})
        found.append(electric_vehicle(homes, steps, has=evenly(homes, vehicle.share), **given))
    if deferrable is not None:
        given = deferrable.model_dump(exclude={"share"})
        found.append(deferrable_load(homes, steps, has=evenly(homes, deferrable.share), **given))
    return tuple(found)


def thermal_carriers(
    heat: Heat | None, cold: Cold | None, profiles: Profiles, steps: int, gas: float
) -> tuple[Thermal, ...]:
    """Heat and cold.

    Parameters
    ----------
    heat, cold : section or None
        None: demand is not simulated.
    profiles : Profiles
        With demand, kWh thermal per step.
    steps : int
        T.
    gas : float $/kWh
        Price of fuel.

    Returns
    -------
    tuple of Thermal

    Raises
    ------
    DataError
        If the source has no such demand.
    """
    found = []
    for name, section, demand in (("heat", heat, profiles.heat), ("cold", cold, profiles.cold)):
        if section is None:
            continue
        if demand is None:
            raise DataError(
                f"community.{name} is asked for, but the source has no demand for {name}; use source synthetic with "
                "thermal: true, citylearn, or profiles with such a table."
            )
        found.append(_thermal(name, section, torch.from_numpy(demand), steps, gas))
    return tuple(found)


def _thermal(name: str, section: Carrier, demand: Tensor, steps: int, gas: float) -> Thermal:
    homes, hours = demand.shape[1], 24 / steps

    def each(value: float, share: float = 1.0) -> Tensor:
        return torch.from_numpy(np.where(evenly(homes, share), value, 0.0).astype(np.float64))

    store, boiler = section.store, isinstance(section, Heat)
    chp = section if isinstance(section, Heat) else Heat(chp=0.0)
    return Thermal(
        carrier=name,
        demand=demand.reshape(-1, steps, homes) * section.scale,
        pump=each(section.pump_kw * hours, section.pump),
        cop=torch.full((1, steps, homes), section.cop, dtype=torch.float64),
        chp=each(chp.chp_kw * hours, chp.chp),
        chp_heat=each(chp.chp_heat / chp.chp_electric),
        chp_fuel=each(1 / chp.chp_electric),
        backup_use=each(1 / chp.boiler_efficiency if boiler else 1 / section.cop),
        backup="gas" if boiler else "electricity",
        store_max=each(store.kwh, store.share),
        store_start=each(store.kwh / 2, store.share),
        store_rate=each(store.power_kw * hours, store.share),
        keep=each((1 - store.loss_per_hour) ** hours),
        fuel_price=torch.full((steps,), gas, dtype=torch.float64),
        traded=section.traded,
    )
