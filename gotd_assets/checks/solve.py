"""The certificate of a solve against the limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gotd_assets.artifacts.artifact import Artifact
from gotd_assets.checks.check import Check, CheckContext, Finding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gotd_assets.fingerprint import Json


def marginal_error(certificate: Mapping[str, Json], limit: float) -> Finding:
    """Whether ‖Pᵀ1 − b‖₁ is at most `limit`: beyond it, scores belong to another target than the one asked for."""
    error, asked = float(str(certificate["marginal_error"])), float(str(certificate["tolerance"]))
    figures: dict[str, float | int | str] = {"marginal_error": error, "tolerance": asked}
    if error <= limit:
        return Finding(True, f"marginal error {error:.2g} (asked for {asked:g}, at most {limit:g})", figures)
    return Finding(
        False,
        f"marginal error {error:.3g} exceeds checks.max_marginal_error ({limit:g}): raise transport.max_passes or "
        "transport.epsilon",
        figures,
    )


def duality_gap(certificate: Mapping[str, Json], limit: float) -> Finding:
    """Whether the gap between the bounds is at most `limit` of the upper one: how well the cost itself is known.

    The bounds are those of the entropic problem, whose value may be near zero or negative when ε is large; the gap is
    then measured against ε.
    """
    upper, lower = float(str(certificate["primal_upper_bound"])), float(str(certificate["dual_value"]))
    scale = max(abs(upper), float(str(certificate["epsilon"])))
    share = (upper - lower) / scale
    figures: dict[str, float | int | str] = {"gap": upper - lower, "relative_gap": share}
    if share <= limit:
        return Finding(True, f"the transport cost is known within {share:.2%}", figures)
    return Finding(
        False,
        f"the transport cost is known only within {share:.1%}, more than checks.max_relative_gap ({limit:.1%}): lower "
        "transport.tolerance",
        figures,
    )


def ranking(certificate: Mapping[str, Json], overlap: float) -> Finding:
    """Whether the best of the pool would be the best at the optimum, too, as the solve predicts, in a share of `overlap`."""
    found = certificate.get("top_share_overlap")
    if found is None:
        return Finding(True, "this solve did not look at the ranking")
    share, error = float(str(found)), float(str(certificate["score_error"])) / float(str(certificate["epsilon"]))
    figures: dict[str, float | int | str] = {"top_share_overlap": share, "score_error": error}
    if share >= overlap:
        return Finding(
            True, f"{share:.1%} of the best would be the same at the optimum, scores within {error:.2g} ε", figures
        )
    return Finding(
        False,
        f"only {share:.1%} of the best would be the same at the optimum (asked for: {overlap:.1%}), scores differ by up to "
        f"{error:.2g} ε: raise transport.max_passes or transport.epsilon",
        figures,
    )


def _marginal(context: CheckContext, artifact: Artifact) -> Finding:
    return marginal_error(artifact.manifest.summary, context.project.settings.checks.max_marginal_error)


def _ranking(context: CheckContext, artifact: Artifact) -> Finding:
    return ranking(artifact.manifest.summary, context.project.settings.transport.overlap)


def _gap(context: CheckContext, artifact: Artifact) -> Finding:
    return duality_gap(artifact.manifest.summary, context.project.settings.checks.max_relative_gap)


POTENTIALS = (
    Check(
        "marginal_error",
        "The plan's marginal is the target's, within checks.max_marginal_error. Else scores are for another target.",
        _marginal,
        blocking=True,
    ),
    Check(
        "duality_gap",
        "Lower and upper bound of the transport cost are within checks.max_relative_gap of each other.",
        _gap,
    ),
    Check(
        "ranking",
        "The best of the pool are the best at the optimum, too, in a share of transport.overlap, as the solve predicts.",
        _ranking,
    ),
)
