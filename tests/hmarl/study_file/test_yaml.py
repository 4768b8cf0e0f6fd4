"""YAML by the rules of 1.2."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hmarl.study_file.yaml_reader import read, write


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("No", "No"),
        ("y", "y"),
        ("true", True),
        ("False", False),
        ("1e-3", 1e-3),
        ("1E5", 1e5),
        ("+.5", 0.5),
        ("3.", 3.0),
        ("017", 17),
        ("0o17", 15),
        ("0xff", 255),
        ("-12", -12),
        ("1_000", "1_000"),
        ("17:30", "17:30"),
        ("190:20:30", "190:20:30"),
        ("2012-07-02", "2012-07-02"),
        ("~", None),
        ("null", None),
        ("", None),
        (".inf", math.inf),
        ("-.inf", -math.inf),
        ("'true'", "true"),
        ("=", "="),
    ],
)
def test_scalars(text, value):
    found = read(f"a: {text}")
    assert not found.problems
    assert found.values == {"a": value}
    assert type(found.values["a"]) is type(value)


def test_duplicate_and_non_string_keys_are_all_reported_with_lines():
    found = read("a: 1\nb:\n  c: 1\n  c: 2\na: 3\n5: x\ntrue: y\n? [1]\n: z\n")
    assert [problem.line for problem in found.problems] == [4, 5, 6, 7, 8]
    assert "first in line 3" in str(found.problems[0])
    assert found.values == {"a": 1, "b": {"c": 1}}


@pytest.mark.parametrize(
    "text", ["a: [1", "a: !!python/object:os.system x", "a: b: c", "&a [*a]", "--- 1\n--- 2", "a: *x"]
)
def test_bad_files_are_problems_and_never_exceptions(text):
    assert read(text).problems


def test_alias_bombs_are_refused():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "too much" in str(read("\n".join(lines)).problems[0])


def test_lines_are_known():
    assert read("a:\n  b: 1\n  c: [1,\n 2]\n").lines == {"": 1, "a": 1, "a.b": 2, "a.c": 3, "a.c.0": 3, "a.c.1": 4}


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn", "Co")))
    | st.sampled_from(["on", "no", "1e-3", "17:30", "2012-07-02", "017", "~", "=", "<<", "y"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc_-", min_size=1), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(plain)
def test_what_is_written_is_read_back(value):
    assert read(write({"k": value})).values == {"k": value}
