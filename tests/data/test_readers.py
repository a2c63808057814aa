"""Every format that people publish reads to the same interactions; every broken one says why."""

from __future__ import annotations

import gzip
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from srbench.data.interactions import Interactions
from srbench.data.readers import preview, read
from srbench.errors import SrbenchError

# user, item, time: the second user's first row lies before the first user's last one in time.
ROWS = [("7", "31", 978300760), ("12", "31", 978300275), ("7", "5", 978302109)]


def rows_of(interactions: Interactions) -> list[tuple[str, str, float | None]]:
    times = interactions.times
    return [
        (
            str(interactions.user_ids[interactions.users[n]]),
            str(interactions.item_ids[interactions.items[n]]),
            None if times is None else times[n].item(),
        )
        for n in range(len(interactions))
    ]


def text(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path


def ratings_dat() -> str:
    return "".join(f"{user}::{item}::5::{time}\n" for user, item, time in ROWS)


def u_data() -> str:
    return "".join(f"{user}\t{item}\t3\t{time}\n" for user, item, time in ROWS)


def ratings_csv() -> str:
    lines = (f"{user},{item},3.5,{time}\n" for user, item, time in ROWS)
    return "userId,movieId,rating,timestamp\n" + "".join(lines)


def inter() -> str:
    lines = (f"{user}\t{item}\t1\t{time}\n" for user, item, time in ROWS)
    return "user_id:token\titem_id:token\trating:float\ttimestamp:float\n" + "".join(lines)


def json_lines() -> str:
    return "".join(
        json.dumps(
            {
                "reviewerID": user,
                "asin": item,
                "reviewText": 'says "asin": "0", \u2028 and more',
                "overall": 5.0,
                "unixReviewTime": time,
            },
            ensure_ascii=False,
        )
        + "\n"
        for user, item, time in ROWS
    )


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize(
    ("content", "format"),
    [
        (ratings_dat, "MovieLens ratings.dat"),
        (u_data, "MovieLens u.data"),
        (ratings_csv, "CSV with named columns"),
        (inter, "RecBole .inter"),
        (json_lines, "JSON lines"),
        (lambda: ratings_csv().replace(",", "\t"), "TSV with named columns"),
        (lambda: ratings_csv().replace(",", ";"), "text separated by ';' with named columns"),
        (lambda: ratings_csv().replace("\n", "\r\n"), "CSV with named columns"),
        (lambda: "\ufeff" + ratings_csv(), "CSV with named columns"),
        (lambda: ratings_csv().replace(",", ", "), "CSV with named columns"),
        (lambda: inter().rstrip("\n"), "RecBole .inter"),
    ],
)
def test_formats_are_told_by_content(
    tmp_path: Path, content: Callable[[], str], format: str, packed: bool
) -> None:
    path = tmp_path / "data.bin"
    data = content().encode()
    path.write_bytes(gzip.compress(data) if packed else data)
    interactions = read(path)
    assert rows_of(interactions) == ROWS
    assert interactions.format == format
    assert interactions.users.tolist() == [0, 1, 0]
    assert interactions.items.tolist() == [0, 0, 1]
    assert (interactions.users.dtype, interactions.items.dtype) == (np.int32, np.int32)
    assert interactions.times is not None and interactions.times.dtype == np.int64


@pytest.mark.parametrize(
    ("member", "content"),
    [("ml-1m/ratings.dat", ratings_dat), ("ml-100k/u.data", u_data), ("ml-20m/ratings.csv",
     ratings_csv), ("deep/in/it/shop.inter", inter)],
)  # fmt: skip
def test_zips(tmp_path: Path, member: str, content: Callable[[], str]) -> None:
    path = tmp_path / "archive"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("README", "not this one")
        archive.writestr("ml-1m/users.dat", "7::F::1::10::48067\n")
        archive.writestr(member, content())
    assert rows_of(read(path)) == ROWS


def test_parquet(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet needs pyarrow")
    import pyarrow

    path = tmp_path / "data"
    users, items, times = zip(*ROWS, strict=True)
    parquet.write_table(
        pyarrow.table({"rating": [1, 2, 3], "user_id": users, "item_id": items, "time": times}),
        path,
    )
    assert rows_of(read(path)) == ROWS
    assert rows_of(read(path, "user_id,rating")) == [
        ("7", "1", None), ("12", "2", None), ("7", "3", None)
    ]  # fmt: skip
    dates = np.array(times, dtype="datetime64[s]")
    parquet.write_table(pyarrow.table({"user": users, "item": items, "date": dates}), path)
    assert rows_of(read(path)) == ROWS
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(SrbenchError, match="is a damaged Parquet file"):
        read(path)


@pytest.mark.parametrize(
    ("line", "user", "item"),
    [
        ("A39HTATAQ9V7YF,0205616461,5.0,1369699200", "A39HTATAQ9V7YF", "0205616461"),
        ("0001713353,A1C6M8LCIX4M6M,5.0,1123804800", "A1C6M8LCIX4M6M", "0001713353"),
    ],
    ids=["2014: user first", "2018: item first"],
)
def test_amazon_ratings(tmp_path: Path, line: str, user: str, item: str) -> None:
    interactions = read(text(tmp_path / "ratings_Beauty.csv", line + "\n"))
    assert interactions.format == "Amazon ratings CSV"
    assert rows_of(interactions) == [(user, item, int(line.rsplit(",", 1)[1]))]


@pytest.mark.parametrize("separator", [" ", "\t", "  "])
def test_sasrec_text(tmp_path: Path, separator: str) -> None:
    path = text(tmp_path / "Video.txt", "".join(f"{u}{separator}{i}\n" for u, i, _ in ROWS))
    interactions = read(path)
    assert interactions.format == "SASRec text"
    assert interactions.times is None
    assert rows_of(interactions) == [(user, item, None) for user, item, _ in ROWS]


def test_columns_by_name(tmp_path: Path) -> None:
    path = text(tmp_path / "shop.csv", 'when,who,"what, exactly"\n3,ann,"tea, green"\n4,ben,"a"\n')
    assert rows_of(read(path, "who,when")) == [("ann", "3", None), ("ben", "4", None)]
    path = text(tmp_path / "shop.csv", 'when|who|what\n3|ann|"tea"\n4|ben|a\n')
    assert rows_of(read(path, "who,what,when")) == [("ann", '"tea"', 3), ("ben", "a", 4)]


def test_columns_by_place(tmp_path: Path) -> None:
    path = text(tmp_path / "shop.txt", "9 3 ann tea\n9 4 ben milk\n")
    assert rows_of(read(path, "2,3,1")) == [("ann", "tea", 3), ("ben", "milk", 4)]


def test_ids_are_text(tmp_path: Path) -> None:
    path = text(tmp_path / "d.csv", "user,item,time\n007,NA,1\n7,null,2\n7.0,None,3\n-2SV,x,4\n")
    users = [user for user, _, _ in rows_of(read(path))]
    items = [item for _, item, _ in rows_of(read(path))]
    assert users == ["007", "7", "7.0", "-2SV"]
    assert items == ["NA", "null", "None", "x"]


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (["1", "2.5"], [1, 2.5]),
        (["8.81E8", "881250949"], [881000000, 881250949]),
        (["2001-01-01", "2001-01-02 00:00:10"], [978307200, 978393610]),
        (["2001-01-01T00:00:00Z", "2001-01-01T01:00:00+01:00"], [978307200, 978307200]),
    ],
)
def test_times(tmp_path: Path, times: list[str], expected: list[float]) -> None:
    path = text(tmp_path / "d.csv", "user,item,time\n" + "".join(f"a,b,{t}\n" for t in times))
    assert [time for _, _, time in rows_of(read(path))] == expected


