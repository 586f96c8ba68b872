"""The ceiling of a network: the rate at which the device multiplies two large square matrices of the same dtype."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor

from tonearm.benchmarks.harness import Contestant, Measurement, Role
from tonearm.seeding import torch_generator

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
SIZES = {"cuda": 8192, "cpu": 2048}  # rows and columns: 1.1 TFLOP and 17 GFLOP a product
CHECKED_COLUMNS = 64
TOLERANCE = 0.02  # relative; bf16 keeps 8 bits, and the errors of a sum average out


class MatrixProduct:
    """A large product of square matrices, in the dtype of a precision.

    Where convolutions in float32 may use TF32, as they do on a GPU unless told otherwise, so may this product: else a
    network could pass its ceiling.

    Args:
        precision: "fp32", "fp16" or "bf16".
        device: where.
    """

    def __init__(self, precision: str, device: torch.device) -> None:
        self.precision, self.device, self.size = precision, device, SIZES[device.type]
        self.flop = 2 * self.size**3

    def contestant(self, name: str) -> Contestant:
        """To be measured beside the network; its "clips" are products, until :meth:`ceiling` makes them clips."""
        operands: list[Tensor] = []

        def setup() -> None:
            generator = torch_generator("matrix rate")
            for _ in range(2):
                operand = torch.randn(self.size, self.size, generator=generator)
                operands.append(operand.to(self.device, DTYPES[self.precision]))
            operands.append(torch.empty_like(operands[0]))

        def run() -> int:
            left, right, out = operands
            with self._as_convolutions(), torch.no_grad():
                torch.mm(left, right, out=out)
            return 1

        def check() -> str | None:
            run()
            left, right, out = operands
            expected = left[0].double() @ right[:, :CHECKED_COLUMNS].double()
            error = float((out[0, :CHECKED_COLUMNS] - expected).norm() / expected.norm())
            return None if error < TOLERANCE else f"its first row is off by {error:.2%}."

        return Contestant(name, run, role=Role.CEILING, setup=setup, check=check, teardown=operands.clear)

    def ceiling(
        self, product: Measurement, *, name: str, group: str, num_clips: int, flop_per_clip: int
    ) -> Measurement:
        """What was measured, told in clips: how long the FLOPs of ``num_clips`` clips take at the product's rate."""
        products_per_pass = num_clips * flop_per_clip / self.flop
        seconds = tuple(products_per_pass * each / product.num_clips for each in product.seconds)
        rate = product.clips_per_second().median * self.flop
        what = "TF32" if self.precision == "fp32" and tf32_in_convolutions(self.device) else self.precision
        note = f"{rate_text(rate)} in a product of {what} matrices, {self.size} × {self.size}"
        return replace(product, name=name, group=group, num_clips=num_clips, seconds=seconds, note=note)

    @contextmanager
    def _as_convolutions(self) -> Iterator[None]:
        """Matrix products in TF32 where convolutions are."""
        matmul = torch.backends.cuda.matmul
        before = matmul.allow_tf32
        matmul.allow_tf32 = before or tf32_in_convolutions(self.device)
        try:
            yield
        finally:
            matmul.allow_tf32 = before


def tf32_in_convolutions(device: torch.device) -> bool:
    """Whether float32 convolutions on ``device`` round their factors to TF32's 10 bits."""
    return (
        device.type == "cuda"
        and torch.backends.cudnn.allow_tf32
        and torch.cuda.get_device_capability(device) >= (8, 0)  # Ampere
    )


def rate_text(flop_per_second: float) -> str:
    """``12.3 GFLOP/s``, ``456 TFLOP/s``."""
    giga = flop_per_second / 1e9
    return f"{giga:.3g} GFLOP/s" if giga < 999.5 else f"{giga / 1e3:.3g} TFLOP/s"
