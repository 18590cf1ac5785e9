"""File systems of a test's own, and what goes wrong with them: full, frozen, slow, in error."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import needs
from tests.live.network import captures_in, opens_without_a_warning, read, serials

_THROTTLE = Path("/sys/fs/cgroup/blkio/blkio.throttle.write_bps_device")  # of all processes
_SHUTDOWN = 0x8004587D  # FS_IOC_SHUTDOWN
_WITHOUT_A_SYNC = struct.pack("I", 2)
_FREEZE = 'fsfreeze -f "$0" || exit 1; echo frozen; read -r _; fsfreeze -u "$0"'


@contextlib.contextmanager
def mounted(folder: Path, *words: object) -> Iterator[Path]:
    """`mount words… folder`, which is made where it is not there; skips where that is refused."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        [needs("mount"), *map(str, words), folder], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"no right to mount a file system: {done.stderr.splitlines()[0]}")
    try:
        yield folder
    finally:
        # lazily: a capture may still be there
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextlib.contextmanager
def small(folder: Path, mib: int) -> Iterator[Path]:
    """A file system in memory, of so many MiB."""
    with mounted(folder, "-t", "tmpfs", "-o", f"size={mib}M", "none") as path:
        yield path


class Ext4:
    """ext4 on a loop device, mounted at `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.device = os.stat(folder).st_dev

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Whoever writes hangs. It thaws at the latest when this process ends."""
        needs("fsfreeze")
        holder = subprocess.Popen(
            ["sh", "-c", _FREEZE, self.folder],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert holder.stdout is not None
        if holder.stdout.readline() != "frozen\n":
            pytest.skip(f"it cannot be frozen: {holder.communicate()[1].strip()}")
        try:
            yield
        finally:
            _, problem = holder.communicate("\n")
            assert holder.returncode == 0, problem

    @contextlib.contextmanager
    def slow(self, bytes_a_second: int) -> Iterator[None]:
        """What is synced, or written back, goes to the device no faster."""
        if not _THROTTLE.exists():
            pytest.skip("devices cannot be made slow here: no cgroup v1 with blkio.throttle")
        _THROTTLE.write_text(f"{self._number} {bytes_a_second}\n")
        try:
            yield
        finally:
            _THROTTLE.write_text(f"{self._number} 0\n")

    def becomes_read_only(self) -> None:
        """As after an error of the device."""
        name = os.path.basename(os.path.realpath(f"/sys/dev/block/{self._number}"))
        trigger = Path(f"/sys/fs/ext4/{name}/trigger_fs_error")
        if not trigger.exists():
            pytest.skip("this kernel has no way to make an error in a file system")
        trigger.write_text("1\n")

    def becomes_unusable(self) -> None:
        """As when its device is gone: writing ends with EIO."""
        fd = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, _SHUTDOWN, _WITHOUT_A_SYNC)
        except OSError as error:
            pytest.skip(f"it cannot be shut down: {error.strerror}")
        finally:
            os.close(fd)

    @property
    def _number(self) -> str:
        return f"{os.major(self.device)}:{os.minor(self.device)}"


@contextlib.contextmanager
def ext4(folder: Path, mib: int = 64) -> Iterator[Ext4]:
    """One that becomes read-only when its device has errors; its image lies beside the folder."""
    image = folder.with_name(folder.name + ".image")
    with image.open("wb") as file:
        file.truncate(mib << 20)
    done = subprocess.run(
        [needs("mkfs.ext4"), "-q", "-F", "-m", "0", image],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    try:
        with mounted(folder, "-o", "loop,errors=remount-ro", image) as path:
            yield Ext4(path)
    finally:
        image.unlink()


def move_all(folder: Path, to: Path) -> None:
    """What a job does that takes finished files away, and does not wait for their JSON."""
    to.mkdir(exist_ok=True)
    for name in captures_in(folder):
        shutil.copy(folder / name, to / name)
        (folder / name).unlink()


def frames_in(*folders: Path) -> list[int]:
    """The serial numbers in the finished files of folders, in the order of the files' names."""
    paths = [path for folder in folders for path in folder.glob("net1_*.pcap")]
    paths.sort(key=lambda path: path.name)
    opens_without_a_warning(paths)
    return [number for path in paths for number in serials(read(path))]
