"""The house: layers, names, tables, docstrings, sizes."""

import ast
import dataclasses
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hmarl.study_file import plugins
from hmarl.study_file.validation import schema

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("hmarl", "aggregator", "wholesale", "retail")
FILES = sorted(path for name in PACKAGES for path in (ROOT / name).rglob("*.py"))
FORBIDDEN = {"core", "common", "utils", "util", "helpers", "helper", "misc"}
FILE_LINES, FUNCTION_LINES = 350, 60
FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef


def name_of(path):
    return str(path.relative_to(ROOT))


def functions(tree):
    return [node for node in ast.walk(tree) if isinstance(node, FUNCTION)]


def public(tree):
    """Public classes and functions of a module, and public methods of its public classes, as (name, node)."""
    for node in tree.body:
        if isinstance(node, FUNCTION | ast.ClassDef) and not node.name.startswith("_"):
            yield node.name, node
            for inner in node.body if isinstance(node, ast.ClassDef) else ():
                if isinstance(inner, FUNCTION) and not inner.name.startswith("_"):
                    yield f"{node.name}.{inner.name}", inner


def has_parameters(node):
    arguments = node.args
    names = [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    return any(name not in ("self", "cls") for name in names)


def decorated(node, word):
    return any(word in ast.unparse(decorator) for decorator in node.decorator_list)


def length(node):
    """Lines of a function that are not its docstring: prose is no complexity."""
    first = node.body[0]
    is_doc = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    return node.end_lineno - node.lineno + 1 - ((first.end_lineno - first.lineno + 1) if is_doc else 0)


def test_import_contracts():
    command = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run(
        [command],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "COLUMNS": "100"},
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_module_is_named_after_nothing():
    assert not [name_of(path) for path in FILES if path.stem in FORBIDDEN or FORBIDDEN & set(path.parent.parts)]


@pytest.mark.parametrize("kind", plugins.KINDS)
def test_every_table_entry_is_a_frozen_dataclass_with_checkable_parameters(kind):
    names = plugins.names(kind)
    assert names, f"the table of {kind} is empty"
    for name in names:
        found = plugins.load(kind, name)
        assert found.__dataclass_params__.frozen, f"{kind} {name} is not frozen"
        assert plugins.one_line(kind, name), f"{kind} {name} has no docstring"
        known = schema(found)["properties"]
        assert set(known) == {field.name for field in dataclasses.fields(found) if field.init}


@pytest.mark.parametrize("kind", plugins.KINDS)
def test_parameters_survive_a_study_file(kind):
    for name in plugins.names(kind):
        try:
            made = plugins.make(kind, name)
        except plugins.PluginError as error:
            # a plug-in may insist on a parameter
            assert all(problem.reason == "is missing" for problem in error.problems)
            continue
        assert plugins.make(kind, name, **plugins.parameters(made)) == made


@pytest.mark.parametrize("package", PACKAGES)
def test_what_a_package_offers_is_documented(package):
    module = __import__(package)
    assert module.__doc__
    for name in getattr(module, "__all__", []):
        offered = getattr(module, name)
        if inspect.isclass(offered) or inspect.isroutine(offered):
            assert inspect.getdoc(offered), f"{package}.{name} has no docstring"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_public_names_have_docstrings_with_parameters(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    lacking = []
    for name, node in public(tree):
        text = ast.get_docstring(node) or ""
        if not text:
            lacking.append(f"{name}: no docstring")
        elif isinstance(node, FUNCTION) and has_parameters(node) and not explains_parameters(name, node, text):
            lacking.append(f"{name}: no section Parameters")
    assert not lacking, lacking


def explains_parameters(name, node, text):
    """Section Parameters for functions; methods often only repeat what a protocol says, a docstring is enough."""
    return "." in name or "Parameters\n" in text or decorated(node, "command")


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_and_functions_are_short(path):
    text = path.read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    assert len(lines) <= FILE_LINES
    long = [
        f"{node.name}: {length(node)} lines" for node in functions(ast.parse(text)) if length(node) > FUNCTION_LINES
    ]
    assert not long, long
