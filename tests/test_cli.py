"""The command line as scripts and people meet it: statuses, messages, JSON, interrupts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import fastcap
from tests import pcaps
from tests.conftest import needs
from tests.pcaps import Frame

FASTCAP = [sys.executable, "-m", "fastcap"]
FRAMES = [Frame(10**18 + i * 10**9, 60 + i % 2, bytes([i % 5]) + bytes(40)) for i in range(100)]


@pytest.fixture
def source(tmp_path: Path) -> str:
    return pcaps.write(tmp_path / "in.pcap", pcaps.capture(FRAMES))


def run(*words: object, status: int = 0, **options: object) -> subprocess.CompletedProcess[str]:
    """Runs fastcap and checks its exit status; on a failure, that it says so in plain lines."""
    done = subprocess.run(  # type: ignore[call-overload]
        [*FASTCAP, *map(str, words)], capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    if status in (1, 2):
        assert done.stderr.startswith("fastcap: ")
        assert done.stdout == ""
    result: subprocess.CompletedProcess[str] = done
    return result


def run_anyhow(*words: object, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        [*FASTCAP, *map(str, words)], capture_output=True, text=True, check=False, **options
    )


# ---- filter -------------------------------------------------------------------------------------


def test_filter_writes_what_matches_and_says_what_it_did(source: str, tmp_path: Path) -> None:
    output = tmp_path / "out.pcap"
    done = run("filter", "ether[0] = 1", source, "-o", output)
    assert pcaps.read(output.read_bytes()) == [f for f in FRAMES if f.data[0] == 1]
    assert done.stdout == ""
    assert "20 of 100 frames matched" in done.stderr


def test_count_prints_the_number_alone(source: str) -> None:
    assert run("filter", "ether[0] = 1", source, "--count").stdout == "20\n"


def test_with_an_expression_or_filter_file_all_words_are_inputs(
    source: str, tmp_path: Path
) -> None:
    filter_file = tmp_path / "web.filter"
    filter_file.write_text("ether[0] = 1\n or ether[0] = 2\n")
    assert run("filter", "-e", "ether[0] = 1", source, source, "--count").stdout == "40\n"
    assert run("filter", "-F", filter_file, source, "--count").stdout == "40\n"
    assert run("filter", "-F", "-", source, "--count", input="ether[0] = 1").stdout == "20\n"


def test_inputs_are_directories_lists_and_standard_input(source: str, tmp_path: Path) -> None:
    folder = tmp_path / "captures"
    (folder / "deeper").mkdir(parents=True)
    data = Path(source).read_bytes()
    for name in ("b.pcap", "a.cap", "deeper/c.PCAP", "no-suffix", ".hidden.pcap"):
        pcaps.write(folder / name, data)
    (folder / "notes.txt").write_text("no capture, and not named like one")
    done = run("filter", "", folder, "--count", "--json")
    names = [row["path"] for row in json.loads(done.stdout)["inputs"]]
    expected = ["a.cap", "b.pcap", "deeper/c.PCAP", "no-suffix"]
    assert names == [str(folder / name) for name in expected]

    names_file = tmp_path / "names"
    names_file.write_text(f"{source}\n{folder}\n")
    assert run("filter", "-e", "", "--files-from", names_file, "--count").stdout == "500\n"
    null = f"{source}\0{source}\0"
    assert run("filter", "-e", "", "--files-from", "-", "--count", input=null).stdout == "200\n"
    with open(source, "rb") as stdin:
        assert run("filter", "", "-", "--count", stdin=stdin).stdout == "100\n"


def test_ten_thousand_inputs_are_no_problem(source: str, tmp_path: Path) -> None:
    names = tmp_path / "names"
    names.write_text(f"{source}\n" * 10_000)
    assert run("filter", "-e", "ip", "--files-from", names, "--count").stdout == "0\n"


def test_standard_output_gets_the_capture_and_nothing_else(source: str) -> None:
    done = subprocess.run(
        [*FASTCAP, "filter", "", source, "-o", "-"], capture_output=True, check=True
    )
    assert done.stdout == Path(source).read_bytes()
    with open(source, "rb") as stdin:
        piped = subprocess.run(
            [*FASTCAP, "filter", "", "-", "-o", "/dev/stdout"],
            stdin=stdin, capture_output=True, check=True,
        )  # fmt: skip
    assert piped.stdout == done.stdout


def test_tcpdump_reads_what_comes_out(source: str) -> None:
    piped = f"{sys.executable} -m fastcap filter '' {source} -o - | {needs('tcpdump')} -r - --count"
    done = subprocess.run(piped, shell=True, capture_output=True, text=True, check=True)
    assert done.stdout == "100 packets\n"


def test_capinfos_finds_nothing_wrong_with_what_comes_out(source: str, tmp_path: Path) -> None:
    output = tmp_path / "out.pcap"
    run("filter", "", source, "-s", 30, "-o", output)
    done = subprocess.run(
        [needs("capinfos"), "-c", "-s", "-T", "-M", str(output)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.stdout.splitlines()[1].split("\t")[-2:] == ["100", str(output.stat().st_size)]


def test_the_options_of_filter_do_what_they_say(source: str, tmp_path: Path) -> None:
    output = tmp_path / "out.pcap"
    run("filter", "", source, "-o", output, "-c", 3, "-s", 10, "-j", 1)
    assert [len(frame.data) for frame in pcaps.read(output.read_bytes())] == [10] * 3
    run("filter", "", source, "-o", output, "-s", 0, "--force")
    assert output.read_bytes() == Path(source).read_bytes()
    run("filter", "", source, "-o", output, "--output-size", "2k")
    parts = sorted(tmp_path.glob("out_*.pcap"))
    assert [part.name for part in parts] == [f"out_0000000{i}.pcap" for i in (1, 2, 3)]


def test_json_of_filter_has_the_promised_fields(source: str, tmp_path: Path) -> None:
    damaged = pcaps.write(tmp_path / "cut.pcap", Path(source).read_bytes()[:-1])
    output = tmp_path / "out.pcap"
    done = run("filter", "ether[0] = 1", source, damaged, "-o", output, "--json", status=3)
    told = json.loads(done.stdout)
    assert list(told) == [
        "frames_read", "frames_matched", "tagged_missed", "bytes_read", "bytes_written",
        "elapsed_s", "engine", "inputs", "outputs",
    ]  # fmt: skip
    assert told["frames_read"] == 199
    assert told["frames_matched"] == 40
    assert told["bytes_written"] == output.stat().st_size
    assert told["bytes_read"] == 2 * os.path.getsize(source) - 57
    assert told["inputs"][0] == {
        "path": source, "frames_read": 100, "frames_matched": 20, "damage": [],
    }  # fmt: skip
    (damage,) = told["inputs"][1]["damage"]
    assert damage["offset"] == 24 + 99 * 57
    assert damage["length"] == 56
    assert "inside a frame" in damage["reason"]
    first, last = FRAMES[1].time, FRAMES[96].time
    assert told["outputs"] == [
        {
            "path": str(output),
            "frames": 40,
            "bytes": output.stat().st_size,
            "first_ns": first,
            "last_ns": last,
            "first": "2001-09-09T01:46:41.000000000Z",
            "last": "2001-09-09T01:48:16.000000000Z",
        }
    ]
    assert "damaged at byte" in done.stderr
    assert "56 bytes not read" in done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "no filter"),
        (("tcp",), "where to?"),
        (("tcp", "IN"), "where to?"),
        (("tcp", "--count"), "no input"),
        (("tcp", "IN", "--count", "-o", "x.pcap"), "exclude each other"),
        (("tcp", "IN", "-o", "-", "--json"), "both want standard output"),
        (("-e", "tcp", "-F", "x", "IN", "--count"), "more than one filter"),
        (("-e", "tcp", "-e", "udp", "IN", "--count"), "more than one filter"),
        (("tcp", "IN", "--count", "--output-size", "500"), "a number and k, M, G or T"),
        (("tcp", "IN", "-o", "x", "--output-size", "0.0000001k"), "no size"),
        (("tcp", "IN", "--count", "--force"), "--count writes nothing"),
        (("tcp", "IN", "--count", "-j", "0"), "not in the range"),
        (("tcp", "IN", "-o", "x", "-j", "2147483647"), "not in the range"),
        (("tcp", "IN", "--count", "-c", "9" * 23), "not in the range"),
        (("tcp", "IN", "-o", "x", "-s", "9" * 23), "not in the range"),
        (("tcp", "IN", "-o", "x", "--output-size", "9" * 20 + "T"), "larger than any file"),
        (("tcp", "IN", "-o", "x", "--output-size", "9" * 400 + "T"), "larger than any file"),
        (("tcp", "IN", "-o", ""), "needs a name"),
        (("tcp", "IN", "--count", "--on-damage", "skip"), "'stop'"),
        (("tcp", "IN", "--count", "--bogus"), "No such option"),
        (("tcp", "-r", "IN", "--count"), "No such option '-r': inputs are plain words"),
        (("tcp", "IN", "-w", "x"), "-o OUT writes"),
        (("tcp", "IN", "-o", "IN"), "also an input"),
        (("tcp", "IN", "-o", "IN", "--force"), "also an input"),
        (("tcp prot 80", "IN", "--count"), "libpcap refuses"),
        (("Blob(FrameData,0,1)==256", "IN", "--count"), "wider than the blob"),
        (("tcp", "-", "-", "--count"), "only once"),
    ],
)
def test_wrong_usage_is_status_2_and_one_plain_line(
    words: tuple[str, ...], says: str, source: str, tmp_path: Path
) -> None:
    given = [source if word == "IN" else word for word in words]
    capture = Path(source).read_text("latin-1")
    done = run("filter", *given, status=2, cwd=tmp_path, input=capture, encoding="latin-1")
    assert says in done.stderr
    assert os.listdir(tmp_path) == ["in.pcap"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"\xd4\xc3\xb2\xa1\x02\0", "cut in its header: 6 bytes"),
        (b"MZ" + bytes(100), "not a capture"),
        (b"\x0a\x0d\x0d\x0a" + bytes(100), "pcapng, which is not read yet; convert it first"),
        (b"\x1f\x8b\x08" + bytes(100), "compressed with gzip; unpack it"),
        (b"\x28\xb5\x2f\xfd" + bytes(100), "zstd"),
        (b"\xd4\xc3\xb2\xa1\x01\0\x04\0" + bytes(16), "pcap version 1.4"),
        (pcaps.header(link_word=0x00300001), "bits of the link type"),
    ],
)
def test_what_is_no_capture_is_status_1_and_named(
    content: bytes, says: str, source: str, tmp_path: Path
) -> None:
    bad = pcaps.write(tmp_path / "bad.pcap", content)
    done = run("filter", "", source, bad, "-o", tmp_path / "out.pcap", status=1)
    assert done.stderr.startswith(f"fastcap: {bad}: ")
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert sorted(os.listdir(tmp_path)) == ["bad.pcap", "in.pcap"]
    done = run("filter", "", source, bad, bad, bad, "--count", status=1)
    assert "2 more of 4 inputs cannot be used" in done.stderr


def test_inputs_that_cannot_be_read_are_named(source: str, tmp_path: Path) -> None:
    assert (
        "nope.pcap: No such file"
        in run("filter", "tcp", tmp_path / "nope.pcap", "--count", status=1).stderr
    )
    assert "without captures" in run("filter", "tcp", tmp_path / "empty", "--count", status=1,
                                     **made(tmp_path / "empty")).stderr  # fmt: skip
    assert (
        "nowhere: No such file"
        in run("filter", "-e", "tcp", "--files-from", "nowhere", "--count", status=1).stderr
    )
    if os.geteuid() != 0:
        os.chmod(source, 0)
        assert "Permission denied" in run("filter", "tcp", source, "--count", status=1).stderr


def made(folder: Path) -> dict[str, object]:
    folder.mkdir()
    return {}


def test_a_filter_that_is_not_quoted_is_recognised(source: str) -> None:
    done = run("filter", "tcp", "port", "443", source, "--count", status=1)
    assert "port: No such file" in done.stderr
    assert "fastcap filter 'tcp port 443' …" in done.stderr
    swapped = run("filter", source, "tcp port 443", "--count", status=1)
    assert "the filter comes first" in swapped.stderr


def test_outputs_that_cannot_be_written_are_named(source: str, tmp_path: Path) -> None:
    existing = tmp_path / "existing.pcap"
    existing.write_text("mine")
    for output, says in (
        (existing, "exists; choose another name, or replace it with --force"),
        (tmp_path, "a directory; name a file in it"),
        (tmp_path / "no" / "out.pcap", "create it first"),
        ("/dev/full", "No space left on device"),
        ("/proc/out.pcap", ""),
    ):
        done = run("filter", "", source, "-o", output, status=1)
        assert str(output) in done.stderr
        assert says in done.stderr
    assert existing.read_text() == "mine"
    assert sorted(os.listdir(tmp_path)) == ["existing.pcap", "in.pcap"]
    run("filter", "", source, "-o", existing, "--force")
    assert existing.read_bytes() == Path(source).read_bytes()


def test_names_are_names_whatever_they_look_like(source: str, tmp_path: Path) -> None:
    whole = Path(source).read_bytes()
    for name in ("standard output", "漢" * 80 + ".pcap", "a\nb.pcap", "-x.pcap"):
        run("filter", "", source, "-o", f"./{name}", cwd=tmp_path)
        assert (tmp_path / name).read_bytes() == whole
    odd = os.fsencode(tmp_path) + b"/\xff.pcap"
    Path(os.fsdecode(odd)).write_bytes(whole)
    listed = subprocess.run([*FASTCAP, "info", odd], capture_output=True, check=True)
    assert b"frames    100" in listed.stdout


def test_closed_standard_streams_lose_nothing_but_what_was_printed(
    source: str, tmp_path: Path
) -> None:
    fastcap_ = f"{sys.executable} -m fastcap"
    whole = Path(source).read_bytes()
    for command in (
        f"{fastcap_} filter '' {source} --count >&-",
        f"{fastcap_} filter '' {source} -o {tmp_path}/a.pcap >&- 2>&-",
        f"{fastcap_} filter '' {source} -o - 2>&- > {tmp_path}/b.pcap",
    ):
        subprocess.run(command, shell=True, check=True, capture_output=True)
    assert (tmp_path / "a.pcap").read_bytes() == (tmp_path / "b.pcap").read_bytes() == whole


def test_our_own_descriptors_are_appended_to_not_opened_anew(source: str, tmp_path: Path) -> None:
    whole = Path(source).read_bytes()
    log = tmp_path / "log"
    for name in ("-", "/dev/stdout", "/dev/fd/1"):
        log.write_bytes(b"kept")
        command = f"{sys.executable} -m fastcap filter '' {source} -o {name} >> {log}"
        subprocess.run(command, shell=True, check=True, capture_output=True)
        assert log.read_bytes() == b"kept" + whole


def test_what_is_replaced_keeps_its_permissions_and_the_links_to_it(
    source: str, tmp_path: Path
) -> None:
    private, link = tmp_path / "private.pcap", tmp_path / "link.pcap"
    private.write_text("old")
    private.chmod(0o600)
    link.symlink_to(private)
    assert "exists" in run("filter", "", source, "-o", link, status=1).stderr
    run("filter", "", source, "-o", link, "--force")
    assert link.is_symlink()
    assert private.read_bytes() == Path(source).read_bytes()
    assert private.stat().st_mode & 0o777 == 0o600


def test_devices_are_written_in_place(source: str) -> None:
    run("filter", "", source, "-o", "/dev/null")
    assert Path("/dev/null").is_char_device()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_full_disk_is_named_and_leaves_nothing_behind(tmp_path: Path) -> None:
    big = pcaps.write(tmp_path / "big.pcap", pcaps.capture([Frame(1, 60000, bytes(60000))] * 200))
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "none", str(small)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine does not let us mount a small file system")
    try:
        done = run("filter", "", big, "-o", small / "out.pcap", status=1)
        assert f"{small}/out.pcap: No space left on device; make room" in done.stderr
        assert os.listdir(small) == []
        run_series = ["filter", "", big, "-o", small / "out.pcap", "--output-size", "2M"]
        done = run_anyhow(*run_series)
        assert done.returncode == 1
        parts = sorted(small.glob("out_*.pcap"))
        assert f"{len(parts)} finished files of the series remain" in done.stderr
        assert 1 <= len(parts) <= 3
        assert sorted(os.listdir(small)) == [part.name for part in parts]
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_reader_that_closes_the_pipe_is_no_error(tmp_path: Path) -> None:
    big = pcaps.write(tmp_path / "big.pcap", pcaps.capture([Frame(1, 60000, bytes(60000))] * 200))
    with subprocess.Popen(
        [*FASTCAP, "filter", "", big, "-o", "-"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read().endswith(b"closed it before the end\n")
        assert process.wait(60) == 0


def wait_until_it_works(process: subprocess.Popen[Any]) -> None:
    """Until its command runs: signals that come before find Python, or what it imports."""

    def catches_sigterm() -> bool:
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        (caught,) = (int(line.split()[1], 16) for line in lines if line.startswith("SigCgt:"))
        return bool(caught >> (signal.SIGTERM - 1) & 1)

    wait_for(lambda: process.poll() is not None or catches_sigterm())


def hear_signals() -> None:
    """In a child before it runs: the tests themselves may run under nohup or in a background."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


