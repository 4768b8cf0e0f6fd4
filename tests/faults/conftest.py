"""How long to try, and what was tried: `make faults` sets HMARL_FAULTS=long, the normal suite tries the short form."""

import os
from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, settings

LONG = os.environ.get("HMARL_FAULTS") == "long"
QUIET = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}
# The short form tries the same inputs every time; the long one new ones, and shrinks what fails.
settings.register_profile("short", derandomize=True, phases=[Phase.explicit, Phase.generate], **QUIET)
settings.register_profile("long", print_blob=True, **QUIET)
TRIED = pytest.StashKey[Counter]()


def pytest_configure(config):
    config.stash[TRIED] = Counter()
    settings.load_profile("long" if LONG else "short")


@pytest.fixture
def tried(request):
    """Count one more input of a kind; the sums are printed at the end."""
    counter = request.config.stash[TRIED]

    def count(kind, many=1):
        counter[kind] += many

    return count


def pytest_terminal_summary(terminalreporter, config):
    counter = config.stash[TRIED]
    if counter:
        terminalreporter.section("tried")
        for kind, many in sorted(counter.items()):
            terminalreporter.line(f"{many:>8,} {kind}")
