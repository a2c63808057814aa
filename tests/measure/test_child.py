"""Functions in processes of their own: what they answer, and what becomes of those that cannot."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from srbench.errors import RunFailed, SrbenchError
from srbench.measure import child as module
from srbench.measure.child import Outcome, in_child, is_shortage, sentence
from srbench.record.schema import Caution

FUNCTIONS = """
import json, os, resource, signal, subprocess, sys, time, warnings
from pathlib import Path
from srbench.errors import SrbenchError

def same(value): return value
def big(count): return "x" * count
def where(_): return [os.getpid(), os.getpgid(0), os.getcwd(), sys.path]
def variable(name): return os.environ.get(name)
def doomed(_): return int(Path("/proc/self/oom_score_adj").read_text())

def loud(_):
    print("garbage " * 20_000)
    print('{"status": "ok", "value": 1}')
    os.write(1, b"\\x00\\xff")
    sys.stderr.write("more garbage\\n" * 20_000)
    return sys.stdin.read()

def warned(_):
    for _ in range(3):
        warnings.warn("too hot\\nby far")
    warnings.warn("old", DeprecationWarning)
    warnings.warn("too wet", UserWarning)

def raises(name): raise {"value": ValueError("no\\nat all"), "ours": SrbenchError("Not so."),
    "memory": MemoryError(), "silent": ValueError(), "exit": SystemExit(3),
    "interrupt": KeyboardInterrupt(),
    "cuda": RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB.")}[name]

def dies(number): os.kill(os.getpid(), number)
def leaves(code):
    print("so long", file=sys.stderr)
    print(file=sys.stderr)
    os._exit(code)
def aborts(_):
    print("terminate called after throwing an instance of 'std::bad_alloc'", file=sys.stderr)
    print("  what():  std::bad_alloc", file=sys.stderr, flush=True)
    os.abort()

def unreadable(_): return {1, 2}
def not_a_number(_): return float("nan")
def garbles(_):  # writes where its answer belongs
    os.write(int(sys.argv[2]), b'{"status": "ok", "val')
    os._exit(0)

def sleeps(file):
    helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(file + ".part").write_text(f"{os.getpid()} {helper.pid}")
    os.rename(file + ".part", file)
    time.sleep(600)

def leaves_a_helper(_):
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid

def starves(_):
    import torch
    torch.set_num_threads(1)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 200_000_000, resource.RLIM_INFINITY))
    torch.ones(10**9)

def starves_in_python(_):
    resource.setrlimit(resource.RLIMIT_AS, (10**9, resource.RLIM_INFINITY))
    bytearray(4 * 10**9)
