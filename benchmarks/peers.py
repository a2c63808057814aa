"""Builds the environment of the peers: RecBole and RecTools, apart from srbench's own packages.

    python benchmarks/peers.py [--python python3.11] [--again]

It lies in .venv/peers, which git ignores. `benchmarks/speed.py` calls `interpreter()` and so
builds it when it is first needed (a few minutes).
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ENVIRONMENT = HERE.parent / ".venv" / "peers"
CONSTRAINTS = HERE / "peers-constraints.txt"
STAMP = ENVIRONMENT / "constraints.sha256"
# torch first and alone: what follows is content with it and brings no other build.
STAGES = (["torch", "numpy", "setuptools"], ["recbole", "rectools[torch]"])


def _wanted() -> str:
    return hashlib.sha256(CONSTRAINTS.read_bytes()).hexdigest()


def _base_python() -> str:
    """An interpreter that the peers' wheels exist for: Python 3.11, by its usual name or ours."""
    if sys.version_info[:2] == (3, 11):
        return sys.executable
    found = shutil.which("python3.11")
    if found is None:
        raise SystemExit(
            "The peers need Python 3.11 (RecBole 1.2.1 asks for ray <= 2.6.3, which has no newer "
            "wheels); name one with: python benchmarks/peers.py --python PATH."
        )
    return found


def interpreter(python: str | None = None, *, again: bool = False) -> Path:
    """The Python of the peers' environment, built first where it is missing or out of date."""
    binary = ENVIRONMENT / "bin" / "python"
    if not again and binary.exists() and STAMP.exists() and STAMP.read_text() == _wanted():
        return binary
    base = python or _base_python()
    print(f"building the peers' environment with {Path(base).name}", file=sys.stderr)
    subprocess.run([base, "-m", "venv", "--clear", str(ENVIRONMENT)], check=True)
    install = [str(binary), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for stage in STAGES:
        # pip's warnings name the places it looked in; what matters is whether it ends well.
        subprocess.run([*install, "-c", str(CONSTRAINTS), *stage], check=True)
    STAMP.write_text(_wanted())
    return binary


def main() -> None:
    parser = argparse.ArgumentParser(description="Builds the environment of RecBole and RecTools.")
    parser.add_argument("--python", help="the Python 3.11 to build it with")
    parser.add_argument("--again", action="store_true", help="build it anew")
    arguments = parser.parse_args()
    print(interpreter(arguments.python, again=arguments.again).relative_to(HERE.parent))


if __name__ == "__main__":
    main()
