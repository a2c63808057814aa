"""Where records stand, what replaces what, and who may write."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srbench.errors import SrbenchError
from srbench.record import store as module
from srbench.record.schema import Record
from srbench.record.store import Store, safe_stem

GOLDEN = Path(__file__).parent / "golden_record.json"


def record(**changes: Any) -> Record:
    document = json.loads(GOLDEN.read_text(encoding="utf-8")) | {"arrays": None} | changes
    return Record.model_validate(document)


def failed(**changes: Any) -> Record:
    return record(status="failed", reason="the loss was NaN in epoch 1", **changes)


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_record_and_its_arrays_come_back(tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    ranks = {"users": np.array([3, 5]), "full|seen:keep": np.array([1.0, 2.5], dtype=np.float32)}
    path = store.write(record(), ranks=ranks, samples={"epoch_seconds": np.array([0.25, 0.5])})
    assert names(tmp_path) == [
        "results/synthetic/gru4rec-seed3-0123456789ab.json",
        "results/synthetic/gru4rec-seed3-0123456789ab.npz",
    ]
    back = store.read(path)
    assert back.arrays is not None
    assert back.model_copy(update={"arrays": None}) == record()
    arrays = store.arrays(back)
    assert sorted(arrays) == ["ranks/full|seen:keep", "ranks/users", "samples/epoch_seconds"]
    assert arrays["ranks/full|seen:keep"].tolist() == [1.0, 2.5]
    assert arrays["ranks/full|seen:keep"].dtype == np.float32
    assert store.records() == [back]
    assert store.find("0123456789ab") == back
    assert store.find("ffffffffffff") is None


def test_the_same_arrays_make_the_same_bytes(tmp_path: Path) -> None:
    ranks = {"users": np.arange(100)}
    one = Store(tmp_path / "one").write(record(), ranks=ranks).with_suffix(".npz")
    two = Store(tmp_path / "two").write(record(), ranks=ranks).with_suffix(".npz")
    assert one.read_bytes() == two.read_bytes()


def test_arrays_of_objects_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="not plain arrays"):
        Store(tmp_path).write(record(), ranks={"users": np.array([{}])})


def test_no_absolute_path_reaches_the_file(tmp_path: Path) -> None:
    reason = "OSError: /home/ada/secret/a.npz is gone"
    path = Store(tmp_path).write(record(status="failed", reason=reason))
    assert "/home" not in path.read_text()
    assert Store(tmp_path).read(path).reason == "OSError: a.npz is gone"


def test_a_failure_never_replaces_a_result(tmp_path: Path) -> None:
    store = Store(tmp_path)
    good = store.write(record(), ranks={"users": np.array([1])})
    bad = store.write(failed(), samples={"epoch_seconds": np.array([1.0])})
    assert bad.name == "gru4rec-seed3-0123456789ab.failed.json"
    assert store.read(good).status == "ok"
    assert store.arrays(store.read(good))["ranks/users"].tolist() == [1]
    assert store.arrays(store.read(bad))["samples/epoch_seconds"].tolist() == [1.0]
    assert [found.status for found in store.records()] == ["ok"]
    found = store.find("0123456789ab")
    assert found is not None
    assert found.status == "ok"


def test_a_result_replaces_a_failure(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(failed(), samples={"epoch_seconds": np.array([1.0])})
    assert [found.status for found in store.records()] == ["failed"]
    store.write(record())
    assert names(tmp_path) == ["synthetic/gru4rec-seed3-0123456789ab.json"]


def test_a_run_killed_between_arrays_and_record_leaves_the_old_record_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)

    def killed(path: Path, text: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "write_text_atomically", killed)
    with pytest.raises(KeyboardInterrupt):
        store.write(record(), ranks={"users": np.array([1])})
    assert store.records() == []


def test_damaged_or_foreign_arrays_are_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    path = store.write(record(), ranks={"users": np.array([1])})
    back = store.read(path)
    arrays = path.with_suffix(".npz")
    arrays.write_bytes(arrays.read_bytes()[:-1])
    with pytest.raises(SrbenchError, match="damaged or of another run: run `srbench run --model"):
        store.arrays(back)
    arrays.unlink()
    with pytest.raises(SrbenchError, match="No such file"):
        store.arrays(back)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", r"damaged \(not JSON\)"),
        ('{"schema_version": 1, "key": "012', r"damaged \(not JSON\)"),
        ("[]", "has schema version None"),
        ('{"schema_version": 2}', "has schema version 2, this srbench reads 1"),
        ('{"schema_version": 1}', r"does not fit its schema \(key: Field required\)"),
        ("\x00\xff", "damaged"),
    ],
)
def test_unreadable_records_are_named_and_skipped(tmp_path: Path, text: str, words: str) -> None:
    store = Store(tmp_path)
    store.write(record(key="aaaaaaaaaaaa"))
    broken = tmp_path / "synthetic" / "gru4rec-seed0-bbbbbbbbbbbb.json"
    broken.write_text(text, encoding="utf-8")
    with pytest.raises(SrbenchError, match=words) as caught:
        store.read(broken)
    assert str(broken) in str(caught.value)
    scan = store.scan()
    assert [found.key for found in scan.records] == ["aaaaaaaaaaaa"]
    assert scan.unreadable == [str(caught.value)]
    with pytest.warns(UserWarning, match=words):
        assert store.records() == scan.records


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.records() == []
    (tmp_path / "synthetic").mkdir()
    (tmp_path / "synthetic" / "machine.json").write_text("{}")
    (tmp_path / "notes.json").write_text("{}")
    assert store.scan() == module.Scan([], [])


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("ml-1m", "ml-1m"),
        ("../my data/événements 2.csv", "v-nements-2.csv"),
        ("C:\\data\\events.csv", "events.csv"),
        ("mine.py:Net", "mine.py-Net"),
        (".hidden", "hidden"),
        ("..", "unnamed"),
        ("", "unnamed"),
        ("x" * 300, "x" * 80),
    ],
)
def test_safe_stem(name: str, stem: str) -> None:
    assert safe_stem(name) == stem


def test_a_dataset_named_by_its_path_stays_in_the_folder(tmp_path: Path) -> None:
    document = json.loads(GOLDEN.read_text(encoding="utf-8"))
    document["data"]["name"] = "../../outside/events.csv"
    document["arrays"] = None
    path = Store(tmp_path / "results").write(Record.model_validate(document))
    assert path.parent == tmp_path / "results" / "events.csv"


HOLD = """
import sys
from srbench.record.store import Store
with Store(sys.argv[1]).lock("0123456789ab"):
    print("held", flush=True)
    sys.stdin.read()
