"""Gives up every right, or all but the one to capture: capabilities(7), prctl(2)."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import grp
import os
import pwd

from fastcap.errors import UsageError

_NET_RAW = 13  # CAP_NET_RAW
_LARGEST_NUMBER = 0xFFFFFFFE  # of a user or group
_LAST = 63  # no kernel has more capabilities
_VERSION_3 = 0x20080522  # of struct __user_cap_header_struct
_KEEPCAPS, _CAPBSET_DROP, _NO_NEW_PRIVS, _AMBIENT, _AMBIENT_CLEAR_ALL = 8, 24, 38, 47, 4


def group_of(name: str) -> int:
    """Its number. UsageError where there is none of that name."""
    with contextlib.suppress(KeyError):
        return grp.getgrnam(name).gr_gid
    if name.isdecimal() and int(name) <= _LARGEST_NUMBER:
        return int(name)
    raise UsageError(f"--group {name}: no such group")


def user_name(number: int) -> str:
    """As chown takes it."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def drop(user: str | None = None, group: int | None = None, *, keep_raw: bool = True) -> None:
    """From here on the process runs as `user`, if one is given, may give files to `group`, and
    holds CAP_NET_RAW, if it had that and `keep_raw` is true, and nothing else; nothing that it
    starts can get more. Call it before the first thread: capabilities are a thread's. UsageError
    where that cannot be."""
    kept = 1 << _NET_RAW if keep_raw else 0
    libc = ctypes.CDLL(None, use_errno=True)
    account = None if user is None else _account_of(user)
    for capability in range(_LAST + 1):
        if not kept >> capability & 1:
            libc.prctl(_CAPBSET_DROP, capability, 0, 0, 0)  # refused to who has no CAP_SETPCAP
    try:
        if account is not None:
            _become(libc, account, group)
        elif group is not None and group not in (os.getegid(), *os.getgroups()):
            os.setgroups([*os.getgroups(), group])
    except OSError as error:
        raise _refusal(account, group, error) from error
    libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.prctl(_AMBIENT, _AMBIENT_CLEAR_ALL, 0, 0, 0)
    _keep(libc, kept)


def _account_of(user: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
    except (KeyError, OverflowError):
        raise UsageError(f"--user {user}: no such user") from None


def _become(libc: ctypes.CDLL, account: pwd.struct_passwd, group: int | None) -> None:
    groups = os.getgrouplist(account.pw_name, account.pw_gid)
    os.setgroups([*groups, *([] if group is None else [group])])
    os.setresgid(account.pw_gid, account.pw_gid, account.pw_gid)
    libc.prctl(_KEEPCAPS, 1, 0, 0, 0)  # over the change of the user, for `_keep`
    os.setresuid(account.pw_uid, account.pw_uid, account.pw_uid)


def _refusal(account: pwd.struct_passwd | None, group: int | None, error: OSError) -> UsageError:
    if account is not None:
        why = "only root may do that" if error.errno == errno.EPERM else error.strerror
        return UsageError(f"--user {account.pw_name}: {why}")
    try:
        name = grp.getgrgid(group or 0).gr_name
    except KeyError:
        name = str(group)
    return UsageError(f"--group {name}: you are not in it, and not root")


def _keep(libc: ctypes.CDLL, capabilities: int) -> None:
    """Effective and permitted, of what is permitted; nothing is inherited."""
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; twice 32 bits of each
    if libc.capget(header, data) != 0:
        raise OSError(ctypes.get_errno(), "capget")
    kept = data[1] & capabilities
    only = (ctypes.c_uint32 * 6)(kept, kept, 0, 0, 0, 0)
    if libc.capset(header, only) != 0:
        raise OSError(ctypes.get_errno(), "capset")
