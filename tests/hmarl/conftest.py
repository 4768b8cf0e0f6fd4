"""Toy plug-ins with known parameters, so that tests of studies do not hang on those of the real ones."""

import sys
import types
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from hmarl.study_file import plugins

HEAD = """
study: toy
seeds: 2
calendar: {start: 2012-07-02, days: 28, step: 60min, zone: Australia/Sydney, hold_out: 7}
community: {source: town, prosumers: 20, battery: 0.5}
followers: {name: learner, episodes: 2e3}
wholesale: {name: grid, case: pjm5, bus: B, replication: 2000}
"""
ARMS = """
arms:
  regulated: {leader: fixed, followers: rule}
  mark-up: {leader: {name: margin, margin: 0.25}}
"""


def toy_classes():
    @dataclass(frozen=True)
    class Town:
        """A town.

        Source: nobody (2020)
        """

        prosumers: int = 10
        pv: float = 0.5

    @dataclass(frozen=True)
    class Learner:
        """Learns."""

        episodes: int = 100
        layers: tuple[int, ...] = (64, 64)

    @dataclass(frozen=True)
    class Margin:
        """Adds a margin."""

        margin: float = 0.1

        def __post_init__(self):
            if self.margin < 0:
                raise ValueError(f"margin is {self.margin}; it must be >= 0")

    @dataclass(frozen=True)
    class Plain:
        """Has no parameters."""

        constant: ClassVar[bool] = True

    return Town, Learner, Margin, Plain


@pytest.fixture
def toys(monkeypatch):
    module = types.ModuleType("toy_plugins")
    for cls in toy_classes():
        cls.__module__ = "toy_plugins"
        setattr(module, cls.__name__, cls)
    module.SOURCES = {"town": "toy_plugins:Town"}
    module.POLICIES = {"rule": "toy_plugins:Plain", "learner": "toy_plugins:Learner"}
    module.LEADERS = {"fixed": "toy_plugins:Plain", "margin": "toy_plugins:Margin"}
    module.MARKETS = {"grid": "toy_plugins:Plain"}
    module.FORECASTS = {"persistence": "toy_plugins:Plain"}
    module.AUCTIONS = {"da": "toy_plugins:Plain", "none": "toy_plugins:Plain"}
    monkeypatch.setitem(sys.modules, "toy_plugins", module)
    for kind in plugins.KINDS:
        monkeypatch.setitem(plugins.TABLES, kind, ("toy_plugins", kind.upper()))
    return module


@pytest.fixture
def text(toys):
    return HEAD + ARMS


@pytest.fixture
def head(toys):
    return HEAD


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Folder of a finished real study: 2 arms, 2 seeds, 7 held-out days, DC-OPF on five buses."""
    sys.path.insert(0, str(Path(__file__).parent))
    try:
        import finished
    finally:
        sys.path.pop(0)
    return finished.run(tmp_path_factory.mktemp("finished"))


@pytest.fixture
def command(capsys, monkeypatch):
    """The command line in this process: (exit code, stdout, stderr)."""
    from hmarl import cli

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["hmarl", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capsys.readouterr()
        return end.value.code, said.out, said.err

    return call
