"""What a study can measure: one table of names with header and unit.

All figures are means over the judged days (held out, if the study holds any out) of one simulated community, before the
replication factor; the peak is the highest step of these days. `hmarl.headline` computes them.
"""

from __future__ import annotations

import re

MEASURES: dict[str, str] = {
    "aggregator_profit": "delivered profit [$/day]",
    "promised_profit": "promised, training [$/day]",
    "delivered_in_training": "delivered, training [$/day]",
    "community_cost": "community cost [$/day]",
    "community_bill": "community bill [$/day]",
    "peak_kw": "peak import [kW]",
    "p2p_share": "peer share [%]",
    "p2p_kwh": "peer trade [kWh/day]",
    "unmatched_share": "unmatched [%]",
    "share_T_LP": "rule to optimum [%]",
    "purchase_cost": "purchase cost [$/day]",
    "sales_revenue": "sales revenue [$/day]",
    "evening_import_kwh": "grid energy 17-19 h [kWh/day]",
    "ramp": "mean ramp [kW/h]",
    "peak_to_average": "peak to average [ratio]",
    "flexibility_up_kw": "up flexibility [kW]",
    "flexibility_down_kw": "down flexibility [kW]",
    "lmp_volatility": "LMP volatility [$/MWh]",
    "converged": "converged [%]",
    "leader_gap": "leader's gap [$/day]",
    "exploitability": "exploitability [$/day]",
    "unseen_cost": "unseen homes, cost [$/day]",
    "unseen_peak_kw": "unseen homes, peak [kW]",
    "training_time": "training time [s]",
    "quantity_rmse": "quantity forecast, RMSE [kWh]",
    "quantity_mape": "quantity forecast, MAPE [%]",
    "price_rmse": "price forecast, RMSE [$/kWh]",
    "price_mape": "price forecast, MAPE [%]",
}
"""Measure -> column header with unit.

``promised_profit`` is what the leader expects of its scenario days, which are training days; it is held against
``delivered_in_training``, while ``aggregator_profit`` is what the judged days brought. ``community_cost`` includes
wear, ``community_bill`` is cash only; both count + = paid. ``p2p_share`` is peer-traded energy as a share of all
energy bought. ``unmatched_share`` is what homes drew from the grid while others fed as much into it in the same step,
as a share of that and of what peers traded: what quotes that do not cross, or rounding, left lying. ``share_T_LP`` is
100 (T - C) / (T - LP) with T the cost of the rule tuned on training days, C the cost of the arm and LP the
perfect-foresight optimum of the whole community; nothing is said where the two are closer than half a percent.

``purchase_cost`` is what homes pay for energy from the grid and from peers, charges and peer fees included, and
``sales_revenue`` what they get for theirs. ``evening_import_kwh`` is what they draw from the grid from 17 to 19 h local
time. ``ramp`` is the mean size of the change of the community's net power from hour to hour, ``peak_to_average`` its
largest size over its mean size. Up and down flexibility is how much less, and how much more, batteries could have drawn
than they did, mean over steps: what is left to sell, by rating and content of the stores. ``lmp_volatility`` is the
standard deviation of the real-time price at the community's bus.

Three measures come from the certificate: whether the run came to rest (100 or 0), the best gain that the leader was
found to have by deviating (upper 95 % end), and that of a home, mean of the homes searched.

``unseen_cost`` and ``unseen_peak_kw`` are those of the homes held out (``community.hold_out``), a community of their
own, on judged days; empty where a follower fits no home but its own. ``training_time`` is processor time of learning
and of settling its rounds; it is that of a machine, not of a result, and stays empty where a stopped training has gone
on. The four errors are those of a follower's world model (``mb-a3c3``) on the judged days: of all steps, or of those
with a trade for the price; percentages only where the actual value is above 0.05.
"""

DEFAULT_MEASURES = ("aggregator_profit", "promised_profit", "community_cost", "peak_kw", "p2p_share")
"""Shown when a study names none."""

BETTER: dict[str, int] = {
    "aggregator_profit": +1,
    "delivered_in_training": +1,
    "community_cost": -1,
    "community_bill": -1,
    "peak_kw": -1,
    "unmatched_share": -1,
    "share_T_LP": +1,
    "purchase_cost": -1,
    "sales_revenue": +1,
    "evening_import_kwh": -1,
    "ramp": -1,
    "peak_to_average": -1,
    "lmp_volatility": -1,
    "leader_gap": -1,
    "exploitability": -1,
    "unseen_cost": -1,
    "unseen_peak_kw": -1,
    "training_time": -1,
    "quantity_rmse": -1,
    "quantity_mape": -1,
    "price_rmse": -1,
    "price_mape": -1,
}
"""Measure -> which direction is an improvement: +1 more, -1 less; the others are neither good nor bad."""


def unit(measure: str) -> str:
    """Find the unit of a measure.

    Parameters
    ----------
    measure : str
        Name; one that is not in `MEASURES` has no unit.

    Returns
    -------
    str
        As in the header, e.g. ``$/day``.
    """
    return MEASURES.get(measure, "").partition("[")[2].rstrip("]")


def column(measure: str) -> str:
    """Name of a measure with its unit, as columns of tables are named.

    Parameters
    ----------
    measure : str
        Name; one that is not in `MEASURES` stays as it is.

    Returns
    -------
    str
        E.g. ``community_cost_per_day``, ``peak_kw``, ``p2p_share_percent``.
    """
    words = unit(measure).replace("$", "").replace("%", "percent").replace("/", " per ").lower()
    parts = re.findall(r"[a-z0-9]+", words)
    if parts and measure.lower().endswith(f"_{parts[0]}"):
        parts = parts[1:]  # the name already says it: p2p_kwh [kWh/day]
    return "_".join([measure, *parts])
