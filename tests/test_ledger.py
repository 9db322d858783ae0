"""The account of an epoch, and the budget of bad samples."""

import json
import threading

import pytest

from fieldloom.errors import DecodeError, TooManyBadSamples
from fieldloom.ledger import KEPT, BadSamples, Ledger


def error(i: int) -> DecodeError:
    return DecodeError.make("cannot decode", why="it is bad", sample=i, file=f"{i}.jpg")


def test_balance() -> None:
    ledger = Ledger(3, 10, delivered=7, skipped=1, substituted=2)
    assert ledger.balanced()
    ledger.delivered += 1
    assert not ledger.balanced()


def test_limit() -> None:
    bad, ledger = BadSamples(2, None), Ledger(0, 10)
    for i in range(2):
        bad.add(ledger, error(i), i, f"{i}.jpg", "skip")
    with pytest.raises(TooManyBadSamples, match=r"^3 bad samples: max_bad allows 2; the first were"):
        bad.add(ledger, error(2), 2, "2.jpg", "skip")
    assert bad.count == len(ledger.bad) == 3


def test_all_are_counted_and_a_thousand_kept() -> None:
    bad, ledger = BadSamples(float("inf"), None), Ledger(0, 10**6)
    for i in range(KEPT + 50):
        bad.add(ledger, error(i), i, "x", "substitute")
    assert bad.count == KEPT + 50
    assert [record.sample for record in ledger.bad] == list(range(KEPT))
    assert ledger.bad[0].file == "0.jpg"
    assert ledger.bad[0].action == "substitute"


def test_log_from_several_threads(tmp_path) -> None:
    log = tmp_path / "log.jsonl"
    bad, ledger = BadSamples(float("inf"), log), Ledger(7, 100)

    def add(first: int) -> None:
        for i in range(first, first + 25):
            bad.add(ledger, error(i), i, "x", "skip")

    threads = [threading.Thread(target=add, args=(25 * k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert sorted(line["sample"] for line in lines) == list(range(100))
    assert {line["epoch"] for line in lines} == {7}
    assert set(lines[0]) == {"epoch", "sample", "file", "error", "message", "action"}
