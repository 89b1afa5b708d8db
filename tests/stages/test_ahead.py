"""Making things ahead in a thread of their own."""

import threading
from collections.abc import Generator

import pytest

from transhume.stages.ahead import ahead


def test_things_come_in_order_and_one_is_made_while_another_is_taken() -> None:
    """With a depth of 1 the next thing is made, and no more than it, while somebody holds the one before."""
    made: list[int] = []
    second = threading.Event()

    def numbers() -> Generator[int]:
        for number in range(1, 5):
            made.append(number)
            if number == 2:
                second.set()
            yield number

    taken = ahead(numbers(), 1, "numbers")
    assert next(taken) == 1
    assert second.wait(10)
    assert made == [1, 2]
    assert list(taken) == [2, 3, 4]


def test_an_error_comes_where_the_thing_would_have_come() -> None:
    """What was made before is taken first; the error is raised after it, as it is."""

    def numbers() -> Generator[int]:
        yield 1
        message = "broken"
        raise OSError(message)

    taken = ahead(numbers(), 3, "numbers")
    assert next(taken) == 1
    with pytest.raises(OSError, match="broken"):
        next(taken)


def test_a_generator_is_closed_in_its_thread_when_nobody_takes_more() -> None:
    """Where the taker gives up, the generator's own end runs, in the thread that ran it, before the taker goes on."""
    threads: list[str] = []

    def numbers() -> Generator[int]:
        try:
            while True:
                yield 1
        finally:
            threads.append(threading.current_thread().name)

    taken = ahead(numbers(), 2, "numbers")
    assert next(taken) == 1
    assert isinstance(taken, Generator)
    taken.close()
    assert [name.partition("_")[0] for name in threads] == ["numbers"]


def test_nothing_more_is_begun_once_nobody_takes_more() -> None:
    """Where the taker gives up, what is being made is finished, and what would have come after it is not begun."""
    begun: list[int] = []
    is_making, may_go_on = threading.Event(), threading.Event()

    def numbers() -> Generator[int]:
        for number in range(1, 9):
            begun.append(number)
            if number == 2:
                is_making.set()
                assert may_go_on.wait(10)
            yield number

    taken = ahead(numbers(), 3, "numbers")
    assert isinstance(taken, Generator)
    assert next(taken) == 1
    assert is_making.wait(10)
    closing = threading.Thread(target=taken.close)
    closing.start()
    closing.join(0.2)
    assert closing.is_alive()
    may_go_on.set()
    closing.join(10)
    assert begun == [1, 2]
