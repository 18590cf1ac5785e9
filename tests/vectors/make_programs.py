"""Writes programs.txt: what a checker of programs must take and refuse, and what valid ones return.

    python tests/vectors/make_programs.py > tests/vectors/programs.txt

C's checker and Rust's read the same lines. The rules of csrc/program.h stand here once more, by
kinds of codes; what frames give was computed by hand.
"""

from __future__ import annotations

LOADS = (0x20, 0x28, 0x30, 0x40, 0x48, 0x50, 0xB1)
LENGTHS = (0x80, 0x81, 0x100)
PLAIN = (0x00, 0x01, 0x04, 0x0C, 0x14, 0x1C, 0x24, 0x2C, 0x44, 0x4C, 0x54, 0x5C, 0xA4, 0xAC, 0x64,
         0x6C, 0x74, 0x7C, 0x84, 0x07, 0x87)  # fmt: skip
MEMORY = (0x60, 0x61, 0x02, 0x03)
BY_CONSTANT, BY_X = (0x34, 0x94), (0x3C, 0x9C)
TESTS = (0x15, 0x1D, 0x25, 0x2D, 0x35, 0x3D, 0x45, 0x4D)
LOOK_UPS = (0x105, 0x115, 0x125)
JUMP, BACK, RETURNS = 0x05, 0x135, (0x06, 0x16)
ALL = (*LOADS, *LENGTHS, *PLAIN, *MEMORY, *BY_CONSTANT, *BY_X, *TESTS, *LOOK_UPS, JUMP, BACK,
       *RETURNS)  # fmt: skip
UNKNOWN = (0x08, 0x10, 0x18, 0x38, 0x68, 0x86, 0x8F, 0x0E, 0x1E, 0x65, 0x85, 0xB0, 0xB4, 0x101,
           0x106, 0x115 ^ 0x40, 0x200, 0x208, 0x230, 0x8000, 0xFFFF)  # fmt: skip
TABLES = "set=1-5,9-9 set=0-ffffffff wide=3:010203-010204 pattern=6162"
FAR = (3, 4, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)

Line = tuple[int, int, int, int, int]
RET: Line = (0x06, 0, 1, 0, 0)


def words(*lines: Line) -> str:
    return " ".join(":".join(f"{number:x}" for number in line) for line in lines)


def verdict(bad: int | None, *lines: Line, tables: str = TABLES) -> None:
    print(" ".join(filter(None, ("ok" if bad is None else f"bad={bad}", tables, words(*lines)))))


def k_of(code: int) -> int:
    """A constant that is valid with it."""
    return 0 if code in LOOK_UPS else 1


def comment(text: str) -> None:
    print(f"# {text}")


def codes() -> None:
    comment("codes that exist, and others")
    for code in ALL:
        verdict(None, (code, 0, k_of(code), 0, 0), RET)
    for code in UNKNOWN:
        verdict(0, (code, 0, 1, 0, 0), RET)
    comment("flags")
    for code in ALL:
        sees = code in (*LOADS, *LENGTHS, 0x115)
        verdict(None if sees else 0, (code, 1, k_of(code), 0, 0), RET)
        verdict(0, (code, 2, k_of(code), 0, 0), RET)


def ends() -> None:
    comment("only a return, or a jump back, may be last")
    for code in ALL:
        last = code in (*RETURNS, BACK)
        verdict(None if last else 1, RET, (code, 0, k_of(code), 0, 0))
        verdict(None if last else 0, (code, 0, k_of(code), 0, 0))


def targets() -> None:
    comment("targets: with three instructions behind, 0 to 2 are inside")
    behind = (RET, RET, RET)
    for code in ALL:
        both = code in (*TESTS, *LOOK_UPS)
        for far in FAR:
            uses = both or code == JUMP
            verdict(0 if uses else None, (code, 0, k_of(code), far, 0), *behind)
            uses = both or code in LOADS or code in BY_X
            verdict(0 if uses else None, (code, 0, k_of(code), 0, far), *behind)
        verdict(None, (code, 0, k_of(code), 2, 2), *behind)
    for k, good in ((0, False), (1, True), (2, True), (3, False), (0xFFFFFFFF, False)):
        verdict(None if good else 1, (0x07, 0, 0, 0, 0), (BACK, 0, k, 0, 0), RET)


