"""Two hosts on one cable, made of nothing but Python and the kernel, for an ordinary user too.

This process is the near host, a forked child the far one, each in a network namespace of its own;
the cable is a veth pair. All of it is gone when both processes are.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x00020000, 0x10000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_REC, MS_PRIVATE = 0x2, 0x4, 0x4000, 0x40000

SIOCGIFFLAGS, SIOCSIFFLAGS, SIOCETHTOOL = 0x8913, 0x8914, 0x8946
IFF_UP, IFF_RUNNING, IFF_PROMISC = 0x1, 0x40, 0x100
ETHTOOL_STXCSUM, ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_SGRO = 0x17, 0x1F, 0x24, 0x2C

# linux/rtnetlink.h, linux/if_link.h
NLMSG_ERROR, RTM_NEWLINK, RTM_NEWADDR = 2, 16, 20
REQUEST_ACK, CREATE = 0x1 | 0x4, 0x200 | 0x400
IFLA_IFNAME, IFLA_LINKINFO, IFLA_NET_NS_PID, IFLA_AF_SPEC = 3, 18, 19, 26
IFLA_INFO_KIND, IFLA_INFO_DATA, VETH_INFO_PEER = 1, 2, 1
IFLA_INET6_ADDR_GEN_MODE, ADDR_GEN_NONE = 8, 1
IFA_ADDRESS, IFA_LOCAL = 1, 2
PREFIX = 24

_libc = ctypes.CDLL(None, use_errno=True)


class End(NamedTuple):
    """One end of the cable: what the interface is called there, and the IPv4 addresses it has."""

    name: str
    addresses: tuple[str, ...]


class Counters(NamedTuple):
    """What an interface counted. `frames_refused`: given to the cable, and left there because the
    other end had no room; whoever captures at this end has seen them."""

    frames_in: int
    bytes_in: int
    frames_out: int
    bytes_out: int
    frames_refused: int

    @property
    def frames(self) -> int:
        """That passed this end, in both directions."""
        return self.frames_in + self.frames_out + self.frames_refused


# ---- Namespaces ---------------------------------------------------------------------------------


def enter() -> bool:
    """Takes this process, and those it starts, into network and mount namespaces of its own.
    Whether it took a user namespace too, which makes an ordinary user root in there. OSError."""
    try:
        unshare(CLONE_NEWNET | CLONE_NEWNS)
        own_user_namespace = False
    except PermissionError:
        uid, gid = os.getuid(), os.getgid()
        unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS)
        Path("/proc/self/setgroups").write_text("deny")  # the kernel wants it before gid_map
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
        own_user_namespace = True
    return own_user_namespace


def unshare(flags: int) -> None:
    if _libc.unshare(flags) != 0:
        raise_errno()


def hide_run() -> None:
    """An empty /run: whoever looks up a name must find no daemon of the network outside. Not where
    we live in /run ourselves, and no matter where it is forbidden."""
    ours = (Path(sys.executable), Path(sys.prefix), Path.cwd())
    if any(path.resolve().is_relative_to("/run") for path in ours):
        return
    with contextlib.suppress(OSError):
        mount(b"none", b"/", None, MS_REC | MS_PRIVATE)  # so that the next is seen here alone
        mount(b"tmpfs", b"/run", b"tmpfs", MS_NOSUID | MS_NODEV)


def mount(source: bytes, target: bytes, kind: bytes | None, flags: int) -> None:
    if _libc.mount(source, target, kind, ctypes.c_ulong(flags), None) != 0:
        raise_errno()


def raise_errno() -> None:
    code = ctypes.get_errno()
    raise OSError(code, os.strerror(code))


# ---- The two hosts ------------------------------------------------------------------------------


class Network:
    """The far host and the cable to it, inside the namespaces of `enter`. `serve` runs at the far
    host, and returns when its servers, on threads, can be asked. OSError."""

    def __init__(self, near: End, far: End, serve: Callable[[], None]) -> None:
        self.near = near
        self._control, control = socket.socketpair()
        sys.stdout.flush()
        self._far = os.fork()
        if self._far == 0:
            self._control.close()
            be_the_far_host(control, far, serve)
        control.close()
        try:
            self._hear("namespace")
            plug_in(near.name, far.name, self._far)
            configure(near)
            self._control.send(b"plugged in")
            self._hear("ready")
        except BaseException:
            self.close()
            raise

    def _hear(self, expected: str) -> None:
        heard = self._control.recv(1000).decode()
        if heard != expected:
            raise OSError(heard or "the other host ended")

    def counters(self) -> Counters:
        """Of the near end, since it exists. OSError where it is gone."""
        return counters(self.near.name)

    def unplug(self) -> None:
        """From here on nothing passes in either direction, so that counters can be compared."""
        self._control.send(b"unplug")
        self._hear("unplugged")
        while flags(self.near.name) & IFF_RUNNING:  # the kernel tells this end a moment later
            time.sleep(0.01)

    def close(self) -> None:
        os.kill(self._far, signal.SIGKILL)
        os.waitpid(self._far, 0)
        self._control.close()

    def __enter__(self) -> Network:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def be_the_far_host(control: socket.socket, end: End, serve: Callable[[], None]) -> None:
    """In the child; does not return. It ends with the near host, whose end of `control` closes."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # they are for the near host
        signal.signal(number, signal.SIG_IGN)
    try:
        unshare(CLONE_NEWNET)
        control.send(b"namespace")
        if control.recv(100):
            configure(end)
            serve()
            control.send(b"ready")
        if control.recv(100):
            set_up(end.name, False)
            control.send(b"unplugged")
        control.recv(100)
    except BaseException as error:
        with contextlib.suppress(OSError):
            control.send(str(error).encode())
    finally:
        os._exit(0)


