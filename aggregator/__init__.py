"""The aggregator between the two markets: leaders, follower model, bids, the one unit conversion and the ledger.

What needs torch, Pyomo or HiGHS is imported when it is first used, so that ``import aggregator`` stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# not lazy, although light: a later import of the module aggregator.leader would replace the function of that name
from aggregator.leader import Gate, Leader, LeaderError, Offer, Risk, TariffRules, View
from aggregator.meter import Meter
from aggregator.prosumers import Portfolio

if TYPE_CHECKING:
    from aggregator.bilevel_lp import BilevelError, BilevelLP, BilevelSolution, solve_bilevel
    from aggregator.ledger import Ledger, LedgerError, settle
    from aggregator.portfolio import BestResponse, Response, optimum

LEADERS = {
    "fixed": "aggregator.leaders.fixed:Fixed",
    "mark-up": "aggregator.leaders.mark_up:MarkUp",
    "pass-through": "aggregator.leaders.pass_through:PassThrough",
    "learned": "aggregator.leaders.learned:Learned",
    "search": "aggregator.leaders.search:Search",
    "stackelberg": "aggregator.leaders.stackelberg:Stackelberg",
}
"""Leaders by name; a new one is one file plus one line."""

__all__ = [
    "LEADERS",
    "BestResponse",
    "BilevelError",
    "BilevelLP",
    "BilevelSolution",
    "Gate",
    "Leader",
    "LeaderError",
    "Ledger",
    "LedgerError",
    "Meter",
    "Offer",
    "Portfolio",
    "Response",
    "Risk",
    "TariffRules",
    "View",
    "leader",
    "optimum",
    "settle",
    "solve_bilevel",
]

_HOME = {
    "BestResponse": "aggregator.portfolio",
    "BilevelError": "aggregator.bilevel_lp",
    "BilevelLP": "aggregator.bilevel_lp",
    "BilevelSolution": "aggregator.bilevel_lp",
    "Ledger": "aggregator.ledger",
    "LedgerError": "aggregator.ledger",
    "Response": "aggregator.portfolio",
    "optimum": "aggregator.portfolio",
    "settle": "aggregator.ledger",
    "solve_bilevel": "aggregator.bilevel_lp",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'aggregator' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def leader(name: str, /, **parameters: Any) -> Leader:
    """Make a leader from the table.

    Parameters
    ----------
    name : str
        A key of ``LEADERS``.
    **parameters
        Fields of that leader's dataclass.

    Returns
    -------
    Leader

    Raises
    ------
    LeaderError
        If the name or a parameter is unknown.
    """
    if name not in LEADERS:
        raise LeaderError(f"There is no leader {name!r}; choose one of {', '.join(sorted(LEADERS))}.")
    module, _, kind = LEADERS[name].partition(":")
    try:
        made: Leader = getattr(import_module(module), kind)(**parameters)
    except TypeError as error:
        raise LeaderError(f"Leader {name!r} cannot be made: {error}.") from error
    return made
