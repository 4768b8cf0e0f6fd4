"""Everything that stays fixed while one arm of a study runs with one seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hmarl.clustering import group
from hmarl.evaluation import arrivals
from hmarl.halfway import Keeper
from hmarl.policies.base import Policy, Spec
from hmarl.stage import community_of, game_of, profiles_of
from hmarl.study_file.arm import Arm
from hmarl.study_file.sections import TariffRecipe
from hmarl.study_file.sections import Wholesale as WholesaleSection
from hmarl.study_file.tariff_choice import HOURS, block_of_hour, menu_by_hour
from hmarl.training import Ground, Row
from retail.community import Community
from retail.data.synthetic import evenly
from retail.data.tables import locate
from retail.game import Game
from retail.tariff import Tariff
from retail.time_of_use import read_tariff, time_of_use

if TYPE_CHECKING:
    from aggregator.leader import Leader, TariffRules
    from aggregator.meter import Meter
    from wholesale.market import Market
    from wholesale.price_series import PriceSeries
    from wholesale.system import System

TARIFF_TABLE = "tariffs/tou_tariffs.csv"


@dataclass(frozen=True)
class Exchange:
    """The wholesale side of a study.

    Attributes
    ----------
    market : Market
        Clears MW at $/MWh.
    system : System
        Loads [T, bus] MW of one day.
    bus : str
        Where the aggregator withdraws.
    two_price : bool
        Whether its deviations settle at the worse of day-ahead and real-time price.
    first_day : int
        Day of the community on which a series of prices begins.
    """

    market: Market
    system: System
    bus: str
    two_price: bool = False
    first_day: int = 0

    def at(self, days: NDArray[np.int64], steps: int, *, real_time: bool) -> Market:
        """The market on some days.

        Parameters
        ----------
        days : array [D] int
            Days of the community.
        steps : int
            T, of a day.
        real_time : bool
            Whether this is the delivery, not the day ahead.

        Returns
        -------
        Market
            Of D * T hours; the same on every day unless it is a series of prices.
        """
        from wholesale.price_series import PriceSeries  # noqa: PLC0415

        if not isinstance(self.market, PriceSeries):
            return self.market
        hours = (days - self.first_day)[:, None] * steps + np.arange(steps)
        return self.market.at(hours.reshape(-1), real_time=real_time)


@dataclass(frozen=True)
class World:
    """One arm and seed, ready to run.

    Attributes
    ----------
    arm : Arm
        The resolved study of this arm.
    seed : int
        Seed of all named streams.
    game : Game
        Retail rules.
    spec : Spec
        For starting learners.
    training, judged : Tensor int64
        Days of the community (warm-up counted) that policies may learn from, and that headline figures use.
    arrival : Tensor [community days, T, N] int64
        Order of arrival, the same in every arm.
    rules : TariffRules
        Default tariff [community days, T] and what a leader may offer.
    policy : Policy
        Followers.
    leader : Leader
        Aggregator.
    meter : Meter
        Replication and length of a step.
    exchange : Exchange or None
        Wholesale market; None for a retail-only study.
    files : tuple of Path
        Data files that were read.
    notes : tuple of str
        What the source filled or dropped.
    keeper : Keeper or None
        Where trainings keep their state; nowhere when None.
    journal : callable or None
        Gets each row of the training log as it is made.
    unseen : Ground or None
        Homes that nobody learns from, with the same rules and days; None where none are held out.
    """

    arm: Arm
    seed: int
    game: Game
    spec: Spec
    training: Tensor
    judged: Tensor
    arrival: Tensor
    rules: TariffRules
    policy: Policy
    leader: Leader
    meter: Meter
    exchange: Exchange | None
    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()
    keeper: Keeper | None = None
    journal: Callable[[Row], None] | None = None
    unseen: Ground | None = None

    @property
    def ground(self) -> Ground:
        """Where learners train."""
        return Ground(self.game, self.training, self.arrival, self.keeper, self.journal)


def build(arm: Arm, seed: int, data: Path | None) -> World:
    """Read the data and make all parts of an arm.

    Parameters
    ----------
    arm : Arm
        Resolved.
    seed : int
        At least 0.
    data : Path or None
        Folder with real data.

    Returns
    -------
    World
        Same arm and seed, same world; arms of a study share homes, weather and arrivals.
    """
    from aggregator.meter import Meter  # noqa: PLC0415

    every = profiles_of(arm, seed, data)
    apart = evenly(len(every.names), arm.community.hold_out)
    profiles = every.only(~apart)
    community = community_of(arm, profiles)
    days = torch.arange(community.days)
    shift = arm.calendar.warm_up
    training = days[[d + shift for d in arm.calendar.training_days]]
    judged = days[[d + shift for d in arm.calendar.judged_days]]
    game = game_of(arm, community, training)
    others = (
        game_of(arm, community_of(arm, every.only(apart)), training, float(apart.sum() / (~apart).sum()))
        if apart.any()
        else None
    )
    tariff, table = default_tariff(arm.tariff, community, data)
    wanted, places = arm.clusters, profiles.postcodes
    groups = group(
        game, training, wanted.name, seed, number=wanted.number, postcodes=places, band_hours=wanted.band_hours
    )
    exchange, priced = (None, ()) if arm.wholesale is None else _exchange(arm.wholesale, community, data)
    return World(
        arm=arm,
        seed=seed,
        game=game,
        spec=replace(Spec.of(game, groups.labels, seed, arm.forecast.make()), postcodes=places),
        training=training,
        judged=judged,
        arrival=arrivals(game, seed),
        rules=_rules(arm.tariff, tariff),
        policy=arm.followers.make(),
        leader=arm.leader.make(),
        meter=Meter(replication=arm.replication, step_hours=community.step_hours),
        exchange=exchange,
        files=(*profiles.files, *table, *priced),
        notes=profiles.notes if wanted.name == "portfolio" else (*profiles.notes, groups.note),
        unseen=None if others is None else Ground(others, training, arrivals(others, seed)),
    )


def default_tariff(recipe: TariffRecipe, community: Community, data: Path | None) -> tuple[Tariff, tuple[Path, ...]]:
    """The regulated tariff of a study, for every day of its community.

    Parameters
    ----------
    recipe : TariffRecipe
        Section ``tariff``, $/kWh.
    community : Community
        Its clock decides the windows.
    data : Path or None
        Folder with the shared tariff table, for tariffs named by id.

    Returns
    -------
    Tariff [community days, T]
        In ticks; network charge and levies are parts of the buy price.
    tuple of Path
        Files that were read.
    """
    given: dict[str, Any] = {
        "offpeak": recipe.offpeak,
        "shoulder": recipe.shoulder,
        "peak": recipe.peak,
        "sell": recipe.sell,
        "windows": recipe.windows,
    }
    files: tuple[Path, ...] = ()
    if recipe.name == "flat":
        given["windows"] = "flat"
    elif recipe.name != "time-of-use":
        path = locate(data, TARIFF_TABLE)
        given, files = read_tariff(path, recipe.name, given), (path,)
    levels = (given["offpeak"], given["shoulder"], given["peak"])
    buy = time_of_use(community.clock, given["windows"], *levels, holidays=recipe.holidays)
    through = recipe.network + recipe.levies
    energy = buy.reshape(community.days, community.steps) - through
    made = Tariff.make(energy=energy, sell=given["sell"], network=recipe.network, levy=recipe.levies, fee=recipe.fee)
    return made, files


def _rules(recipe: TariffRecipe, tariff: Tariff) -> TariffRules:
    from aggregator.leader import TariffRules  # noqa: PLC0415

    steps = tariff.steps
    sell = tariff.sell_price.max(axis=0)
    # Without limits of its own a study keeps leaders between what regulated customers earn and pay at most.
    floor = (
        np.full(steps, recipe.floor) if recipe.floor is not None else np.maximum(sell, recipe.network + recipe.levies)
    )
    ceiling = np.full(steps, recipe.ceiling if recipe.ceiling is not None else tariff.buy_price.max())
    each = steps // HOURS
    blocks = None if recipe.blocks is None else np.unique(block_of_hour(recipe.blocks), return_inverse=True)[1]
    menu = None if recipe.menu is None else np.array(menu_by_hour(recipe.menu, recipe.blocks))
    return TariffRules(
        default=tariff,
        floor=floor,
        ceiling=ceiling,
        sell=sell,
        network=np.full(steps, recipe.network),
        levy=np.full(steps, recipe.levies),
        fee=recipe.fee,
        average_cap=recipe.average_cap,
        ramp=recipe.ramp,
        blocks=None if blocks is None else np.repeat(blocks, each),
        menu=None if menu is None else np.repeat(menu, each, axis=1),
    )


def _exchange(section: WholesaleSection, community: Community, data: Path | None) -> tuple[Exchange, tuple[Path, ...]]:
    """The market, the system of one day, and the files that were read."""
    from wholesale import LOAD_SHAPES, case  # noqa: PLC0415
    from wholesale.price_series import PriceSeries  # noqa: PLC0415

    shape = np.repeat(np.asarray(LOAD_SHAPES[section.load_shape], dtype=np.float64), 60 // community.step_minutes)
    system = case(section.case).over(shape).with_fuel_cost(section.fuel_cost)
    market, two_price = section.market.make(), section.imbalance == "two-price"
    if not isinstance(market, PriceSeries):
        return Exchange(market, system, section.bus, two_price), ()
    market = _on_calendar(market, community, data)
    return Exchange(market, system, section.bus, two_price, community.warm_up), market.files


def _on_calendar(market: PriceSeries, community: Community, data: Path | None) -> PriceSeries:
    """A series found in the data folder where its path says nothing, from the first day of the study on."""
    path = Path(market.path) if Path(market.path).is_file() else locate(data, market.path)
    first = community.clock[community.warm_up * community.steps].astype("datetime64[D]")
    found = replace(market, path=str(path), start=market.start or str(first))
    if found.step_minutes != community.step_minutes:
        raise ValueError(
            f"{path} has a price every {found.step_minutes} min, the study steps of {community.step_minutes} min; set "
            f"calendar.step to {found.step_minutes}min or give a series with that step."
        )
    return found
