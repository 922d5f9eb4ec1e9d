import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mlflow import MlflowClient
from safetensors.torch import load_file
from transformers import get_scheduler

from gotd_assets.errors import InputError, TrainingError
from gotd_assets.models.heldout import LIKELIHOODS, evaluate_perplexity
from gotd_assets.models.language import load_language_model
from gotd_assets.models.perplexity import PerplexityReport
from gotd_assets.settings.training import TrainingSettings
from gotd_assets.training.loop import learning_rate, plan_updates
from gotd_assets.training.pre_fine_tuning import TrainingReport, pre_fine_tune
from gotd_assets_tests.models import tiny
from gotd_assets_tests.models.bfloat16 import computes_in_bfloat16
from gotd_assets_tests.once import mlflow_database


@pytest.fixture(scope="module")
def mlflow_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mlflow")
    shutil.copyfile(mlflow_database(), folder / "mlflow.db")
    return folder


@pytest.fixture
def tune(tmp_path, mlflow_folder):
    documents = tiny.write_documents(tmp_path / "subset.parquet", tiny.texts(30))
    tiny.write_documents(tmp_path / "held" / "documents-0.parquet", tiny.texts(6, seed=9))

    def run(settings: TrainingSettings, out: str = "out") -> tuple[TrainingReport, Path]:
        (tmp_path / out).mkdir()
        report = pre_fine_tune(
            documents,
            settings,
            root=tmp_path,
            cache=tmp_path / "cache",
            out=tmp_path / out,
            scratch=tmp_path / f"scratch-{out}",
            tracking=tiny.tracking(mlflow_folder),
            heldout=tmp_path / "held",
        )
        return report, tmp_path / out

    return run


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def test_last_layers_train_and_the_others_stay_bit_identical(tmp_path, tune):
    base = tiny.model_folder(tmp_path / "m", "llama")
    _, out = tune(tiny.settings(base, trainable_layers=1))
    before, after = weights(base), weights(out / "model")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {
        name for name in before if "layers.2." in name or name in {"model.norm.weight", "lm_head.weight"}
    }


def test_tied_output_layer_stays_as_it_is_when_only_last_layers_train(tmp_path, tune):
    base = tiny.model_folder(tmp_path / "m", "gpt2")
    _, out = tune(tiny.settings(base, trainable_layers=1))
    before, after = weights(base), weights(out / "model")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name in before if "h.2." in name or "ln_f" in name}


