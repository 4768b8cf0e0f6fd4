"""What a study can measure: one table of names with header and unit.

All figures are means over the judged days (held out, if the study holds any out) of one simulated community, before the
replication factor; the peak is the highest step of these days.
"""

from __future__ import annotations

MEASURES: dict[str, str] = {
    "aggregator_profit": "delivered profit [$/day]",
    "promised_profit": "promised, training [$/day]",
    "delivered_in_training": "delivered, training [$/day]",
    "community_cost": "community cost [$/day]",
    "community_bill": "community bill [$/day]",
    "peak_kw": "peak import [kW]",
    "p2p_share": "peer share [%]",
    "p2p_kwh": "peer trade [kWh/day]",
    "share_T_LP": "rule to optimum [%]",
}
"""Measure -> column header with unit.

``promised_profit`` is what the leader expects of its scenario days, which are training days; it is held against
``delivered_in_training``, while ``aggregator_profit`` is what the judged days brought. ``community_cost`` includes
wear, ``community_bill`` is cash only; both count + = paid. ``p2p_share`` is peer-traded energy as a share of all
energy bought. ``share_T_LP`` is 100 (T - C) / (T - LP) with T the cost of the rule tuned on training days, C the cost
of the arm and LP the perfect-foresight optimum of the whole community; nothing is said where the two are closer than
half a percent.
"""

DEFAULT_MEASURES = ("aggregator_profit", "promised_profit", "community_cost", "peak_kw", "p2p_share")
"""Shown when a study names none."""
