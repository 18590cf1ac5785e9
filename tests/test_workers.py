"""The threads that filter ranges."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Iterator

import pytest

from fastcap.errors import Interrupted
from fastcap.waiting import NoMoreThreadsError
from fastcap.workers import Workers


@pytest.fixture
def workers() -> Iterator[Workers]:
    made = Workers(3)
    yield made
    made.close()


def test_what_a_call_returns_or_raises_is_its_result(workers: Workers) -> None:
    quotients = [workers.submit(divmod, 7, number) for number in (1, 2, 0, 3)]
    assert [quotients[number].result() for number in (3, 0, 1)] == [(2, 1), (7, 0), (3, 1)]
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            quotients[2].result()
    assert workers.submit(int, "12").result() == 12


def test_as_many_work_at_once_as_may_and_no_more(workers: Workers) -> None:
    together = threading.Barrier(4)
    rounds = [workers.submit(together.wait, 30) for _ in range(6)]
    while together.n_waiting < 3:
        time.sleep(0.001)
    assert len(workers.threads) == 3
    assert not any(work.done.is_set() for work in rounds)
    passed = [together.wait(30), together.wait(30)]  # with us they are four
    assert sorted([work.result() for work in rounds] + passed) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_threads_are_started_only_for_work_that_no_idle_one_takes() -> None:
    workers = Workers(8)
    assert workers.threads == []
    for _ in range(100):
        workers.submit(int).result()
        while workers.idle == 0:
            time.sleep(0)
    assert len(workers.threads) == 1
    workers.close()


def test_work_is_begun_in_its_order() -> None:
    workers = Workers(1)
    begun: list[int] = []
    work = [workers.submit(begun.append, number) for number in range(1000)]
    work[-1].result()
    workers.close()
    assert begun == [*range(1000)]


def test_closing_cancels_what_has_not_begun_and_waits_for_what_has() -> None:
    workers = Workers(1)
    begun, may_end = threading.Event(), threading.Event()
    done: list[int] = []

    def first() -> None:
        begun.set()
        may_end.wait(30)
        done.append(1)

    one = workers.submit(first)
    others = [workers.submit(done.append, number) for number in (2, 3)]
    assert begun.wait(30)
    others[0].cancel()
    threading.Timer(0.05, may_end.set).start()
    workers.close()
    assert done == [1]
    assert one.result() is None
    for work in others:
        with pytest.raises(Interrupted, match="cancelled"):
            work.result()
    assert not any(thread.is_alive() for thread in workers.threads)
    with pytest.raises(RuntimeError, match="closed"):
        workers.submit(int)
    workers.close()


def test_nothing_holds_a_result_that_was_taken(workers: Workers) -> None:
    class Large:
        pass

    alive: list[weakref.ref[Large]] = []

    def make() -> Large:
        made = Large()
        alive.append(weakref.ref(made))
        return made

    workers.submit(make).result()
    while workers.idle == 0:
        time.sleep(0.001)
    assert alive[0]() is None


def test_a_thread_that_cannot_be_started_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    workers = Workers(2)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(NoMoreThreadsError, match="new thread"):
        workers.submit(int)
    workers.close()


def test_thousands_of_calls_from_many_threads_are_all_made() -> None:
    workers = Workers(4)
    totals: list[int] = []

    def ask(start: int) -> None:
        work = [workers.submit(int.__add__, start, number) for number in range(500)]
        totals.append(sum(one.result() for one in work))

    threads = [threading.Thread(target=ask, args=(start,)) for start in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    workers.close()
    assert sorted(totals) == [500 * start + 500 * 499 // 2 for start in range(6)]
