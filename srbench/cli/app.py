"""The command `srbench`: one file per command, put together here, and how it ends."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import typer

from srbench.cli import data, demo, doctor, measure, models, run
from srbench.cli.console import INTERRUPTED, examples, say
from srbench.errors import SrbenchError

EXAMPLES = (
    "srbench run --model glintru --dataset ml-1m",
    "srbench run --model sasrec --dataset ./events.csv --columns user,item,time",
    "srbench run --model gru4rec --dataset ml-100k --epochs 20 --json",
    "srbench data show ml-1m --time-ties shuffle:1",
    "srbench measure --model glintru,sasrec --length 50,200",
    "srbench models glintru",
)

app = typer.Typer(
    name="srbench",
    help="Sequential recommenders compared fairly: one harness, one protocol, "
    "time and memory measured.",
    epilog=examples(EXAMPLES),
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from srbench import __version__

        typer.echo(f"srbench {__version__}")
        raise typer.Exit


@app.callback()
def srbench(
    version: bool = typer.Option(
        False,
        "--version",
        help="Show the version and exit.",
        metavar="",
        callback=_version,
        is_eager=True,
    ),
) -> None:
    pass


app.command("run", epilog=examples(run.EXAMPLES))(run.run)
app.command("measure", epilog=examples(measure.EXAMPLES))(measure.measure)
app.add_typer(data.app, name="data")
app.command("models")(models.models)
app.command("doctor")(doctor.doctor)
app.command("demo")(demo.demo)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit code: 0, 1 a run failed, 2 bad input, 130 Ctrl-C."""
    warnings.formatwarning = _plain_warning
    try:
        ended = app(args=arguments, prog_name="srbench", standalone_mode=False)
    except SrbenchError as error:
        say(f"srbench: {error}")
        return error.exit_code
    except typer.Abort:  # how older versions of Typer report Ctrl-C
        return INTERRUPTED
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        say(_usage(error))
        return SrbenchError.exit_code
    return ended if isinstance(ended, int) else 0


def _usage(error: Exception) -> str:
    """A wrong option or command in one sentence; Typer's own classes for them are private."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "srbench"
    message = str(getattr(error, "message", "")) if hasattr(error, "possibilities") else ""
    message = message or error.format_message()  # type: ignore[attr-defined]
    near = getattr(error, "possibilities", None)
    hint = f" Did you mean {' or '.join(sorted(near))}?" if near else ""
    stop = "" if message.endswith("?") else "."
    return f"{command}: {message.rstrip('.')}{stop}{hint} See {command} --help."


def _plain_warning(message: Warning | str, *_: object, **__: object) -> str:
    return f"warning: {message}\n"
