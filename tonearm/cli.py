"""The command ``tonearm``: parse, make one library call, print. Heavy imports stand inside the commands."""

import logging
import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from tonearm import __version__
from tonearm.commands import bench, config, data, models, training
from tonearm.commands.output import Json, print_json, say
from tonearm.errors import TonearmError

app = typer.Typer(
    help="Pack audio once, decode it with DALI, augment whole batches on the GPU, train, and measure every step.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_GO_ON = {  # what to say after Ctrl-C
    "pack": " What was written is whole: run the same command again.",
    "append": " What was written is whole: run the same command again.",
    "train": " What was written is whole: go on with --resume RUN.",
    "unpack": " Empty DIR and run it again.",
}
app.add_typer(data.app)
app.add_typer(training.app)
app.add_typer(models.app)
app.add_typer(bench.app, name="bench")
app.add_typer(config.app, name="config")


def main() -> None:
    """Run the command line; leaves with 0 done, 1 the run failed, 2 the request was wrong."""
    # OpenMP's threads spin while they wait for each other. Beside decoding threads, or anything else that runs, that
    # takes the very cores they wait for: let them sleep soon (docs/design/loader.md). Read when torch is loaded.
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    debug = "--debug" in sys.argv
    before = signal.signal(signal.SIGINT, _interrupt)
    try:
        app([word for word in sys.argv[1:] if word != "--debug"], prog_name="tonearm")
    except _InterruptedError:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # nobody needs a second one while things close
        _fail(f"interrupted.{_how_to_go_on(sys.argv[1:])}", 1)
    except Exception as error:
        if debug:
            raise
        if isinstance(error, TonearmError):
            _fail(str(error), error.exit_code)
        _fail(f"failed, {type(error).__name__}: {str(error) or 'no more is known'}. --debug shows where.", 1)
    finally:
        signal.signal(signal.SIGINT, before)


class _InterruptedError(BaseException):
    """Ctrl-C; typer would take a KeyboardInterrupt and leave without a word."""


def _interrupt(*_: object) -> NoReturn:
    raise _InterruptedError


def _how_to_go_on(words: list[str]) -> str:
    command = next((word for word in words if not word.startswith("-")), "")
    return _GO_ON.get(command, "")


@app.callback(invoke_without_command=True)
def about(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Pack audio once, decode it with DALI, augment whole batches on the GPU, train, and measure every step.

    ``--debug`` anywhere shows the traceback of an error.
    """
    if version:
        print(f"tonearm {__version__}")
        raise typer.Exit


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the made-up recordings, the shards and the run.")] = Path(
        "tonearm-demo"
    ),
) -> None:
    """Make a small dataset of synthetic sounds, pack it, train on it, evaluate, benchmark: minutes on a CPU."""
    from tonearm.commands.bench import show_report
    from tonearm.demo import run_demo

    run_demo(out, say=say, show=show_report)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what this machine has, what will be used, and what is missing."""
    from tonearm.doctor import diagnose

    found = diagnose()
    if as_json:
        print_json(asdict(found))
    else:
        say(str(found))


def _fail(message: str, code: int) -> NoReturn:
    print(f"tonearm: {message}", file=sys.stderr)
    sys.exit(code)
