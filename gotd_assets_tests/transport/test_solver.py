"""The solver against exact linear programs, POT and geomloss in float64, and its own certificate."""

import dataclasses
import itertools

import numpy as np
import ot
import pytest
import torch
from geomloss import SamplesLoss
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from gotd_assets.errors import TransportError
from gotd_assets.transport import Potentials, Problem, Sketch, make_sketch, solve, solve_many
from gotd_assets.transport.products import product_precision

FLOATS = st.floats(-3, 3, width=32)


def cloud(n: int, d: int, seed: int = 0, shift: float = 0.0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) + shift


def sketch_of(points: torch.Tensor, weights: torch.Tensor | None = None) -> Sketch:
    return make_sketch(points, method="all", weights=weights)


def cost_matrix(x: torch.Tensor, y: torch.Tensor, cost: str) -> np.ndarray:
    distance = np.linalg.norm(x.double().numpy()[:, None] - y.double().numpy()[None], axis=2)
    return distance**2 / 2 if cost == "sqeuclidean" else distance


@pytest.mark.parametrize("cost", ["sqeuclidean", "euclidean"])
@pytest.mark.parametrize("epsilon", [0.5, 0.05])
def test_potentials_agree_with_pot(cost: str, epsilon: float) -> None:
    x, y = cloud(60, 4), cloud(25, 4, seed=1, shift=0.5)
    a = torch.rand(60, generator=torch.Generator().manual_seed(2))
    b = torch.rand(25, generator=torch.Generator().manual_seed(3))
    ours = solve(x, sketch_of(y, b), Problem(cost=cost, epsilon=epsilon, tolerance=1e-9, dtype="float64"), weights=a)
    # Divided in float32, their sums differ in the eighth digit, and POT does not converge.
    a_, b_ = ((weights.double() / weights.double().sum()).numpy() for weights in (a, b))
    matrix = cost_matrix(x, y, cost)
    plan, log = ot.bregman.sinkhorn_log(a_, b_, matrix, epsilon, numItermax=20_000, stopThr=1e-9, log=True)
    value = (plan * matrix).sum() + epsilon * (plan * np.log(plan / np.outer(a_, b_))).sum()
    assert ours.certificate.dual_value == pytest.approx(value, rel=1e-7)
    theirs = epsilon * log["log_u"]
    scores = ours.scores(x.double()).numpy()
    # POT's kernel is not weighted by a⊗b, which moves its potential by ε log a.
    theirs = theirs - epsilon * np.log(a_)
    np.testing.assert_allclose(scores - scores.mean(), theirs - theirs.mean(), atol=1e-6)


@pytest.mark.parametrize(("cost", "p"), [("sqeuclidean", 2), ("euclidean", 1)])
def test_geomloss_tends_to_our_potentials_as_its_scaling_tends_to_one(cost: str, p: int) -> None:
    x, y = cloud(80, 3).double(), cloud(30, 3, seed=1).double()
    ours = solve(x, sketch_of(y.float()), Problem(cost=cost, epsilon=0.5, tolerance=1e-9, dtype="float64")).scores(x)
    errors = []
    for scaling in (0.5, 0.9, 0.99, 0.999, 0.9997):
        loss = SamplesLoss(
            "sinkhorn", p=p, blur=0.5 ** (1 / p), scaling=scaling, debias=False, potentials=True, backend="tensorized"
        )
        f = loss(x, y)[0].flatten()
        errors.append(float((ours - (f - f.mean())).abs().max()))
    assert all(finer < coarser for coarser, finer in itertools.pairwise(errors))
    assert errors[-1] < 1e-3


def test_geomloss_can_be_chosen_and_is_certified_too() -> None:
    x, y = cloud(80, 3), cloud(30, 3, seed=1)
    ours = solve(x, sketch_of(y), Problem(epsilon=0.5, tolerance=1e-8, dtype="float64"))
    reference = solve(x, sketch_of(y), Problem(epsilon=0.5, solver="geomloss", dtype="float64", tolerance=1e-6))
    assert reference.certificate.solver == "geomloss"
    assert reference.certificate.dual_value < ours.certificate.dual_value < reference.certificate.primal_upper_bound
    assert not reference.certificate.converged
    assert np.corrcoef(ours.scores(x), reference.scores(x))[0, 1] > 0.99


