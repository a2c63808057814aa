"""The command line as a whole: light, helpful, and with one way to end."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from typing import Any
from unittest.mock import MagicMock

import pytest

from srbench.cli import app as cli
from srbench.cli import data, measure, models, run, sizes
from srbench.cli.app import main
from srbench.errors import RunFailed, SrbenchError

HEAVY = ("torch", "numpy", "pandas", "matplotlib", "pydantic", "scipy", "pyarrow")
COMMANDS = ("run", "data", "models", "doctor", "demo")


def srbench(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "srbench", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=os.environ | environment,
    )


# ---------------------------------------------------------------- light


@pytest.mark.parametrize("arguments", [["--help"], *([c, "--help"] for c in COMMANDS)])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    allowed = {"pydantic"} if len(arguments) > 1 else set()  # newer Typer parses options with it
    code = (
        "import sys; from srbench.cli.app import main; main(sys.argv[1:]);"
        f"print([name for name in {sorted(set(HEAVY) - allowed)!r} if name in sys.modules],"
        "file=sys.stderr)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    assert ended.stderr.strip() == "[]"


def test_completing_names_loads_nothing_heavy() -> None:
    code = (
        "import sys; from srbench.cli import complete;"
        "print(complete.model_names('glintru'), complete.dataset_names('ml-1'));"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names, heavy = ended.stdout.splitlines()
    assert names == "['glintru', 'glintru-official'] ['ml-100k', 'ml-1m']"
    assert heavy == "[]"


def test_the_shell_completes_names() -> None:
    ended = srbench(
        _SRBENCH_COMPLETE="complete_bash", COMP_WORDS="srbench run --model glin", COMP_CWORD="3"
    )
    assert ended.stdout.split() == ["glintru", "glintru-official"]


# ---------------------------------------------------------------- help


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits_the_terminal(
    command: str,
    width: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    assert main([*([command] if command else []), "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    if not command:
        text = "\n".join(lines)
        assert all(name in text for name in COMMANDS)
        assert all(example in text for example in cli.EXAMPLES)


def test_no_arguments_show_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    shown = capsys.readouterr()
    assert "Usage: srbench" in shown.out + shown.err


@pytest.mark.parametrize(
    "example", [*cli.EXAMPLES, *run.EXAMPLES, *measure.EXAMPLES, *data.EXAMPLES]
)
def test_the_examples_are_commands(example: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is parsed whole; what it would do is replaced."""
    called: list[str] = []

    def call(*_: object, **__: object) -> Any:
        called.append(example)
        return MagicMock(n_interactions=1, n_users=1)

    for module, function in (
        (run, "_run"),
        (run, "_show_config"),
        (measure, "_measure"),
        (data, "_show"),
        (data, "_load"),
        (data, "_keep"),
        (data, "_write"),
        (models, "_explain"),
    ):
        monkeypatch.setattr(module, function, call)
    monkeypatch.setattr(sizes, "_catalogue", lambda *_: 3416)
    words = shlex.split(example.partition(">")[0])
    assert words[0] == "srbench"
    assert main(words[1:]) == 0
    assert called[0] == example


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    from srbench import __version__

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"srbench {__version__}\n"


# ---------------------------------------------------------------- endings


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["run", "--modle", "sasrec"],
            "srbench run: No such option: --modle. Did you mean --model? See srbench run --help.",
        ),
        (["run", "--zzzzzz"], "srbench run: No such option: --zzzzzz. See srbench run --help."),
        (["rnu"], "srbench: No such command 'rnu'. Did you mean 'run'?"),
        (["run", "--model", "sasrec"], "srbench run: Missing option '--dataset'."),
        (
            ["run", "--model", "pop", "--dataset", "x", "--epochs", "two"],
            "srbench run: Invalid value for '--epochs': ",
        ),
        (["data", "lst"], "srbench data: No such command 'lst'. Did you mean 'list'?"),
        (["models", "glintrue"], "Did you mean glintru"),
        (
            ["run", "--model", "glintru", "--dataset", "ml-1m", "--set", "train.learning=1"],
            "srbench: Unknown setting train.learning (--set).",
        ),
        (
            ["run", "--model", "glintru", "--dataset", "ml-1m", "--epochs", "0"],
            "srbench: train.epochs = 0 (flag) is not possible; it must be a whole number at least",
        ),
        (
            ["run", "--model", "glintru", "--dataset", "ml-1m", "--quiet", "--verbose"],
            "srbench: --quiet and --verbose contradict each other",
        ),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert sentence in shown.err
    assert shown.err.count("\n") == 1


def test_a_misspelt_model_from_the_shell() -> None:
    ended = srbench("run", "--model", "glintrue", "--dataset", "ml-1m")
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert "Did you mean glintru" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (SrbenchError("That is wrong; do this."), 2, "srbench: That is wrong; do this.\n"),
        (RunFailed("It broke; do this."), 1, "srbench: It broke; do this.\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_endings(
    error: BaseException,
    code: int,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(models, "_list", raising(error))
    assert main(["models"]) == code
    assert capsys.readouterr().err == told


def test_a_fault_of_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "_list", raising(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        main(["models"])


def test_a_closed_pipe_is_no_error() -> None:
    command = f"{sys.executable} -m srbench data list --json | head -c 1"
    ended = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, check=False, timeout=120
    )
    assert (ended.stdout, ended.stderr) == ("[", "")


def test_library_warnings_are_one_line() -> None:
    code = (
        "import warnings; import srbench.cli.app as app;"
        "app.models._list = lambda json: warnings.warn('mind this');"
        "app.main(['models'])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stderr == "warning: mind this\n"


def raising(error: BaseException) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise error

    return fail
