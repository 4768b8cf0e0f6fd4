"""Sections of a study file for devices besides the battery: vehicles, deferrable loads, heat, cold, and the peak."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from hmarl.study_file.section import Amount, Price, Section, Share

Hour = Annotated[float, Field(ge=0, le=24)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Efficiency = Annotated[float, Field(gt=0, le=1)]


class Vehicle(Section):
    """Electric vehicles with one trip a day.

    Parameters
    ----------
    share : float 0..1
        Share of homes with one, spread evenly over the order of the source.
    capacity_kwh, drive_kwh : float [kWh]
        Of the battery, and used by the daily trip.
    power_kw : float [kW]
        Of the charger.
    efficiency : float (0, 1]
        One way.
    leaves, returns : float [hour of the day]
        Away in between; ``leaves < returns``.
    ready_kwh : float [kWh], optional
        Least content when it leaves; full if left out.
    feeds_back : bool
        Whether it may discharge into the home.
    """

    share: Share = 0.3
    capacity_kwh: Positive = 50.0
    drive_kwh: Amount = 8.0
    power_kw: Positive = 7.0
    efficiency: Efficiency = 0.95
    leaves: Hour = 8.0
    returns: Hour = 17.0
    ready_kwh: Amount | None = None
    feeds_back: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.leaves >= self.returns:
            raise ValueError(f"leaves {self.leaves:g} is not before returns {self.returns:g} (hours of one day)")
        ready = self.capacity_kwh if self.ready_kwh is None else self.ready_kwh
        if not self.drive_kwh <= ready <= self.capacity_kwh:
            raise ValueError(
                f"ready_kwh {ready:g} must lie between drive_kwh {self.drive_kwh:g} and capacity_kwh "
                f"{self.capacity_kwh:g} kWh"
            )
        return self


class Deferrable(Section):
    """Loads that must draw their energy between two hours of the day.

    Parameters
    ----------
    share : float 0..1
        Share of homes with one.
    energy_kwh : float [kWh]
        Each day.
    power_kw : float [kW]
        Largest draw.
    earliest, latest : float [hour of the day]
        The window.
    """

    share: Share = 0.5
    energy_kwh: Positive = 2.0
    power_kw: Positive = 2.0
    earliest: Hour = 9.0
    latest: Hour = 22.0

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.earliest >= self.latest:
            raise ValueError(f"earliest {self.earliest:g} is not before latest {self.latest:g} (hours of one day)")
        if self.energy_kwh > self.power_kw * (self.latest - self.earliest):
            raise ValueError(
                f"energy_kwh {self.energy_kwh:g} does not fit into the window at power_kw {self.power_kw:g}"
            )
        return self


class HeatStore(Section):
    """A thermal store.

    Parameters
    ----------
    share : float 0..1
        Share of homes with one.
    kwh : float [kWh]
        Size; it starts and ends a day half full.
    power_kw : float [kW]
        Largest gain or loss.
    loss_per_hour : float [0, 1)
        Share of the content that is lost in an hour.
    """

    share: Share = 1.0
    kwh: Amount = 6.0
    power_kw: Positive = 6.0
    loss_per_hour: float = Field(default=0.01, ge=0, lt=1)


class Carrier(Section):
    """What heat and cold have in common.

    Parameters
    ----------
    pump : float 0..1
        Share of homes with a heat pump (with a chiller for cold).
    pump_kw : float [kW]
        Its largest electric power.
    cop : float
        Thermal kWh per kWh of electricity.
    store : HeatStore
        Thermal store.
    traded : bool
        Whether homes trade it with each other, in the auction of the study.
    scale : float
        Factor on the demand of the source.
    """

    pump: Share = 1.0
    pump_kw: Positive = 2.0
    cop: Positive = 3.0
    store: HeatStore = HeatStore()
    traded: bool = False
    scale: Amount = 1.0


class Heat(Carrier):
    """Heat for rooms and hot water; what pump, CHP, store and trade do not cover comes from a gas boiler.

    Parameters
    ----------
    pump, pump_kw, cop, store, traded, scale
        See `Carrier`.
    chp : float 0..1
        Share of homes with combined heat and power.
    chp_kw : float [kW]
        Its largest electric output.
    chp_electric, chp_heat : float (0, 1)
        Electricity and heat per kWh of gas.
    boiler_efficiency : float (0, 1]
        Heat per kWh of gas.
    """

    pump: Share = 0.5
    chp: Share = 0.0
    chp_kw: Positive = 1.0
    chp_electric: Efficiency = 0.3
    chp_heat: Efficiency = 0.55
    boiler_efficiency: Efficiency = 0.9

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.chp_electric + self.chp_heat > 1:
            raise ValueError(
                f"chp_electric {self.chp_electric:g} and chp_heat {self.chp_heat:g} make more than 1 kWh out of 1 kWh"
            )
        return self


class Cold(Carrier):
    """Cooling; what the store and trade do not cover comes from the chiller.

    Parameters
    ----------
    pump, pump_kw, cop, store, traded, scale
        See `Carrier`.
    """

    pump: Share = 1.0


class Cap(Section):
    """Cap on the net import of the community.

    Parameters
    ----------
    cap_kw : float [kW]
        What the network carries.
    rule : str
        ``penalty``: importers pay ``rate`` above it; ``curtail``: imports are cut to it; ``report``: nothing happens.
    rate : float [$/kWh]
        Penalty, or value of energy that is not served.
    """

    cap_kw: Amount
    rule: Literal["penalty", "curtail", "report"] = "penalty"
    rate: Price = Field(default=1.0, ge=0)
