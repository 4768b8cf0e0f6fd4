"""What a report says in sentences: what was run, what to beware of, and what each arm changes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pandas as pd

from hmarl.measures import MEASURES
from hmarl.report.cells import figure
from hmarl.results import Results, Run

TECHNICAL = ("promised_profit", "delivered_in_training")
"""Measures that say how the leader pictures its customers: in the tables, not in the words."""


@dataclass
class Card:
    """What is said about one arm: what is clear, and what is not."""

    title: str
    clear: list[str] = field(default_factory=list)
    open: str = ""


def subtitle(results: Results) -> str:
    """Say in a line what this is.

    Parameters
    ----------
    results : Results
        Of one study.

    Returns
    -------
    str
        Arms, seeds, days, homes, market.
    """
    run = results.runs[0]
    seeds = sorted({one.seed for one in results.runs})
    days = results.days
    judged = int(days[days["judged"]].groupby(["arm", "seed"]).size().max()) if len(days) else 0
    said = [f"Study {run.study}", _count(len(results.arms), "arm"), _count(len(seeds), "seed")]
    if judged:
        held = bool(days["held_out"].any())
        said.append(f"judged on {_count(judged, 'held-out day' if held else 'day')}")
    if "agents" in results.names and "prosumer" in results.agents:
        said.append(_count(int(results.agents.groupby(["arm", "seed"])["prosumer"].nunique().max()), "home"))
    market = run.resolved.get("wholesale")
    if isinstance(market, dict):
        said.append(f"{market.get('name')} on {market.get('case')}, x {run.manifest.get('replication')} communities")
    return " · ".join(said)


def warnings(results: Results) -> list[str]:
    """What a reader must know before believing a figure.

    Parameters
    ----------
    results : Results
        Of one study.

    Returns
    -------
    list of str
        Sentences.
    """
    found = []
    by_arm: dict[str, list[Run]] = {}
    for run in results.runs:
        by_arm.setdefault(run.arm, []).append(run)
    for arm, runs in by_arm.items():
        stuck = [run for run in runs if run.certificate.get("converged") is False]
        if stuck:
            why = "; ".join(sorted({str(run.certificate.get("reason", "no reason given")) for run in stuck}))
            found.append(f"NOT CONVERGED: {arm}, {len(stuck)} of {_count(len(runs), 'seed')}: {why}")
        lost = sum(float(run.certificate.get("not_served_mwh") or 0) for run in runs)
        if lost > 0:
            found.append(f"{arm}: {lost:.3g} MWh of other loads were not served.")
    if results.unfinished:
        found.append(f"{_count(len(results.unfinished), 'run')} of this study not finished; the figures lack them.")
    known = results.about.get("arms") or []
    lacking = [arm for arm in known if arm not in results.arms]
    if lacking:
        found.append(f"No finished run of: {', '.join(lacking)}.")
    counts = {arm: len(runs) for arm, runs in by_arm.items()}
    if min(counts.values()) < 2:
        found.append("A single seed: no interval can be given, and every difference may be chance.")
    if len(results.days) and not results.days["held_out"].any():
        found.append("No day was held out: the followers were judged on days they learned from.")
    return found


def opening(results: Results) -> list[str]:
    """Say which arm is the baseline and how to read the intervals.

    Parameters
    ----------
    results : Results
        Of one study.

    Returns
    -------
    list of str
        Paragraphs.
    """
    if len(results.arms) == 1:
        return [f"The study has one finished arm, {results.arms[0]}; with nothing to compare, levels are shown."]
    return [
        f"Every arm is held against {results.arms[0]}, seed by seed: the same homes, weather and order of arrival. "
        "Intervals are 95 % t intervals over seeds. What an interval does not separate from 0 is called not resolved."
    ]


def cards(results: Results, changes: pd.DataFrame) -> list[Card]:
    """Say in words what each arm changes.

    Parameters
    ----------
    results : Results
        Of one study.
    changes : DataFrame
        From `differences`.

    Returns
    -------
    list of Card
        One per arm but the baseline.
    """
    found = []
    for arm in results.arms[1:]:
        card = Card(f"{arm} against {results.arms[0]}")
        rows = changes[changes["arm"] == arm] if len(changes) else changes
        not_clear = []
        for row in rows.to_dict("records"):
            if row["measure"] in TECHNICAL:
                continue
            name, low, high = MEASURES[row["measure"]].partition(" [")[0], row["low"], row["high"]
            size = f"{figure(abs(row['mean']))} {row['unit']}".replace(" %", " percentage points")
            ends = f"{figure(low, sign=True)} to {figure(high, sign=True)}"
            where = "higher" if row["mean"] > 0 else "lower"
            if not math.isfinite(low):
                card.clear.append(f"{name}: {where} by {size} (one seed)")
            elif low > 0 or high < 0:
                card.clear.append(f"{name}: {where} by {size} ({ends})")
            else:
                not_clear.append(f"{name} ({ends} {row['unit']})")
        card.open = f"Not resolved: {'; '.join(not_clear)}." if not_clear else ""
        found.append(card)
    return found


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
