"""fastcap run"""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterable, Sequence
from typing import Any

import click

from fastcap import ourselves
from fastcap.cli import capture, follow
from fastcap.cli.messages import say
from fastcap.cli.terminal import Terminal
from fastcap.engine import wanted
from fastcap.errors import OutputError, UsageError
from fastcap.outputs import refusal
from fastcap.pipeline.originals import DELETE
from fastcap.pipeline.supervisor import Command, Supervisor
from fastcap.privileges import group_of

_NOT_OF_CAPTURE = ("write", "format", "files", "as_json", "list_interfaces", "wait_interface")
_NOT_OF_SERVICE = ("finished", "once", "original")
_ROTATES = ("rotate_size", "rotate_seconds")
_DEFAULT_SIZE = "--rotate-size=1G"
# Outputs often lie on the spool's disk; where that is full, nothing is kept, so nothing is deleted.
_DEFAULT_FREE = "--keep-free=1%"


def _offered(command: click.Command, left_out: Sequence[str]) -> list[click.Parameter]:
    """Of a half's parameters those that the user may give it; the hidden ones are for us."""
    return [
        param
        for param in command.params
        if param.name not in left_out and not getattr(param, "hidden", False)
    ]


_WAIT = click.Option(
    ["--wait-interface"], is_flag=True, help="Wait for IFACE at the start too."
)  # one that goes is waited for in any case
_OF_CAPTURE = [*_offered(capture.command, _NOT_OF_CAPTURE), _WAIT]
_ORIGINAL = click.Option(
    ["--original"],
    metavar="delete|keep|move DIR",
    default=DELETE,
    show_default=True,
    help="What becomes of a captured file when its frames are safe.",
)
_OF_SERVICE = [*_offered(follow.command, _NOT_OF_SERVICE), _ORIGINAL]
_FIRST = ("words", "interface", "spool", "to", "snaplen", "rotate_size", "keep_free")


def _joined() -> list[click.Parameter]:
    """Both halves' parameters; of those with one name the capture's."""
    names = {param.name for param in _OF_CAPTURE}
    params = [*_OF_CAPTURE, *(param for param in _OF_SERVICE if param.name not in names)]
    first = {name: number for number, name in enumerate(_FIRST)}
    return sorted(params, key=lambda param: first.get(param.name or "", len(_FIRST)))