def test_gradient_accumulation_equals_the_larger_batch(tmp_path, tune):
    base = tiny.model_folder(tmp_path / "m", "llama")
    _, large = tune(tiny.settings(base, batch_size=8), "large")
    _, small = tune(tiny.settings(base, batch_size=2, gradient_accumulation=4), "small")
    expected, actual = weights(large / "model"), weights(small / "model")
    for name, weight in expected.items():
        # Adam divides by the root of the squared gradient, which magnifies rounding where gradients vanish.
        torch.testing.assert_close(actual[name], weight, rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize(("kind", "objective"), [("gpt2", "causal"), ("bert", "masked")])
def test_same_seed_same_bits_another_seed_other_weights(tmp_path, tune, kind, objective):
    base = tiny.model_folder(tmp_path / "m", kind)
    settings = tiny.settings(base, objective=objective)
    first, second, other = (
        weights(tune(s, name)[1] / "model")
        for s, name in ((settings, "a"), (settings, "b"), (settings.model_copy(update={"seed": 5}), "c"))
    )
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
def test_schedule_is_that_of_transformers_after_warm_up(tmp_path, schedule):
    settings = TrainingSettings(model="m", schedule=schedule, warmup_ratio=0.2, learning_rate=0.5)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    name = "constant_with_warmup" if schedule == "constant" else schedule
    oracle = get_scheduler(name, optimizer, num_warmup_steps=4, num_training_steps=20)
    for step in range(20):
        ours = learning_rate(settings, step, 20)
        assert ours == pytest.approx(0.5 * (step + 1) / 5 if step < 4 else oracle.get_last_lr()[0])
        optimizer.step()
        oracle.step()


def test_every_epoch_sees_every_document_once():
    settings = TrainingSettings(model="m", batch_size=3, gradient_accumulation=2, epochs=2.0)
    updates = plan_updates(list(range(5, 30)), settings)
    seen = [index for update in updates for batch in update for index in batch]
    assert sorted(seen) == sorted([*range(25), *range(25)])


@computes_in_bfloat16
def test_the_run_in_mlflow_tells_the_whole_training(tmp_path, tune, mlflow_folder):
    base = tiny.model_folder(tmp_path / "m", "llama")
    settings = tiny.settings(base, epochs=3.0, precision="bfloat16")
    report, out = tune(settings)
    client = MlflowClient(tiny.tracking(mlflow_folder).uri)
    run = client.get_run(report.mlflow_run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["dagster.run_id"] == "run-1"
    assert run.data.params["learning_rate"] == "0.01"
    assert run.data.params["base_model_version"] == report.base_model_version
    losses = client.get_metric_history(report.mlflow_run_id, "loss")
    assert [(m.step, m.value) for m in losses] == list(report.loss_curve)
    assert [m.step for m in client.get_metric_history(report.mlflow_run_id, "heldout_perplexity")] == [0, report.steps]
    dataset = run.inputs.dataset_inputs[0]
    assert (dataset.dataset.digest, dataset.tags[0].value) == ("ab" * 16, "training")
    assert run.outputs.model_outputs
    content = json.loads((out / "training.json").read_text())
    assert content["mlflow_run_id"] == report.mlflow_run_id
    assert content["loss_curve"] == [list(point) for point in report.loss_curve]
    assert load_language_model(tiny.settings(out / "model"), tmp_path, tmp_path / "cache")


def test_likelihoods_are_kept_with_the_model_and_only_further_documents_are_measured(tmp_path, tune):
    settings = tiny.settings(tiny.model_folder(tmp_path / "m", "llama"), evaluation_documents=4)
    report, out = tune(settings)

    def measured(documents: int) -> tuple[PerplexityReport, list[str]]:
        told: list[str] = []
        found = evaluate_perplexity(
            settings.model_copy(update={"evaluation_documents": documents}),
            {"trained": out},
            tmp_path / "held",
            root=tmp_path,
            cache=tmp_path / "cache",
            progress=lambda progress: told.append(str(progress)),
        )
        return found["trained"], told

    kept, told = measured(4)
    assert report.after is not None
    assert kept.as_summary() == report.after.as_summary()
    assert told == []
    more, told = measured(6)
    assert told[-1] == "trained: perplexity: 2 of 2 documents"
    # As the saved model itself says.
    (out / LIKELIHOODS).unlink()
    again, told = measured(6)
    assert told[-1] == "trained: perplexity: 6 of 6 documents"
    assert more.document_nll == pytest.approx(again.document_nll, rel=1e-6)
    assert more.document_nll[:4].tolist() == report.after.document_nll.tolist()


def test_a_large_epsilon_of_adam_makes_small_steps(tmp_path, tune):
    folder = tiny.model_folder(tmp_path / "m", "gpt2")
    before = weights(folder)

    def moved(out):
        return sum(float((weight - before[name]).norm()) for name, weight in weights(out / "model").items())

    _, usual = tune(tiny.settings(folder), "usual")
    _, damped = tune(tiny.settings(folder, adam_epsilon=10.0), "damped")
    assert 0 < moved(damped) < 0.1 * moved(usual)


def test_divergence_stops_the_training_and_fails_the_run(tmp_path, tune, mlflow_folder):
    base = tiny.model_folder(tmp_path / "m", "llama")
    with pytest.raises(TrainingError, match=r"diverged at step .* lower training.learning_rate"):
        tune(tiny.settings(base, learning_rate=1e38, epochs=3.0))
    run_id = (tmp_path / "scratch-out" / "mlflow_run_id").read_text()
    assert MlflowClient(tiny.tracking(mlflow_folder).uri).get_run(run_id).info.status == "FAILED"


def test_too_many_layers_are_refused(tmp_path, tune):
    with pytest.raises(InputError, match="has 3 layers"):
        tune(tiny.settings(tiny.model_folder(tmp_path / "m", "gpt2"), trainable_layers=4))


_KILLED = """
import os, signal, sys
from pathlib import Path
from gotd_assets.training.pre_fine_tuning import pre_fine_tune
from gotd_assets.training.loop import Step
from gotd_assets_tests.models import tiny
folder, mlflow = Path(sys.argv[1]), Path(sys.argv[2])
def kill(progress):
    if isinstance(progress, Step) and progress.step == 5:
        os.kill(os.getpid(), signal.SIGKILL)
(folder / "dead").mkdir()
pre_fine_tune(folder / "subset.parquet", tiny.settings(folder / "m", checkpoint_steps=3, epochs=2.0), root=folder,
    cache=folder / "cache", out=folder / "dead", scratch=folder / "scratch-killed", tracking=tiny.tracking(mlflow),
    heldout=folder / "held", progress=kill)
"""


def test_a_killed_training_goes_on_to_the_same_weights_in_the_same_run(tmp_path, tune, mlflow_folder):
    settings = tiny.settings(tiny.model_folder(tmp_path / "m", "gpt2"), checkpoint_steps=3, epochs=2.0)
    whole, out = tune(settings, "whole")
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED, str(tmp_path), str(mlflow_folder)],
        env=os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    run_id = (tmp_path / "scratch-killed" / "mlflow_run_id").read_text()
    report, resumed = tune(settings, "killed")
    assert report.mlflow_run_id == run_id
    expected, actual = weights(out / "model"), weights(resumed / "model")
    assert all(torch.equal(expected[name], actual[name]) for name in expected)
    assert report.loss_curve == whole.loss_curve
    steps = [m.step for m in MlflowClient(tiny.tracking(mlflow_folder).uri).get_metric_history(run_id, "loss")]
    assert sorted(steps) == list(range(1, whole.steps + 1))
