"""The sections of a study file: one frozen model each, with units in the docstrings."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from hmarl.study_file.device_sections import Cap, Cold, Deferrable, Heat, Vehicle
from hmarl.study_file.problems import nearest
from hmarl.study_file.section import Amount, Plugin, Price, Section, Share, Whole
from hmarl.study_file.tariff_choice import block_of_hour, menu_by_hour
from retail.wear_blocks import WearBlocks, block_mistakes

BUILT_IN_TARIFFS = ("time-of-use", "flat")


class Store(Section):
    """The battery of a home that has one.

    Parameters
    ----------
    min_kwh, max_kwh : float [kWh]
        Usable range of stored energy.
    power_kw : float [kW]
        Limit of charging and of discharging, on the store side.
    efficiency : float (0, 1]
        One way.
    start_kwh : float [kWh], optional
        At the start of a day; the middle of the range if left out.
    wear_linear : float [$/kWh]
        Wear per kWh through the battery.
    wear_quadratic : float [$/kWh²]
        Wear that grows with the square of a step's energy.
    wear_blocks : list of [share of rated power, $/kWh], optional
        Wear that rises with the power, in 2 or 3 blocks: ``[[0.4, 0.01], [1, 0.05]]`` charges 1 cent for each kWh
        moved at up to 40 % of ``power_kw`` and 5 cents for those above. It adds to the other two; with
        ``wear_quadratic: 0`` batteries stay linear, which is planned exactly and fast.
    """

    min_kwh: Amount = 0.0
    max_kwh: Amount = 10.0
    power_kw: Amount = 5.0
    efficiency: float = Field(default=0.95, gt=0, le=1)
    start_kwh: Amount | None = None
    wear_linear: Amount = 0.0
    wear_quadratic: Amount = 0.03
    wear_blocks: WearBlocks = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.min_kwh > self.max_kwh:
            raise ValueError(f"min_kwh {self.min_kwh:g} is above the upper end {self.max_kwh:g} kWh")
        if self.start_kwh is not None and not self.min_kwh <= self.start_kwh <= self.max_kwh:
            raise ValueError(f"start_kwh {self.start_kwh:g} lies outside {self.min_kwh:g} to {self.max_kwh:g} kWh")
        mistakes = block_mistakes(self.wear_blocks)
        if self.wear_blocks and "wear_quadratic" not in self.model_fields_set:
            mistakes.append(
                f"wear_blocks would come on top of the usual wear_quadratic of {self.wear_quadratic:g} $/kWh²; write "
                "wear_quadratic: 0, or how much of it you want beside them"
            )
        if mistakes:
            raise ValueError("; ".join(sentence.rstrip(".") for sentence in mistakes))
        return self

    @property
    def start(self) -> float:
        """Stored energy at the start of a day [kWh]."""
        return (self.min_kwh + self.max_kwh) / 2 if self.start_kwh is None else self.start_kwh


class Homes(Section):
    """Keys of section ``community`` that do not belong to the source.

    Parameters
    ----------
    battery : float 0..1
        Share of homes with a battery, spread evenly over the order of the source.
    store : Store
        The battery of those homes.
    hold_out : float 0..1
        Share of homes kept apart, spread evenly: nobody learns from them, and trained followers are put onto them
        (measures ``unseen_cost``, ``unseen_peak_kw``).
    vehicle, deferrable, heat, cold : section, optional
        Other devices; nobody has them if left out.
    """

    battery: Share = 0.0
    store: Store = Store()
    hold_out: float = Field(default=0.0, ge=0, lt=1)
    vehicle: Vehicle | None = None
    deferrable: Deferrable | None = None
    heat: Heat | None = None
    cold: Cold | None = None


class Community(Homes):
    """Who lives there: a data source and which of its homes have batteries.

    Parameters
    ----------
    source : Plugin
        Of kind ``sources``.
    battery, store, hold_out, vehicle, deferrable, heat, cold
        See `Homes`.
    """

    source: Plugin


class TariffRecipe(Section):
    """What energy costs outside the peer-to-peer market, before the leader changes it.

    Prices are whole prices: ``network`` and ``levies`` are parts of them that pass through to their own accounts.

    Parameters
    ----------
    name : str
        ``time-of-use``, ``flat`` (the shoulder price all day) or an id of ``tariffs/tou_tariffs.csv`` in the data.
    offpeak, shoulder, peak, sell : float [$/kWh], optional
        Default 0.15, 0.22, 0.44 and 0.04, or those of the table for an id.
    windows : str, optional
        Which hours are what; default ``AER2019``, or that of the table for an id.
    holidays : str
        Public holidays that count as weekend.
    network, levies : float [$/kWh]
        Parts of the price of imported energy.
    fee : float [$/kWh]
        Network fee per kWh traded between peers.
    gas : float [$/kWh]
        Price of fuel for boilers and CHP.
    average_cap, ceiling, floor : float [$/kWh], optional
        What a leader must keep to: mean of the day's prices, highest and lowest price.
    ramp : float [$/kWh], optional
        Largest change of a leader's price from one step to the next.
    blocks : mapping of str to list of str [h], optional
        Time-of-use blocks of a leader's tariff: hours that share one price, such as ``{day: [7-22], night: [22-7]}``.
    menu : mapping of str to prices [$/kWh], optional
        The only tariffs a leader may choose from: one price, 24 prices, or one for each block.
    currency : str
        A label; nothing is converted.
    """

    name: str = "time-of-use"
    offpeak: Price | None = None
    shoulder: Price | None = None
    peak: Price | None = None
    sell: Price | None = None
    windows: Literal["AER2019", "simple", "simple_weekend_offpeak", "irish-farm-assumed"] | None = None
    holidays: Literal["none", "NSW"] = "none"
    network: Amount = 0.09
    levies: Amount = 0.02
    fee: Amount = 0.0
    gas: Amount = 0.08
    average_cap: Price | None = None
    ceiling: Price | None = None
    floor: Price | None = None
    ramp: Amount | None = None
    blocks: dict[str, list[str]] | None = None
    menu: dict[str, Price | list[Price] | dict[str, Price]] | None = None
    currency: str = "AUD"

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, values: dict[str, Any]) -> dict[str, Any]:
        standard = {"offpeak": 0.15, "shoulder": 0.22, "peak": 0.44, "sell": 0.04, "windows": "AER2019"}
        return {**standard, **values} if values.get("name", "time-of-use") in BUILT_IN_TARIFFS else values

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.floor is not None and self.ceiling is not None and self.floor > self.ceiling:
            raise ValueError(f"floor {self.floor:g} is above the highest allowed price {self.ceiling:g} $/kWh")
        if self.blocks is not None:
            block_of_hour(self.blocks)
        if self.menu is not None:
            menu_by_hour(self.menu, self.blocks)
        if self.offpeak is not None and self.shoulder is not None and self.peak is not None and self.sell is not None:
            self._check_prices((self.offpeak, self.shoulder, self.peak), self.sell)
        hint = None if self.name in BUILT_IN_TARIFFS else nearest(self.name, BUILT_IN_TARIFFS)
        if hint:  # ids of the table look different, so this is a misspelled rule and not an id
            raise ValueError(f"name is no tariff; did you mean '{hint}'?")
        return self

    def _check_prices(self, levels: tuple[float, float, float], sell: float) -> None:
        """Refuse prices that no day could bring together."""
        used = levels if self.name != "flat" else levels[1:2]
        if sell > min(used):
            raise ValueError(f"sell {sell:g} is above the lowest price of bought energy, {min(used):g} $/kWh")
        least = max(sell, self.network + self.levies) if self.floor is None else self.floor
        most = max(used) if self.ceiling is None else self.ceiling
        if least > most:
            raise ValueError(
                f"the lowest price a leader may ask, {least:g} (floor, or feed-in price, or network + levies), is "
                f"above the highest, {most:g} $/kWh"
            )
        if self.average_cap is not None and self.average_cap < least:
            raise ValueError(
                f"average_cap {self.average_cap:g} is below the lowest price a leader may ask, {least:g} $/kWh"
            )
        if self.menu is not None:
            cap = most if self.average_cap is None else self.average_cap
            tariffs = menu_by_hour(self.menu, self.blocks)
            if not any(least <= min(one) and max(one) <= most and sum(one) / len(one) <= cap + 1e-9 for one in tariffs):
                raise ValueError(
                    f"no tariff of the menu lies between {least:g} and {most:g} $/kWh with a mean of at most {cap:g}"
                )


class GameRules(Section):
    """What a follower knows, earns and leaves behind.

    Parameters
    ----------
    public : str
        Which net energy of the community is known when acting.
    reward : str
        Whose cost a follower feels.
    storage_end : str
        What happens to energy left in store at the end of a day. Under ``carry`` days follow each other without end: give
        learners a ``gamma`` below 1, such as 0.99, or their values never settle.
    dispatch : str
        Whether the battery moves as the action says, or beyond that only as far as posted blocks clear.
    keep : float
        Under ``contingent``: reserve for own dear hours, as a multiple of the expected need.
    end_value : float [$/kWh]
        Under ``value``: what a stored kWh is worth at the end of a day; under ``carry``: in the pictures of planners.
    action : str
        What an action means for a device: a correction of its own rule (self-consumption for the battery), or power
        itself.
    peak : Cap, optional
        Cap on the net import of the community.
    curtail : bool
        Whether homes may throw generation away.
    """

    public: Literal["this_step", "last_step", "none"] = "this_step"
    reward: Literal["own", "community", "difference"] = "difference"
    storage_end: Literal["restore", "value", "carry"] = "restore"
    dispatch: Literal["committed", "contingent"] = "committed"
    keep: Amount = 2.0
    end_value: Amount = 0.15
    action: Literal["residual", "raw"] = "residual"
    peak: Cap | None = None
    curtail: bool = False


class Clusters(Section):
    """Which homes share a net, for policies with ``sharing: cluster``.

    Parameters
    ----------
    name : str
        ``portfolio``: by PV and battery; ``location``: by postcode; ``euclidean`` or ``dtw``: by mean day; ``random``:
        groups as large as those of ``dtw``.
    number : int >= 1, optional
        Of groups, for the last three; the best silhouette near the elbow if left out.
    band_hours : float [h]
        Largest shift of ``dtw``.
    """

    name: Literal["portfolio", "location", "euclidean", "dtw", "random"] = "portfolio"
    number: Whole | None = None
    band_hours: Amount = 3.0


class Grid(Section):
    """Keys of section ``wholesale`` that do not belong to the market.

    Parameters
    ----------
    case : str
        Named system, e.g. ``pjm5``.
    bus : str
        Where the community is connected.
    replication : int >= 1
        One simulated community stands for so many equal ones.
    load_shape : str
        How the other loads of the case move over the day.
    imbalance : str
        How the aggregator's deviations settle: at the real-time price, or at the worse of it and the day-ahead price.
    fuel_cost : float > 0
        Factor on the energy costs of all units of the case.
    """

    case: str
    bus: str
    replication: Whole = 1
    load_shape: Literal["flat", "daily"] = "daily"
    imbalance: Literal["one-price", "two-price"] = "one-price"
    fuel_cost: float = Field(default=1.0, gt=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _known(self) -> Self:
        from wholesale import CASES, case  # noqa: PLC0415  a study without a wholesale market needs none of it

        if self.case not in CASES:
            hint = nearest(self.case, CASES)
            meant = f"; did you mean '{hint}'?" if hint else ""
            raise ValueError(f"case {self.case!r} is unknown (cases: {', '.join(CASES)}){meant}")
        buses = case(self.case).buses
        if self.bus not in buses:
            shown = ", ".join(buses[:12]) + (", ..." if len(buses) > 12 else "")
            raise ValueError(f"bus {self.bus!r} is not in case {self.case} (its buses: {shown})")
        return self


class Wholesale(Grid):
    """The market above and where the community is connected to it.

    Parameters
    ----------
    market : Plugin
        Of kind ``markets``.
    case, bus, replication, load_shape, imbalance, fuel_cost
        See `Grid`.
    """

    market: Plugin


class Equilibrium(Section):
    """How leader and followers are brought to rest.

    Parameters
    ----------
    method : str
        ``alternate``: each answers the other in turn. ``trust-region``: the leader tries prices and keeps those whose
        settled simulation earns it more.
    damping : float [0, 1)
        ``alternate``: share of the old tariff that is kept in each round.
    rounds : int >= 1
        ``alternate``: at most so many.
    tolerance : float > 0 [$/kWh]
        ``alternate``: largest change of a price that counts as rest.
    simulations : int >= 1
        ``trust-region``: at most so many settled simulations.
    probes : int >= 0
        Simulations beside the first that show how followers answer, before the first step.
    climbs : int >= 0
        From so many prices to climb on the followers' programs first; the best summit is simulated.
    polls : int >= 0
        ``trust-region``: so often, when the search would rest, to look at 60 prices around with followers as they are;
        the best is simulated if it seems worth it.
    radius : float > 0 [$/kWh]
        Largest change of a price in the first step.
    stop_gain : float >= 0
        Share of the profit below which a predicted gain is not worth a simulation.
    standard_errors : float >= 0
        How many paired standard errors a gain must exceed where followers learn.
    settle : int >= 0
        Short trainings (``retrain_episodes``) before a price is judged, against the best one after as much learning
        on the same days; 0 judges frozen policies.
    pace : float 0..1
        Slow clock of the leader: after k accepted prices steps are at most radius / (1 + k)^pace.
    tariff_range : float >= 0 [$/kWh]
        Policies train at prices up to so far from the one in force, so that a new one needs little learning.
    price_impact : bool
        Whether the step reckons with the wholesale price following the community's own net load.
    certificate : str
        ``short``: frozen policies, a few deviators. ``full``: deviations settled with learning, every home deviates.
        ``none``: no gaps, only rest, saving and the books; for studies that compare followers at a fixed tariff.
    trouble : str
        ``alternate``, when the leader's solver fails: ``stop`` the run, or ``keep`` the tariff of the round before.
    """

    method: Literal["alternate", "trust-region"] = "alternate"
    damping: float = Field(default=0.0, ge=0, lt=1)
    rounds: Whole = 8
    tolerance: float = Field(default=1e-3, gt=0)
    simulations: Whole = 60
    probes: int = Field(default=3, ge=0)
    climbs: int = Field(default=2, ge=0)
    polls: int = Field(default=0, ge=0)
    radius: float = Field(default=0.02, gt=0)
    stop_gain: float = Field(default=3e-4, ge=0)
    standard_errors: float = Field(default=2.0, ge=0)
    settle: int = Field(default=1, ge=0)
    pace: float = Field(default=0.0, ge=0, le=1)
    tariff_range: float = Field(default=0.0, ge=0)
    price_impact: bool = True
    certificate: Literal["none", "short", "full"] = "short"
    trouble: Literal["stop", "keep"] = "stop"
