"""The certificates of a study: first the lines that one decides by, then everything they say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hmarl.report.cells import Cell, Row, Table, figure, gathered
from hmarl.results import Results

Certificate = Mapping[str, Any]
NOTHING = "-"


def key_lines(results: Results) -> Table:
    """What decides whether an outcome can be believed, one row each.

    Parameters
    ----------
    results : Results
        Of one study.

    Returns
    -------
    Table
        Mean and range over seeds; rows that no arm has are left out.
    """
    by_arm = _by_arm(results)
    rows = []
    for title, line in LINES.items():
        texts = [_over_seeds([line(one) for one in ones]) for ones in by_arm]
        if set(texts) != {NOTHING}:
            rows.append(_row(title, texts))
    return Table("Mean over seeds, and in brackets the lowest and the highest.", ["", *results.arms], rows)


def everything(results: Results) -> Table:
    """Everything the certificates say, by arm.

    Parameters
    ----------
    results : Results
        Of one study.

    Returns
    -------
    Table
        Mean and range over seeds; folded.
    """
    flat = [[_flat(one) for one in ones] for ones in _by_arm(results)]
    keys = dict.fromkeys(key for ones in flat for one in ones for key in one)
    rows = [
        _row(key.replace("_", " "), [gathered([one[key] for one in ones if key in one]) for ones in flat])
        for key in keys
    ]
    return Table("Everything in certificate.json, over the seeds of each arm", ["", *results.arms], rows, folded=True)


def _by_arm(results: Results) -> list[list[Certificate]]:
    """Certificates of the seeds of each arm."""
    return [[run.certificate for run in results.runs if run.arm == arm] for arm in results.arms]


def _row(title: str, texts: list[str]) -> Row:
    return Row([Cell(title), *(Cell(text, "text" if len(text) > 30 else "") for text in texts)])


def _flat(values: Certificate, above: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{above}: {key}" if above else str(key)
        found |= _flat(value, name) if isinstance(value, Mapping) else {name: value}
    return found


def _over_seeds(values: list[Any]) -> str:
    """One cell: pairs are the ends of an interval, whose mean ends are shown."""
    real = [value for value in values if value is not None]
    if real and all(isinstance(value, tuple) for value in real):
        low, high = (sum(ends) / len(real) for ends in zip(*real, strict=True))
        return f"{figure(low)} to {figure(high)}"
    return gathered(values)


def _at(certificate: Certificate, path: str) -> Any:
    """Value at a path such as ``leader_gap.local.best_gain_per_day``; None where there is none."""
    value: Any = certificate
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _read(path: str, factor: float = 1.0) -> Callable[[Certificate], Any]:
    def line(certificate: Certificate) -> Any:
        value = _at(certificate, path)
        return value * factor if isinstance(value, float) else value

    return line


def _why_not(certificate: Certificate) -> Any:
    """What is still moving, without the figures that differ by seed."""
    reason = str(certificate.get("reason", ""))
    moving = [name for name in ("prices", "cost") if f"{name} still moved" in reason]
    if certificate.get("converged") is not False:
        return None
    return f"{' and '.join(moving)} still moved" if moving else reason


def _global_gap(kind: bool) -> Callable[[Certificate], Any]:
    def line(certificate: Certificate) -> Any:
        gap = _at(certificate, "leader_gap.global")
        return 100.0 * gap["gap_ratio"] if isinstance(gap, Mapping) and bool(gap.get("certified")) is kind else None

    return line


def _exploitability(certificate: Certificate) -> Any:
    ends = tuple(_at(certificate, f"follower_exploitability.{end}.mean_per_day") for end in ("found_lower", "upper"))
    return None if None in ends else ends


def _worst_invariant(certificate: Certificate) -> Any:
    """Largest residual as a share of what is tolerated; exact ones count as 0 or break."""
    checks = certificate.get("invariants") or {}
    shares = [check["residual"] / check["tolerance"] for check in checks.values() if check["tolerance"]]
    return 100.0 * max(shares) if shares else None


LINES: dict[str, Callable[[Certificate], Any]] = {
    "came to rest": _read("converged"),
    "if not, why": _why_not,
    "promised profit of the leader [$/day]": _read("promised_profit_per_day"),
    "delivered, training days [$/day]": _read("delivered_profit_per_day"),
    "best gain of a deviation of the leader [$/day]": _read("leader_gap.local.best_gain_per_day"),
    "its upper 95 % limit [% of profit]": _read("leader_gap.local.upper_95_gain_ratio", 100.0),
    "below the best admissible tariff at most, certified [%]": _global_gap(kind=True),
    "below the best admissible tariff, conditional estimate [%]": _global_gap(kind=False),
    "a home could gain, found to proven [$/day, mean]": _exploitability,
    "of that, by knowing the future [$/day]": _read("follower_exploitability.value_of_information_per_day"),
    "share of the possible saving [%]": _read("saving.saving_ratio", 100.0),
    "homes that pay less than at the default tariff": _read("fairness.against_default_tariff.winners"),
    "homes that pay more": _read("fairness.against_default_tariff.losers"),
    "price impact of the aggregator [$/MWh per MW]": _read("market_power.price_impact.slope_per_mwh_per_mw"),
    "gain from holding back day-ahead [$/day]": _read("market_power.withholding.best_gain_per_day"),
    "energy not served [MWh]": _read("not_served_mwh"),
    "all invariants hold": _read("invariants_hold"),
    "largest residual [% of what is tolerated]": _worst_invariant,
}
"""Title -> what to read from a certificate: a number, a yes or no, a text, the ends of an interval, or None."""
