"""Texts met so far, by digest, in 24 bytes each."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

DIGEST_BYTES = 16
Digests = npt.NDArray[np.bytes_]
Positions = npt.NDArray[np.int64]


@dataclasses.dataclass
class _Run:
    digests: Digests  # sorted
    positions: Positions


class SeenTexts:
    """Digests with the position where each was met first.

    They lie in sorted runs; a new run is merged with earlier ones no longer than itself, so that there are about log₂ n
    of them and a digest is moved about log₂ n times. A Python dict of the same would take ten times the memory.
    """

    def __init__(self) -> None:
        self._runs: list[_Run] = []

    def __len__(self) -> int:
        return sum(len(run.digests) for run in self._runs)

    def meet(self, digests: Digests, positions: Positions) -> tuple[Positions, npt.NDArray[np.bool_]]:
        """For each of `digests` (n,) 'S16', at `positions` (n,): the position where it was met first, and if it is new."""
        distinct, index, inverse = np.unique(digests, return_index=True, return_inverse=True)
        first = positions[index]
        unknown = np.ones(len(distinct), dtype=bool)
        for run in self._runs:
            place = np.searchsorted(run.digests, distinct)
            place[place == len(run.digests)] = 0
            known = run.digests[place] == distinct
            first[known] = run.positions[place[known]]
            unknown &= ~known
        is_new = np.zeros(len(digests), dtype=bool)
        is_new[index[unknown]] = True
        self._add(_Run(distinct[unknown], first[unknown]))
        return first[inverse], is_new

    def _add(self, run: _Run) -> None:
        if not len(run.digests):
            return
        while self._runs and len(self._runs[-1].digests) <= len(run.digests):
            earlier = self._runs.pop()
            digests = np.concatenate([earlier.digests, run.digests])
            order = np.argsort(digests, kind="stable")
            run = _Run(digests[order], np.concatenate([earlier.positions, run.positions])[order])
        self._runs.append(run)
