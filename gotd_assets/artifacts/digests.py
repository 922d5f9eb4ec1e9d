"""Digests met so far, with the position of each, in 24 bytes each."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

DIGEST_BYTES = 16
Digests = npt.NDArray[np.bytes_]
Positions = npt.NDArray[np.int64]
Halves = npt.NDArray[np.uint64]

# Each is moved by itself, so that what is moved at a time is little beside what is held.
_TABLES = 16


@dataclasses.dataclass
class _Run:
    """Digests in the order of their first halves, as numbers, which are found faster than bytes."""

    halves: Halves
    positions: Positions


class _Table:
    """Digests of one range.

    They lie in sorted runs; a new run is merged with earlier ones no longer than itself, so that there are about log₂ n
    of them and a digest is moved about log₂ n times.
    """

    def __init__(self) -> None:
        self._runs: list[_Run] = []

    def __len__(self) -> int:
        return sum(len(run.positions) for run in self._runs)

    def find(self, halves: Halves) -> Positions:
        """The position of each of `halves` (2, n), -1 for those that are not here."""
        found = np.full(halves.shape[1], -1, dtype=np.int64)
        for run in self._runs:
            rows, place = np.arange(halves.shape[1]), np.searchsorted(run.halves[0], halves[0])
            while len(rows):
                is_within = place < len(run.positions)
                rows, place = rows[is_within], place[is_within]
                is_like = run.halves[0][place] == halves[0][rows]
                rows, place = rows[is_like], place[is_like]
                is_same = run.halves[1][place] == halves[1][rows]
                found[rows[is_same]] = run.positions[place[is_same]]
                # Another with the same first half may come after.
                rows, place = rows[~is_same], place[~is_same] + 1
        return found

    def add(self, halves: Halves, positions: Positions) -> None:
        """Take up `halves` (2, n), sorted, none of which is here."""
        if not len(positions):
            return
        run = _Run(halves, positions)
        while self._runs and len(self._runs[-1].positions) <= len(run.positions):
            earlier = self._runs.pop()
            halves = np.concatenate([earlier.halves, run.halves], axis=1)
            order = np.argsort(halves[0], kind="stable")
            run = _Run(halves[:, order], np.concatenate([earlier.positions, run.positions])[order])
        self._runs.append(run)


class SeenDigests:
    """Digests with the position where each was met first. A Python dict of the same would take ten times the memory."""

    def __init__(self) -> None:
        self._tables = [_Table() for _ in range(_TABLES)]

    def __len__(self) -> int:
        return sum(map(len, self._tables))

    def find(self, digests: Digests) -> Positions:
        """For each of `digests` (n,) 'S16' the position where it was met first, -1 if it was not."""
        distinct, inverse = np.unique(digests, return_inverse=True)
        return self._find(distinct)[inverse]

    def meet(self, digests: Digests, positions: Positions) -> tuple[Positions, npt.NDArray[np.bool_]]:
        """For each of `digests` (n,) 'S16', at `positions` (n,), none negative: the position where it was met first, and if it is new."""
        distinct, index, inverse = np.unique(digests, return_index=True, return_inverse=True)
        first = self._find(distinct)
        unknown = first < 0
        first[unknown] = positions[index[unknown]]
        new, new_positions = distinct[unknown], first[unknown]
        for table, begin, end in self._parts(new):
            table.add(_halves(new[begin:end]), new_positions[begin:end].copy())
        is_new = np.zeros(len(digests), dtype=bool)
        is_new[index[unknown]] = True
        return first[inverse], is_new

    def _find(self, ascending: Digests) -> Positions:
        found = [table.find(_halves(ascending[begin:end])) for table, begin, end in self._parts(ascending)]
        return np.concatenate([np.empty(0, dtype=np.int64), *found])

    def _parts(self, ascending: Digests) -> list[tuple[_Table, int, int]]:
        """The tables, and where each one's digests begin and end."""
        borders = np.array([bytes([256 * number // _TABLES]) for number in range(1, _TABLES)], dtype=ascending.dtype)
        places = [0, *np.searchsorted(ascending, borders).tolist(), len(ascending)]
        return list(zip(self._tables, places, places[1:], strict=False))


def _halves(digests: Digests) -> Halves:
    return np.ascontiguousarray(digests).view(">u8").reshape(-1, 2).T.astype(np.uint64)


def digests_of(hex_digits: list[str]) -> Digests:
    """Digests that are written as 32 hex digits each, shape (n,)."""
    return np.frombuffer(bytes.fromhex("".join(hex_digits)), dtype=f"S{DIGEST_BYTES}")
