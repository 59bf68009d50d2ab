"""What every schema shares."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from schemas.target import Target as Target

DottedName = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$"),
]
"""``package.module:callable``; resolved when a stage runs, never at validation."""


class Strict(BaseModel):
    """Immutable, and a key it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Gate(Strict):
    """Something the job demands, and whether it held."""

    name: str
    passed: bool
    detail: str = Field(description="the figure and its bound, in words")
