"""Wholesale electricity markets: power systems in, locational prices and dispatch out.

Units: MW, hours, $/MWh; + = withdrawal at a bus, generation in the generator's view. This package has never heard of
retail. Pyomo and HiGHS are imported when the first market is made.
"""

from __future__ import annotations

import dataclasses
import importlib
from types import MappingProxyType
from typing import Any

from wholesale.cases import CASES, LOAD_SHAPES, case
from wholesale.market import Bid, Clearing, Market
from wholesale.matpower import read_matpower
from wholesale.mistakes import SystemInvalid
from wholesale.names import unknown
from wholesale.pglib_uc import read_egret, read_pglib_uc
from wholesale.pypsa_folder import read_pypsa, write_pypsa
from wholesale.rts_gmlc import read_rts_gmlc
from wholesale.settlement import Settlement, imbalance_prices, one_price, two_price
from wholesale.system import Line, System, Unit
from wholesale.thermal import Commitment

MARKETS: MappingProxyType[str, str] = MappingProxyType(
    {
        "merit-order": "wholesale.merit_order:MeritOrder",
        "dc-opf": "wholesale.dc_opf:DCOPF",
        "price-series": "wholesale.price_series:PriceSeries",
        "unit-commitment": "wholesale.unit_commitment:UnitCommitment",
    }
)
"""Where each market lives, "module:Class" by name; a class is imported when it is named."""

__all__ = [
    "CASES",
    "LOAD_SHAPES",
    "MARKETS",
    "Bid",
    "Clearing",
    "Commitment",
    "Line",
    "Market",
    "Settlement",
    "System",
    "SystemInvalid",
    "Unit",
    "case",
    "imbalance_prices",
    "market",
    "one_price",
    "read_egret",
    "read_matpower",
    "read_pglib_uc",
    "read_pypsa",
    "read_rts_gmlc",
    "two_price",
    "write_pypsa",
]


def market(name: str, **parameters: Any) -> Market:
    """Make a market by name.

    Parameters
    ----------
    name : str
        A key of `MARKETS`.
    **parameters
        Fields of the market's dataclass, e.g. `voll` in $/MWh.

    Returns
    -------
    Market

    Raises
    ------
    ValueError
        The market or a parameter is unknown, or a value is not allowed.
    """
    if name not in MARKETS:
        raise ValueError(unknown("market", name, MARKETS))
    module, _, attribute = MARKETS[name].partition(":")
    kind = getattr(importlib.import_module(module), attribute)
    fields = [field.name for field in dataclasses.fields(kind)]
    for parameter in parameters:
        if parameter not in fields:
            raise ValueError(unknown(f"parameter of market {name!r}:", parameter, fields))
    made: Market = kind(**parameters)
    return made
