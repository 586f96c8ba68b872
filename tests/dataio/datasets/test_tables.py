import csv
import io
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tonearm.dataio.datasets.classes import NumberedClasses
from tonearm.dataio.datasets.tables import file_name, integer, label_list, number, read_cells, read_rows
from tonearm.errors import ManifestError

PRINTABLE = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=8)
CELL = PRINTABLE.map(str.strip).filter(bool)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables") / "t.csv"


@settings(deadline=None)
@given(
    rows=st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=5),
    newline=st.sampled_from(["\n", "\r\n"]),
    mark=st.booleans(),
    quote_all=st.booleans(),
)
def test_what_a_csv_writer_writes_is_read(
    place: Path, rows: list[tuple[str, str, str]], newline: str, mark: bool, quote_all: bool
) -> None:
    text = io.StringIO()
    quoting = csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL
    csv.writer(text, lineterminator=newline, quoting=quoting).writerows([("a", "b", "c"), *rows])
    place.write_bytes(text.getvalue().encode("utf-8-sig" if mark else "utf-8"))
    read = list(read_rows(place, columns=("a", "b"), optional=("c",)))
    assert [tuple(row.values()) for _, row in read] == rows
    assert [line for line, _ in read] == list(range(2, 2 + len(rows)))


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_rows_or_one_error(place: Path, data: bytes) -> None:
    place.write_bytes(data)
    try:
        rows = list(read_rows(place, columns=("a",)))
    except ManifestError as error:
        assert str(place) in str(error)
    else:
        assert all(row["a"] for _, row in rows)


def test_spaces_after_commas_comments_and_empty_lines_do_not_matter(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text('# made, by "hand\n#\n\n-id, 1.0,  "x,y" \n,,\n', encoding="utf-8-sig")
    with pytest.raises(ManifestError, match=r"t.csv, after line \d: not a CSV file in UTF-8"):
        list(read_cells(table, comment="#"))  # text after a closing quote
    table.write_text('# made, by hand\n#\n\n-id, 1.0,  "x,y"\n,,\n', encoding="utf-8-sig")
    assert list(read_cells(table, comment="#")) == [(4, ["-id", "1.0", "x,y"])]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "missing: a; found: nothing"),
        ("b\n1\n", "missing: a; found: b"),
        ("a;b\n1;2\n", r"missing: a; found: a;b. Separate cells by commas.$"),
        ("a\tb\n1\t2\n", r"Separate cells by commas.$"),
        ("A ,b\n1,2\n", r"missing: a; found: A, b. Call the column 'A' 'a'.$"),
        ("a,b,a\n1,2,3\n", "the column 'a' is there twice"),
        ("a,b\n", "no rows below its header"),
        ("a,b\n1,2\n,2\n", "line 3: the column 'a' is empty"),
        ("a,b\n1,2,3\n", "line 2: more cells than columns"),
        ("a,Group\n1,2\n", "there is a column 'Group'; call it 'group'"),
        ("a,grp_name,groups\n1,2,3\n", "there is a column 'groups'; call it 'group'"),
        ("a,Start\n1,2\n", "there is a column 'Start'; call it 'start_seconds'"),
        ("a,start time\n1,2\n", "there is a column 'start time'; call it 'start_seconds'"),
        ('a,b\n"1\n', "after line 0: not a CSV file|after line 1: not a CSV file"),
    ],
)
def test_a_table_that_is_not_right_says_where(tmp_path: Path, text: str, message: str) -> None:
    table = tmp_path / "t.csv"
    table.write_text(text)
    with pytest.raises(ManifestError, match=message):
        list(read_rows(table, columns=("a",), optional=("group", "start_seconds")))


def test_numbers_names_and_labels_in_cells() -> None:
    where = {"column": "c", "path": Path("t.csv"), "line": 7}
    assert integer("12", **where, low=0) == integer("12.0", **where, low=0) == 12
    assert number("1.5", **where) == 1.5
    assert file_name("-a..b.wav", **where) == "-a..b.wav"
    assert label_list(" Bark, Slam,Bark", **where) == ("Bark", "Slam")
    for text in ("1.5", "1.00", "1.0.0", ".0", "1.", "1e3", "nan", "inf", "one", ""):
        with pytest.raises(ManifestError, match=f"t.csv, line 7: the column 'c' must be an integer, got '{text}'"):
            integer(text, **where)
    with pytest.raises(ManifestError, match="must be 1 to 10, got 11"):
        integer("11", **where, low=1, high=10)
    with pytest.raises(ManifestError, match="must be at least 0, got -1"):
        integer("-1", **where, low=0)
    for text in ("nan", "inf", "-1", "1e999", "", "1,5"):
        with pytest.raises(ManifestError, match="line 7: the column 'c' must be a number from 0 up"):
            number(text, **where)
    for text in ("../x.wav", "/x.wav", "a/x.wav", "a\\x.wav", ".."):
        with pytest.raises(ManifestError, match="line 7: the column 'c' must be the name of a file without any folder"):
            file_name(text, **where)
    with pytest.raises(ManifestError, match="must be labels with commas between them, got 'a,,b'"):
        label_list("a,,b", **where)


@settings(deadline=None)
@given(st.lists(st.sampled_from(range(5)), min_size=1))
def test_classes_are_numbered_from_0_without_a_gap(numbers: list[int]) -> None:
    classes = NumberedClasses(Path("t.csv"))
    for line, value in enumerate(numbers, start=2):
        assert classes.add(str(value), f"class {value}", column="target", line=line) == value
    if set(numbers) == set(range(max(numbers) + 1)):
        assert classes.names() == tuple(f"class {value}" for value in range(max(numbers) + 1))
    else:
        gap = min(set(range(5)) - set(numbers))
        with pytest.raises(ManifestError, match=f"there is no class {gap} "):
            classes.names()


def test_a_number_has_one_name_and_a_name_one_number() -> None:
    classes = NumberedClasses(Path("t.csv"))
    classes.add("0", "dog", column="target", line=2)
    with pytest.raises(ManifestError, match="t.csv, line 3: target 0 is 'cat', but was 'dog' further up"):
        classes.add("0", "cat", column="target", line=3)
    with pytest.raises(ManifestError, match="t.csv, line 4: 'dog' has target 1, but 0 further up"):
        classes.add("1", "dog", column="target", line=4)


def test_a_text_in_another_encoding_and_a_folder_are_refused(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_bytes(b"\xff\xfe\x00path")
    with pytest.raises(ManifestError, match="not a CSV file in UTF-8"):
        list(read_rows(table, columns=("a",)))
    with pytest.raises(ManifestError, match="a folder; name the CSV file"):
        list(read_rows(tmp_path, columns=("a",)))
    with pytest.raises(ManifestError, match="no such file"):
        list(read_rows(tmp_path / "none.csv", columns=("a",)))
    assert math.isfinite(number("1e308", column="c", path=table, line=1))