def test_value_tends_to_the_exact_linear_program() -> None:
    x, y = cloud(40, 3), cloud(30, 3, seed=1, shift=1.0)
    exact = ot.emd2([], [], cost_matrix(x, y, "sqeuclidean"))
    gaps = []
    for epsilon in (0.3, 0.1, 0.03, 0.01):
        solved = solve(x, sketch_of(y), Problem(epsilon=epsilon, tolerance=1e-6, dtype="float64", max_passes=5000))
        certificate = solved.certificate
        assert certificate.converged
        assert exact - 1e-9 <= certificate.primal_upper_bound
        gaps.append(certificate.dual_value - exact)
    assert all(later < earlier for earlier, later in itertools.pairwise(gaps))
    assert gaps[-1] <= 0.01 * np.log(40 * 30)


def test_certificate_brackets_the_optimum() -> None:
    x, y = cloud(300, 5), cloud(40, 5, seed=1)
    best = solve(x, sketch_of(y), Problem(epsilon=0.1, tolerance=1e-10, dtype="float64")).certificate
    for passes in (1, 2, 3):
        rough = solve(
            x, sketch_of(y), Problem(epsilon=0.1, tolerance=1e-12, max_passes=passes, dtype="float64")
        ).certificate
        assert rough.dual_value <= best.dual_value + 1e-9
        assert rough.primal_upper_bound >= best.dual_value - 1e-9
        assert rough.gap == pytest.approx(rough.primal_upper_bound - rough.dual_value)


def test_score_is_the_derivative_of_the_transport_cost() -> None:
    x, y = cloud(50, 3), cloud(20, 3, seed=1, shift=0.5)
    tight = Problem(epsilon=0.2, tolerance=1e-11, dtype="float64")
    base = solve(x, sketch_of(y), tight)
    step = 1e-4
    for candidate in cloud(5, 3, seed=7):
        extended = torch.cat([x, candidate[None]])
        weights = torch.cat([torch.full((50,), (1 - step) / 50, dtype=torch.float64), torch.tensor([step]).double()])
        moved = solve(extended, sketch_of(y), tight, weights=weights)
        # OT_ε is differentiable along (1−t)·μ + t·δ_x; the entropy is relative to a⊗b, which moves with the source.
        derivative = (moved.certificate.dual_value - base.certificate.dual_value) / step
        assert float(base.scores(candidate[None].double())) == pytest.approx(derivative, abs=2e-3)


@given(
    x=arrays.arrays(np.float32, (12, 2), elements=FLOATS),
    y=arrays.arrays(np.float32, (5, 2), elements=FLOATS),
    shift=arrays.arrays(np.float32, (2,), elements=FLOATS),
)
def test_symmetries(x: np.ndarray, y: np.ndarray, shift: np.ndarray) -> None:
    tight = Problem(epsilon=0.5, tolerance=1e-9, dtype="float64", max_passes=3000)
    base = solve(x, sketch_of(torch.from_numpy(y)), tight)
    scores = base.scores(torch.from_numpy(x).double())

    moved = solve(x + shift, sketch_of(torch.from_numpy(y + shift)), tight)
    np.testing.assert_allclose(moved.scores(torch.from_numpy(x + shift).double()), scores, atol=1e-4)

    order = np.random.default_rng(0).permutation(12)
    permuted = solve(x[order], sketch_of(torch.from_numpy(y)), tight)
    np.testing.assert_allclose(permuted.scores(torch.from_numpy(x[order]).double()), scores[order], atol=1e-6)

    doubled = solve(np.concatenate([x, x[:1]]), sketch_of(torch.from_numpy(y)), tight)
    weights = np.r_[2.0, np.ones(11)]
    weighted = solve(x, sketch_of(torch.from_numpy(y)), tight, weights=weights)
    assert doubled.certificate.dual_value == pytest.approx(weighted.certificate.dual_value, abs=1e-7)

    scaled = solve(2 * x, sketch_of(torch.from_numpy(2 * y)), dataclasses.replace(tight, epsilon=2.0))
    np.testing.assert_allclose(scaled.scores(torch.from_numpy(2 * x).double()), 4 * scores, atol=1e-5)