def counters(name: str) -> Counters:
    """Of an interface of this namespace, since it exists. OSError where it is gone."""
    # this file is our namespace's; /sys/class/net is the one's in which it was mounted
    for line in Path("/proc/self/net/dev").read_text().splitlines():
        who, _, numbers = line.partition(":")
        if who.strip() == name:
            n = [int(number) for number in numbers.split()]
            return Counters(n[1], n[0], n[9], n[8], n[11])
    raise OSError(errno.ENODEV, f"{name} is gone")


# ---- The cable ----------------------------------------------------------------------------------


def plug_in(near: str, far: str, far_process: int) -> None:
    """A veth pair: one end here, one in the namespace of another process."""
    peer = link_header(0) + name_attribute(far)
    peer += attribute(IFLA_NET_NS_PID, struct.pack("=I", far_process))
    kind = attribute(IFLA_INFO_KIND, b"veth")
    data = attribute(IFLA_INFO_DATA, attribute(VETH_INFO_PEER, peer))
    body = link_header(0) + name_attribute(near) + attribute(IFLA_LINKINFO, kind + data)
    ask(RTM_NEWLINK, CREATE, body)


def configure(end: End) -> None:
    """Addresses, and up; nothing that would put frames there of its own accord, or longer ones
    than a cable carries."""
    number = socket.if_nametoindex(end.name)
    silence_ipv6(number)
    # Frames that are cut to size behind the interface lose their headers in a capture.
    for setting in (ETHTOOL_SGRO, ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_STXCSUM):
        switch_off(end.name, setting)
    for address in end.addresses:
        packed = socket.inet_aton(address)
        body = struct.pack("=BBBBI", socket.AF_INET, PREFIX, 0, 0, number)
        body += attribute(IFA_LOCAL, packed) + attribute(IFA_ADDRESS, packed)
        ask(RTM_NEWADDR, CREATE, body)
    set_up(end.name, True)


def silence_ipv6(number: int) -> None:
    """Without an address of its own IPv6 says nothing. By netlink, since /proc/sys may be read-only
    in containers."""
    mode = attribute(IFLA_INET6_ADDR_GEN_MODE, bytes([ADDR_GEN_NONE]))
    body = link_header(number) + attribute(IFLA_AF_SPEC, attribute(socket.AF_INET6, mode))
    try:
        ask(RTM_NEWLINK, 0, body)
    except OSError as error:
        if error.errno != errno.EAFNOSUPPORT:  # a kernel without IPv6
            raise


def flags(name: str) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        answer = fcntl.ioctl(control, SIOCGIFFLAGS, struct.pack("16sH22x", name.encode(), 0))
    value: int = struct.unpack_from("16xH", answer)[0]
    return value


def set_up(name: str, up: bool) -> None:
    value = flags(name) | IFF_UP if up else flags(name) & ~IFF_UP
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH22x", name.encode(), value))


def restore_promiscuity(name: str, before: int) -> None:
    """Takes IFF_PROMISC from an interface that did not have it, by its flags of `before`: a tool
    that sets it there (netsniff-ng) leaves it there where it is killed. Not where the interface is
    gone, or we have no right, with which no tool had it."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        value = flags(name)
        if value & IFF_PROMISC and not before & IFF_PROMISC:
            request = struct.pack("16sH22x", name.encode(), value & ~IFF_PROMISC)
            fcntl.ioctl(control, SIOCSIFFLAGS, request)


def switch_off(name: str, setting: int) -> None:
    value = ctypes.create_string_buffer(struct.pack("=II", setting, 0), 8)
    request = struct.pack("16sP16x", name.encode(), ctypes.addressof(value))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCETHTOOL, request)


# ---- rtnetlink(7) -------------------------------------------------------------------------------


def link_header(number: int) -> bytes:
    return struct.pack("=BxHiII", socket.AF_UNSPEC, 0, number, 0, 0)


def name_attribute(name: str) -> bytes:
    return attribute(IFLA_IFNAME, name.encode() + b"\0")


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def ask(kind: int, flags: int, body: bytes) -> None:
    """OSError with what the kernel answers."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as netlink:
        header = struct.pack("=IHHII", 16 + len(body), kind, REQUEST_ACK | flags, 1, 0)
        netlink.send(header + body)
        answer = netlink.recv(1 << 16)
    _, kind, _, _, _, code = struct.unpack_from("=IHHIIi", answer)
    if kind != NLMSG_ERROR:
        raise OSError(errno.EPROTO, f"netlink answered with a message of kind {kind}")
    if code != 0:  # an error 0 is the acknowledgement
        raise OSError(-code, os.strerror(-code))
