"""What a problem refuses, and that all that is computed goes by it: solves, scores, sources prepared for it, files."""

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from gotd_assets.errors import TransportError
from gotd_assets.transport import (
    Potentials,
    PreparedSource,
    Problem,
    Sketch,
    make_sketch,
    ot_value,
    self_potential,
    sinkhorn_divergence,
    solve,
    solve_many,
)
from gotd_assets_tests.transport.recorded import devices_asked

MISSING = "cuda:97"


def cloud(n: int, d: int, seed: int = 0, shift: float = 0.0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) + shift


def sketch_of(points: torch.Tensor) -> Sketch:
    return make_sketch(points, method="all")


X, Y = cloud(300, 4), cloud(20, 4, seed=1, shift=0.5)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"cost": "cosine"}, "cost 'cosine' is not known: use 'sqeuclidean' or 'euclidean'"),
        ({"epsilon_scale": "max"}, "epsilon_scale 'max' is not known: use 'absolute' or 'mean' or 'median'"),
        ({"solver": "sinkhorn"}, "solver 'sinkhorn' is not known"),
        ({"dtype": "float16"}, "dtype 'float16' is not known"),
        ({"products": "half"}, "products 'half'"),
        ({"products": ["reduced"]}, r"products \['reduced'\] is not known"),
        ({"products": "reduced", "dtype": "float64"}, "use 'float32', or 'reduced' with float32"),
        ({"epsilon": 0.0}, "epsilon is 0.0"),
        ({"epsilon": math.nan}, "epsilon is nan"),
        ({"epsilon": "0.1"}, "epsilon is '0.1'; it must be a number"),
        ({"epsilon": None}, "epsilon is None; it must be a number"),
        ({"tolerance": math.inf}, "tolerance is inf; it must be positive and finite"),
        ({"tolerance": True}, "tolerance is True; it must be a number"),
        ({"overlap": 1.5}, "overlap is 1.5; it must be a number from 0 to 1"),
        ({"top_share": "1 %"}, "top_share is '1 %'; it must be a number from 0 to 1"),
        ({"score_error": 0}, "score_error is 0.0; it must be positive"),
        ({"reach": -1}, "reach is -1.0; it must be positive and finite"),
        ({"max_passes": 2.5}, "max_passes is 2.5; it must be a whole number of at least 1"),
        ({"max_passes": 0}, "max_passes is 0"),
        ({"max_passes": True}, "max_passes is True"),
        ({"memory_bytes": -1}, "memory_bytes is -1; it must be a whole number of at least 0"),
        ({"memory_bytes": 2.0**31}, "memory_bytes is 2147483648.0"),
        ({"device": "gpu"}, "device 'gpu' cannot be used on this machine"),
        ({"device": MISSING}, f"device '{MISSING}' cannot be used on this machine"),
        ({"device": None}, "device None cannot be used on this machine"),
    ],
    ids=str,
)
def test_a_problem_says_what_is_wrong_with_it(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(TransportError, match=message):
        Problem(**wrong)


def test_public_names_are_what_they_say_also_after_their_modules_were_imported() -> None:
    from gotd_assets import transport

    for name in transport.__all__:
        assert callable(getattr(transport, name)), name


def test_numbers_of_numpy_become_plain_ones() -> None:
    problem = Problem(epsilon=np.float32(0.5), tolerance=np.float64(1e-3), max_passes=np.int64(3), reach=2)
    assert problem == Problem(epsilon=0.5, tolerance=1e-3, max_passes=3, reach=2.0)
    assert [type(getattr(problem, name)) for name in ("epsilon", "tolerance", "max_passes", "reach")] == [
        float,
        float,
        int,
        float,
    ]


def test_potentials_carry_what_they_solve_with_an_absolute_epsilon() -> None:
    asked = Problem(cost="euclidean", epsilon=0.1, epsilon_scale="mean", reach=3.0, max_passes=9, memory_bytes=0)
    solved = solve(X, sketch_of(Y), asked)
    mean = float(torch.cdist(X.double(), Y.double()).mean())
    assert solved.problem.epsilon == pytest.approx(0.1 * mean, rel=1e-5)
    assert solved.problem == dataclasses.replace(asked, epsilon=solved.certificate.epsilon, epsilon_scale="absolute")


@pytest.mark.parametrize(
    "compute",
    [
        lambda solved: solved.scores(X),
        lambda solved: solved.soft_c_transform(X.numpy()),
        lambda solved: solved.target_pull(X[:2]),
        lambda solved: solved.debiased(X).scores(X),
        lambda solved: solved.again(X),
        lambda solved: solve(X, solved.sketch, solved.problem, initial=solved, debias=True),
        lambda solved: solve_many(X, [solved.sketch], solved.problem),
        lambda solved: ot_value(X, solved.sketch, solved.problem),
        lambda solved: sinkhorn_divergence(sketch_of(X[:50]), solved.sketch, solved.problem),
        lambda solved: self_potential(solved.sketch, solved.problem),
        lambda solved: PreparedSource.of(X, solved.sketch.centre, solved.problem),
    ],
    ids=[
        "scores",
        "soft c-transform",
        "pull",
        "debiased",
        "again",
        "solve",
        "solve many",
        "value",
        "divergence",
        "self-potential",
        "source",
    ],
)
def test_everything_is_computed_on_the_device_of_the_problem(
    compute: Callable[[Potentials], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    solved = solve(X, sketch_of(Y), Problem(epsilon=0.3, device="cpu:0"))
    assert solved.certificate.device == "cpu:0"
    asked = devices_asked(monkeypatch)
    compute(solved)
    assert set(asked) == {"cpu:0"}


def test_solved_again_is_what_a_solve_from_there_gives() -> None:
    problem = Problem(epsilon=0.2, tolerance=1e-4, memory_bytes=0, max_passes=60)
    solved = solve(X, sketch_of(Y), problem)
    weights = np.linspace(1, 2, len(X))
    other = sketch_of(torch.cat([Y[3:], cloud(3, 4, seed=5)]))
    for again, asked in (
        (solved.again(X, weights=weights), solve(X, solved.sketch, problem, weights=weights, initial=solved)),
        (solved.again(X, sketch=other), solve(X, other, problem, initial=solved)),
        (
            solved.again(X, sketch=other, tolerance=0.05),
            solve(X, other, dataclasses.replace(problem, tolerance=0.05), initial=solved),
        ),
    ):
        assert torch.equal(again.g, asked.g)
        assert again.problem == asked.problem
    seen: list[str] = []
    solved.again(X, weights=weights, progress=lambda now: seen.append(now.stage))
    assert "full pass" in seen


def test_geomloss_begins_nowhere_and_what_goes_on_from_it_is_the_semidual() -> None:
    reference = solve(X, sketch_of(Y), Problem(epsilon=0.5, solver="geomloss"))
    assert reference.again(X).certificate.solver == "semidual"
    with pytest.raises(TransportError, match="'geomloss' cannot start from potentials"):
        solve(X, sketch_of(Y), reference.problem, initial=reference)


@pytest.mark.parametrize("weights", [None, np.linspace(0, 3, 300)], ids=["uniform", "weighted"])
def test_a_prepared_source_gives_what_its_shards_give(weights: np.ndarray | None) -> None:
    sketch, problem = sketch_of(Y), Problem(epsilon=0.2)
    prepared = PreparedSource.of(X, sketch.centre, problem)
    plain = solve(X.numpy(), sketch, problem, weights=weights)
    for solved in (
        solve(prepared, sketch, problem, weights=weights),
        solve(PreparedSource.of(X, sketch.centre, problem, weights=weights), sketch, problem),
        *solve_many(prepared, [sketch], problem, weights=weights),
    ):
        assert torch.equal(solved.g, plain.g)
    if weights is not None:
        shares = torch.from_numpy(weights)
        assert torch.equal(solve(prepared.weighted(shares / shares.sum()), sketch, problem).g, plain.g)


def test_a_prepared_source_is_not_taken_for_another_problem() -> None:
    sketch, problem = sketch_of(Y), Problem(device="cpu")
    prepared = PreparedSource.of(X, sketch.centre, problem)
    assert PreparedSource.of(prepared, sketch.centre, problem) is prepared
    with pytest.raises(TransportError, match=r"for cpu and torch\.float32, .* asks for cpu and torch\.float64"):
        solve(prepared, sketch, dataclasses.replace(problem, dtype="float64"))
    with pytest.raises(TransportError, match=r"prepared for cpu and torch\.float32, the problem asks for cpu:0"):
        solve(prepared, sketch, dataclasses.replace(problem, device="cpu:0"))
    with pytest.raises(TransportError, match="prepared with points of dimension 4, the target's have 3"):
        solve(prepared, sketch_of(Y[:, :3]), problem)
    with pytest.raises(TransportError, match="source weights have length 7, but there are 300 points"):
        solve(prepared, sketch, problem, weights=torch.ones(7))
    with pytest.raises(TransportError, match=r"weight 2 is -1\.0"):
        prepared.weighted(torch.where(torch.arange(300) == 2, -1.0, 1 / 300))
    with pytest.raises(TransportError, match="sum to 300; divide them by their sum"):
        prepared.weighted(torch.ones(300))


def test_a_sketch_with_nan_is_named_as_such() -> None:
    with pytest.raises(TransportError, match="the sketch holds NaN"):
        solve(X, dataclasses.replace(sketch_of(Y), points=torch.full((20, 4), math.nan)))


def test_one_measure_has_no_relative_epsilon_and_a_divergence_no_reach() -> None:
    with pytest.raises(TransportError, match="a self-potential has one measure only"):
        self_potential(sketch_of(Y), Problem(epsilon_scale="mean"))
    with pytest.raises(TransportError, match="reach is 2; the divergence is of balanced measures"):
        sinkhorn_divergence(sketch_of(X), sketch_of(Y), Problem(reach=2.0))
    relative = Problem(epsilon=0.1, epsilon_scale="mean", tolerance=1e-4)
    epsilon = solve(X, sketch_of(Y), relative).problem.epsilon
    values = [
        sinkhorn_divergence(sketch_of(X), sketch_of(Y), problem)
        for problem in (relative, Problem(epsilon=epsilon, tolerance=1e-4))
    ]
    assert values[0] == pytest.approx(values[1], rel=1e-9)


# What release 0.1 writes.
FACTS = {
    "cost": "euclidean",
    "epsilon": 0.25,
    "reach": 4.0,
    "mean_f": 0.5,
    "certificate": {
        "dual_value": 1.0,
        "primal_upper_bound": 1.5,
        "gap": 0.5,
        "marginal_error": 0.001,
        "tolerance": 0.003,
        "converged": True,
        "passes": 3,
        "subsample_passes": 4,
        "subsample_rows": 0,
        "seconds": 2.0,
        "epsilon": 0.25,
        "n_source": 300,
        "n_target": 20,
        "solver": "semidual",
        "cached": True,
        "dtype": "float32",
        "device": "cuda",
        "products": "reduced",
        "product_error": 0.01,
    },
    "sketch": {"method": "kmeans", "error": 0.125},
}
TENSORS = {
    "g": (torch.float64, (20,)),
    "points": (torch.float32, (20, 4)),
    "weights": (torch.float64, (20,)),
    "column": (torch.float64, (20,)),
    "self_g": (torch.float64, (300,)),
    "self_points": (torch.float32, (300, 4)),
    "self_weights": (torch.float64, (300,)),
}


def test_of_a_file_the_mathematics_is_taken_and_of_the_problem_the_computing(tmp_path: Path) -> None:
    path = tmp_path / "potentials.safetensors"
    save_file(
        {name: torch.full(shape, 1 / shape[0], dtype=dtype) for name, (dtype, shape) in TENSORS.items()},
        path,
        {"potentials": json.dumps(FACTS)},
    )
    computing = {"device": "cpu:0", "memory_bytes": 5, "max_passes": 11, "products": "float32"}
    given = Problem(epsilon=7.0, epsilon_scale="median", reach=None, tolerance=0.5, solver="geomloss", **computing)
    loaded = Potentials.load(path, given)
    mathematics = {"cost": "euclidean", "epsilon": 0.25, "reach": 4.0, "tolerance": 0.003}
    assert loaded.problem == Problem(**mathematics, **computing)
    told = dataclasses.asdict(loaded.certificate)
    assert {name: told[name] for name in FACTS["certificate"]} == FACTS["certificate"]
    assert {told[name] for name in set(told) - set(FACTS["certificate"])} == {None, 0.0}
    assert Potentials.load(path).problem == Problem(**mathematics)


ADDED = ["rounding", "newton_gap", "score_error", "top_share_overlap", "lambda2", "stopped"]


def test_the_file_holds_what_it_always_held_but_no_seconds_and_is_the_same_each_time(tmp_path: Path) -> None:
    path, again = tmp_path / "potentials.safetensors", tmp_path / "again.safetensors"
    for file in (path, again):
        solve(X, sketch_of(Y), Problem(epsilon=0.2), debias=True).save(file)
    assert path.read_bytes() == again.read_bytes()
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in [*TENSORS, *file.keys()]}
        facts = json.loads(file.metadata()["potentials"])
    assert {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()} == TENSORS
    shard = load_file(tmp_path / "potentials-f-00001-of-00001.safetensors")
    assert {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in shard.items()} == {
        "f": (torch.float32, (300,))
    }
    certificate = [name for name in FACTS["certificate"] if name != "seconds"] + ADDED
    for section, told in (
        ("whole", [*FACTS, "f_rows_of_shards"]),
        ("certificate", certificate),
        ("sketch", FACTS["sketch"]),
    ):
        assert list(facts if section == "whole" else facts[section]) == list(told)


def test_a_file_in_float64_does_not_go_with_reduced_products(tmp_path: Path) -> None:
    path = tmp_path / "potentials.safetensors"
    solve(X, sketch_of(Y), Problem(dtype="float64")).save(path)
    with pytest.raises(TransportError, match="products 'reduced' with dtype 'float64'"):
        Potentials.load(path, Problem(products="reduced"))
