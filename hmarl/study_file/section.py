"""What all sections of a study share: immutability, refusal of unknown keys, and plug-ins by name."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from hmarl.study_file import plugins
from hmarl.study_file.problems import PluginError, Problem

Share = Annotated[float, Field(ge=0, le=1)]
Whole = Annotated[int, Field(ge=1)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Price = Annotated[float, Field(allow_inf_nan=False)]


class Section(BaseModel):
    """Base of all sections: immutable, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Plugin(Section):
    """A named thing and its parameters, complete with defaults.

    Parameters
    ----------
    kind : str
        One of `hmarl.study_file.plugins.KINDS`.
    name : str
        Name in the table of the kind.
    parameters : dict
        Every parameter, in the units of the docstring of the thing.
    code : str or None
        Hash of its code when the study was checked, if it is a plug-in of others.
    """

    kind: str
    name: str
    parameters: dict[str, Any] = {}
    code: str | None = None

    def make(self) -> Any:
        """Build the thing.

        Returns
        -------
        object
            A frozen dataclass.

        Raises
        ------
        PluginError
            If its code is no longer that of the checked study: a worker imports it later, or elsewhere.
        """
        if self.code is not None and plugins.code(self.kind, self.name) != self.code:
            reason = "has other code than when the study was read"
            raise PluginError([Problem(plugins.KINDS[self.kind], self.name, "run the study again", reason=reason)])
        return plugins.make(self.kind, self.name, **self.parameters)
