"""One arm of a study, complete."""

from __future__ import annotations

from typing import Any

from hmarl.study_file import plugins
from hmarl.study_file.calendar import Calendar
from hmarl.study_file.merging import SECTIONS
from hmarl.study_file.resolve import as_written
from hmarl.study_file.section import Plugin, Section
from hmarl.study_file.sections import Clusters, Community, Equilibrium, GameRules, TariffRecipe, Wholesale


class Arm(Section):
    """One side of the comparison, complete: everything a simulation needs but seed and data.

    Parameters
    ----------
    study, name : str
        Names of study and arm.
    baseline : bool
        Whether the others are compared with it (the first one).
    calendar, community, tariff, auction, game, forecast, clusters, followers, leader, wholesale, equilibrium
        Checked sections; ``wholesale`` is None for a retail-only study.
    """

    study: str
    name: str
    baseline: bool
    calendar: Calendar
    community: Community
    tariff: TariffRecipe
    auction: Plugin
    game: GameRules
    forecast: Plugin
    clusters: Clusters
    followers: Plugin
    leader: Plugin
    wholesale: Wholesale | None
    equilibrium: Equilibrium

    @property
    def replication(self) -> int:
        """How many equal communities the simulated one stands for."""
        return self.wholesale.replication if self.wholesale else 1

    def resolved(self) -> dict[str, Any]:
        """Say everything that decides about the result, as plain values.

        Returns
        -------
        dict
            Names of study and arm and every section with all defaults. Title, seeds, measures and which arm is the
            baseline are left out: changing them redoes no finished run. Where there are plug-ins of others,
            ``plugins``: hashes of their code.
        """
        sections = {name: as_written(name, getattr(self, name)) for name in SECTIONS}
        market = [self.wholesale.market] if self.wholesale else []
        named = [self.community.source, self.auction, self.forecast, self.followers, self.leader, *market]
        code = {f"{plugins.KINDS[one.kind]} {one.name}": one.code for one in named if one.code is not None}
        return {"study": self.study, "arm": self.name, **sections, **({"plugins": code} if code else {})}
