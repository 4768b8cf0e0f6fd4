"""Damaged data and case files: each is refused with a sentence, or read as something that can be computed with."""

import re
import shutil
import tempfile
from pathlib import Path

import pytest
from faults.effort import examples
from faults.small_files import FORMS, files_of, sound
from hypothesis import given, settings
from hypothesis import strategies as st

CELLS = ["", " ", "abc", "-5", "nan", "inf", "-inf", "1e400", "1e308", "0", "1,5", '"', "2012-07-01", "\x00", "é",
         "9" * 400, "true", "null", "[]", "{}", "NA", "0x10", "1e-320", "2", "-1", "1.5"]  # fmt: skip
NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")


REFUSALS = {"ValueError", "DataError", "DataMissing", "SystemInvalid", "TariffError", "FileNotFoundError"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder with sound files of each form."""
    made = {}
    for name, form in FORMS.items():
        made[name] = tmp_path_factory.mktemp("sound")
        form.write(made[name])
    return made


@pytest.mark.parametrize("name", FORMS)
def test_the_sound_file_is_read(folders, name):
    assert sound(FORMS[name].read(folders[name]))


@st.composite
def damage(draw):
    """A change of bytes: what a broken disk, a cut download, an editor or a spreadsheet does."""
    kind = draw(st.sampled_from(("cut", "flip", "cell", "cell", "cell", "drop", "double", "swap", "insert", "encode")))
    where, other = draw(st.floats(0, 1)), draw(st.floats(0, 1))
    return kind, where, other, draw(st.sampled_from(CELLS)), draw(st.binary(min_size=1, max_size=3))


def damaged(raw, change):
    kind, where, other, cell, extra = change
    place = min(int(where * len(raw)), max(len(raw) - 1, 0))
    if kind == "cut":
        return raw[:place]
    if kind == "flip" and raw:
        return raw[:place] + bytes([raw[place] ^ (1 << int(other * 7.99))]) + raw[place + 1 :]
    if kind == "insert":
        return raw[:place] + extra + raw[place:]
    if kind == "encode":
        return raw.decode("latin-1").encode(("utf-16", "utf-8-sig", "utf-32")[int(other * 2.99)])
    if kind == "cell" and (found := list(NUMBER.finditer(raw))):
        one = found[min(int(where * len(found)), len(found) - 1)]
        return raw[: one.start()] + cell.encode() + raw[one.end() :]
    lines = raw.splitlines(keepends=True) or [b""]
    at, to = (min(int(share * len(lines)), len(lines) - 1) for share in (where, other))
    if kind == "drop":
        del lines[at]
    elif kind == "double":
        lines.insert(at, lines[at])
    else:
        lines[at], lines[to] = lines[to], lines[at]
    return b"".join(lines)


def judged(name, folder):
    """What was read, or None if it was refused with a sentence."""
    try:
        found = FORMS[name].read(folder)
    except (ValueError, FileNotFoundError) as error:
        assert type(error).__name__ in REFUSALS, repr(error)
        # a sentence that says what and where
        assert len(str(error).split()) > 5, repr(error)
        assert folder.name in str(error) or re.search("[Cc]ase|[Uu]nit|[Ll]ine|[Ss]ystem", str(error)), repr(error)
        return None
    assert sound(found)
    return found


@settings(max_examples=examples(400, 3000))
@given(st.sampled_from(sorted(FORMS)), st.floats(0, 1), damage())
def test_damage_is_refused_or_harmless(tried, folders, name, which, change):
    tried("damaged data and case files")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "data"
        shutil.copytree(folders[name], folder)
        files = files_of(folder)
        path = files[min(int(which * len(files)), len(files) - 1)]
        path.write_bytes(damaged(path.read_bytes(), change))
        judged(name, folder)
