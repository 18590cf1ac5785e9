"""The library that makes file operations fail, on programs that do nothing else."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.faults.harness import AFTER, BEFORE, Ended, Fault, Faults, Kind

# A call, and what is noted of it.
ONCE = {
    "os.open('a', os.O_RDONLY)": "open a",
    "os.open('a', os.O_WRONLY)": "open-write a",
    "os.open('new', os.O_RDWR | os.O_CREAT)": "create new",
    "os.open('a', os.O_RDONLY, dir_fd=folder)": "open a",
    "os.open('../under/./a', os.O_RDONLY)": "open a",
    "os.open('link/a', os.O_RDONLY)": "open a",
    "os.open('.', os.O_RDONLY)": "open under",
    "libc.creat(b'new', 0o600)": "create new",
    "libc.creat64(b'new', 0o600)": "create new",
    "libc.openat(-100, b'a', 0)": "open a",
    "libc.openat64(-100, b'a', 0)": "open a",
    "libc.__open_2(b'a', 0)": "open a",
    "os.write(fd, b'12')": "write a",
    "os.pwrite(fd, b'12', 5)": "pwrite a",
    "libc.pwrite64(fd, b'12', 2, 5)": "pwrite a",
    "os.writev(fd, [b'12', b'34'])": "writev a",
    "os.pwritev(fd, [b'12', b'34'], 5)": "pwritev a",
    "os.ftruncate(fd, 3)": "ftruncate a",
    "libc.ftruncate64(fd, 3)": "ftruncate a",
    "os.truncate('a', 3)": "truncate a",
    "os.fsync(fd)": "fsync a",
    "os.fsync(folder)": "fsync under",
    "os.fdatasync(fd)": "fdatasync a",
    "os.rename('a', 'b')": "rename a>b",
    "os.replace('a', '../b')": "rename a>b",
    "os.rename('../c', 'c', src_dir_fd=folder)": "rename c>c",
    "libc.renameat2(-100, b'a', -100, b'b', 1)": "rename a>b",
    "libc.syscall(NUMBER, -100, b'a', -100, b'b', 1)": "rename a>b",
    "publish('a', 'b', replace=False)": "rename a>b",
    "publish('a', 'b', replace=True)": "rename a>b",
    "os.unlink('a')": "unlink a",
    "os.unlink('a', dir_fd=folder)": "unlink a",
    "os.link('a', 'b')": "link a>b",
    "os.link('a', 'b', src_dir_fd=folder)": "link a>b",
    "os.mkdir('d')": "mkdir d",
    "os.mkdir('d', dir_fd=folder)": "mkdir d",
    "os.rmdir('empty')": "rmdir empty",
    "os.fchmod(fd, 0o600)": "fchmod a",
    "os.fchown(fd, -1, -1)": "fchown a",
    "os.close(fd)": "close a",
    "os.posix_fallocate(fd, 0, 10)": "fallocate a",
    "libc.fallocate(fd, 0, 0, 10)": "fallocate a",
    "os.copy_file_range(source, fd, 3)": "copy a",
    "os.sendfile(fd, source, 0, 3)": "copy a",
}
BEGIN = """
import ctypes, os, sys
from fastcap._native.writer import publish
class Libc(ctypes.CDLL):
    def __getattr__(self, name):
        function = super().__getattr__(name)
        def call(*words):
            words = [ctypes.c_long(word) if isinstance(word, int) else word for word in words]
            ctypes.set_errno(0)
            if function(*words) == -1:
                raise OSError(ctypes.get_errno(), 'it failed')
        return call
libc = Libc(None, use_errno=True)
NUMBER = {'x86_64': 316, 'aarch64': 276}.get(os.uname().machine, 0)
"""
# Two points, then that of the line.
AROUND = """
fd = os.open('a', os.O_RDWR)
folder = os.open('.', os.O_RDONLY)
source = os.open('../c', os.O_RDONLY)
print(len(os.listdir('/proc/self/fd')))
sys.stdout.flush()
try:
    {line}
except OSError as error:
    print(error.errno)
