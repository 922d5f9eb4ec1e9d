"""The errors a user meets, all sentences that say what was wrong, where, and what to do.

GotdError
├── SettingsError      gotd.yaml or GOTD_* environment variables do not describe a project
├── InputError         a file, record or model the user gave cannot be used
├── ArtifactError      an artifact is missing, or what is on disk is not what was recorded
├── CheckError         an artifact was made but fails a blocking check, so nothing may read it
├── TransportError     the optimal transport problem is malformed (NaN, empty, shapes)
├── TrainingError      pre-fine-tuning or evaluation cannot go on
├── ClusterError       the engine that heavy work runs on cannot be used, or lost its workers
├── StorageError       the object store of artifacts cannot be used
└── LineageError       the lineage store cannot be opened, read or written
"""

from __future__ import annotations

import re

_CREDENTIALS = re.compile(r"([a-z][a-z0-9+.-]*)://([^/?#@\s'\"]*)@", re.IGNORECASE)
_PARAMETER = re.compile(
    r"([?&;](?:[^=&\s]*(?:signature|token|secret|password|credential|api_?key)[^=&\s]*|sig)=)[^&#\s'\"]*", re.IGNORECASE
)
_MASK = "***"


def masked(text: str) -> str:
    """`text` with asterisks for passwords, and for what is secret among the parameters, of the URLs in it."""
    return _PARAMETER.sub(rf"\g<1>{_MASK}", _CREDENTIALS.sub(_without_password, text))


def _without_password(match: re.Match[str]) -> str:
    scheme, user = match[1], match[2]
    name, colon, _ = user.partition(":")
    if colon:
        user = f"{name}:{_MASK}"
    elif scheme.lower() in ("http", "https"):
        user = _MASK  # a token stands where the name does
    return f"{scheme}://{user}@"


class GotdError(Exception):
    """Base of every error raised on purpose by this package; what it quotes of others shows no credentials.

    Attributes:
        may_pass: the same may succeed a little later, with nothing done: a network or a server was in trouble.
    """

    def __init__(self, message: str = "", *, may_pass: bool = False) -> None:
        super().__init__(masked(message))
        self.may_pass = may_pass


class SettingsError(GotdError):
    """The project settings are wrong; the message names the field."""


class InputError(GotdError):
    """Data or a model given by the user cannot be used; the message names file, row and field."""


class ArtifactError(GotdError):
    """An artifact is missing, incomplete or altered."""


class MissingArtifactError(ArtifactError):
    """An artifact was not made yet, or its version is gone as a whole; one that is damaged is no such."""


class CheckError(GotdError):
    """An artifact fails a blocking check; the message says which, and what to do."""


class TransportError(GotdError, ValueError):
    """An optimal transport problem is malformed."""


class TrainingError(GotdError):
    """Pre-fine-tuning or evaluation cannot go on."""


class ClusterError(GotdError):
    """The cluster that heavy work runs on cannot be used, or lost a worker for good."""


class StorageError(GotdError):
    """The object store that artifacts are kept in does not answer, refuses, or has not what it should."""


class LineageError(GotdError):
    """The lineage store cannot be opened, read or written."""