def test_calibrated_scores_average_to_zero_over_the_source_and_do_not_depend_on_being_seen() -> None:
    x, y = cloud(500, 8), cloud(50, 8, seed=1)
    solved = solve([x[:200].numpy(), x[200:].numpy()], sketch_of(y), Problem(epsilon=0.3))
    assert float(solved.scores(x).mean()) == pytest.approx(0.0, abs=1e-6)
    assert float(solved.scores(x[3:4])) == pytest.approx(float(solved.scores(x)[3]), abs=1e-6)


def test_a_subsample_prepares_large_problems_and_the_certificate_is_still_exact() -> None:
    x, y = cloud(9000, 8), cloud(60, 8, seed=1)
    fast = solve(x, sketch_of(y), Problem(epsilon=0.05, tolerance=1e-3))
    assert 0 < fast.certificate.subsample_rows < 9000
    assert fast.certificate.converged
    matrix = cost_matrix(x, y, "sqeuclidean")
    a, b = (torch.full((n,), 1 / n, dtype=torch.float64) for n in (9000, 60))
    # Given tensors, POT computes with PyTorch: sooner than with SciPy.
    exact = ot.bregman.sinkhorn_log(a, b, torch.from_numpy(matrix), 0.05, numItermax=300, stopThr=1e-6).numpy()
    value = (exact * matrix).sum() + 0.05 * (exact * np.log(np.maximum(exact, 1e-300) * 9000 * 60)).sum()
    assert fast.certificate.dual_value == pytest.approx(value, rel=1e-4)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_wider_subsample_begins_the_full_passes_nearer(monkeypatch: pytest.MonkeyPatch, weighted: bool) -> None:
    # As with thousands of targets: a subsample bounded by memory has few rows for each.
    monkeypatch.setattr("gotd_assets.transport.solver._SUBSAMPLE_BYTES", 2**20)
    x, y = torch.nn.functional.normalize(cloud(24_000, 24)), torch.nn.functional.normalize(cloud(500, 24, seed=1))
    weights = torch.rand(24_000, generator=torch.Generator().manual_seed(2)) if weighted else None
    reached, solved = {}, {}
    for rows in (0, 12):
        monkeypatch.setattr("gotd_assets.transport.solver._WIDER_PER_TARGET", rows)
        errors: list[float] = []
        solved[rows] = solve(
            x,
            sketch_of(y),
            Problem(epsilon=0.01, tolerance=1e-5),
            weights=weights,
            progress=lambda now, errors=errors: errors.append(now.marginal_error) if now.stage == "full pass" else None,
        )
        reached[rows] = errors
    assert reached[12][0] < 0.75 * reached[0][0], reached
    certificates = [solution.certificate for solution in solved.values()]
    assert certificates[1].passes <= certificates[0].passes
    assert certificates[1].subsample_passes > certificates[0].subsample_passes
    assert certificates[1].dual_value == pytest.approx(certificates[0].dual_value, rel=1e-6)
    torch.testing.assert_close(solved[0].scores(x[:500]), solved[12].scores(x[:500]), atol=1e-4, rtol=0)


