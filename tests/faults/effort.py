"""How many inputs a test tries."""

import os


def examples(short, long):
    """The count for this run: ``long`` under `make faults`, else ``short``."""
    return long if os.environ.get("HMARL_FAULTS") == "long" else short
