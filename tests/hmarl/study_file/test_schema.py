"""The JSON schema says what the checker says, wherever one value decides."""

import dataclasses
import json

import jsonschema
import pytest

from hmarl import shipped
from hmarl.study import Study
from hmarl.study_file import plugins, yaml_reader
from hmarl.study_file.json_schema import study_schema

BASE = {
    "study": "s",
    "calendar": {"start": "2012-07-02", "days": 14},
    "community": {"source": "synthetic", "prosumers": 4},
    "followers": "rule-based",
    "arms": {"one": {}, "two": {"leader": {"name": "mark-up", "margin": 0.3}}},
    "wholesale": {"name": "merit-order", "case": "pjm5", "bus": "B"},
}
WRONG = {
    "unknown section": {"tarif": {}},
    "unknown key": {"game": {"rewards": "own"}},
    "wrong choice": {"game": {"reward": "mine"}},
    "unknown plug-in": {"auction": "daa"},
    "unknown parameter": {"arms": {"one": {"leader": {"name": "mark-up", "margn": 1}}}},
    "parameter of another plug-in": {"followers": {"name": "zi", "episodes": 3}},
    "wrong type": {"followers": {"name": "mappo", "episodes": "many"}},
    "out of range": {"community": {"source": "synthetic", "battery": 1.5}},
    "missing": {"calendar": {"start": "2012-07-02"}},
    "unknown measure": {"measure": ["costs"]},
    "no arms": {"arms": {}},
    "nested": {"community": {"source": "synthetic", "store": {"max": 3}}},
}


@pytest.fixture(scope="module")
def validator():
    schema = study_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("name", shipped.names())
def test_shipped_studies_fit_as_written_and_in_full(validator, name):
    path = shipped.find(name)
    validator.validate(yaml_reader.read(path.read_text()).values)
    validator.validate(yaml_reader.read(Study.read(path).to_yaml()).values)


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_schema_and_checker_refuse_the_same(validator, change):
    validator.validate(BASE)
    Study.parse(BASE)
    assert not validator.is_valid(BASE | change)
    with pytest.raises(ValueError, match="mistake"):
        Study.parse(BASE | change)


def test_files_of_plugins_may_be_named(validator):
    validator.validate(
        BASE | {"followers": "mine/patient.py:Patient", "auction": {"name": "split.py:Split", "percent": 3}}
    )
    validator.validate(BASE | {"community": {"source": "terraces.py:Terraces", "battery": 0.5}})
    assert not validator.is_valid(BASE | {"followers": "patient.py"})
    assert not validator.is_valid(BASE | {"followers": {"name": "patient:Patient"}})


@pytest.mark.parametrize("kind", plugins.KINDS)
def test_every_name_and_parameter_is_known(kind):
    text = json.dumps(study_schema())
    for name in plugins.names(kind):
        assert f'"const": "{name}"' in text
        assert all(f'"{field.name}"' in text for field in dataclasses.fields(plugins.load(kind, name)) if field.init)


def test_keys_are_explained_with_units(command):
    code, out, _ = command("schema")
    assert code == 0
    found = json.loads(out)
    store = found["properties"]["community"]["anyOf"][1]["properties"]["store"]
    assert store["properties"]["power_kw"]["description"].startswith("float [kW]. Limit of charging")
    assert found["properties"]["tariff"]["anyOf"][1]["properties"]["network"]["description"].startswith("float [$/kWh]")