def test_more_rows_than_one_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srbench.data.readers._PIECE", 2)
    rows = [(str(n % 3), str(n % 4), n) for n in range(7)]
    csv = "user,item,time\n" + "".join(f"{u},{i},{t}\n" for u, i, t in rows)
    lines = "".join(json.dumps({"user": u, "item": i, "time": t}) + "\n" for u, i, t in rows)
    told: list[tuple[str, int, int | None]] = []
    for content in (csv, lines):
        path = text(tmp_path / "d", content)
        assert rows_of(read(path, progress=lambda *step: told.append(step))) == rows
    assert told[:4] == [("reading d", done, None) for done in (2, 4, 6, 7)]


def test_preview(tmp_path: Path) -> None:
    path = text(tmp_path / "u.data", "".join(f"{n}\t{n + 1}\t3\t8812509{n:02}\n" for n in range(9)))
    first = preview(path)
    assert first.format == "MovieLens u.data"
    assert first.rows[0] == ("0", "1", 881250900)
    assert len(first.rows) == 5
    for content in (json_lines(), ratings_csv()):
        assert preview(text(path, content), rows=2).rows == tuple(ROWS[:2])
    assert preview(text(path, "1 2\n"), rows=5).rows == (("1", "2", None),)


HEADER = "user,item,time\n"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        (HEADER, "has no interactions"),
        ("# Notes\nThis is prose, and no data.\nIt has commas, too, here.\n", "is not a dataset"),
        ("\x00\x01binary\x02", "is not a dataset"),
        ("1\t2\t3\n4\t5\t6\n", "is not a dataset in a known format"),
        ("who,what\nann,tea\n", "is not a dataset in a known format"),
        ("who,what\n1,2\n3,4\n", "has the columns who, what, which are not known"),
        ("user_id:token\tthing:token\na\tb\n", "none of which is known to be the item"),
        (HEADER + "a,b,noon\n", "has 'noon' as the time in row 2"),
        (HEADER + "a,b,3\na,c,2001-01-01\n", "has '2001-01-01' as the time in row 3"),
        (HEADER + "a,b,3\na,c,\n", "has no time in row 3"),
        (HEADER + "a,b,3\na,c\n", "has no time in row 3"),
        (HEADER + "a,b,3\na,c,NaN\n", "has no time in row 3"),
        (HEADER + "a,b,3\na,c,inf\n", "has no time in row 3"),
        (HEADER + "a,b,noon\na,c,\n", "has no time in row 3"),
        (HEADER + "a,b,3\n,c,4\n", "has no user in row 3"),
        (HEADER + "a,b,3\na,nan,4\n", "has no item in row 3"),
        (HEADER + "1,2,3\n-1,2,4\n", "has the user id -1: ids are not negative"),
        (HEADER + "1,2,3\n1,-7,4\n", "has the item id -7: ids are not negative"),
        ("1 2\n-3 4\n", "has the user id -3"),
        ("7::31::5\n", "is not a dataset"),
        ('{"user": 1, "item": 2}\n{"user": 1, "item"\n', "is not JSON in line 2"),
        ('{"user": 1, "item": 2\n', "its first line is not JSON"),
        ('{"user": 1, "item": 2}\n[1, 2]\n', "has no named fields in line 2"),
        ('{"user": 1, "item": 2}\n{"user": 1}\n', "has no item in row 2"),
        ('{"user": 1, "item": [2]}\n', "has lists where the item should be"),
        ('{"user": 1, "item": 2, "time": "x"}\n', "has 'x' as the time in row 1"),
        ('{"name": 1}\n', "none of which is known to be the user"),
    ],
)
def test_bad_files(tmp_path: Path, content: str, sentence: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(SrbenchError) as error:
        read(path)
    assert sentence in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ("user,itm,time", "has no column 'itm' in its first line. Did you mean item?"),
        ("user", "needs two or three names"),
        ("user,,time", "needs two or three names"),
        ("a,b,c,d", "needs two or three names"),
        ("0,1,5", "has 3 columns, so column 5 is not there"),
    ],
)
def test_bad_columns(tmp_path: Path, columns: str, sentence: str) -> None:
    with pytest.raises(SrbenchError, match=sentence):
        read(text(tmp_path / "d.csv", HEADER + "a,b,3\n"), columns)
    named = columns.replace("0,1,5", "user,item,tme")
    if columns != named or "itm" in columns:
        lines = text(tmp_path / "d.json", '{"user": 1, "item": 2, "time": 3}\n')
        with pytest.raises(SrbenchError, match=r"has no column '(itm|tme)'. Did you mean"):
            read(lines, named)


