"""What stages hand to each other."""

from typing import Annotated

from pydantic import Field, StringConstraints

from schemas.base import Strict

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class ArtifactRef(Strict):
    """A file in the artifact store: what it is, what it holds, where it lies.

    The digest names the content; the path is relative to the store's root, so that moving the
    store invalidates nothing.
    """

    kind: str = Field(description="what the file is, such as 'onnx' or 'plan'")
    sha256: Sha256
    path: Annotated[
        str, StringConstraints(pattern=r"^objects/[0-9a-f]{2}/[0-9a-f]{64}(\.[a-z0-9]+)*$")
    ]
