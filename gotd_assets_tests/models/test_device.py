"""Which device and number format a model gets: by what the processor's products do, not by what its flags say."""

import os
import subprocess
import sys

import pytest
import torch

from gotd_assets.errors import InputError
from gotd_assets.models import device
from gotd_assets.models.device import choose_device, choose_precision, has_bfloat16
from gotd_assets_tests.models.bfloat16 import computes_in_bfloat16

CPU = torch.device("cpu")


def told(instructions: str) -> str:
    """What another process says of bfloat16 on this processor, in which oneDNN may use `instructions` only."""
    script = (
        "import torch; from gotd_assets.models.device import choose_precision, has_bfloat16; "
        "cpu = torch.device('cpu'); print(has_bfloat16(cpu), choose_precision('auto', cpu))"
    )
    return subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "ONEDNN_MAX_CPU_ISA": instructions},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def test_without_limits_products_use_the_instructions_that_the_processor_has() -> None:
    capable = torch.cpu.get_capabilities()
    if "ONEDNN_MAX_CPU_ISA" in os.environ or capable.get("avx_ne_convert"):
        pytest.skip("here flags and products need not agree")
    assert has_bfloat16(CPU) == any(capable.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))


@pytest.mark.skipif(
    torch.cpu.get_capabilities().get("architecture") != "x86_64", reason="the limit is known on x86 alone"
)
@pytest.mark.parametrize("instructions", ["AVX2", "AVX512_CORE"])
def test_bfloat16_that_is_emulated_or_impossible_is_not_chosen(instructions: str) -> None:
    assert told(instructions) == "False torch.float32"


@pytest.mark.parametrize(
    ("small", "has_it"), [(0.0, True), (64 * 2.0**-110, False), (None, False)], ids=["native", "emulated", "impossible"]
)
def test_the_format_follows_what_products_do_with_small_numbers(
    monkeypatch: pytest.MonkeyPatch, small: float | None, has_it: bool
) -> None:
    monkeypatch.setattr(device, "_tiny_product", lambda *, exact=False: 64 * 2.0**-110 if exact else small)
    assert has_bfloat16(CPU) == has_it
    assert choose_precision("auto", CPU) is (torch.bfloat16 if has_it else torch.float32)
    if small is None:
        with pytest.raises(InputError, match=r"encoder\.dtype 'bfloat16'.*set it to 'auto' or 'float32'"):
            choose_precision("bfloat16", CPU, "encoder.dtype")


@computes_in_bfloat16
def test_a_format_that_is_named_is_taken() -> None:
    formats = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    assert {name: choose_precision(name, CPU) for name in formats} == formats


def test_a_process_that_takes_tiny_numbers_for_zero_is_given_float32() -> None:
    script = (
        "import torch; torch.set_flush_denormal(True); from gotd_assets.models.device import has_bfloat16; "
        "print(has_bfloat16(torch.device('cpu')))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_device_that_is_not_there_is_named_with_its_setting() -> None:
    assert choose_device("cpu") == CPU
    with pytest.raises(InputError, match=r"encoder\.device 'cuda:99' cannot be used on this machine"):
        choose_device("cuda:99", "encoder.device")