# ---- Interrupts ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_native_work_and_removes_what_was_not_finished(
    number: signal.Signals, status: int, tmp_path: Path
) -> None:
    """A filter that is slow on purpose, so that workers are deep in native code."""
    frames = pcaps.capture([Frame(1, 60, bytes(60))] * 200_000)
    source = pcaps.write(tmp_path / "in.pcap", frames)
    slow = " or ".join(f"Blob(FrameData, {i % 50}, 3) == {1 + i}" for i in range(20_000))
    (tmp_path / "slow.filter").write_text(slow)
    output = tmp_path / "out.pcap"
    with subprocess.Popen(
        [
            *FASTCAP, "filter", "-F", str(tmp_path / "slow.filter"), source, "-o", str(output),
            "--engine", "interpreter",
        ],
        stderr=subprocess.PIPE, text=True,
        preexec_fn=hear_signals,  # noqa: PLW1509
    ) as process:  # fmt: skip
        wait_for(lambda: any(name.startswith(".out.pcap") for name in os.listdir(tmp_path)))
        time.sleep(0.1)
        assert process.poll() is None, "the filter was not slow enough"
        process.send_signal(number)
        assert process.wait(60) == status
        assert process.stderr is not None
        assert "what was not finished is removed" in process.stderr.read()
    assert sorted(os.listdir(tmp_path)) == ["in.pcap", "slow.filter"]


