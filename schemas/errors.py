"""How a run ends when it is not the program's fault, and the style of what is then said.

A message is ``what and where (the cause): the fix``. It is one line without a full stop, it names
what was given, and the fix after its last colon starts with a verb (*check*, *correct*, *choose
from*) or is *did you mean*. tests/corpus holds every message in the source to this.
"""

from collections.abc import Iterable

LONGEST_CAUSE = 240
SHOWN_NAMES = 12


class InputError(Exception):
    """The user gave something that cannot be used: one line saying what, where and how to fix it.

    The command line prints the line and exits with status 2.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class StaleArtifactError(Exception):
    """An artifact is gone or is not what its digest says; the stage that made it runs again."""


def nearest(name: str, known: Iterable[str], *, none: str = "there is none yet") -> str:
    """The fix of a name that is not known: the one most like it, else what there is to choose from.

    ``none`` is said where nothing is known.
    """
    # Not above, as every command imports this module, and few need it.
    from difflib import get_close_matches

    names = list(known)
    like = get_close_matches(name, names, n=1)
    if like:
        return f"did you mean {like[0]}?"
    if not names:
        return none
    more = len(names) - SHOWN_NAMES
    return f"choose from {', '.join(names[:SHOWN_NAMES])}" + (
        f" and {more} more" if more > 0 else ""
    )


def cause(error: BaseException) -> str:
    """What a library says of an error, for the middle of a message: one line, no full stop, short.

    The class's name where it says nothing.
    """
    said = " ".join(str(error).split()).rstrip(".: ") or type(error).__name__
    return said if len(said) <= LONGEST_CAUSE else f"{said[:LONGEST_CAUSE]}..."