"""


def hold(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


@pytest.mark.parametrize("end", [signal.SIGKILL, None])
def test_a_second_process_is_told_and_takes_over_when_the_first_ends(
    tmp_path: Path, end: signal.Signals | None
) -> None:
    store = Store(tmp_path)
    process = hold(tmp_path)
    try:
        with (
            pytest.raises(SrbenchError, match=f"Process {process.pid} is running this very run"),
            store.lock("0123456789ab"),
        ):
            pass
        with store.lock("ffffffffffff"):  # another run is not concerned
            pass
    finally:
        if end is None:
            process.communicate()
        else:
            process.send_signal(end)
            process.communicate()
    with store.lock("0123456789ab"):
        assert (tmp_path / ".locks" / "0123456789ab.lock").read_text() == str(os.getpid())
    assert names(tmp_path) == []


def test_the_lock_goes_with_an_exception(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(RuntimeError, match="inside"), store.lock("0123456789ab"):
        raise RuntimeError("inside")
    with store.lock("0123456789ab"):
        pass


def test_a_lock_removed_while_it_was_waited_for_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first opener finds that the file it locked lost its name, and locks the new one."""
    path = tmp_path / "x.lock"
    real, times = module.fcntl.flock, []

    def flock(handle: int, operation: int) -> None:
        if not times:
            path.unlink()  # the holder leaves between our open and our lock
        times.append(handle)
        real(handle, operation)

    monkeypatch.setattr(module.fcntl, "flock", flock)
    handle = module._locked(path)
    assert len(times) == 2
    assert path.read_text() == str(os.getpid())
    os.close(handle)


def test_a_folder_that_cannot_be_written_to_is_told_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file")
    with (
        pytest.raises(SrbenchError, match=r"Cannot write .*: a part of this path is a file"),
        Store(tmp_path / "results").lock("0123456789ab"),
    ):
        pass
