"""Builds and garbage collection never work on one store at once."""

import threading

import pytest

import tasks.upkeep.leases as leases
from tasks.artifacts.store import Store
from tasks.upkeep.leases import building, held, living


def test_a_build_is_seen_while_it_runs_and_no_longer(store: Store) -> None:
    with building(store):
        assert len(living(store, "build")) == 1
        assert living(store, "gc") == []
    assert living(store, "build") == []


def test_a_build_waits_until_collection_has_ended(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "POLL_S", 0.01)
    started = threading.Event()

    def build() -> None:
        with building(store):
            started.set()

    with held(store, "gc"):
        builder = threading.Thread(target=build)
        builder.start()
        assert not started.wait(0.3)
    assert started.wait(10)
    builder.join()


def test_a_lease_that_is_not_renewed_any_more_is_void(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.backend.write("leases/build-killed.json", b'{"holder": "a process that was killed"}')
    assert [lease.holder for lease in living(store, "build")] == ["a process that was killed"]
    monkeypatch.setattr(leases, "VOID_S", -1.0)
    assert living(store, "build") == []
