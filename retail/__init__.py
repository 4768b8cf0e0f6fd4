"""Retail level: prosumers, their devices, tariffs and peer-to-peer auctions, as a game on tensors.

Units: kWh per step, $/kWh, + = import at the meter and buying; auctions clear in Wh, ticks of 1e-5 $/kWh and
nano-currency, all int64.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

AUCTIONS: dict[str, str] = {
    "none": "retail.auctions.none:NoAuction",
    "mmr": "retail.auctions.mid_market_rate:MidMarketRate",
    "sdr": "retail.auctions.supply_demand_ratio:SupplyDemandRatio",
    "sdr-linear": "retail.auctions.linear_supply_demand_ratio:LinearSupplyDemandRatio",
    "sdr-da": "retail.auctions.advised_double_auction:AdvisedDoubleAuction",
    "da": "retail.auctions.double_auction:DoubleAuction",
    "cda": "retail.auctions.continuous_double_auction:ContinuousDoubleAuction",
}
"""Name -> ``module:Class`` of every auction rule."""

SOURCES: dict[str, str] = {
    "synthetic": "retail.data.synthetic:Synthetic",
    "ausgrid": "retail.data.ausgrid:Ausgrid",
    "ausgrid-csv": "retail.data.ausgrid_csv:AusgridCsv",
    "citylearn": "retail.data.citylearn:CityLearn",
    "farms": "retail.data.farms:Farms",
    "profiles": "retail.data.profiles:WideTables",
    "semi-real": "retail.data.semi_real:SemiReal",
}
"""Name -> ``module:Class`` of every source of profiles."""

_PUBLIC = {
    "Auction": "retail.auctions",
    "Battery": "retail.community",
    "Community": "retail.community",
    "Game": "retail.game",
    "Orders": "retail.orders",
    "Outcome": "retail.state",
    "Pairs": "retail.orders",
    "State": "retail.state",
    "Tariff": "retail.tariff",
    "Trades": "retail.orders",
    "parallel_env": "retail.pettingzoo_env",
}

if TYPE_CHECKING:
    from retail.auctions import Auction as Auction
    from retail.community import Battery as Battery
    from retail.community import Community as Community
    from retail.game import Game as Game
    from retail.orders import Orders as Orders
    from retail.orders import Pairs as Pairs
    from retail.orders import Trades as Trades
    from retail.pettingzoo_env import parallel_env as parallel_env
    from retail.state import Outcome as Outcome
    from retail.state import State as State
    from retail.tariff import Tariff as Tariff


def auction(name: str, **parameters: Any) -> Auction:
    """Make an auction rule by name.

    Parameters
    ----------
    name : str
        A key of ``AUCTIONS``.
    **parameters
        Fields of its dataclass.

    Returns
    -------
    Auction
        Clears Wh at limit prices in ticks.

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    if name not in AUCTIONS:
        raise ValueError(f"Auction {name!r} is unknown; allowed: {', '.join(AUCTIONS)}.")
    module, _, cls = AUCTIONS[name].partition(":")
    made: Auction = getattr(import_module(module), cls)(**parameters)
    return made


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'retail' has no attribute {name!r}")


__all__ = [
    "AUCTIONS",
    "SOURCES",
    "Auction",
    "Battery",
    "Community",
    "Game",
    "Orders",
    "Outcome",
    "Pairs",
    "State",
    "Tariff",
    "Trades",
    "auction",
    "parallel_env",
]
