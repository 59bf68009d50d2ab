"""Files a little other than they should be."""

import os
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from schemas.errors import InputError, StaleArtifactError
from tests.corpus.messages import fix_of

EXAMPLES = int(os.environ.get("ENGINESMITH_FUZZ_EXAMPLES", "0"))
"""How many of each, all of them new; 0: a few, always the same."""

fuzz = settings(
    max_examples=EXAMPLES or 60,
    derandomize=not EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)

words = st.text(st.characters(codec="utf-8"), max_size=8)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    words,
    st.integers(-3, 3),
    st.just("a" * 5000),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=8,
)


@st.composite
def bytes_like(draw: st.DrawFn, whole: bytes) -> bytes:
    """``whole`` with bytes changed, removed, put in or cut off."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(len(data) - 1, 0)))
        edit = draw(st.sampled_from(["flip", "set", "remove", "insert", "cut", "repeat"]))
        if edit == "flip" and data:
            data[place] ^= 1 << draw(st.integers(0, 7))
        elif edit == "set" and data:
            data[place] = draw(st.sampled_from([0, 1, 10, 32, 127, 128, 255]))
        elif edit == "remove":
            del data[place : place + draw(st.integers(1, 40))]
        elif edit == "insert":
            data[place:place] = draw(st.binary(min_size=1, max_size=20))
        elif edit == "cut":
            del data[place:]
        else:
            data[place:place] = data[place : place + 30]
    return bytes(data)


@st.composite
def document_like(draw: st.DrawFn, document: Any) -> Any:
    """``document`` with a value somewhere replaced, removed or added."""
    if isinstance(document, dict) and document and draw(st.integers(0, 4)):
        key = draw(st.sampled_from(sorted(document)))
        edit = draw(st.sampled_from(["inside", "inside", "inside", "remove", "add", "rename"]))
        rest = {name: value for name, value in document.items() if name != key}
        if edit == "inside":
            return {**document, key: draw(document_like(document[key]))}
        if edit == "remove":
            return rest
        if edit == "add":
            return {**document, draw(words): draw(values)}
        return {**rest, key + draw(words): document[key]}
    if isinstance(document, list) and document and draw(st.integers(0, 4)):
        place = draw(st.integers(0, len(document) - 1))
        return [*document[:place], draw(document_like(document[place])), *document[place + 1 :]]
    return draw(values)


def refused_or_read(read: Callable[[], object]) -> object | None:
    """What is read, or None where it is refused as everything should be: in one line with a fix."""
    try:
        return read()
    except (InputError, StaleArtifactError) as error:
        said = str(error)
        assert len(said.splitlines()) == 1, said
        assert len(said) < 4000, said
        assert fix_of(said), said
        return None