print(len(os.listdir('/proc/self/fd')))
os._exit(0)
"""


@pytest.fixture
def under(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a few files, where tests are."""
    folder = tmp_path / "under"
    (folder / "empty").mkdir(parents=True)
    (folder / "a").write_text("0123456789")
    (folder / "link").symlink_to(".")
    (tmp_path / "c").write_text("0123456789")
    monkeypatch.chdir(folder)
    return folder


def told(ended: Ended) -> list[str]:
    return [f"{point.operation} {point.name}" for point in ended.points]


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


@pytest.mark.parametrize("line", ONCE)
def test_every_operation_is_counted_and_fails_when_told(
    faults: Faults, under: Path, line: str
) -> None:
    if "NUMBER" in line and os.uname().machine not in ("x86_64", "aarch64"):
        pytest.skip("another number of renameat2 here")
    code = BEGIN + AROUND.format(line=line)
    before = ["open-write a", "open under"]
    names = {path.name for path in under.iterdir()}
    failed = faults.run(python(code), [under], Fault(at=3, errno=errno.EDQUOT))
    assert (failed.code, failed.err) == (0, "")
    assert told(failed) == [*before, ONCE[line]]
    assert [point.number for point in failed.struck] == [3]
    assert failed.out.split()[1] == str(errno.EDQUOT)
    closed = -1 if "close" in line else 0
    assert int(failed.out.split()[2]) - int(failed.out.split()[0]) == closed
    assert {path.name for path in under.iterdir()} == names
    assert (under / "a").read_text() == "0123456789"
    fine = faults.run(python(code), [under])
    assert (fine.code, fine.err, fine.struck) == (0, "", [])
    assert told(fine) == [*before, ONCE[line]]
    assert len(fine.out.split()) == 2


def test_what_lies_elsewhere_is_neither_counted_nor_does_it_fail(
    faults: Faults, under: Path
) -> None:
    code = """
import os, subprocess, sys, tempfile
with tempfile.TemporaryDirectory() as folder:
    fd = os.open(folder + '/x', os.O_RDWR | os.O_CREAT)
    os.write(fd, b'12')
    os.fsync(fd)
    os.close(fd)
    os.rename(folder + '/x', folder + '/y')
os.unlink('../under-not')
os.write(1, b'done')
subprocess.run([sys.executable, '-c', ''], check=True)
"""
    under.with_name("under-not").touch()
    ended = faults.run(python(code), [under, under / "empty"], Fault(at=1, count=1 << 30))
    assert (ended.code, ended.err, ended.out) == (0, "", "done")
    assert ended.points == []


def test_points_are_numbered_over_all_threads_and_processes(faults: Faults, under: Path) -> None:
    code = """
import multiprocessing, os, subprocess, sys, threading
def work(name):
    for number in range(200):
        fd = os.open(name, os.O_RDWR | os.O_CREAT)
        try:
            os.write(fd, b'x')
        except OSError as error:
            os.write(1, b'%d ' % error.errno)
        os.close(fd)
def threads(name):
    all = [threading.Thread(target=work, args=(f'{name}{i}',)) for i in range(4)]
    [thread.start() for thread in all]
    if name == 'p':
        [multiprocessing.get_context('fork').Process(target=threads, args=(f'f{i}',)).start()
         for i in range(2)]
        subprocess.run([sys.executable, '-c', 'open("s", "w").close()'], check=True)
    [thread.join() for thread in all]
threads('p')
"""
    strike = Fault(at=21, errno=errno.EIO, count=5, only=Kind("write", "*"))
    ended = faults.run(python("import warnings\n" + code), [under], strike)
    assert ended.code == 0, ended.err
    assert ended.out.split() == [str(errno.EIO)] * 5
    assert [point.operation for point in ended.struck] == ["write"] * 5
    assert [point.number for point in ended.points] == list(range(1, len(ended.points) + 1))
    counts = Counter(point.name for point in ended.points)
    names = [f"{name}{i}" for name in ("p", "f0", "f1") for i in range(4)]
    assert counts == {**dict.fromkeys(names, 600), "s": 2}
    assert len({point.pid for point in ended.points}) == 4
    lengths = sorted(os.path.getsize(under / name) for name in names)
    assert lengths == [1] * 12