def test_what_an_interrupted_or_killed_run_leaves_is_named(tmp_path: Path) -> None:
    frames = pcaps.capture([Frame(1, 60, bytes(60))] * 50_000)
    source = pcaps.write(tmp_path / "in.pcap", frames)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    words = ["filter", "", source, str(fifo), "-o", str(tmp_path / "out.pcap")]
    for number, options in ((signal.SIGINT, ["--output-size", "1M"]), (signal.SIGKILL, [])):
        with subprocess.Popen(
            [*FASTCAP, *words, *options], stderr=subprocess.PIPE, text=True,
            preexec_fn=hear_signals,  # noqa: PLW1509
        ) as process:  # fmt: skip
            with fifo.open("wb") as writing:
                writing.write(pcaps.header())
                writing.flush()
                wait_for(lambda: any(tmp_path.glob(".out*")))
                if number == signal.SIGINT:
                    wait_for(lambda: len(list(tmp_path.glob("out_*.pcap"))) == 3)
                time.sleep(0.3)
                process.send_signal(number)
                process.wait(60)
            assert process.stderr is not None
            told = process.stderr.read()
            if number == signal.SIGINT:
                assert "3 finished files of the series remain, the last one" in told
                assert len(list(tmp_path.glob("out_*.pcap"))) == 3
    (left,) = tmp_path.glob(".out.pcap.fastcap-*")
    done = run("filter", "", source, "-o", tmp_path / "out.pcap")
    assert f"{left}: " in done.stderr
    assert "unfinished run that is not running here any more" in done.stderr