def test_unbalanced_target_ignores_an_outlier_and_agrees_with_pot() -> None:
    x, y = cloud(40, 2), torch.cat([cloud(15, 2, seed=1), torch.tensor([[9.0, 9.0]])])
    reach, epsilon = 2.0, 0.5
    solved = solve(x, sketch_of(y), Problem(epsilon=epsilon, reach=reach, tolerance=1e-10, dtype="float64"))
    matrix = cost_matrix(x, y, "sqeuclidean")
    a, b = np.full(40, 1 / 40), np.full(16, 1 / 16)
    plan = ot.unbalanced.sinkhorn_unbalanced(
        a, b, matrix, epsilon, reg_m=(float("inf"), reach**2), reg_type="kl", numItermax=20_000, stopThr=1e-12
    )
    marginal = plan.sum(axis=0)
    value = (
        (plan * matrix).sum()
        + epsilon * (plan * np.log(np.maximum(plan, 1e-300) / np.outer(a, b))).sum()
        + reach**2 * ((marginal * np.log(np.maximum(marginal, 1e-300) / b)).sum() - marginal.sum() + 1)
    )
    assert solved.certificate.dual_value == pytest.approx(value, rel=1e-6)
    balanced = solve(x, sketch_of(y), Problem(epsilon=epsilon, tolerance=1e-6, dtype="float64"))
    assert solved.certificate.dual_value < balanced.certificate.dual_value / 2


def test_debiased_scores_vanish_where_source_and_target_are_samples_of_the_same() -> None:
    x, y = cloud(800, 2), cloud(800, 2, seed=1)
    problem = Problem(epsilon=1.0, tolerance=1e-5, dtype="float64")
    biased, debiased = solve(x, sketch_of(y), problem), solve(x, sketch_of(y), problem, debias=True)
    # What is left is the difference of the two samples.
    assert float(debiased.scores(x).std()) < 0.3 * float(biased.scores(x).std())


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_any_floating_dtype_and_any_sharding_give_the_same(dtype: str) -> None:
    x, y = cloud(300, 6).half().numpy().astype(dtype), cloud(30, 6, seed=1)
    whole = solve(x, sketch_of(y), Problem(epsilon=0.2, tolerance=1e-4))
    parts = solve([x[:1], x[1:120], x[120:]], sketch_of(y), Problem(epsilon=0.2, tolerance=1e-4))
    np.testing.assert_allclose(whole.scores(x), parts.scores(x), atol=1e-5)


@pytest.mark.parametrize(
    ("n", "m"), [(1, 20), (20, 1), (1, 1), (7, 50)], ids=["one candidate", "one target", "one each", "N < M"]
)
def test_tiny_problems(n: int, m: int) -> None:
    solved = solve(cloud(n, 3), sketch_of(cloud(m, 3, seed=1)), Problem(epsilon=0.3, tolerance=1e-6, dtype="float64"))
    assert solved.certificate.converged
    assert abs(solved.certificate.gap) < 1e-4


def test_small_epsilon_and_large_norms_converge() -> None:
    unit = torch.nn.functional.normalize(cloud(3000, 32), dim=1)
    target = torch.nn.functional.normalize(cloud(100, 32, seed=1, shift=0.3), dim=1)
    small = solve(unit, sketch_of(target), Problem(epsilon=1e-4, epsilon_scale="mean", tolerance=1e-2))
    assert small.certificate.epsilon == pytest.approx(1e-4, rel=0.5)
    assert small.certificate.converged
    raw = solve(15 * unit, sketch_of(15 * target), Problem(epsilon=0.1, tolerance=1e-2))
    assert raw.certificate.converged


def test_zero_weights_and_duplicated_rows() -> None:
    x, y = cloud(50, 3), cloud(10, 3, seed=1)
    weights = torch.ones(50)
    weights[25:] = 0
    tight = Problem(epsilon=0.3, tolerance=1e-9, dtype="float64")
    half = solve(x[:25], sketch_of(y), tight)
    zeroed = solve(x, sketch_of(y), tight, weights=weights)
    assert zeroed.certificate.dual_value == pytest.approx(half.certificate.dual_value, abs=1e-9)
    zero_target = sketch_of(torch.cat([y, y + 9]), torch.cat([torch.ones(10), torch.zeros(10)]))
    padded = solve(x[:25], zero_target, tight)
    assert padded.certificate.dual_value == pytest.approx(half.certificate.dual_value, abs=1e-9)
    doubled = solve(x[:25], sketch_of(torch.cat([y, y])), tight)
    assert doubled.certificate.dual_value == pytest.approx(half.certificate.dual_value, abs=1e-9)


