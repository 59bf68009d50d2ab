"""All messages read as one set: what and where (the cause): the fix."""

import re
from collections.abc import Iterator

import pytest

from schemas.errors import InputError, cause, nearest
from tests.corpus.messages import HINT, Message, fix_of, messages

ALL = list(messages())
VERBS = """
add ask build calibrate change check choose compare convert copy correct did drop empty export
free give go install keep leave let lower make mend mount name normalise number pack profile publish
put quantize raise remove rename replace report resize resume return run save say set split
start store take train unpack update use widen wrap write
"""
"""What a fix may open with; add to it what is missing, in the imperative."""

CARRIED = {
    "{error}": "the message of another InputError, with its place before it",
    "{str(error)}": "the message of another error that has this style",
    "{answer.error}": "what the process that builds said, in this style",
    "{_why(error)}": "a sentence of tasks/artifacts/trouble.py, with its fix",
    "{describe(error)}": "each wrong field with its fix",
    "{error}; or leave it out of the job": "the message of another InputError, and a second way",
    "{moved_note(clocks)}": "a sentence of tasks/profiling/clocks.py, with its fix",
    "{fix}": "one of three fixes, in the lines above it",
    "{how}": "how the package is installed",
}
"""Fixes that a message gets from elsewhere, and what they are."""

BLAMING = re.compile(r"\b(invalid|illegal|please|sorry|oops|failed to|unexpected error|must)\b|!$")
WORDS_OF_OURS = re.compile(r"--\w|\w[._/]\w|[A-Z]{2,}|[A-Z][a-z]+[A-Z]|\b(job|overrides)\b")
"""An option, a field, a variable, an operator, or a parameter of the deployed flow."""
PATH = re.compile(r"[./~]?[\w.-]*/[\w./-]+\.py\b")


def faults(message: Message) -> Iterator[str]:
    """What is not in the style."""
    text, fix = message.text, fix_of(message.text)
    if text not in CARRIED:
        verb = re.split(r"\W", fix, maxsplit=1)[0] if fix else ""
        if not (fix == HINT or fix in CARRIED or verb in VERBS.split()):
            yield f"no fix with a verb after its last colon, but {fix!r}"
    if text.endswith((".", " ")):
        yield "a full stop at the end"
    if "\n" in text:
        yield "more than one line"
    if BLAMING.search(text):
        yield "not what is wrong and what is right"
    if PATH.search(text):
        yield "a file of ours"
    # The field is put before what a schema says.
    if not (message.file.startswith("schemas/") or "{" in text or WORDS_OF_OURS.search(text)):
        yield "not about anything that was given"


def test_every_message_has_the_style() -> None:
    found = [f"{message}\n    {fault}" for message in ALL for fault in faults(message)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{path} is wrong", "no fix"),
        ("{path} is wrong: it is", "no fix"),
        ("{path} is wrong: correct it.", "full stop"),
        ("{path} is invalid: correct it", "what is wrong"),
        ("that is wrong: correct it", "not about anything"),
        ("{path} is wrong: see tasks/x/y.py", "no fix"),
    ],
)
def test_a_message_without_it_is_found(text: str, fault: str) -> None:
    assert any(fault in found for found in faults(Message("flows/x.py", 1, text)))


def test_all_of_them_are_found() -> None:
    files = {message.file for message in ALL}
    assert len(ALL) > 300
    assert {"schemas/data.py", "tasks/publish/standalone.py", "flows/jobfile.py"} <= files
    # What is raised by way of a function is read there.
    assert any("the builder was killed" in message.text for message in ALL)


def test_nothing_looks_for_near_names_by_itself() -> None:
    from tests.corpus.messages import PACKAGES, ROOT

    files = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    users = [file.name for file in files if "get_close_matches" in file.read_text("utf-8")]
    assert users == ["errors.py"]


@pytest.mark.parametrize(
    ("name", "known", "said"),
    [
        ("imges", ["images", "seed"], "did you mean images?"),
        ("zzz", ["images", "seed"], "choose from images, seed"),
        ("zzz", [], "there is none yet"),
        ("zzz", [f"n{i}" for i in range(20)], "n10, n11 and 8 more"),
    ],
)
def test_an_unknown_name_ends_in_the_nearest(name: str, known: list[str], said: str) -> None:
    assert nearest(name, known).endswith(said)


def test_what_a_library_says_becomes_part_of_a_line() -> None:
    assert cause(ValueError("no such\n  depth.\n")) == "no such depth"
    assert cause(ValueError()) == "ValueError"
    assert len(cause(ValueError("x" * 9999))) < 300
    assert str(InputError("a\n  b")) == "a b"
