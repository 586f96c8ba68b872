"""What is timed of a network: its forward pass, and forward and backward, in each precision, memory format and mode."""

from dataclasses import dataclass
from enum import StrEnum
from itertools import product

PRECISIONS = ("fp32", "fp16", "bf16")


class Pass(StrEnum):
    """What is run: the forward pass without gradients, or a training iteration without an optimiser."""

    FORWARD = "forward"
    TRAINING = "forward and backward"


@dataclass(frozen=True)
class Row:
    """One row of the table."""

    system: str
    what: Pass
    precision: str
    channels_last: bool
    compiled: bool

    @property
    def name(self) -> str:
        """As it stands in the table."""
        layout = "channels_last" if self.channels_last else "contiguous"
        mode = "compiled" if self.compiled else "eager"
        return f"{self.system} {self.what}, {self.precision} {layout} {mode}"

    @property
    def plain(self) -> "Row":
        """The row that it is compared with."""
        return Row(self.system, self.what, "fp32", channels_last=False, compiled=False)


def rows_of(system: str) -> list[Row]:
    """All rows of a system, in the order of the table."""
    return [Row(system, *rest) for rest in product(Pass, PRECISIONS, (False, True), (False, True))]
