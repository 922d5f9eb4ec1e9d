"""Section `transport`."""

from typing import Annotated, Literal

from pydantic import (
    Field,
)

from gotd_assets.settings.section import UNVERSIONED, Section


class SketchSettings(Section):
    """The weighted points that stand for a target in the transport problem."""

    method: Literal["all", "random", "kmeans"] = Field("kmeans", description="How the points are chosen.")
    size: int = Field(1000, ge=1, description="Number of points, at most the number of target documents.")
    whole_up_to: Annotated[int, UNVERSIONED] = Field(
        2000,
        ge=0,
        description="With method kmeans, a target of at most so many documents is not sketched: all of its points are taken, "
        "since a sketch moves the selection and a small target costs little.",
    )
    tolerance: float | None = Field(
        None, gt=0, description="Choose the size so that the OT distance between target and sketch is at most this."
    )

    def points(self, documents: int) -> int:
        """How many points a target of so many documents is given, unless a tolerance decides."""
        return documents if self.method == "kmeans" and self.size < documents <= self.whole_up_to else self.size


class TransportSettings(Section):
    """The optimal transport problem between pool and target."""

    solver: Literal["semidual", "geomloss"] = Field(
        "semidual", description="'semidual' is this project's own; 'geomloss' the reference, for comparison."
    )
    cost: Literal["sqeuclidean", "euclidean"] = Field(
        "sqeuclidean", description="½‖x−y‖² (1−cosine on unit vectors), or the metric cost ‖x−y‖ of the theory."
    )
    epsilon: float = Field(0.05, gt=0, description="Entropic regularisation, in units of the cost or of epsilon_scale.")
    epsilon_scale: Literal["absolute", "mean", "median"] = Field(
        "absolute", description="What epsilon is a multiple of: 1, or the mean or median cost."
    )
    tolerance: float = Field(1e-2, gt=0, description="Marginal error ‖Pᵀ1−b‖₁ at which a solve counts as converged.")
    overlap: float = Field(
        0.99,
        ge=0,
        le=1,
        description="A solve goes on until this share of the pool's best percent would be the same at the optimum, as it "
        "predicts; 0 to go by `tolerance` alone.",
    )
    score_error: float = Field(
        1.0, gt=0, description="And until no score would differ by more than this, in units of epsilon, as it predicts."
    )
    max_passes: int = Field(500, ge=1, description="Passes over the pool after which the solver gives up, loudly.")
    reach: float | None = Field(
        None,
        gt=0,
        description="Unbalanced target marginal, in units of distance: target points farther than this may be ignored.",
    )
    debias: bool = Field(False, description="Score by the gradient of the Sinkhorn divergence instead of entropic OT.")
    memory_budget_gb: Annotated[float, UNVERSIONED] = Field(
        2.0, gt=0, description="Memory for cached costs; beyond it they are recomputed."
    )
    products: Annotated[Literal["float32", "reduced"], UNVERSIONED] = Field(
        "float32",
        description="Matrix products of all passes but the certifying last: 'reduced' is TF32 on CUDA and bfloat16 on "
        "processors with units for matrices (AMX), elsewhere float32; the certificate states the error. It can help where "
        "costs are not cached.",
    )
    sketch: Annotated[SketchSettings, UNVERSIONED] = Field(
        default=SketchSettings(), description="How a target is sketched."
    )
    device: Annotated[str, UNVERSIONED] = Field("auto", description="'auto', 'cpu', 'cuda', 'cuda:1'.")