class _Halves(click.Command):
    """Keeps what was typed, by the names of parameters, after all of it was checked."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        args = follow.with_one_word(args)
        typed, _, _ = self.make_parser(ctx).parse_args(args=list(args))
        rest = super().parse_args(ctx, args)
        ctx.obj = typed
        return rest


def _again(params: Iterable[click.Parameter], typed: dict[str, Any]) -> list[str]:
    """What was typed, as arguments for whoever has these parameters."""
    words: list[str] = []
    rest: list[str] = []
    for param in params:
        value = typed.get(param.name or "")
        values = value if isinstance(value, (list, tuple)) else [value]
        texts = [one for one in values if isinstance(one, str)]  # click's mark of nothing is none
        if not isinstance(param, click.Option):
            rest += texts
        elif isinstance(value, bool):
            words.append(_longest(param.opts if value else param.secondary_opts))
        else:
            words += [word for text in texts for word in _option(param, text)]
    return [*words, "--", *rest] if rest else words


def _option(param: click.Option, value: str) -> list[str]:
    name = _longest(param.opts)
    return [f"{name}={value}"] if name.startswith("--") else [name, value]


def _longest(names: Sequence[str]) -> str:
    return max(names, key=len)


def _run(**options: Any) -> int:
    """Capture an interface into a spool, and keep what filters take of it.

    \b
      fastcap run -i eth1 -s 80 --spool /data/spool --to /data/kept/web.pcap='tcp port 443'
      fastcap run -i eth1 -G 60 --spool spool --keep-free 10% --to bad.pcap='host 10.35.69.103'

    Two processes, fastcap capture and fastcap follow: each is started again when it dies, and the
    other goes on meanwhile. EXPR is the capture's filter. A file in the spool goes to each --to
    whose filter takes frames of it, and is deleted then (--original keep leaves it). Without -C and
    -G files end at 1 GiB; without --keep-free 1% of the disk is kept free by deleting the oldest
    files, filtered or not, which is counted as a loss. --user, --group, --mode, --vlan and
    --engine are for both.

    SIGINT and SIGTERM end the capture, then what is filtered; SIGHUP ends the files that are
    written; SIGUSR1 prints the counts. Exit status 3: frames were lost.
    """
    _check(options)
    spool, interface = options["spool"], options["interface"]
    _make_spool(spool, options["user"], options["group"])
    name = f"_{interface}" if interface.startswith(".") else interface  # no file that is hidden
    typed = click.get_current_context().obj
    captured = [
        f"--write={os.path.join(spool, name)}.pcap", "--format=pcap", f"--numbers-of={spool}"
    ]  # fmt: skip
    if not any(name in typed for name in _ROTATES):
        captured.append(_DEFAULT_SIZE)
    if "keep_free" not in typed:
        captured.append(_DEFAULT_FREE)
    followed = ["--finished=name", "--numbered"]
    if "original" not in typed:
        followed.append("--original=delete")
    terminal = Terminal()
    supervisor = Supervisor(
        Command(
            [*ourselves.command(), "capture"],
            [*captured, *_again(_OF_CAPTURE, typed)],
            again=["--wait-interface"],
            lock=os.path.join(spool, f".{name}.pcap.lock"),
        ),
        Command(
            [*ourselves.command(), "follow"],
            [*followed, *_again(_OF_SERVICE, typed)],
            lock=os.path.join(spool, ".fastcap", "lock"),
        ),
        grace=options["grace"],
        on_note=terminal.say,
    )
    terminal.start()
    try:
        return supervisor.run()
    finally:
        terminal.close()


def _check(options: dict[str, Any]) -> None:
    """What neither half would refuse, or not for the reason that counts here."""
    wanted(options["engine"])
    if options["interface"] is None:
        raise UsageError("no interface: -i IFACE (fastcap capture -D lists them)")
    if not options["to"]:
        raise UsageError("what is to be kept? --to PATH=EXPR; the rest of the spool is deleted")
    if len(options["words"]) > 1:
        raise UsageError(
            f"{' '.join(options['words'])}: the capture's filter is one word here, in quotes; or "
            "is it of --to? --to web.pcap='tcp port 443'"
        )
    if options["on_full"] == "stop":
        raise UsageError("--on-full stop: a capture that ends is started again; wait, the default, "
                         "or delete-oldest")  # fmt: skip
    if options["filter_file"] == "-":
        raise UsageError("-F -: a capture that is started again would read nothing; name a file")
    if options["as_json"] and options["events"] == "-":
        raise UsageError("--events - and --json both want standard output: name a file for one")


def _make_spool(path: str, user: str | None, group: str | None) -> None:
    """For who will write there, where its parent is there and it is not."""
    try:
        os.mkdir(path, 0o755)
    except FileExistsError:
        return
    except OSError as error:
        raise refusal(path, error) from error
    say(f"{path}: made")
    if user is None and group is None:
        return
    try:
        owner = -1 if user is None else _number_of(user)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.fchown(fd, owner, -1 if group is None else group_of(group))
        finally:
            os.close(fd)
    except BaseException as error:
        os.rmdir(path)
        if isinstance(error, OSError):
            raise OutputError(
                f"{path}: cannot be given to {user or group}: {error.strerror}"
            ) from (error)
        raise


def _number_of(user: str) -> int:
    try:
        return int(user) if user.isdecimal() else pwd.getpwnam(user).pw_uid
    except KeyError:
        raise UsageError(f"--user {user}: no such user") from None


command = _Halves("run", params=_joined(), callback=_run, help=_run.__doc__)
