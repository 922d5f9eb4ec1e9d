"""The errors a user meets, all sentences that say what was wrong, where, and what to do.

GotdError
├── SettingsError      gotd.yaml or GOTD_* environment variables do not describe a project
├── InputError         a file, record or model the user gave cannot be used
├── ArtifactError      an artifact is missing, or what is on disk is not what was recorded
├── CheckError         an artifact was made but fails a blocking check, so nothing may read it
├── TransportError     the optimal transport problem is malformed (NaN, empty, shapes)
├── TrainingError      pre-fine-tuning or evaluation cannot go on
└── LineageError       the lineage store cannot be opened, read or written
"""


class GotdError(Exception):
    """Base of every error raised on purpose by this package."""


class SettingsError(GotdError):
    """The project settings are wrong; the message names the field."""


class InputError(GotdError):
    """Data or a model given by the user cannot be used; the message names file, row and field."""


class ArtifactError(GotdError):
    """An artifact is missing, incomplete or altered."""


class CheckError(GotdError):
    """An artifact fails a blocking check; the message says which, and what to do."""


class TransportError(GotdError, ValueError):
    """An optimal transport problem is malformed."""


class TrainingError(GotdError):
    """Pre-fine-tuning or evaluation cannot go on."""


class LineageError(GotdError):
    """The lineage store cannot be opened, read or written."""
