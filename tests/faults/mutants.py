"""Damage to study files: in the text, as a slip of the hand would do it, and in single values, keys and branches."""

import copy
import math

from hypothesis import strategies as st

WORDS = [
    "mappo", "da", "dc-opf", "fixed", "rule-based", "synthetic", "pjm5", "none", "time-of-use", "restore", "B", "ieee9",
    "price-series", "ausgrid", "profiles", "stackelberg", "mark-up", "full", "trust-region", "learned", "optimal",
]  # fmt: skip
TEXTS = [
    "", " ", "a", "x" * 400, "a/b", "../../etc/passwd", "/etc/passwd", "a\n", "a\tb", "\x00", "\ud800", "é", "💡", "on",
    "17:30", "2012-07-02", "2012-02-30", "1e3", ".", "..", "-", "<script>", "${HOME}", "!!python/object:os.system x",
    "os:system", "__class__", "nan", "UTC", "Europe/Lisbon",
]  # fmt: skip
NUMBERS = [
    0, 1, -1, 2, 3, 7, 100, 2**31, 2**63, 10**30, -(10**30), 10**400, 0.0, -0.0, 0.5, 1.5, -0.5, 1e-9, 1e-300, 1e6,
    1e15, 1e16, 1e308, -1e308, math.nan, math.inf, -math.inf,
]  # fmt: skip
NESTED = [
    None,
    True,
    False,
    [],
    {},
    [[]],
    [None],
    [0, 0],
    [1, "a"],
    {"a": 1},
    {"name": "a"},
    {"low": 0, "high": 1},
    [{}],
]
values = st.one_of(
    st.sampled_from(NUMBERS),
    st.sampled_from(TEXTS),
    st.sampled_from(WORDS),
    st.sampled_from(NESTED),
    st.integers(-5, 50),
    st.floats(-2, 2, allow_nan=False),
    st.text(max_size=12),
)
TOKENS = ["{", "}", "[", "]", ":", ",", "#", "'", '"', "&a", "*a", "<<", "---", "...", "!!str", "|", ">", "\t", "\r",
          "?", "-", "\n", "  ", "\x07", "\ufeff", "%YAML 1.1", "null",
          "9" * 5000, "0x", "1e999", ".nan", "💡"]  # fmt: skip


def places(value, path=()):
    """Paths of everything below a value, the value itself last."""
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in below:
        yield from places(one, (*path, key))
    yield path


def at(document, path):
    for key in path:
        document = document[key]
    return document


@st.composite
def damaged_text(draw, texts):
    """A study file with one to three slips."""
    text = draw(st.sampled_from(texts))
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(("insert", "delete", "swap", "double", "drop")))
        here = draw(st.integers(0, len(text)))
        lines = text.splitlines(keepends=True) or [""]
        line = draw(st.integers(0, len(lines) - 1))
        if kind == "insert":
            text = text[:here] + draw(st.sampled_from(TOKENS) | st.text(max_size=3)) + text[here:]
        elif kind == "delete":
            text = text[:here] + text[here + draw(st.integers(1, 20)) :]
        elif kind == "swap":
            text = text[:here] + text[here : here + 2][::-1] + text[here + 2 :]
        elif kind == "double":
            text = "".join([*lines[: line + 1], *lines[line:]])
        else:
            text = "".join([*lines[:line], *lines[line + 1 :]])
    return text


@st.composite
def changed_value(draw, documents):
    """A complete document, the same with one place changed, and that place."""
    name = draw(st.sampled_from(sorted(documents)))
    document = documents[name]
    path = draw(st.sampled_from([p for p in places(document) if p]))
    changed = copy.deepcopy(document)
    above, key = at(changed, path[:-1]), path[-1]
    kind = draw(st.sampled_from(("replace", "replace", "replace", "replace", "delete", "rename", "add", "copy")))
    if kind == "delete":
        del above[key]
    elif kind == "rename" and isinstance(above, dict):
        above[draw(st.sampled_from(TEXTS + WORDS))] = above.pop(key)
    elif kind == "add" and isinstance(above, dict):
        above[draw(st.text(max_size=8) | st.sampled_from(TEXTS + WORDS))] = draw(values)
    elif kind == "copy":
        above[key] = copy.deepcopy(at(document, draw(st.sampled_from([p for p in places(document) if p]))))
    else:
        above[key] = draw(values)
    return name, changed, path
