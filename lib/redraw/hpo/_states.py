"""The packed states that trials go on from: the last two of each trial, in memory or in a folder."""

import os
from pathlib import Path

Key = tuple[int, float]


class States:
    """States by (trial, fidelity). A trial's last two are kept: a member of a population may be copied a round late.

    Each is known to be there, known to be none (the objective returned no state), or lost with an earlier process.
    """

    def __init__(self, folder: str | os.PathLike | None):
        self._folder = Path(folder) if folder is not None else None
        self._held: dict[Key, bytes | None] = {}
        self._there: dict[Key, bool] = {}  # False: the objective returned none
        self._last: dict[int, list[Key]] = {}

    def put(self, key: Key, state: bytes | None) -> None:
        if state is not None and self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._path(key)
            partial = path.with_suffix(".partial")
            partial.write_bytes(state)
            partial.replace(path)
        elif state is not None:
            self._held[key] = state
        self.recall(key, state is not None)

    def recall(self, key: Key, there: bool) -> None:
        """An earlier process had a state for `key`, or the objective gave none."""
        self._there[key] = there
        last = self._last.setdefault(key[0], [])
        last.append(key)
        if len(last) > 2:
            old = last.pop(0)
            self._held.pop(old, None)
            if self._folder is not None and self._there[old]:
                self._path(old).unlink(missing_ok=True)

    def has(self, key: Key) -> bool:
        """Whether the objective gave a state there, held or lost."""
        return self._there[key]

    def lost(self, key: Key) -> bool:
        """Whether it gave one that is not held."""
        return self._there[key] and key not in self._held and not (self._folder and self._path(key).is_file())

    def get(self, key: Key) -> bytes | None:
        if not self._there[key]:
            return None
        return self._path(key).read_bytes() if self._folder is not None else self._held[key]

    def _path(self, key: Key) -> Path:
        return self._folder / f"{key[0]}@{key[1]!r}.state"
