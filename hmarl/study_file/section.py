"""What all sections of a study share: immutability, refusal of unknown keys, and plug-ins by name."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from hmarl.study_file import plugins

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
    """

    kind: str
    name: str
    parameters: dict[str, Any] = {}

    def make(self) -> Any:
        """Build the thing.

        Returns
        -------
        object
            A frozen dataclass.
        """
        return plugins.make(self.kind, self.name, **self.parameters)
