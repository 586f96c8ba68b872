"""The index beside the shards: what a dataset has, so that it opens without opening its shards.

``index.h5`` holds ``/clips`` of all shards, with the column ``shard``. ``index.json`` holds the header of the dataset,
the SHA-256 of ``index.h5``, and for each shard its name, size, where /audio lies, and the SHA-256 of its metadata.

A change is made at the moment when ``index.json`` is renamed into its place. The new columns are written before that,
as ``index.next.h5``, and become ``index.h5`` after it. A reader takes the one of the two whose SHA-256 ``index.json``
names, so that a kill at any moment leaves the dataset either as it was or changed.

What the index says of labels, folds, splits, groups and subsets counts; the shards hold what was known when they were
packed. A dataset that was appended to consists of several packs, whose shards are numbered on.
"""

import hashlib
from pathlib import Path
from typing import Annotated, Literal

import h5py
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tonearm.dataio.atomic import atomic_path, write_text
from tonearm.dataio.columns import CODECS, ClipTable, check_columns, concatenate, read_columns, write_columns
from tonearm.dataio.shards import FORMAT_VERSION, MADE_ANEW, DatasetHeader, Shard
from tonearm.errors import RequestError, RunError, ShardError

INDEX_JSON = "index.json"
INDEX_H5 = "index.h5"
INDEX_NEXT = "index.next.h5"  # the columns of a change that is being made
INDEX_FILES = (INDEX_JSON, INDEX_H5, INDEX_NEXT)

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ShardEntry(_Strict):
    """What the index says of one shard; sizes in bytes."""

    file: Annotated[str, Field(pattern=r"^shard-\d{5,}\.h5$")]
    num_clips: Annotated[int, Field(ge=0, lt=2**31)]
    num_bytes: Annotated[int, Field(gt=0, lt=2**48)]
    audio_offset: Annotated[int, Field(ge=0, lt=2**48)]
    audio_nbytes: Annotated[int, Field(gt=0, lt=2**48)]
    metadata_sha256: Sha256


class PackEntry(_Strict):
    """One pack: the shards from the number at which the one before ended up to ``end``."""

    end: Annotated[int, Field(gt=0, lt=2**31)]
    manifest_sha256: Sha256
    pack_sha256: Sha256
    versions: dict[str, str]


