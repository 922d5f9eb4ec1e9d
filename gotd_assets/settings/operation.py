"""Sections `watch`, `checks` and `notify`."""

from typing import Literal
from urllib.parse import urlsplit

from pydantic import (
    Field,
    SecretStr,
    field_validator,
)

from gotd_assets.settings.section import Section


class WatchSettings(Section):
    """What the sensors look for while the daemon runs."""

    interval_seconds: int = Field(30, ge=1, description="Seconds between two looks at files and artifacts.")
    debounce_seconds: float = Field(
        30, ge=0, description="Files must have been still for this long before anything starts."
    )
    retrain_below_overlap: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Train again only if the share of documents that a new selection has in common with the one last "
        "trained on is below this; 1 trains on every change of the documents.",
    )
    warm_start: bool = Field(
        True, description="Start a solve from the target's previous potentials: fewer passes, the same tolerance."
    )


class CheckSettings(Section):
    """Limits beyond which an asset check fails. Checks marked 'blocks' keep the data out of whatever comes next."""

    min_documents: int = Field(1, ge=1, description="Documents a source must have (blocks).")
    max_quarantine_rate: float = Field(
        0.1, ge=0, le=1, description="Share of records that may be quarantined (blocks)."
    )
    damaged_files: Literal["block", "warn"] = Field(
        "block",
        description="What a damaged file does of which more than max_quarantine_rate of all bytes is lost, or nobody knows how "
        "much, as of an archive that was cut off: 'block', or 'warn' and use the rest.",
    )
    max_marginal_error: float = Field(
        0.1, gt=0, description="Marginal error ‖Pᵀ1−b‖₁ beyond which scores are not used (blocks)."
    )
    max_relative_gap: float = Field(
        0.25, gt=0, description="Duality gap as a share of the upper bound on the transport cost (warns)."
    )
    max_contaminated: int = Field(
        0, ge=0, description="Selected documents that may equal held-out text, exactly or nearly (blocks)."
    )
    max_contamination_rate: float = Field(
        0.05, ge=0, le=1, description="Share of the candidates that may be text of the target (warns)."
    )
    max_source_share: float = Field(0.95, gt=0, le=1, description="Share of a selection from one source (warns).")
    drift_p_value: float = Field(
        0.01, gt=0, lt=1, description="A target whose drift is less likely than this by chance has drifted (warns)."
    )
    drift_permutations: int = Field(200, ge=20, description="Permutations behind the p-value of drift.")
    max_loss_growth: float = Field(
        1.5, gt=0, description="Last training loss over first, beyond which training diverged (blocks)."
    )


class NotifySettings(Section):
    """Who is told of failures and new models, by a POST of JSON."""

    webhook: SecretStr | None = Field(
        None, description="http(s) address to POST to; give it as GOTD_NOTIFY__WEBHOOK to keep it out of the file."
    )
    success: Literal["models", "all", "none"] = Field(
        "models", description="Successful runs to tell of: those that made a model, all, or none. Failures always are."
    )
    ui_url: str = Field("http://127.0.0.1:3000", description="Address of the Dagster UI, for links.")
    timeout_seconds: float = Field(5.0, gt=0, le=60, description="How long a POST may take.")

    @field_validator("webhook")
    @classmethod
    def _speaks_http(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            address = urlsplit(value.get_secret_value())
            if address.scheme not in ("http", "https") or not address.netloc:
                raise ValueError("expected an address that starts with http:// or https://")
        return value
