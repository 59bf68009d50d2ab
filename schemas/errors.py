"""How a run ends when it is not the program's fault."""


class InputError(Exception):
    """The user gave something that cannot be used: one line saying what, where and how to fix it.

    The command line prints the line and exits with status 2.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class StaleArtifactError(Exception):
    """An artifact is gone or is not what its digest says; the stage that made it runs again."""
