import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tonearm.errors import ConfigError
from tonearm.strict_yaml import MAX_BYTES, MAX_NODES, apply_overrides, parse_yaml, read_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("-2E+3", -2000.0),
        ("1.5e3", 1500.0),
        ("1.", 1.0),
        (".5", 0.5),
        ("44_100", 44_100),
        ("0x10", 16),
        ("0b11", 3),
        ("0x" + "f" * 64, 16**64 - 1),
        ("0x" + "f" * 5000, "0x" + "f" * 5000),  # which Python could read, but not print
        ("-7", -7),
        ("0", 0),
        ("-.inf", -math.inf),
        ("true", True),
        ("~", None),
        ("", None),
        ("1:30", "1:30"),
        ("010", "010"),
        ("2024-01-01", "2024-01-01"),
        ("e4", "e4"),
        ("1e", "1e"),
    ],
)
def test_scalars_are_read_as_yaml_1_2_reads_them(text: str, value: object) -> None:
    for document, expected in ((text, value), (f"[{text or 'null'}]", [value])):
        got = parse_yaml(document, where="t")
        assert got == expected
        assert type(got) is type(expected)


def test_plain_pyyaml_would_read_a_string() -> None:
    assert yaml.safe_load("[1e-4]") == ["1e-4"]  # the reason for a loader of our own


@settings(deadline=None)  # times on a shared machine say nothing
@given(st.floats(allow_nan=False))
def test_every_float_that_python_prints_is_read_back(number: float) -> None:
    text = repr(number).replace("inf", ".inf")
    assert parse_yaml(text, where="t") == number


@settings(deadline=None)
@given(st.integers(-(10**30), 10**30))
def test_every_integer_is_read_back(number: int) -> None:
    assert parse_yaml(str(number), where="t") == number


def test_a_merge_gives_way_to_the_keys_beside_it() -> None:
    text = "pretrain: &base {lr: 1, epochs: 5}\ntrain: {<<: *base, lr: 2}"
    assert parse_yaml(text, where="t")["train"] == {"lr": 2, "epochs": 5}


@pytest.mark.parametrize(
    ("text", "override", "expected"),
    [
        (
            "pretrain: &t {epochs: 50}\ntrain: *t",
            "train.epochs=3",
            {"pretrain": {"epochs": 50}, "train": {"epochs": 3}},
        ),
        ("blocks: [&r {res: [4, 8]}, *r]", "blocks.0.res.0=16", {"blocks": [{"res": [16, 8]}, {"res": [4, 8]}]}),
        (
            "a: &a {size: [1, 2]}\nb: {<<: *a, n: 3}",
            "b.size.0=9",
            {"a": {"size": [1, 2]}, "b": {"size": [9, 2], "n": 3}},
        ),
        (
            "a: &a {b: {c: 1}}\nd: [*a, *a]",
            "d.1.b.c=9",
            {"a": {"b": {"c": 1}}, "d": [{"b": {"c": 1}}, {"b": {"c": 9}}]},
        ),
    ],
)
def test_an_override_changes_one_place_also_where_the_file_has_aliases(text: str, override: str, expected: Any) -> None:
    data = parse_yaml(text, where="t")
    apply_overrides(data, [override])
    assert data == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", r"^t, line 3: the key 'a' is there twice"),
        ("x: {a: 1, a: 1}", r"^t, line 1: the key 'a' is there twice"),
        ("a: !!python/object/apply:os.system [ls]", r"the tag 'tag:yaml.org,2002:python/object/apply:os.system'"),
        ("a: !!binary aGk=", r"the tag 'tag:yaml.org,2002:binary' has no place"),
        ("a: !!set {x}", r"the tag 'tag:yaml.org,2002:set' has no place"),
        ("a: &x [1, *x]", r"an alias that contains itself"),
        ("1: 2", r"a key must be a word, got '1'"),
        ("? [a, b]\n: 2", r"a key must be a word"),
        ("a: *nothing", r"not valid YAML: found undefined alias 'nothing'"),
        ("a: [1, 2", r"not valid YAML: expected ',' or '\]'"),
        ("a: 1\n--- \nb: 2", r"^t, line 2: not valid YAML"),
        ("a: \x00", r"^t: not valid YAML"),
        ("a: " + "9" * 5000, r"^t: not valid YAML"),
        ("[" * 5000, r"^t: nested too deeply"),
        ("a: [" + "1," * MAX_NODES + "1]", r"more than 20,000 entries"),
    ],
)
def test_what_a_config_has_no_use_for_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_yaml(text, where="t")


def test_a_bomb_of_aliases_is_refused_before_it_goes_off() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]  # 10^12 entries
    with pytest.raises(ConfigError, match="more than 20,000 entries once its aliases are written out"):
        parse_yaml("\n".join(lines), where="t")


def test_a_bomb_of_merges_is_refused_before_it_goes_off() -> None:
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 12)]
    with pytest.raises(ConfigError, match="more than 20,000 entries"):
        parse_yaml("\n".join(lines), where="t")


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_data_or_a_config_error(text: str) -> None:
    try:
        parse_yaml(text, where="t")
    except ConfigError as error:
        assert str(error).startswith("t")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"expected keys and values .*, got an empty file"),
        (b"- 1", r"got a list"),
        (b"plain text", r"got a str"),
        (b"a: \xff", r"not UTF-8 text \(byte 3\)"),
        (b"#" * (MAX_BYTES + 1), r"larger than 1,048,576 bytes"),
    ],
)
def test_a_file_that_is_no_config(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "c.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_yaml(tmp_path / "c.yaml")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no\.yaml: cannot read the config: No such file or directory"):
        read_yaml(tmp_path / "no.yaml")
    with pytest.raises(ConfigError, match=r"cannot read the config: Is a directory"):
        read_yaml(tmp_path)


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_bytes(b"\xef\xbb\xbfa: 1")
    assert read_yaml(tmp_path / "c.yaml") == {"a": 1}


def test_overrides_write_in_order_through_mappings_and_lists() -> None:
    data = {"train": {"lr": 1}, "model": {"blocks": [{"res": [1, 2]}, {"fc": 3}]}, "pretrain": None}
    apply_overrides(
        data, ["train.lr=1e-4", "train.lr=2e-4", "model.blocks.1.fc=9", "model.blocks.0.res.1=5", "pretrain.epochs=3"]
    )
    assert data == {
        "train": {"lr": 2e-4},
        "model": {"blocks": [{"res": [1, 5]}, {"fc": 9}]},
        "pretrain": {"epochs": 3},
    }


def test_an_override_may_hold_a_list_an_equals_sign_or_nothing() -> None:
    data: dict[str, object] = {"a": {"b": 1}}
    apply_overrides(data, ["a.b=[1, {c: 2}]", "x=p=q", "y="])
    assert data == {"a": {"b": [1, {"c": 2}]}, "x": "p=q", "y": None}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.lr", r"override 'train\.lr': write key\.path=value"),
        ("=3", r"write key\.path=value"),
        ("train..lr=3", r"write key\.path=value"),
        ("blocks.2=3", r"'blocks' is a list; '2' is no place in it\. It may be 0 to 1"),
        ("blocks.-1=3", r"'-1' is no place in it"),
        ("blocks.first.x=3", r"'first' is no place in it"),
        ("empty.0=3", r"It may be nothing: the list is empty"),
        ("lr.x=3", r"'lr' is the value 1, which has no 'x' in it"),
        ("lr=[", r"override 'lr=\[', line 1: not valid YAML"),
    ],
)
def test_an_override_that_cannot_be_written(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        apply_overrides({"blocks": [1, 2], "lr": 1, "empty": []}, [override])
