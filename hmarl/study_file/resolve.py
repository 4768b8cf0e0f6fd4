"""From the text of a study to its arms: merge overrides, check every section, collect every mistake."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hmarl.study_file import plugins
from hmarl.study_file.calendar import Calendar
from hmarl.study_file.merging import NAMED, SECTIONS, merge, normal
from hmarl.study_file.problems import MISSING, Problem, unknown
from hmarl.study_file.section import Plugin, Section
from hmarl.study_file.sections import Clusters, Community, Equilibrium, GameRules, Grid, Homes, TariffRecipe, Wholesale
from hmarl.study_file.validation import plain, validate

Raw = dict[str, Any]

PLAIN: dict[str, type[Section]] = {
    "calendar": Calendar,
    "tariff": TariffRecipe,
    "game": GameRules,
    "clusters": Clusters,
    "equilibrium": Equilibrium,
}
SHARED = ("calendar", "community")
"""Sections that are the same for all arms: arms share their days and homes, so differences are paired. Arms may differ
in what homes have put up: batteries, other devices, and what a source declares as ``plant``."""
DEFAULTS: dict[str, Any] = {"auction": "da", "forecast": "persistence", "leader": "fixed", "wholesale": "none"}
ONCE = ("study", "title", "seeds", "arms", "measure", "rank", "vary", "sample", "run")
"""Keys that are no sections and stand at the top only."""
CURVED = ("dc-opf", "merit-order")
"""Markets with residual supply curves: hours are independent and prices follow what is bid."""
NO_DEFAULT = ("calendar", "community", "followers")


def resolve(document: Raw) -> tuple[dict[str, dict[str, Any]], list[Problem]]:
    """Check the sections of a study and of each of its arms.

    Parameters
    ----------
    document : dict
        Sections and ``arms``, as written; keys that are no sections are the caller's business.

    Returns
    -------
    arms : dict
        Name of arm -> section -> checked object (``wholesale`` may be None).
    problems : list of Problem
        Each mistake once: an arm does not repeat what it inherits.
    """
    base = {name: normal(name, document[name]) for name in SECTIONS if name in document}
    problems: list[Problem] = []
    for name, raw in base.items():
        # an arm may still give what is missing here
        problems += [p for p in build(name, raw)[1] if p.reason != MISSING]
    known = {_key(problem) for problem in problems}
    arms: dict[str, dict[str, Any]] = {}
    for arm, overrides in (document.get("arms") or {"": {}}).items():
        arms[arm], found = _arm(base, {} if overrides is None else overrides, known)
        for problem in found:
            # what the arm only inherits is a mistake of the study, said once
            own = not isinstance(overrides, Mapping) or problem.path.split(".")[0] in overrides
            shown = problem.under(f"arms.{arm}") if own else problem
            if _key(shown) not in known:
                known.add(_key(shown))
                problems.append(shown)
    first = next(iter(arms))
    for arm, sections in arms.items():
        for name in SHARED:
            own, other = _lasting(sections.get(name)), _lasting(arms[first].get(name))
            if None not in (own, other) and own != other:
                reason = "differs between arms, which share their days and homes"
                allowed = "at the top (arms may differ in batteries, devices and plant)"
                allowed = f"put {name} {allowed if name == 'community' else 'at the top'}"
                problems.append(Problem(f"arms.{arm}.{name}", arm, allowed, reason=reason))
    return arms, problems


def _lasting(section: Any) -> Any:
    """What of a section all arms share: of homes who they are and what they need, not what they have put up."""
    if not isinstance(section, Community):
        return section
    plant = getattr(plugins.load("sources", section.source.name), "plant", ())
    needs = {name: value for name, value in section.source.parameters.items() if name not in plant}
    return section.source.name, needs


def build(section: str, raw: Any) -> tuple[Any, list[Problem]]:
    """Check one section.

    Parameters
    ----------
    section : str
        One of `SECTIONS`.
    raw : Any
        In `normal` form.

    Returns
    -------
    checked : object or None
        None if there are problems, and for ``wholesale: none``.
    problems : list of Problem
        With paths from the section on.
    """
    if not isinstance(raw, Mapping):
        allowed = "a name or a mapping" if section in NAMED else "a mapping of keys to values"
        return None, [Problem(section, raw, f"allowed: {allowed}")]
    if section in PLAIN:
        checked, problems = validate(PLAIN[section], raw, what=section, label="keys")
    elif section == "community":
        checked, problems = _with_plugin(raw, "source", "sources", Homes)
        checked = Community(source=checked[0], **dict(checked[1])) if checked else None
    elif section == "wholesale" and raw.get("name") == "none":
        checked, problems = None, [unknown(k, k, (), what="key of wholesale none") for k in raw if k != "name"]
    elif section == "wholesale":
        checked, problems = _with_plugin(raw, "name", "markets", Grid, extra=("none",))
        checked = Wholesale(market=checked[0], **dict(checked[1])) if checked else None
        if checked and checked.market.name == "price-series" and checked.fuel_cost != 1.0:
            reason = "changes no price of a price series"
            problems.append(Problem("fuel_cost", checked.fuel_cost, "leave it out", reason=reason))
    else:
        checked, problems = _with_plugin(raw, "name", NAMED[section], None)
        checked = checked[0] if checked else None
    return checked, [problem.under(section) for problem in problems]


def as_written(section: str, checked: Any) -> Any:
    """Bring a checked section back to the form of a study file, complete with defaults.

    Parameters
    ----------
    section : str
        One of `SECTIONS`.
    checked : object or None
        What `build` returned.

    Returns
    -------
    dict or str
        ``build(section, as_written(section, x))`` gives x.
    """
    if checked is None:
        return "none"
    if isinstance(checked, Plugin):
        return {"name": checked.name, **checked.parameters}
    if isinstance(checked, Community):
        # devices that nobody has are left out
        own = {
            name: value
            for name, value in checked.model_dump(mode="json", exclude={"source"}).items()
            if value is not None
        }
        return {"source": checked.source.name, **checked.source.parameters, **own}
    if isinstance(checked, Wholesale):
        own = checked.model_dump(mode="json", exclude={"market"})
        return {"name": checked.market.name, **own, **checked.market.parameters}
    return checked.model_dump(mode="json")


def _arm(base: Raw, overrides: Any, known: set[Any]) -> tuple[dict[str, Any], list[Problem]]:
    """Resolve one arm; mistakes already reported for the base are left out."""
    if not isinstance(overrides, Mapping):
        return {}, [Problem("", overrides, "allowed: a mapping of sections to what differs, or {}")]
    problems: list[Problem] = []
    for name in overrides:
        if name in ONCE:
            problems.append(Problem(name, name, f"sections: {', '.join(SECTIONS)}", reason="is the same for all arms"))
        elif name not in SECTIONS:
            problems.append(unknown(name, name, SECTIONS, what="section", label="sections"))
    sections: dict[str, Any] = {}
    for name in SECTIONS:
        raw = base.get(name, DEFAULTS.get(name, None if name in NO_DEFAULT else {}))
        raw = normal(name, raw)
        if name in overrides:
            raw = merge(name, raw, normal(name, overrides[name]))
        if raw is None and name in NO_DEFAULT and name not in overrides and name not in base:
            problems.append(Problem(name, None, _needed(name), reason=MISSING))
            continue
        sections[name], found = build(name, raw)
        problems += [p for p in found if _key(p) not in known]
    if isinstance(sections.get("leader"), Plugin) and not any(p.path.startswith("wholesale") for p in problems):
        problems += _out_of_reach(sections["leader"], sections.get("wholesale"))
    return sections, problems


def _out_of_reach(leader: Plugin, market: Wholesale | None) -> list[Problem]:
    """What a leader asks of a market that the market cannot give."""
    problems = []
    if market is None and not getattr(plugins.load("leaders", leader.name), "constant", False):
        reason = "prices energy at its wholesale cost, and there is no wholesale market"
        problems.append(Problem("leader", leader.name, "leader fixed, or a wholesale market", reason=reason))
    bid = leader.parameters.get("bid")
    if market is not None and bid == "price-maker" and market.market.name not in CURVED:
        reason = f"needs residual supply curves, which market {market.market.name} does not have"
        allowed = f"market {' or '.join(CURVED)}, or bid blocks or price-taker"
        problems.append(Problem("leader.bid", bid, allowed, reason=reason))
    return problems


def _with_plugin(
    raw: Mapping[str, Any], key: str, kind: str, own: type[Section] | None, extra: tuple[str, ...] = ()
) -> tuple[tuple[Plugin, Any] | None, list[Problem]]:
    """Split a section into a plug-in with its parameters and the keys of the section itself."""
    what = plugins.KINDS[kind]
    own_keys = list(own.model_fields) if own else []
    values, problems = (
        validate(own, {k: v for k, v in raw.items() if k in own_keys}, what=what, label="keys") if own else (None, [])
    )
    name = raw.get(key)
    if not isinstance(name, str):
        allowed = f"{kind}: {', '.join([*plugins.names(kind), *extra])}"
        reason = "is no name" if not isinstance(name, Mapping) else f"is no name; its parameters stand beside {key}"
        problems.insert(0, Problem(key, name, allowed, reason=MISSING if name is None else reason))
        return None, problems
    if not plugins.known(kind, name):
        names = [*plugins.names(kind), *extra]
        return None, [unknown(key, name, names, what=what, label=kind), *problems]
    parameters = {k: v for k, v in raw.items() if k != key and k not in own_keys}
    instance, found = plugins.check(kind, name, parameters, key)
    problems += [_with_keys(problem, own_keys) for problem in found]
    if problems:
        return None, problems
    found_code = plugins.code(kind, name)
    return (Plugin(kind=kind, name=name, parameters=plugins.parameters(instance), code=found_code), values), []


def _with_keys(problem: Problem, keys: list[str]) -> Problem:
    """Offer the keys of the section too, where a parameter is not known."""
    if not keys or not problem.reason.startswith("is no parameter"):
        return problem
    own = problem.allowed.removeprefix("parameters: ").split(", ") if ": " in problem.allowed else []
    names = [*keys, *own]
    hint = unknown(problem.path, problem.value, names, what="", label="parameters")
    return replace(problem, allowed=hint.allowed, nearest=hint.nearest)


def _needed(section: str) -> str:
    if section == "followers":
        return f"policies: {', '.join(plugins.names('policies'))}"
    if section == "community":
        return f"a mapping with key source: {', '.join(plugins.names('sources'))}"
    return f"a mapping with keys {', '.join(PLAIN[section].model_fields)}"


def _key(problem: Problem) -> tuple[str, str, str]:
    return problem.path, repr(plain(problem.value)), problem.reason