def test_outputs_that_mislead_are_noted(source: str, tmp_path: Path) -> None:
    done = run("filter", "", tmp_path, "-o", tmp_path / "out.pcap.gz")
    assert "uncompressed, whatever its name says" in done.stderr
    assert "lies in the input directory" in done.stderr


def test_nohup_is_respected(tmp_path: Path) -> None:
    script = f"nohup {sys.executable} -m fastcap filter '' - --count"
    with subprocess.Popen(
        ["sh", "-c", f"exec {script}"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        process.stdin.write(pcaps.capture(FRAMES[:60]))
        process.stdin.flush()
        wait_until_it_works(process)
        time.sleep(0.3)
        process.send_signal(signal.SIGHUP)
        out, _ = process.communicate(pcaps.capture(FRAMES[60:])[24:])
    assert (process.returncode, out) == (0, b"100\n")


def test_ctrl_c_is_heard_while_waiting_for_a_pipe(source: str, tmp_path: Path) -> None:
    """For input that does not come, and for output that nobody takes or even opens."""
    fifo = tmp_path / "out.fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    big = pcaps.write(tmp_path / "big.pcap", pcaps.capture([Frame(1, 60000, bytes(60000))] * 200))
    waiting = [*FASTCAP, "filter", "", "-", "-o", str(tmp_path / "out.pcap")]
    stuck = [*FASTCAP, "filter", "", big, "-o", str(fifo)]
    lonely = [*FASTCAP, "filter", "", big, "-o", str(tmp_path / "lonely.fifo")]
    os.mkfifo(tmp_path / "lonely.fifo")
    for command in (waiting, stuck, lonely):
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stderr=subprocess.PIPE,
            preexec_fn=hear_signals,  # noqa: PLW1509
        ) as process:  # fmt: skip
            assert process.stdin is not None
            process.stdin.write(pcaps.header())
            process.stdin.flush()
            wait_until_it_works(process)
            time.sleep(0.6)
            assert process.poll() is None
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 130
    os.close(reader)
    assert not (tmp_path / "out.pcap").exists()


def wait_for(condition: object, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


# ---- info ---------------------------------------------------------------------------------------


def test_info_says_what_a_capture_holds(source: str) -> None:
    text = run("info", source).stdout
    for line in (
        source,
        "format    pcap, little-endian, microseconds",
        "link type ETHERNET (1)",
        "snaplen   262,144",
        "frames    100",
        "bytes     5,724",
        "first     2001-09-09T01:46:40.000000000Z",
        "last      2001-09-09T01:48:19.000000000Z",
    ):
        assert line in text


def test_json_of_info_has_the_promised_fields(source: str, tmp_path: Path) -> None:
    other = pcaps.capture(FRAMES[:2], ">", True, snaplen=80, link_word=pcaps.SLL)[:-1]
    damaged = pcaps.write(tmp_path / "b.pcap", other)
    done = run("info", source, damaged, "--json", status=3)
    first, second = json.loads(done.stdout)["inputs"]
    assert first["frames"] == 100
    assert first["damage"] == []
    assert second == {
        "path": damaged,
        "format": "pcap",
        "byte_order": "big-endian",
        "precision": "nanoseconds",
        "link_type": 113,
        "link_type_name": "LINUX_SLL",
        "snaplen": 80,
        "frames": 1,
        "bytes": len(other),
        "first_ns": FRAMES[0].time,
        "last_ns": FRAMES[0].time,
        "first": "2001-09-09T01:46:40.000000000Z",
        "last": "2001-09-09T01:46:40.000000000Z",
        "damage": [{
            "offset": 24 + 57,
            "length": 56,
            "reason": "the file ends inside a frame, or its captured length is wrong",
        }],
    }  # fmt: skip


def test_info_shows_what_it_can_and_fails_for_the_rest(source: str, tmp_path: Path) -> None:
    bad = pcaps.write(tmp_path / "bad.pcap", b"")
    done = subprocess.run(
        [*FASTCAP, "info", bad, source], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == f"fastcap: {bad}: empty: a capture has at least a header of 24 bytes\n"
    assert "frames    100" in done.stdout
    assert "no input" in run("info", status=2).stderr
    run("info", bad, status=1)
    both = run_anyhow("info", tmp_path)
    assert (both.returncode, "frames    100" in both.stdout) == (1, True)


def test_info_counts_as_capinfos_does(shared_captures: Path) -> None:
    folders = ("PcapPlusPlus", "gopacket", "tcpreplay", "libpcap")
    paths = [str(p) for name in folders for p in sorted((shared_captures / name).rglob("*.pcap"))]
    done = subprocess.run([*FASTCAP, "info", "--json", *paths], capture_output=True, check=False)
    rows = json.loads(done.stdout)["inputs"]
    assert len(rows) > 50
    whole = [row["path"] for row in rows if not row["damage"]]
    command = [needs("capinfos"), "-c", "-T", "-M", "-r", *whole]
    # it ends with status 2 for a capture whose content it doubts, and counts the others
    told = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    theirs = {line.split("\t")[0]: int(line.split("\t")[-1]) for line in told}
    assert len(theirs) > 50
    assert theirs.items() <= {row["path"]: row["frames"] for row in rows}.items()


# ---- The group ----------------------------------------------------------------------------------


def test_version_and_help() -> None:
    for flag in ("--version", "-V"):
        assert run(flag).stdout == f"fastcap {fastcap.__version__}\n"
    assert "filter" in run("--help").stdout
    assert "no such command" in run("fliter", status=2).stderr.lower()
    assert "Usage" in run("filter", "-h").stdout


def test_start_up_imports_only_what_is_needed(source: str) -> None:
    """Time is measured in benches; here only that the slow imports are not made."""
    code = (
        "import atexit, sys, fastcap.cli.__main__ as m\n"
        "slow = ('numpy', 'rich', 'click', 'pcapy', 'asyncio', 'logging', 'dataclasses')\n"
        "atexit.register(lambda: print([n for n in slow if n in sys.modules]))\n"
        "sys.argv = ['fastcap', {words}]\n"
        "m.main()"
    )
    for words, imported in (
        ("'--version'", []),
        (f"'filter', 'tcp', '{source}', '--count'", ["click", "pcapy"]),
        (f"'filter', 'Blob(FrameData,0,1)==1', '{source}', '--count'", ["click"]),
        (f"'info', '{source}'", ["click"]),
    ):
        script = code.replace("{words}", words)
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines()[-1] == str(imported)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_what_cannot_be_printed_is_said_and_seen_in_the_status(
    source: str, unbuffered: str
) -> None:
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*FASTCAP, "filter", "", source, "--count"],
            stdout=full, stderr=subprocess.PIPE, env=environment, check=False,
        )  # fmt: skip
        nothing = subprocess.run(
            [*FASTCAP, "filter", "", source, "--count"], stderr=full, env=environment, check=False
        )
    assert (done.returncode, done.stderr) == (1, b"fastcap: No space left on device\n")
    assert nothing.returncode == 0


@pytest.mark.parametrize(
    "words", [["filter", "", "SOURCE", "--count"], ["explain", "ip"], ["compile", "ip"], ["--help"]]
)
def test_a_reader_that_left_is_no_error(source: str, words: list[str]) -> None:
    left, right = os.pipe()
    os.close(left)
    command = [*FASTCAP, *(word.replace("SOURCE", source) for word in words)]
    done = subprocess.run(command, stdout=right, stderr=subprocess.PIPE, check=False)
    os.close(right)
    assert (done.returncode, done.stderr) == (0, b"")