class Index(_Strict):
    """``index.json``; ``relabelled`` tells that the index is more than the sum of its shards."""

    format_version: Literal[1]
    dataset: str
    class_names: Annotated[list[str], Field(min_length=1)]
    codec: Literal["pcm16", "flac", "source"]
    sample_rate: Annotated[int, Field(gt=0, lt=2**31)]
    num_channels: Annotated[int, Field(gt=0, le=64)]
    relabelled: bool
    packs: Annotated[list[PackEntry], Field(min_length=1)]
    index_sha256: Sha256
    shards: Annotated[list[ShardEntry], Field(min_length=1)]

    @model_validator(mode="after")
    def _fits_together(self) -> "Index":
        ends = [pack.end for pack in self.packs]
        if ends != sorted(set(ends)) or ends[-1] != len(self.shards):
            raise ValueError("the packs do not end at the last shard")
        if len(set(self.class_names)) != len(self.class_names):
            raise ValueError("two classes have one name")
        return self

    @property
    def changed(self) -> bool:
        """Whether the dataset was appended to or relabelled since it was packed."""
        return self.relabelled or len(self.packs) > 1

    def sha256(self) -> str:
        """A hash of all of it, and by the hashes in it of all that the dataset holds."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    def header(self) -> DatasetHeader:
        """What the dataset is by now, with the hashes and versions of its last pack."""
        last = self.packs[-1]
        return DatasetHeader(
            name=self.dataset, class_names=tuple(self.class_names), codec=self.codec, sample_rate=self.sample_rate,
            num_channels=self.num_channels, num_shards=len(self.shards), manifest_sha256=last.manifest_sha256,
            pack_sha256=last.pack_sha256, versions=last.versions,
        )  # fmt: skip

    def check_shard(self, shard: Shard, number: int) -> None:
        """Compare a shard with what the index says of the shard with this number.

        Raises:
            ShardError: it is another one.
        """
        entry = self.shards[number]
        pack = next(pack for pack in self.packs if number < pack.end)
        found = (
            shard.number, len(shard.table), shard.audio_offset, shard.audio_nbytes, shard.metadata_sha256,
            shard.header.pack_sha256, shard.header.codec, shard.header.sample_rate, shard.header.num_channels,
        )  # fmt: skip
        expected = (
            number, entry.num_clips, entry.audio_offset, entry.audio_nbytes, entry.metadata_sha256,
            pack.pack_sha256, self.codec, self.sample_rate, self.num_channels,
        )  # fmt: skip
        if found != expected:
            raise ShardError(f"{shard.path}: not the shard that the index describes. Delete it. {MADE_ANEW}")


def write_index(out: Path, shards: list[Shard]) -> None:
    """Write the index of the shards of one pack, which are complete."""
    header = shards[0].header
    document = Index(
        format_version=1,
        dataset=header.name,
        class_names=list(header.class_names),
        codec=header.codec,  # type: ignore[arg-type]
        sample_rate=header.sample_rate,
        num_channels=header.num_channels,
        relabelled=False,
        packs=[_pack_entry(header, len(shards))],
        index_sha256="0" * 64,
        shards=[_shard_entry(shard) for shard in shards],
    )
    replace_index(out, document, concatenate([shard.table for shard in shards]))


def extend_index(out: Path, index: Index, table: ClipTable, shards: list[Shard]) -> None:
    """Add the shards of one more pack, which are complete, to what ``index`` and ``table`` say; see append."""
    header = shards[0].header
    entries = [*index.shards, *(_shard_entry(shard) for shard in shards)]
    changes = {
        "class_names": list(header.class_names),
        "packs": [*index.packs, _pack_entry(header, len(entries))],
        "shards": entries,
    }
    replace_index(out, index.model_copy(update=changes), concatenate([table, *(shard.table for shard in shards)]))


def replace_index(out: Path, index: Index, table: ClipTable) -> None:
    """Write ``index``, for the columns ``table``, in place of the index that is there, if any; see the module.

    Raises:
        RunError: the disk is full, or the folder cannot be written to. The index that was there still counts.
    """
    try:
        _finish_replacing(out)
        with atomic_path(out / INDEX_NEXT) as temporary:
            creation = h5py.h5p.create(h5py.h5p.FILE_CREATE)
            creation.set_obj_track_times(False)
            with h5py.File(h5py.h5f.create(bytes(temporary), h5py.h5f.ACC_TRUNC, fcpl=creation)) as file:
                write_columns(file.create_group("clips"), table, with_shard=True)
        document = index.model_copy(update={"index_sha256": _sha256(out / INDEX_NEXT)})
        write_text(out / INDEX_JSON, document.model_dump_json(indent=1) + "\n")
        (out / INDEX_NEXT).replace(out / INDEX_H5)
    except OSError as error:
        why = error.strerror or "HDF5 could not write it; is the disk full?"
        raise RunError(
            f"{out}: the index cannot be written ({why}). Make room, or mend the folder's rights, and run the same "
            "command again."
        ) from error


def read_index(root: Path) -> tuple[Index, ClipTable]:
    """Read and check the index of a packed dataset; one that is replaced meanwhile is read again.

    Raises:
        RequestError: ``root`` is not a packed dataset.
        ShardError: the index is damaged or of another format version.
    """
    failed = b""
    while True:
        text = _read_json(root)
        try:
            index = _parse(root / INDEX_JSON, text)
            table = _read_table(root, index)
        except ShardError:
            if text == failed:  # twice the same: it is not a change whose last rename came in between
                raise
            failed = text
        else:
            if _read_json(root) == text:
                return index, table


def _read_json(root: Path) -> bytes:
    path = root / INDEX_JSON
    if not root.is_dir():
        what = "a file, not a folder" if root.is_file() else "no such folder"
        raise RequestError(f"{root}: {what}. Give the folder that tonearm pack wrote.")
    if not path.is_file():
        if (root / "last.pt").is_file():
            raise RequestError(f"{root}: a run of tonearm train, not a packed dataset. Are the arguments swapped?")
        unfinished = any(root.glob("*shard-*.h5*"))
        hint = "tonearm pack makes one"
        if unfinished:
            hint = "the pack is not finished: if it no longer runs, run the same tonearm pack again"
        raise RequestError(f"{root}: not a packed dataset, {INDEX_JSON} is missing: {hint}.")
    try:
        return path.read_bytes()
    except OSError as error:
        raise ShardError(f"{path}: cannot be read ({error.strerror}).") from error


def _parse(path: Path, text: bytes) -> Index:
    try:
        return Index.model_validate_json(text)
    except ValidationError as error:
        raise ShardError(_explain(path, error)) from error


def _read_table(root: Path, index: Index) -> ClipTable:
    where = _columns_file(root, index.index_sha256)
    if where is None:
        raise ShardError(
            f"{root / INDEX_H5}: missing or not the file that {INDEX_JSON} describes. {_index_advice(index)}"
        )
    try:
        with h5py.File(where, "r", locking=False) as file:
            table = read_columns(file["clips"], where=str(where), shard=None, max_bytes=where.stat().st_size)
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, OverflowError, MemoryError) as error:
        if isinstance(error, ShardError):
            raise
        raise ShardError(f"{where}: not a readable index ({error}). {_index_advice(index)}") from error
    itemsize = CODECS[index.codec].itemsize
    check_columns(
        table, where=str(where), codec=index.codec, sample_rate=index.sample_rate,
        num_channels=index.num_channels, num_classes=len(index.class_names),
        audio_sizes=np.array([entry.audio_nbytes // itemsize for entry in index.shards]),
    )  # fmt: skip
    return table


def _index_advice(index: Index) -> str:
    if index.changed:
        return "Put back a copy of it, or pack everything into another folder: it holds what the shards do not."
    return "Run the same tonearm pack again."


def _columns_file(root: Path, sha256: str) -> Path | None:
    """The file of the columns that ``index.json`` means: the other one is of a change that was interrupted."""
    for path in (root / INDEX_H5, root / INDEX_NEXT):
        try:
            if _sha256(path) == sha256:
                return path
        except OSError:
            continue
    return None


def _finish_replacing(out: Path) -> None:
    """Rename the columns of a change that was interrupted once ``index.json`` stood: the next one writes over them."""
    path, columns = out / INDEX_JSON, out / INDEX_NEXT
    if columns.is_file() and path.is_file() and _sha256(columns).encode() in path.read_bytes():
        columns.replace(out / INDEX_H5)


def _pack_entry(header: DatasetHeader, end: int) -> PackEntry:
    return PackEntry(
        end=end, manifest_sha256=header.manifest_sha256, pack_sha256=header.pack_sha256, versions=header.versions
    )


def _shard_entry(shard: Shard) -> ShardEntry:
    return ShardEntry(
        file=shard.path.name,
        num_clips=len(shard.table),
        num_bytes=shard.path.stat().st_size,
        audio_offset=shard.audio_offset,
        audio_nbytes=shard.audio_nbytes,
        metadata_sha256=shard.metadata_sha256,
    )


def check_size(root: Path, entry: ShardEntry) -> Path:
    """The path of a shard that is there in its full size.

    Raises:
        ShardError: it is missing, or not the file that was packed.
    """
    path = root / entry.file
    if not path.is_file():
        raise ShardError(f"{path}: missing. {MADE_ANEW}")
    size = path.stat().st_size
    if size != entry.num_bytes:
        raise ShardError(f"{path}: {size} bytes, but {entry.num_bytes} were packed. {MADE_ANEW}")
    return path


def _explain(path: Path, error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    key = ".".join(map(str, first["loc"])) or "the file"
    if key == "format_version":
        return (
            f"{path}: shard format {first['input']!r}, but this tonearm reads format {FORMAT_VERSION}. "
            "Pack the dataset again with this version, or install the version that wrote it."
        )
    return (
        f"{path}: damaged, {key}: {first['msg']}. Put back a copy of it; or, if the dataset was never appended to or "
        "relabelled, delete it and run the same tonearm pack again."
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
