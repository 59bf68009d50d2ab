"""What can happen to a file of a store behind its back, wherever the store is."""

from collections.abc import Callable

from tasks.artifacts.store import Store

Attack = Callable[[Store, str], None]


def truncate(store: Store, key: str) -> None:
    _alter(store, key, lambda data: data[: len(data) // 2])


def empty(store: Store, key: str) -> None:
    _alter(store, key, lambda data: data[:0])


def flip_a_bit(store: Store, key: str) -> None:
    _alter(store, key, lambda data: data[:-1] + bytes([data[-1] ^ 1]))


def delete(store: Store, key: str) -> None:
    store.backend.remove(key)


def replace_by_a_link(store: Store, key: str) -> None:
    """To a copy, so that whoever follows it finds nothing wrong."""
    file = store.root / key
    elsewhere = store.root / f"elsewhere-{file.name}"
    file.replace(elsewhere)
    file.symlink_to(elsewhere)


def _alter(store: Store, key: str, change: Callable[[bytes], bytes]) -> None:
    """In place where it is a folder, as a failing disk does."""
    data = change(store.backend.read(key))
    if str(store.root) == store.location:
        (store.root / key).write_bytes(data)
    else:
        store.backend.write(key, data)


EVERYWHERE: tuple[Attack, ...] = (truncate, empty, flip_a_bit, delete)
FOUND_AS = {truncate: "damaged", empty: "damaged", flip_a_bit: "damaged", replace_by_a_link: "link"}
