"""The queue between the producing thread and the loop."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldloom.handoff import Closed, Gone, Handoff


def in_thread(act) -> tuple[threading.Thread, list]:
    results: list = []

    def body() -> None:
        try:
            results.append(act())
        except BaseException as error:
            results.append(error)

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    return thread, results


@given(st.lists(st.integers()), st.integers(1, 5))
def test_order(items: list[int], capacity: int) -> None:
    queue: Handoff[int] = Handoff(capacity)
    thread, _ = in_thread(lambda: [queue.put(item) for item in items])
    assert [queue.get() for _ in items] == items
    thread.join(10)
    assert not thread.is_alive()
    assert len(queue) == 0


def test_put_waits_for_room() -> None:
    queue: Handoff[int] = Handoff(2)
    queue.put(1)
    queue.put(2)
    thread, _ = in_thread(lambda: queue.put(3))
    thread.join(0.05)
    assert thread.is_alive()
    assert len(queue) == 2
    assert queue.get() == 1
    thread.join(10)
    assert not thread.is_alive()
    assert queue.waited_put_s >= 0.04
    assert (queue.get(), queue.get()) == (2, 3)


@pytest.mark.parametrize("full", [True, False], ids=["waiting producer", "waiting consumer"])
def test_close_wakes_both_ends(full: bool) -> None:
    queue: Handoff[int] = Handoff(1)
    if full:
        queue.put(1)
    threads = [in_thread((lambda: queue.put(2)) if full else queue.get) for _ in range(3)]
    for thread, _ in threads:
        thread.join(0.02)
        assert thread.is_alive()
    queue.close()
    for thread, results in threads:
        thread.join(10)
        assert isinstance(results[0], Closed)


def test_closed() -> None:
    queue: Handoff[object] = Handoff(3)
    queue.put(1)
    queue.close()
    queue.close()
    assert len(queue) == 0
    with pytest.raises(Closed):
        queue.get()
    with pytest.raises(Closed):
        queue.put(1)


def test_close_drops_what_waits() -> None:
    """A loop that was left early does not keep batches alive."""
    import weakref

    class Item:
        pass

    queue: Handoff[Item] = Handoff(1)
    item = Item()
    alive = weakref.ref(item)
    queue.put(item)
    del item
    queue.close()
    assert alive() is None


def test_get_gives_up() -> None:
    queue: Handoff[int] = Handoff(1)
    with pytest.raises(TimeoutError):
        queue.get(0.01)
    queue.put(3)
    assert queue.get(0.01) == 3
    assert queue.waited_get_s >= 0.01


def test_a_producer_that_is_gone_is_noticed() -> None:
    queue: Handoff[int] = Handoff(2)
    queue.put(1)
    assert queue.get(alive=lambda: False) == 1, "what it left behind comes first"
    with pytest.raises(Gone):
        queue.get(alive=lambda: False)
    looks: list[int] = []
    with pytest.raises(Gone):
        queue.get(alive=lambda: looks.append(1) is None and len(looks) < 3)
    assert len(looks) == 3
    assert not queue.closed
    queue.close()
    assert queue.closed
    with pytest.raises(Closed):
        queue.get(alive=lambda: False)