"""


@pytest.fixture
def call(tmp_path: Path):
    """Calls a function of FUNCTIONS in a child."""
    (tmp_path / "functions.py").write_text(FUNCTIONS, "utf-8")

    def call(name: str, argument=None, **given) -> Outcome:
        environment = {"PYTHONPATH": str(tmp_path)} | given.pop("environment", {})
        return in_child(f"functions:{name}", argument, environment=environment, **given)

    return call


def alive(pid: int) -> bool:
    """Is there such a process, and no zombie that waits to be buried?"""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("ascii")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def wait_until(true, seconds: float = 60) -> bool:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")


@pytest.mark.parametrize("value", [None, True, 1.5, "é\udcff", {"a": [1, {"b": None}]}])
def test_json_goes_there_and_back(call, value: object) -> None:
    assert call("same", value) == Outcome("ok", value)


def test_an_answer_may_be_larger_than_any_pipe(call) -> None:
    assert call("big", 3_000_000).value == "x" * 3_000_000


def test_it_is_a_process_and_a_group_of_its_own(call, tmp_path, monkeypatch) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "pydantic.py").write_text("raise ImportError('the wrong one')", "utf-8")
    monkeypatch.chdir(elsewhere)
    pid, group, folder, path = call("where").value
    assert pid == group != os.getpid()
    assert folder == str(elsewhere)
    assert str(elsewhere) not in path and "" not in path


def test_the_environment_is_the_callers_and_what_is_given(call, monkeypatch) -> None:
    monkeypatch.setenv("SRBENCH_TEST_OURS", "1")
    assert call("variable", "SRBENCH_TEST_OURS").value == "1"
    given = {"SRBENCH_TEST_THEIRS": "2"}
    assert call("variable", "SRBENCH_TEST_THEIRS", environment=given).value == "2"
    assert "SRBENCH_TEST_THEIRS" not in os.environ


def test_what_it_prints_does_not_disturb(call, capfd) -> None:
    assert call("loud") == Outcome("ok", "")
    assert capfd.readouterr() == ("", "")


def test_warnings_come_along_each_once(call) -> None:
    outcome = call("warned")
    assert outcome.status == "ok"
    assert outcome.warnings == (
        Caution(what="too hot", advice=""),
        Caution(what="too wet", advice=""),
    )


@linux
def test_the_system_is_to_end_the_child_first(call) -> None:
    assert call("doomed").value == 1000


@pytest.mark.parametrize(
    ("name", "status", "reason"),
    [
        ("value", "failed", "ValueError: no"),
        ("ours", "failed", "Not so."),
        ("silent", "failed", "ValueError"),
        ("exit", "failed", "SystemExit: 3"),
        ("interrupt", "interrupted", "Ctrl-C was pressed"),
        ("memory", "out of memory", "MemoryError"),
        (
            "cuda",
            "out of memory",
            "RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB.",
        ),
    ],
)
def test_an_exception_is_a_status(call, name: str, status: str, reason: str) -> None:
    assert call("raises", name) == Outcome(status, reason=reason)


@pytest.mark.parametrize(
    ("number", "status", "reason"),
    [
        (
            signal.SIGKILL,
            "out of memory",
            "the process was killed (SIGKILL), as the system does where memory runs out",
        ),
        (signal.SIGSEGV, "failed", "the process was ended by SIGSEGV"),
        (signal.SIGTERM, "failed", "the process was ended by SIGTERM"),
    ],
)
def test_a_child_that_is_killed(call, number: int, status: str, reason: str) -> None:
    assert call("dies", int(number)) == Outcome(status, reason=reason)


def test_a_child_that_leaves_without_a_word_or_with_some(call) -> None:
    reason = "the process ended without an answer (exit code 7): so long"
    assert call("leaves", 7) == Outcome("failed", reason=reason)
    reason = "the process ended without an answer (exit code 0): so long"
    assert call("leaves", 0) == Outcome("failed", reason=reason)


def test_a_library_in_c_that_finds_no_memory(call) -> None:
    outcome = call("aborts")
    assert outcome.status == "out of memory"
    assert outcome.reason == "the process was ended by SIGABRT: what():  std::bad_alloc"


@linux
def test_a_tensor_that_does_not_fit(call) -> None:
    outcome = call("starves")
    assert outcome.status == "out of memory"
    assert outcome.reason is not None and "can't allocate memory" in outcome.reason


@linux
def test_an_object_that_does_not_fit(call) -> None:
    assert call("starves_in_python") == Outcome("out of memory", reason="MemoryError")


def test_an_answer_that_is_no_json(call) -> None:
    outcome = call("unreadable")
    assert outcome.status == "failed"
    assert outcome.reason == "TypeError: Object of type set is not JSON serializable"
    assert call("not_a_number").status == "failed"


def test_an_answer_that_breaks_off(call) -> None:
    reason = "the process ended without an answer (exit code 0)"
    assert call("garbles") == Outcome("failed", reason=reason)


def test_a_function_that_is_not_there(call) -> None:
    assert call("nonesuch").reason == (
        "AttributeError: module 'functions' has no attribute 'nonesuch'"
    )
    assert in_child("no_such_module:f").reason == (
        "ModuleNotFoundError: No module named 'no_such_module'"
    )


@linux
def test_a_child_that_takes_too_long_is_ended_with_what_it_started(call, tmp_path) -> None:
    file = tmp_path / "pids"
    outcome = call("sleeps", str(file), timeout=10)
    assert outcome == Outcome("failed", reason="it was ended because it took longer than 10 s")
    if file.exists():  # on a machine so busy that it never began, there is no more to see
        pids = [int(pid) for pid in file.read_text("utf-8").split()]
        assert wait_until(lambda: not any(map(alive, pids)))


@linux
def test_what_a_child_leaves_behind_is_ended(call) -> None:
    helper = call("leaves_a_helper").value
    assert wait_until(lambda: not alive(helper))


@linux
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_child_does_not_outlive_the_caller(call, tmp_path: Path, number: int) -> None:
    """Ctrl-C is raised in the caller; a caller that is killed can say nothing any more."""
    program = textwrap.dedent(
        """
        import signal, sys
        from srbench.measure.child import in_child
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a runner may ignore it
        try:
            in_child("functions:sleeps", sys.argv[1])
        except KeyboardInterrupt:
            sys.exit("interrupted")
        """
    )
    file = tmp_path / "pids"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(file)],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stderr=subprocess.PIPE,
    ) as caller:
        assert wait_until(file.exists)
        pids = [int(pid) for pid in file.read_text("utf-8").split()]
        assert all(map(alive, pids))
        caller.send_signal(number)
        assert caller.stderr is not None
        said = caller.stderr.read()
    assert said == (b"interrupted\n" if number == signal.SIGINT else b"")
    assert wait_until(lambda: not any(map(alive, pids)))


def test_a_process_that_cannot_be_started(call, monkeypatch) -> None:
    def no_memory(*_: object, **__: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(module.subprocess, "Popen", no_memory)
    outcome = call("same", 1)
    assert outcome.status == "out of memory"
    assert outcome.reason == ("no process could be started: [Errno 12] Cannot allocate memory")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(12, ""),
        ImportError("libtorch.so: failed to map segment from shared object"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("std::bad_alloc"),
    ],
    ids=repr,
)
def test_a_shortage_is_recognised(error: BaseException) -> None:
    assert is_shortage(error)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no"),
        OSError(28, "No space left on device"),
        RuntimeError("CUDA error: device-side assert triggered"),
        KeyboardInterrupt(),
    ],
    ids=repr,
)
def test_other_errors_are_no_shortage(error: BaseException) -> None:
    assert not is_shortage(error)


def test_the_sentence_of_an_error() -> None:
    assert sentence(ValueError("one\ntwo")) == "ValueError: one"
    assert sentence(ValueError("")) == "ValueError"
    assert sentence(RunFailed("It broke.")) == "It broke."
    assert sentence(SrbenchError("No.")) == "No."
