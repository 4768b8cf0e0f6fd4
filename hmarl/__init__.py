"""Hierarchical electricity markets: studies, learning followers, coordination of the levels, results.

`Study` and `Coordinator` are imported when first used, so that ``import hmarl`` is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hmarl.equilibrium.coordinator import Coordinator
    from hmarl.study import Study

__version__ = "0.1.0"
__all__ = ["Coordinator", "Study", "__version__"]

_HOMES = {"Study": "hmarl.study", "Coordinator": "hmarl.equilibrium.coordinator"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'hmarl' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return list(__all__)