def test_a_kind_is_counted_by_itself(faults: Faults, under: Path) -> None:
    code = """
import os
for i in range(5):
    os.mkdir(f'd{i}.12ab00f{i}.x'), os.mkdir(f'd{i}.12ab00{i}.x'), os.mkdir(f'e{i}')
"""
    kind = Kind("mkdir", "d#.#.x")
    ended = faults.run(python(code), [under], Fault(at=3, only=kind))
    assert [point.name for point in ended.struck] == ["d2.12ab00f2.x"]
    assert ended.kinds == {kind: 3, Kind("mkdir", "d#.#ab#.x"): 2, Kind("mkdir", "e#"): 2}
    assert "No space left on device: 'd2.12ab00f2.x'" in ended.err
    assert not (under / "d2.12ab00f2.x").exists()


@pytest.mark.parametrize(
    "call", ["os.write(fd, {})", "os.pwrite(fd, {}, 0)", "os.writev(fd, [{}, b'z'])"]
)
def test_a_short_write_writes_half_and_the_next_one_fails(
    faults: Faults, under: Path, call: str
) -> None:
    again = call.format("b'z'")
    code = f"""
import os
fd = os.open('new', os.O_RDWR | os.O_CREAT)
other = os.open('other', os.O_RDWR | os.O_CREAT)
print({call.format("b'123456'")}, os.write(other, b'12'))
try:
    {again}
except OSError as error:
    print(error.errno)
{again}
"""
    ended = faults.run(python(code), [under], Fault(at=3, short=True))
    assert (ended.code, ended.out) == (0, f"3 2\n{errno.ENOSPC}\n"), ended.err
    assert [(point.name, point.number) for point in ended.struck] == [("new", 3), ("new", 5)]
    assert (under / "new").read_text().startswith("z23" if "pwrite" in call else "123z")


@pytest.mark.parametrize("when", [BEFORE, AFTER])
def test_a_process_is_killed_before_or_after_the_call(
    faults: Faults, under: Path, when: int
) -> None:
    code = """
import os, subprocess, sys, threading
threading.Thread(target=threading.Event().wait, daemon=True).start()
os.mkdir('one')
child = 'import os; os.rename("a", "b"); print("not killed")'
print(subprocess.run([sys.executable, '-c', child]).returncode)
os.mkdir('two')
"""
    ended = faults.run(python(code), [under], Fault(at=2, kill=when))
    assert (ended.code, ended.err, len(ended.struck)) == (0, "", 1)
    assert ended.out == f"{-signal.SIGKILL}\n"
    assert (under / "b").exists() == (when == AFTER)
    assert told(ended) == ["mkdir one", "rename a>b", "mkdir two"]
    ended = faults.run(python("import os; os.mkdir('three')"), [under], Fault(at=1, kill=when))
    assert ended.code == -signal.SIGKILL
    assert (under / "three").exists() == (when == AFTER)


def test_sqlite_s_operations_count_and_fail(faults: Faults, under: Path) -> None:
    code = """
import sqlite3
with sqlite3.connect('j.db') as db:
    db.execute('pragma journal_mode=wal')
    db.execute('pragma synchronous=full')
    db.execute('create table if not exists t (n)')
    db.execute('insert into t values (1)')
db.close()
"""
    ended = faults.run(python(code), [under])
    assert ended.code == 0, ended.err
    assert {"create j.db", "pwrite j.db-wal", "fdatasync j.db-wal"} <= set(told(ended))
    only = Kind("fdatasync", "j.db-wal")
    ended = faults.run(python(code), [under], Fault(at=1, errno=errno.EIO, only=only))
    assert "disk I/O error" in ended.err


def test_a_command_that_does_not_end_fails_the_test_and_is_killed(
    faults: Faults, under: Path
) -> None:
    code = "import subprocess; subprocess.run(['sleep', '1000'])"
    with pytest.raises(pytest.fail.Exception, match="it has not ended"):
        faults.run(python(code), [under], seconds=0.5)
