"""The state of a loader: a position, and everything that has to be equal for the position to mean the same."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tonearm.errors import RequestError


class LoaderState(BaseModel):
    """How far a loader was consumed.

    Attributes:
        epoch: the pass it is in.
        batches: consumed of that pass, on each rank.
        dataset: hash of the content and the selection.
        seed, batch_size, world_size, num_samples, shuffle, weights: the loader's settings; weights as a hash.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    epoch: int = Field(ge=0)
    batches: int = Field(ge=0)
    dataset: str
    seed: int
    batch_size: int
    world_size: int
    num_samples: int
    shuffle: str
    weights: str

    @classmethod
    def read(cls, state: dict[str, Any]) -> "LoaderState":
        """Check a state that comes from a file.

        Raises:
            RequestError: it is not what ``state_dict`` returned.
        """
        try:
            return cls.model_validate(state)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise RequestError(
                f"not the state of a loader: {'.'.join(map(str, first['loc'])) or 'state'}: {first['msg']}."
            ) from error

    def refuse_if_other(self, expected: "LoaderState") -> None:
        """Compare with the loader that is to go on from here.

        Raises:
            RequestError: names the first setting that differs.
        """
        for name, value in expected.model_dump().items():
            found = getattr(self, name)
            if found != value:
                what = f"{name} {found}, this one has {value}" if len(str(value)) < 40 else f"another {name}"
                raise RequestError(f"the loader's state cannot be taken up: it is of a loader with {what}. Begin the "
                                   "epoch anew, or make the loader as it was.")  # fmt: skip