def test_a_cache_in_sixteen_bits_changes_nothing_that_matters() -> None:
    x = torch.nn.functional.normalize(cloud(4000, 16), dim=1)
    y = torch.nn.functional.normalize(cloud(40, 16, seed=1), dim=1)
    cached = solve(x, sketch_of(y), Problem(epsilon=0.01, tolerance=1e-3))
    plain = solve(x, sketch_of(y), Problem(epsilon=0.01, tolerance=1e-3, memory_bytes=0))
    assert cached.certificate.cached
    assert not plain.certificate.cached
    assert cached.certificate.dual_value == pytest.approx(plain.certificate.dual_value, abs=1e-5)
    top = [set(solved.scores(x).argsort()[:40].tolist()) for solved in (cached, plain)]
    assert len(top[0] & top[1]) >= 38


@pytest.mark.parametrize("memory_bytes", [2**30, 0], ids=["cached", "not cached"])
def test_reduced_products_are_certified_by_a_pass_of_exact_ones(memory_bytes: int) -> None:
    x = torch.nn.functional.normalize(cloud(6000, 64), dim=1)
    y = torch.nn.functional.normalize(cloud(60, 64, seed=1), dim=1)
    asked = Problem(epsilon=0.02, tolerance=1e-3, memory_bytes=memory_bytes)
    exact = solve(x, sketch_of(y), asked)
    reduced = solve(x, sketch_of(y), dataclasses.replace(asked, products="reduced"))
    assert reduced.certificate.converged
    assert reduced.certificate.dual_value == pytest.approx(exact.certificate.dual_value, abs=2e-5)
    matrix = -cost_matrix(x, y, "sqeuclidean") / 0.02 + reduced.g.numpy() / 0.02
    plan = np.exp(matrix - matrix.max(axis=1, keepdims=True))
    column = (plan / plan.sum(axis=1, keepdims=True)).mean(axis=0)
    assert np.abs(column - 1 / 60).sum() == pytest.approx(reduced.certificate.marginal_error, abs=1e-5)
    assert reduced.certificate.product_error < 0.2
    with product_precision("reduced", x.device):
        fewer_digits = x @ y.T
    # Another order of summation is worth 1e-7 at most, bfloat16 1e-4 at least.
    if bool(((fewer_digits - x @ y.T).abs() > 1e-5).any()):
        assert reduced.certificate.product_error > 1e-3
    else:
        assert reduced.certificate.product_error < 1e-4
    assert exact.certificate.product_error == 0
    assert torch.backends.mkldnn.matmul.fp32_precision == "none"


def test_giving_up_is_said() -> None:
    solved = solve(cloud(500, 3), sketch_of(cloud(50, 3, seed=1)), Problem(epsilon=0.01, tolerance=1e-12, max_passes=2))
    assert not solved.certificate.converged
    assert solved.certificate.marginal_error > 1e-12


def test_a_changed_target_starts_from_the_old_potentials_and_needs_fewer_passes() -> None:
    x, y = cloud(20_000, 16), cloud(200, 16, seed=1)
    problem = Problem(epsilon=0.5, tolerance=1e-4)
    old = solve(x, sketch_of(y), problem)
    y[:10] = cloud(10, 16, seed=9)
    cold, warm = solve(x, sketch_of(y), problem), solve(x, sketch_of(y), problem, initial=old)
    assert warm.certificate.converged
    passes = [solved.certificate.passes + solved.certificate.subsample_passes for solved in (warm, cold)]
    assert passes[0] < passes[1]
    assert warm.certificate.dual_value == pytest.approx(cold.certificate.dual_value, rel=1e-5)


def test_potentials_survive_saving(tmp_path) -> None:
    x, y = cloud(100, 4), cloud(20, 4, seed=1)
    solved = solve(x, sketch_of(y), Problem(epsilon=0.2), debias=True)
    solved.save(tmp_path / "potentials.safetensors")
    loaded = Potentials.load(tmp_path / "potentials.safetensors")
    assert torch.equal(loaded.scores(x), solved.scores(x))
    assert loaded.certificate == solved.certificate


