"""JSON schema of a study file, so that editors complete names, explain keys and underline mistakes while one types."""

from __future__ import annotations

import inspect
import re
from typing import Any

from hmarl.measures import MEASURES
from hmarl.study_file import plugins
from hmarl.study_file.header import NAME, Header
from hmarl.study_file.merging import NAMED, SECTIONS
from hmarl.study_file.resolve import PLAIN
from hmarl.study_file.sections import BUILT_IN_TARIFFS, Grid, Homes
from hmarl.study_file.validation import Schema, schema

DIALECT = "https://json-schema.org/draft/2020-12/schema"
PARAMETER = re.compile(r"^(\w+(?:, \w+)*) : ?(.*)$")


def study_schema() -> Schema:
    """Describe every key, name and option of a study file.

    Returns
    -------
    dict
        JSON schema (2020-12). It knows all installed policies, auctions, markets, leaders and sources with their
        parameters, also those of other distributions that can be imported; what only holds between keys, `hmarl check`
        says.
    """
    header = _described(Header)["properties"]
    sections = {name: _section(name, whole=True) for name in SECTIONS}
    overrides = {name: _section(name, whole=False) for name in SECTIONS}
    arm = {"anyOf": [{"type": "null"}, _mapping(overrides, "What differs in this arm.")]}
    arms = {
        "type": "object",
        "description": "Each arm names only what differs; the first is the baseline.",
        "patternProperties": {NAME: {"$ref": "#/$defs/arm"}},
        "additionalProperties": False,
        "minProperties": 1,
    }
    header["measure"]["items"] = {"enum": list(MEASURES)}
    top = _mapping({**header, **sections, "arms": arms}, "A study: who lives where, who trades how, what is compared.")
    return {"$schema": DIALECT, "title": "hmarl study", **top, "required": ["study", "arms"], "$defs": {"arm": arm}}


def _section(name: str, *, whole: bool) -> Schema:
    """One section; an override of an arm need not be whole."""
    if name in PLAIN:
        found = _described(PLAIN[name])
        if name == "tariff":
            short = {"type": "string", "description": f"{', '.join(BUILT_IN_TARIFFS)} or an id of the tariff table."}
            return {"anyOf": [short, _part(found, whole)]}
        return _part(found, whole)
    if name == "community":
        return _plugins("sources", "source", _described(Homes), whole)
    own = _described(Grid) if name == "wholesale" else None
    found = _plugins(NAMED[name], "name", own, whole)
    if name == "wholesale":
        nothing = {"enum": ["none", None], "description": "A retail-only study."}
        found["anyOf"] = [nothing, *found["anyOf"], _mapping({"name": {"const": "none"}}, "", ["name"])]
    return found


def _plugins(kind: str, key: str, own: Schema | None, whole: bool) -> Schema:
    """A bare name, or a mapping with a name, its parameters and the keys of the section itself."""
    lines = {name: plugins.one_line(kind, name) for name in plugins.usable(kind)[0]}
    # where the section itself insists on keys, a bare name can only be an override
    bare: Schema = {"enum": list(lines), "description": "; ".join(f"{name}: {line}" for name, line in lines.items())}
    branches: list[Schema] = [bare] if not (whole and own and own.get("required")) else []
    for name, line in lines.items():
        about = _described(plugins.load(kind, name))
        properties = {key: {"const": name, "description": line}, **about["properties"]}
        required = [key, *about.get("required", [])]
        if own:
            properties |= own["properties"]
            required += own.get("required", [])
        branches.append(_mapping(properties, line, required if whole else []))
    of_file: Schema = {
        "type": "string",
        "pattern": r"\.py:\w+$",
        "description": "FILE.py:Class, from the folder of the study.",
    }
    if bare in branches:
        branches.append(of_file)
    branches.append({"type": "object", "properties": {key: of_file}, "required": [key]})
    return {"anyOf": branches}


def _part(found: Schema, whole: bool) -> Schema:
    return found if whole else {name: value for name, value in found.items() if name != "required"}


def _mapping(properties: Schema, description: str, required: list[str] | None = None) -> Schema:
    found = {"type": "object", "description": description, "properties": properties, "additionalProperties": False}
    return {**found, "required": required} if required else found


def _described(kind: type) -> Schema:
    """Schema of a class without references, each key explained by the docstring of the class or of its parents."""
    full = schema(kind)
    found: Schema = _inlined({k: v for k, v in full.items() if k != "$defs"}, full["$defs"])
    for parent in reversed(kind.__mro__[:-1]):
        _explain(found, _parameters(inspect.cleandoc(parent.__doc__ or "")))
    found["additionalProperties"] = False
    return found


def _inlined(part: Any, definitions: Schema) -> Any:
    if isinstance(part, list):
        return [_inlined(item, definitions) for item in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        part = {**definitions[part["$ref"].rsplit("/", 1)[1]], **{k: v for k, v in part.items() if k != "$ref"}}
    # pydantic's titles only repeat the key; a property may itself be called title
    found = {k: _inlined(v, definitions) for k, v in part.items() if not (k == "title" and isinstance(v, str))}
    if "properties" in found:
        _explain(found, _parameters(found.get("description", "")))
        found["description"] = found.get("description", "").partition("\n")[0]
    return found


def _explain(found: Schema, texts: dict[str, str]) -> None:
    for name, text in texts.items():
        if name in found.get("properties", {}):
            found["properties"][name]["description"] = text


def _parameters(docstring: str) -> dict[str, str]:
    """Parameter -> unit and meaning, from the section Parameters or Attributes of a docstring."""
    found: dict[str, str] = {}
    names: list[str] = []
    lines = docstring.splitlines()
    starts = [place for place, line in enumerate(lines) if line.strip() in ("Parameters", "Attributes")]
    for line in lines[starts[0] + 2 :] if starts else []:
        match = PARAMETER.match(line)
        if match:
            names = match[1].split(", ")
            found |= dict.fromkeys(names, match[2])
        elif line.startswith("    ") and names:
            for name in names:
                found[name] = f"{found[name]}{'. ' if found[name] and line.strip()[0].isupper() else ' '}{line.strip()}"
        elif line.strip():
            names = []  # the next section begins
    return {name: text.strip() for name, text in found.items()}
