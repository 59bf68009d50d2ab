"""What a run was given to reach others with stands nowhere that it writes."""

import base64

from tests.security.conftest import SECRETS, OddRun


def test_no_secret_is_in_the_log_the_store_the_copies_or_prefects_database(odd_run: OddRun) -> None:
    assert "history/odd/" in " ".join(odd_run.objects)
    assert len(odd_run.objects) > 20
    files = {str(path): path.read_bytes() for path in odd_run.folder.rglob("*") if path.is_file()}
    assert any(name.endswith(".db") for name in files), "Prefect's database is among the files"
    shown = {"log": odd_run.said.encode(), **files, **odd_run.objects}
    for name, secret in SECRETS.items():
        for spelled in (secret.encode(), base64.b64encode(secret.encode()).rstrip(b"=")):
            found = [where for where, content in shown.items() if spelled in content]
            assert found == [], f"{name} is in {found}"


def test_what_is_searched_is_what_was_written(odd_run: OddRun) -> None:
    """The search finds what is there: else it would pass for looking in the wrong place."""
    shown = b"".join([odd_run.said.encode(), *odd_run.objects.values()])
    assert b"odd: passed, " in shown
    assert b'"factory": "tests.security.odd_network:Odd"' in shown