def constants() -> None:
    comment("constants")
    for code in MEMORY:
        for k in (0, 15, 16, 0xFFFFFFFF):
            verdict(None if k < 16 else 0, (code, 0, k, 0, 0), RET)
    for code in (*BY_CONSTANT, *BY_X):
        verdict(0 if code in BY_CONSTANT else None, (code, 0, 0, 0, 0), RET)
    for code, there in ((0x105, 2), (0x115, 1), (0x125, 1)):
        for k in (0, 1, 2, 0xFFFFFFFF):
            verdict(None if k < there else 0, (code, 0, k, 0, 0), RET)


def tables() -> None:
    comment("tables")
    verdict(0, tables="")
    for ranges in ("2-1", "1-1,1-1", "1-2,2-2", "5-9,1-2", "0-ffffffff,0-0"):
        verdict(1, RET, tables=f"set={ranges}")
        verdict(1, RET, tables=f"set=1-2 set={ranges}")
    for ranges in ("0-0", "1-1,2-2", "0-fffffffe,ffffffff-ffffffff", "7-9,20-30"):
        verdict(None, RET, tables=f"set={ranges}")
    for wide in ("0:-", "11:" + "00" * 17 + "-" + "00" * 17, "2:0002-0001",
                 "2:0001-0001,0001-0002", "1:05-06,06-07"):  # fmt: skip
        verdict(1, RET, tables=f"wide={wide}")
    for wide in ("1:00-ff", "2:0001-0001,0002-0002", "10:" + "00" * 16 + "-" + "ff" * 16):
        verdict(None, RET, tables=f"wide={wide}")
    verdict(1, RET, tables="pattern=")
    verdict(1, RET, tables="pattern=" + "61" * 1025)
    verdict(None, RET, tables="pattern=" + "61" * 1024)


def gives(lines: tuple[Line, ...], *runs: tuple[str, int, int], tables: str = "") -> None:
    told = " ".join(f"run={frame or '-'}:{wire:x}:{value:x}" for frame, wire, value in runs)
    print(" ".join(filter(None, ("ok", tables, words(*lines), told))))


