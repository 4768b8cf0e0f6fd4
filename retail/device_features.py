"""What a prosumer sees of its devices besides the battery."""

from __future__ import annotations

from torch import Tensor

from retail.equipment import Equipment
from retail.state import State


def device_feature_names(equipment: Equipment) -> tuple[str, ...]:
    """Names of the features of all devices, in order.

    Parameters
    ----------
    equipment : Equipment
        Timed stores and thermal carriers; energies are scaled, no unit.
    """
    c = equipment.community
    timed = (f"{store.name}_{part}" for store in c.timed for part in ("could_take", "must_take"))
    thermal = (f"{t.carrier}_{part}" for t in c.thermal for part in ("demand", "stored"))
    return (*timed, *thermal)


def device_features(equipment: Equipment, state: State) -> list[Tensor]:
    """Values of the features named by ``device_feature_names``.

    Parameters
    ----------
    equipment : Equipment
        Timed stores and thermal carriers.
    state : State
        Of B days; at the end of a day the last step is shown.

    Returns
    -------
    list of Tensor [B, N]
        Most and least that a timed store may take in units of its rating; thermal demand in units of its largest, and
        content of the thermal store in units of its size.
    """
    c, step = equipment.community, min(state.step, equipment.community.steps - 1)
    shown = []
    for k, limits in enumerate(equipment.timed):
        low, high = limits.range(state.levels[..., k], state.days, step)
        rating = limits.store.rating.clamp(min=1e-9)
        shown += [high / rating, low / rating]
    for k, thermal in enumerate(c.thermal):
        demand = thermal.demand[:, step] if len(thermal.demand) == 1 else thermal.demand[state.days, step]
        content = state.levels[..., len(c.timed) + k]
        most = thermal.demand.amax((0, 1)).clamp(min=1e-9)
        shown += [(demand / most).expand_as(content), content / thermal.store_max.clamp(min=1e-9)]
    return shown
