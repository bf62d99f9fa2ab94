"""What the running code is inside of."""

from __future__ import annotations

import threading

from argus_tasks.base.context_stack import ContextStack


def in_thread(call: object) -> object:
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(call()))  # type: ignore[operator]
    thread.start()
    thread.join()
    return found[0]


def test_the_innermost_of_the_thread_else_the_only_one() -> None:
    here: ContextStack[str] = ContextStack("test")
    assert here.current() is None
    with here.inside("outer"):
        assert in_thread(here.current) == "outer", "the only one counts for every thread"
        with here.inside("inner"):
            assert here.current() == "inner"
            assert in_thread(here.current) is None, "which one it works for cannot be told"
        assert here.current() == "outer"

        def other() -> str | None:
            with here.inside("theirs"):
                return here.current()

        assert in_thread(other) == "theirs"
        assert here.current() == "outer"
    assert here.current() is None


def test_left_in_another_thread_than_entered() -> None:
    here: ContextStack[str] = ContextStack("test")
    here.enter("a")
    in_thread(lambda: here.leave("a"))
    assert here.current() is None
    here.leave("a")
