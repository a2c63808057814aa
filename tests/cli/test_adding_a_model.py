"""docs/adding-a-model.md, done word for word: its files are written, its commands are run."""

from __future__ import annotations

import os
import re
import subprocess
import sysconfig
from pathlib import Path
from typing import NamedTuple

import pytest

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "adding-a-model.md").read_text("utf-8")


class Block(NamedTuple):
    before: str  # the paragraph in front of it
    kind: str
    text: str


BLOCKS = [Block(*found) for found in re.findall(r"([^\n]*)\n\n```(\w+)\n(.*?)```", TEXT, re.DOTALL)]


class Follower:
    """Somebody with an empty folder and this page."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        scripts = sysconfig.get_path("scripts")
        # pip must leave this environment as it is and stay off the network, and nobody's wishes
        # for pip, such as to be quiet, are on the page
        ours = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
        self.environment = ours | {
            "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(folder / "installed"),
            "PIP_TARGET": str(folder / "installed"),
            "PIP_NO_DEPS": "1",
            "PIP_NO_INDEX": "1",
            "PIP_NO_BUILD_ISOLATION": "0",  # which pip reads as: no isolation
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }

    def write(self, block: Block) -> str:
        name = str(re.findall(r"`(\w+\.\w+)`", block.before)[-1])
        (self.folder / name).write_text(block.text, encoding="utf-8")
        return name

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            shell=True,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def done(self, command: str) -> str:
        done = self.run(command)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.mark.slow
def test_the_page_followed_word_for_word(tmp_path: Path) -> None:
    follower = Follower(tmp_path)
    written, shown = [], {}
    for block in BLOCKS:
        if block.kind in ("python", "toml"):
            written.append(follower.write(block))
        elif block.kind == "sh":
            shown |= {line: follower.done(line) for line in block.text.splitlines()}
    assert written == ["fading.py", "test_fading.py", "pyproject.toml"]
    check, explain, run, test, install, explain_installed, run_installed = shown.values()
    assert check.startswith("./fading.py:Fading keeps its contract: forward, pads, ")
    assert "A moving average of the items." in explain and "model.dropout" in explain
    assert "record: results/synthetic/" in run and "record: results/synthetic/" in run_installed
    assert "1 passed" in test
    assert "Successfully installed fading-0.1" in install
    assert explain_installed.replace("fading: ", "./fading.py:Fading: ", 1) == explain
    assert "fading" in follower.done("srbench models --names").split()
    assert not (Path(sysconfig.get_path("purelib")) / "fading.py").exists()


def test_a_broken_model_is_told_as_the_page_says(tmp_path: Path) -> None:
    follower = Follower(tmp_path)
    model, *_ = (block for block in BLOCKS if block.kind == "python")
    (told,) = (block.text for block in BLOCKS if block.kind == "text")
    right = "x_LBD = self.dropout(x_BLD.transpose(0, 1))"
    assert model.text.count(right) == 1
    wrong = model.text.replace(right, "x_LBD = self.dropout(x_BLD)")
    wrong = wrong.replace("* x_LBD)).transpose(0, 1)", "* x_LBD))")
    follower.write(model._replace(text=wrong))
    done = follower.run("srbench models ./fading.py:Fading --check")
    assert done.returncode == 2
    assert re.sub(r"\d\.\d+", "#", done.stderr) == re.sub(r"\d\.\d+", "#", told)
    run = follower.run("srbench run --model ./fading.py:Fading --dataset nowhere.csv")
    assert run.returncode == 2
    assert "breaks its contract (forward)" in run.stderr  # before it looks for the data
