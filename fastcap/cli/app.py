"""The command group, and the one place that turns exceptions into messages and exit statuses."""

from __future__ import annotations

import gc
import importlib
import io
import os
import signal
import sys
from types import FrameType
from typing import Any

import click

from fastcap import __version__
from fastcap.cli import exit_codes
from fastcap.cli.messages import say
from fastcap.errors import FastcapError
from fastcap.waiting import NoMoreThreadsError

# name -> module and one line of help, so that a command's module is imported only when it runs
_COMMANDS = {
    "capture": "Write the frames of an interface into files that rotate.",
    "run": "Capture into a spool, and keep what filters take of it.",
    "filter": "Keep the frames of captures that a filter takes.",
    "follow": "Filter files as they are finished; give the disk back.",
    "status": "Show what fastcap run or follow does, and find files by time.",
    "compile": "Print the classic BPF program of a filter.",
    "explain": "Say what a filter means.",
    "info": "Say what captures hold: format, frames, times, damage.",
    "bench": "Measure what this machine can take.",
}
# What hands that know tcpdump or tshark type.
_OTHER_TOOLS = {
    "-r": ": inputs are plain words behind the filter",
    "-w": ": -o OUT writes the matching frames",
    "-n": ": nothing is looked up, leave it out",
    "-Y": ": the filter is the first word, in pcap-filter's language",
}


class Signalled(BaseException):
    """A signal asked us to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        try:
            module = importlib.import_module(f"fastcap.cli.{cmd_name}")
        except ModuleNotFoundError as error:
            if not (error.name or "").startswith("fastcap._native"):
                raise
            raise FastcapError(
                f"fastcap {cmd_name} needs Linux: this one was built without it"
            ) from None
        gc.freeze()  # what was imported stays: the first collection need not walk it
        gc.enable()
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", message="fastcap %(version)s")
def fastcap() -> None:
    """Capture packets into files, and filter captures exactly, on every core.

    \b
    Exit status: 0 all well; 1 failed; 2 wrong usage;
    3 finished, but input was damaged or frames were lost; 130 interrupted.
    """


def run(arguments: list[str]) -> int:
    """Runs one command; its exit status."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            signal.signal(number, _on_signal)
    if sys.stdout is None:  # closed; what is printed goes nowhere
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - until the end
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names need not be text
    try:
        status = _main(arguments)
        sys.stdout.flush()
        return status
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return exit_codes.USAGE
    except click.NoSuchOption as error:
        hint = _OTHER_TOOLS.get(error.option_name, "")
        return _refuse(error.format_message().rstrip(".") + hint, _place(error), exit_codes.USAGE)
    except click.ClickException as error:
        return _refuse(error.format_message(), _place(error), exit_codes.USAGE)
    except FastcapError as error:
        return _refuse(str(error), "fastcap", error.exit_status)
    except (BrokenPipeError, SystemExit):  # the latter is what click makes of the former
        return _reader_left()
    except OSError as error:
        what = f"{error.filename or ''}: {error.strerror}".lstrip(": ")
        return _refuse(what, "fastcap", exit_codes.FAILED)
    except (MemoryError, NoMoreThreadsError):
        return _refuse(
            "out of memory or threads; give it fewer --jobs", "fastcap", exit_codes.FAILED
        )
    except (KeyboardInterrupt, click.Abort):
        message = "interrupted" + _what_is_removed(arguments)
        return _refuse(message, "fastcap", exit_codes.INTERRUPTED)
    except Signalled as error:
        name = signal.Signals(error.number).name
        return _refuse(
            f"ended by {name}" + _what_is_removed(arguments), "fastcap", 128 + error.number
        )
    finally:
        _drop_what_could_not_be_said()


def _main(arguments: list[str]) -> int:
    try:
        status = fastcap.main(arguments, prog_name="fastcap", standalone_mode=False)
    except BaseException as error:
        # the error itself, or, as click raises an Abort of its own, the KeyboardInterrupt behind it
        for told in (error, error.__cause__):
            parts = getattr(told, "finished_parts", None)
            if not parts:
                continue
            say(f"{len(parts):,} finished files of the series remain, the last one {parts[-1]}")
        raise
    return status if isinstance(status, int) else exit_codes.OK


def _what_is_removed(arguments: list[str]) -> str:
    """By the commands that have unfinished files which nobody needs."""
    removes = arguments[:1] in (["filter"], ["bench"])
    return "; what was not finished is removed" if removes else ""


def _on_signal(number: int, _frame: FrameType | None) -> Any:
    raise Signalled(number)


def _place(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return context.command_path if context else "fastcap"


def _refuse(message: str, place: str, status: int) -> int:
    hint = f" (see {place} --help)" if place != "fastcap" else ""
    say(message.rstrip(".") + hint)
    return status


def _drop_what_could_not_be_said() -> None:
    """Python would try once more at the end, and make another exit status of it."""
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)


def _reader_left() -> int:
    """Whoever read our standard output had enough: no error. Nothing more may be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return exit_codes.OK