def test_the_pull_of_targets_is_a_row_of_the_plan() -> None:
    x, y = cloud(30, 3), cloud(8, 3, seed=1)
    solved = solve(x, sketch_of(y), Problem(epsilon=0.3, tolerance=1e-10, dtype="float64"))
    index, mass = solved.target_pull(x.double(), k=8)
    plan = ot.bregman.sinkhorn_log(
        np.full(30, 1 / 30), np.full(8, 1 / 8), cost_matrix(x, y, "sqeuclidean"), 0.3, numItermax=20_000, stopThr=1e-9
    )
    dense = torch.zeros(30, 8, dtype=torch.float64).scatter_(1, index, mass.double())
    np.testing.assert_allclose(dense.numpy(), plan * 30, atol=1e-5)


def test_several_targets_give_what_one_by_one_gives() -> None:
    x, targets = cloud(400, 4), [sketch_of(cloud(20, 4, seed=seed)) for seed in (1, 2)]
    together = solve_many(x, targets, Problem(epsilon=0.2, tolerance=1e-5))
    for sketch, solved in zip(targets, together, strict=True):
        alone = solve(x, sketch, Problem(epsilon=0.2, tolerance=1e-5))
        assert solved.certificate.dual_value == pytest.approx(alone.certificate.dual_value, rel=1e-4)


def test_a_second_run_is_bit_identical() -> None:
    x, y = cloud(9000, 8), sketch_of(cloud(60, 8, seed=1))
    first, second = (solve(x, y, Problem(epsilon=0.05)) for _ in range(2))
    assert torch.equal(first.g, second.g)


def test_nan_is_named_by_shard_and_row() -> None:
    x = [cloud(10, 3).numpy(), cloud(10, 3).numpy()]
    x[1][4, 2] = np.nan
    with pytest.raises(TransportError, match="source shard 1, row 4 holds NaN"):
        solve(x, sketch_of(cloud(5, 3)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": torch.empty(0, 3)}, "no points"),
        ({"source": torch.zeros(4, 2)}, "expected \\(n, 3\\)"),
        ({"source": (row for row in ())}, "not a generator"),
        ({"source": torch.zeros(4, 3, dtype=torch.long).numpy()}, "dtype int64"),
        ({"weights": torch.tensor([1.0, -1.0, 1.0, 1.0])}, "weight 1 is -1.0"),
        ({"weights": torch.zeros(4)}, "all zero"),
        ({"weights": torch.ones(3)}, "length 3"),
    ],
)
def test_malformed_measures_say_what_is_wrong(change: dict, message: str) -> None:
    arguments = {"source": torch.zeros(4, 3), "sketch": sketch_of(cloud(5, 3)), **change}
    with pytest.raises(TransportError, match=message):
        solve(arguments.pop("source"), arguments.pop("sketch"), **arguments)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_agrees_with_the_cpu() -> None:
    x, y = cloud(20_000, 64), sketch_of(cloud(300, 64, seed=1))
    cpu = solve(x, y, Problem(epsilon=1.0, device="cpu", tolerance=1e-3))
    for products in ("float32", "reduced"):
        gpu = solve(x, y, Problem(epsilon=1.0, device="cuda", tolerance=1e-3, products=products))
        assert gpu.certificate.converged
        assert gpu.certificate.dual_value == pytest.approx(cpu.certificate.dual_value, rel=1e-4)


def test_what_a_solve_keeps_in_memory_does_not_show_in_what_it_finds() -> None:
    generator = torch.Generator().manual_seed(8)
    x, y = (torch.nn.functional.normalize(torch.randn(n, 16, generator=generator), dim=1) for n in (30_000, 40))
    found = []
    for memory in (0, 2**30):
        solved = solve(x, make_sketch(y, method="all"), Problem(epsilon=0.01, tolerance=1e-4, memory_bytes=memory))
        assert solved.certificate.cached == (memory > 0)
        found.append((solved.g, torch.from_numpy(np.asarray(solved.f))))
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))
