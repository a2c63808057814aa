"""The README is true: its commands exist, its targets exist, its Python runs."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")

# Commands that answer in seconds and need no data; they are run, not only parsed.
FAST = ("srbench --help", "srbench models", "srbench doctor", "srbench data list")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    """Each line of the shell blocks as words, without comments and variables set in front."""
    joined = "\n".join(blocks("sh")).replace("\\\n", " ")
    lines = [shlex.split(line, comments=True) for line in joined.splitlines()]
    for words in lines:
        while words and re.match(r"[A-Z_]+=", words[0]):
            words.pop(0)
    return [words for words in lines if words]


def of(program: str) -> list[list[str]]:
    return [words for words in commands() if words[0] == program]


def parse(words: list[str]) -> None:
    """Parses a command down to its last subcommand, without running it. Raises on a mistake."""
    from srbench.cli.app import app

    command = typer.main.get_command(app)
    context = command.make_context("srbench", words[1:])
    while hasattr(command, "resolve_command"):
        rest = [*getattr(context, "_protected_args", ()), *context.args]
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context)


def test_it_begins_with_two_commands() -> None:
    assert commands()[:2] == [["make", "demo"], ["make", "test"]]


@pytest.mark.parametrize("words", of("srbench"), ids=shlex.join)
def test_each_command_is_understood(words: list[str]) -> None:
    if "--help" not in words:
        parse(words)


def test_a_wrong_command_is_not_understood() -> None:
    with pytest.raises(Exception, match="No such option"):
        parse(["srbench", "run", "--modle", "pop", "--dataset", "synthetic"])


@pytest.mark.parametrize(
    "words",
    [words for words in of("srbench") if shlex.join(words).startswith(FAST)],
    ids=shlex.join,
)
def test_fast_commands_run(words: list[str], tmp_path: Path) -> None:
    program = [sys.executable, "-m", *words]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("target", sorted({words[1] for words in of("make")}))
def test_each_make_target_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)


@pytest.mark.parametrize("code", blocks("python"))
def test_its_python_runs(code: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!https?:|#)([^)#]+)", README))))
def test_each_link_leads_somewhere(link: str) -> None:
    assert (ROOT / link).exists()