@pytest.mark.parametrize("cut", [12, 5000, -1])
def test_truncated_gzip(tmp_path: Path, cut: int) -> None:
    rng = np.random.default_rng(0)
    rows = "".join(f"{u}\t{i}\t1\t{978300000 + t}\n" for u, i, t in rng.integers(1, 999, (9999, 3)))
    path = tmp_path / "ml-100k.inter.gz"
    path.write_bytes(gzip.compress(rows.encode())[:cut])
    with pytest.raises(SrbenchError, match="is cut off or damaged"):
        read(path)


def test_gzip_with_a_wrong_checksum(tmp_path: Path) -> None:
    data = bytearray(gzip.compress(inter().encode()))
    data[-8] ^= 1
    path = tmp_path / "d.gz"
    path.write_bytes(bytes(data))
    with pytest.raises(SrbenchError, match="is cut off or damaged"):
        read(path)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a/../../b", "..\\x", "C:/x"])
def test_zips_that_point_outside(tmp_path: Path, name: str) -> None:
    path = tmp_path / "ml-1m.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ml-1m/ratings.dat", ratings_dat())
        archive.writestr(name, "x")
    with pytest.raises(SrbenchError, match="points outside the archive"):
        read(path)


def test_other_zips(tmp_path: Path) -> None:
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("one.jpg", "x")
    with pytest.raises(SrbenchError, match=r"holds no file known to be interactions \(one.jpg\)"):
        read(path)
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(SrbenchError, match="is cut off or damaged"):
        read(path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(SrbenchError, match="does not exist"):
        read(tmp_path / "none.csv")
    with pytest.raises(SrbenchError, match="is a folder"):
        read(tmp_path)


IDS = st.text(st.characters(codec="utf-8", categories=["L", "N"]), min_size=1, max_size=4).filter(
    lambda name: name.lower() != "nan"
)


@given(
    rows=st.lists(st.tuples(IDS, IDS, st.integers(0, 2**33)), min_size=1, max_size=30),
    separator=st.sampled_from("\t,;|"),
    timed=st.booleans(),
)
def test_whatever_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, str, int]],
    separator: str,
    timed: bool,
) -> None:
    names = ["user", "item", "time"] if timed else ["user", "item"]
    lines = [separator.join(map(str, row[: len(names)])) for row in [tuple(names), *rows]]
    path = tmp_path_factory.mktemp("any") / "d"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    interactions = read(path)
    assert rows_of(interactions) == [(u, i, t if timed else None) for u, i, t in rows]
    assert list(dict.fromkeys(u for u, _, _ in rows)) == list(interactions.user_ids)
    assert list(dict.fromkeys(i for _, i, _ in rows)) == list(interactions.item_ids)
