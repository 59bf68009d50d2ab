"""The history keeps every build in order, whatever clocks say, and notices damage."""

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import app
from schemas.errors import InputError
from tasks.artifacts.store import Store
from tasks.history.records import append, job_names, named_history, read_history
from tests.history.builds import MIDNIGHT, build, chain, figures


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def record_file(store: Store, sequence: int) -> Path:
    return next((store.root / "history/small").glob(f"{sequence:08d}-*.json"))


def test_builds_come_back_in_the_order_of_their_numbers_though_a_clock_went_back(
    store: Store,
) -> None:
    append(store, build(store, 1))
    append(store, build(store, 2, finished=MIDNIGHT - timedelta(days=300), clock_behind_s=2.6e7))
    append(store, build(store, 3, passed=False, failed=("accuracy",)))
    history = read_history(store, "small")
    assert [x.sequence for x in history.builds] == [1, 2, 3]
    assert history.last_good is not None
    assert history.last_good.sequence == 2
    assert history.next_sequence == 4
    said = CliRunner().invoke(app, ["history", "small", "--artifacts", store.location]).output
    assert "build 2 has a clock 26000000 s behind an earlier build's: set its machine's" in said


def test_two_builds_that_end_at_once_are_both_kept(store: Store) -> None:
    append(store, build(store, 1, run="run-a"))
    append(store, build(store, 1, run="run-b"))
    assert {x.run for x in read_history(store, "small").builds} == {"run-a", "run-b"}


def test_a_record_of_before_it_said_what_is_delivered_is_whole(store: Store) -> None:
    append(store, build(store, 1))
    assert "delivered" not in record_file(store, 1).read_text(encoding="utf-8")
    append(store, build(store, 2, engines=(figures(chain(), delivered="float32"),)))
    history = read_history(store, "small")
    assert [x.engines[0].delivered for x in history.builds] == ["int8", "float32"]
    assert history.damaged == ()
    said = CliRunner().invoke(app, ["history", "small", "--artifacts", store.location]).output
    assert said.count("openvino float32") == 1


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda text: text[: len(text) // 2], "cannot be read"),
        (lambda text: text.replace('"top1": 0.94', '"top1": 0.99'), "was changed after"),
        (lambda _: "", "cannot be read"),
    ],
)
def test_a_damaged_record_is_named_and_passed_over(
    store: Store, damage: Callable[[str], str], reason: str
) -> None:
    append(store, build(store, 1))
    append(store, build(store, 2))
    file = record_file(store, 2)
    file.write_text(damage(file.read_text()))
    history = read_history(store, "small")
    assert [x.sequence for x in history.builds] == [1]
    assert history.next_sequence == 3
    said = CliRunner().invoke(app, ["history", "small", "--artifacts", store.location])
    assert said.exit_code == 0
    lines = [x for x in said.stderr.splitlines() if "passed over" in x]
    assert len(lines) == 1
    assert re.search(rf"history/small/00000002-\w+\.json {reason}", lines[0])


def test_a_job_without_history_is_refused_with_the_nearest_name(store: Store) -> None:
    append(store, build(store, 1))
    assert job_names(store) == ["small"]
    with pytest.raises(InputError, match=r"no build of 'smal' has finished .*did you mean small\?"):
        named_history(store, "smal")


def test_the_history_page_and_table_show_every_build(store: Store, tmp_path: Path) -> None:
    append(store, build(store, 1))
    append(store, build(store, 2))
    page = tmp_path / "history.html"
    said = CliRunner().invoke(
        app, ["history", "small", "--artifacts", store.location, "--html", str(page)]
    )
    assert said.exit_code == 0, said.output
    assert "0.9400" in said.output
    assert "<html" in page.read_text(encoding="utf-8")
    below = str(page / "a page is no folder.html")
    said = CliRunner().invoke(
        app, ["history", "small", "--artifacts", store.location, "--html", below]
    )
    assert isinstance(said.exception, InputError)
    assert "choose a folder of yours" in str(said.exception)