def runs() -> None:
    comment("run=FRAME:WIRE:VALUE, in hex")
    reject: Line = (0x06, 0, 0, 0, 0)
    ret_a: Line = (0x16, 0, 0, 0, 0)
    for code, value in ((0x20, 0x01020304), (0x28, 0x0102), (0x30, 0x01)):
        gives(((code, 0, 1, 0, 1), ret_a, (0x06, 0, 7, 0, 0)), ("0001020304", 5, value),
              ("00", 5, 7), ("", 0, 7))  # fmt: skip
    # a load far behind: nothing wraps
    gives(((0x20, 0, 0xFFFFFFFF, 0, 1), ret_a, (0x06, 0, 7, 0, 0)), ("00" * 20, 20, 7))
    gives(((0x01, 0, 0xFFFFFFFF, 0, 0), (0x40, 0, 5, 0, 1), ret_a, (0x06, 0, 7, 0, 0)),
          ("00" * 20, 20, 7))  # fmt: skip
    # missing: A stays
    gives(
        ((0x00, 0, 9, 0, 0), (0x30, 0, 5, 0, 0), ret_a), ("aabb", 2, 9), ("0001020304bb", 6, 0xBB)
    )
    # 4 * the lower half of a byte
    gives(((0xB1, 0, 0, 0, 1), (0x87, 0, 0, 0, 0), ret_a), ("45", 1, 20), ("4f", 1, 60), ("", 0, 0))
    gives(((0xB1, 0, 0, 0, 1), (0x50, 0, 1, 0, 0), ret_a),
          ("45" + "00" * 20 + "77", 22, 0x77), ("41" + "00" * 4 + "66", 6, 0x66),
          ("45000000", 4, 0))  # fmt: skip
    # lengths
    gives(((0x80, 0, 0, 0, 0), ret_a), ("0000", 1500, 1500))
    gives(((0x100, 0, 0, 0, 0), ret_a), ("0000", 1500, 2))
    # shifts by 32 and more, and by X
    for code in (0x64, 0x74):
        gives(((0x00, 0, 0xFFFFFFFF, 0, 0), (code, 0, 32, 0, 0), ret_a), ("", 0, 0))
        gives(((0x30, 0, 0, 0, 0), (0x01, 0, 33, 0, 0), (code + 8, 0, 0, 0, 0), ret_a),
              ("ff", 1, 0))  # fmt: skip
    # division by X, which is 0
    for code, value in ((0x3C, 5), (0x9C, 1)):
        gives(((0x30, 0, 0, 0, 0), (0x07, 0, 0, 0, 0), (0x00, 0, 11, 0, 0), (code, 0, 0, 0, 1),
               ret_a, (0x06, 0, 77, 0, 0)), ("02", 1, value), ("00", 1, 77))  # fmt: skip
    # unsigned comparisons
    gives(((0x20, 0, 0, 0, 0), (0x25, 0, 0x7FFFFFFF, 0, 1), (0x06, 0, 1, 0, 0), reject),
          ("80000000", 4, 1), ("7fffffff", 4, 0))  # fmt: skip
    # a range, whose two tests become one
    between = ((0x28, 0, 0, 0, 3), (0x35, 0, 1000, 0, 2), (0x25, 0, 2000, 1, 0),
               (0x06, 0, 1, 0, 0), reject)  # fmt: skip
    gives(between, ("03e7", 2, 0), ("03e8", 2, 1), ("07d0", 2, 1), ("07d1", 2, 0), ("ffff", 2, 0))
    # the same bytes again, with a mask: what is known must hold
    gives(((0x28, 0, 0, 0, 5), (0x15, 0, 0x0800, 0, 4), (0x30, 0, 1, 0, 3), (0x15, 0, 0, 0, 2),
           (0x28, 0, 0, 0, 1), (0x45, 0, 0x0800, 1, 0), reject, (0x06, 0, 3, 0, 0)),
          ("0800", 2, 3), ("0801", 2, 0), ("1800", 2, 0))  # fmt: skip
    # sets: few ranges, many, and of ports
    many = ",".join(f"{n:x}-{n + 1:x}" for n in range(0x0A000000, 0x0A000100, 4))
    ports = ",".join(f"{n:x}-{n:x}" for n in range(1, 60, 3))
    in_set = ((0x20, 0, 0, 0, 2), (0x105, 0, 0, 0, 1), (0x06, 0, 1, 0, 0), reject)
    gives(in_set, ("0a000001", 4, 1), ("0a000002", 4, 0), ("0a0000fd", 4, 1), ("0b000001", 4, 0),
          tables=f"set={many}")  # fmt: skip
    gives(in_set, ("00000001", 4, 1), ("00000002", 4, 0), ("0001003a", 4, 0), ("0000003a", 4, 1),
          tables=f"set={ports}")  # fmt: skip
    gives(in_set, ("00000004", 4, 0), ("00000005", 4, 1), ("00000007", 4, 1), ("00000008", 4, 0),
          tables="set=5-7")  # fmt: skip
    # tests one behind the other that lead to one place; and a way into the middle of them
    chain = tuple((0x15, 0, 10 * n, 12 - n, 0) for n in range(12))
    gives(((0x30, 0, 0, 0, 0), *chain, reject, (0x06, 0, 1, 0, 0)),
          ("00", 1, 1), ("6e", 1, 1), ("32", 1, 1), ("33", 1, 0), ("78", 1, 0))  # fmt: skip
    gives(((0x30, 0, 0, 0, 0), (0x25, 0, 50, 6, 0), *chain, reject, (0x06, 0, 1, 0, 0)),
          ("00", 1, 1), ("6e", 1, 1), ("32", 1, 1), ("3c", 1, 1), ("47", 1, 0),
          ("05", 1, 0))  # fmt: skip
    # wide numbers and patterns
    gives(((0x00, 0, 1, 0, 0), (0x115, 0, 0, 0, 1), (0x06, 0, 1, 0, 0), reject),
          ("00010203", 4, 1), ("00010205", 4, 0), ("000102", 3, 0),
          tables="wide=3:010203-010204")  # fmt: skip
    gives(((0x125, 0, 0, 0, 1), (0x06, 0, 1, 0, 0), reject),
          ("00616200", 4, 1), ("006100", 3, 0), ("", 0, 0), tables="pattern=6162")  # fmt: skip
    # a loop that ends, and one that does not
    loop = ((0x04, 0, 1, 0, 0), (0x15, 0, 10, 1, 0), (BACK, 0, 3, 0, 0), ret_a)
    gives(loop, ("", 0, 10))
    gives(((BACK, 0, 1, 0, 0),), ("", 0, 0))


if __name__ == "__main__":
    comment("Made by make_programs.py; a line is a program: ok, or bad=INSTRUCTION, tables, then")
    comment("code:flags:k:on_true:on_false of each instruction, in hex")
    codes()
    ends()
    targets()
    constants()
    tables()
    runs()
