"""A function in a fresh process of its own, so that what it does to memory is its own doing.

Whatever becomes of that process - it is killed, runs out of memory, crashes, never ends - the
caller gets an `Outcome` and goes on. The process is started anew, never forked: it shares no
threads, no allocator and no CUDA context with the caller. It does not outlive the caller.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any

from pydantic import JsonValue

from srbench.errors import SrbenchError
from srbench.record.schema import Caution, Status

# How torch, CUDA, the C++ library, the loader and Python say that there is no memory left.
SHORTAGES = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "_alloc_failed",  # cuBLAS, cuDNN
    "bad_alloc",
    "failed to map segment",
    "memoryerror",
)
_OOM_SCORE = "/proc/self/oom_score_adj"


@dataclass(frozen=True)
class Outcome:
    """What became of a function in a process of its own.

    value: what it returned, None unless `status` is ok. reason: why the status is not ok.
    warnings: those that were issued there, each once.
    """

    status: Status
    value: JsonValue = None
    reason: str | None = None
    warnings: tuple[Caution, ...] = ()


def in_child(
    function: str,
    argument: JsonValue = None,
    *,
    timeout: float | None = None,
    environment: Mapping[str, str] | None = None,
) -> Outcome:
    """Calls `function`, "module:name", with `argument` in a fresh Python process, and waits for it.

    timeout: seconds, its start and imports included; None: as long as it takes. environment: what
    is set there beside the caller's own. What it prints is dropped.

    Nothing that happens there is an exception here: it becomes the status and the reason. Ctrl-C
    ends the process and is raised here.
    """
    with (
        tempfile.TemporaryFile() as job,
        tempfile.TemporaryFile() as answer,
        tempfile.TemporaryFile() as errors,
    ):
        job.write(json.dumps([function, argument]).encode())
        job.seek(0)
        lifeline, held = os.pipe()
        handed = (job.fileno(), answer.fileno(), lifeline)
        try:
            process = subprocess.Popen(
                # -P: a file of the present folder must not stand in for a library.
                [sys.executable, "-P", "-m", "srbench.measure.child", *map(str, handed)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                pass_fds=handed,
                env={**os.environ, **(environment or {})},
                start_new_session=True,  # whatever it starts can be ended with it
            )
            late = not _wait(process, timeout)
        except OSError as error:  # no memory, or no room for one process more
            return Outcome(_status_of(error), reason=f"no process could be started: {error}")
        finally:
            os.close(lifeline)
            os.close(held)
        return _answer(answer) or _without_answer(process.returncode, late, timeout, errors)


def is_shortage(error: BaseException) -> bool:
    """Does the error say that memory, of the machine or of a GPU, was not enough?"""
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return True
    return _says_shortage(str(error))


def named(function: str) -> Callable[..., Any]:
    """The function that "module:name" names. Raises ImportError or AttributeError."""
    module, _, name = function.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return found


def _status_of(error: BaseException) -> Status:
    return "out of memory" if is_shortage(error) else "failed"


def sentence(error: BaseException) -> str:
    """The kind of an error and the first line of what it says; ours are sentences already."""
    if isinstance(error, SrbenchError):
        return str(error)
    lines = str(error).strip().splitlines()
    kind = type(error).__name__
    return f"{kind}: {lines[0]}" if lines else kind


def _wait(process: subprocess.Popen[bytes], timeout: float | None) -> bool:
    """False where the process had to be ended because it took too long. Whatever it started, and
    what is still there when Ctrl-C is pressed, ends too."""
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        return False
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return True


def _answer(file: IO[bytes]) -> Outcome | None:
    """What the process wrote down; None if it did not come to that, or not to its end."""
    file.seek(0)
    try:
        found = json.loads(file.read())
        cautions = tuple(Caution(**one) for one in found.pop("warnings"))
        return Outcome(**found, warnings=cautions)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _without_answer(code: int, late: bool, timeout: float | None, errors: IO[bytes]) -> Outcome:
    """What can be told of a process from how it ended and from its last words."""
    errors.seek(0)
    lines = [line.strip() for line in errors.read().decode(errors="replace").splitlines()]
    last = [line for line in lines if line][-5:]
    tail = f": {last[-1]}" if last else ""
    if late:
        return Outcome("failed", reason=f"it was ended because it took longer than {timeout:g} s")
    if code == -signal.SIGKILL:
        return Outcome(
            "out of memory",
            reason="the process was killed (SIGKILL), as the system does where memory runs out",
        )
    status: Status = "out of memory" if any(map(_says_shortage, last)) else "failed"
    if code < 0:
        return Outcome(status, reason=f"the process was ended by {_signal(-code)}{tail}")
    return Outcome(status, reason=f"the process ended without an answer (exit code {code}){tail}")


def _says_shortage(text: str) -> bool:
    return any(words in text.lower() for words in SHORTAGES)


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


# What runs in the child.


def _serve(job: int, answer: int, lifeline: int) -> None:
    """Reads the job, does it and writes down how that went."""
    threading.Thread(target=_end_with_the_caller, args=(lifeline,), daemon=True).start()
    _be_the_first_to_go()
    with open(job, "rb") as file:
        function, argument = json.load(file)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default", UserWarning)
        outcome = _outcome(function, argument)
    said = dict.fromkeys(
        str(one.message).partition("\n")[0]
        for one in caught
        if issubclass(one.category, UserWarning)
    )
    text = json.dumps(outcome | {"warnings": [{"what": one, "advice": ""} for one in said]})
    left = text.encode()
    while left:
        left = left[os.write(answer, left) :]
    os._exit(0)  # threads that do not end, and drivers that fail at the end, are nobody's concern


def _outcome(function: str, argument: JsonValue) -> dict[str, JsonValue]:
    try:
        value = named(function)(argument)
        json.dumps(value, allow_nan=False)
    except KeyboardInterrupt:
        return {"status": "interrupted", "reason": "Ctrl-C was pressed"}
    except BaseException as error:  # SystemExit too
        return {"status": _status_of(error), "reason": sentence(error)}
    return {"status": "ok", "value": value}


def _end_with_the_caller(lifeline: int) -> None:
    """The other end of the pipe is closed when the caller ends, in whatever way."""
    os.read(lifeline, 1)
    os.killpg(0, signal.SIGKILL)


def _be_the_first_to_go() -> None:
    """If the system runs out of memory, it is to end this process and no other."""
    with contextlib.suppress(OSError):
        handle = os.open(_OOM_SCORE, os.O_WRONLY)
        try:
            os.write(handle, b"1000")
        finally:
            os.close(handle)


if __name__ == "__main__":
    _serve(*map(int, sys.argv[1:]))
