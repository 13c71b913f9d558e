"""Several users of one file at once, and the end of a store."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tgtrio._errors import GraphRunningError, StoreError
from tgtrio._store import RawStore

from .stores import Told, is_whole, open_journal, row, run_once


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s.db"


@pytest.fixture
def store(path: Path) -> Iterator[RawStore]:
    with RawStore(path) as store:
        yield store


# Several at once


def test_runs_of_several_graphs_write_through_one_store(store: RawStore) -> None:
    journals = {graph: open_journal(store, graph) for graph in "abc"}
    for n in range(300):
        for graph, journal in journals.items():
            journal.put(row(f"{graph}{n}"))
    for journal in journals.values():
        journal.close()
    for graph in "abc":
        found = store.list_task_executions(graph_id=graph)
        assert [one.task_id for one in found] == [f"{graph}{n}" for n in range(300)]


def test_two_stores_of_one_process_share_a_file(store: RawStore, path: Path) -> None:
    with RawStore(path) as other:
        mine, its = open_journal(store, "a"), open_journal(other, "b")
        for n in range(100):
            mine.put(row(f"t{n}"))
            its.put(row(f"t{n}"))
        mine.close()
        its.close()
        assert len(other.list_task_executions(graph_id="a")) == 100
    assert len(store.list_task_executions(graph_id="b")) == 100


def test_a_link_to_the_file_is_the_same_store(store: RawStore, path: Path) -> None:
    link = path.with_name("link.db")
    link.symlink_to(path)
    journal = open_journal(store)
    with RawStore(link) as other, pytest.raises(GraphRunningError):
        open_journal(other)
    journal.close()


def test_many_threads_that_open_one_graph_get_one_run_once(path: Path) -> None:
    got: list[str] = []
    barrier = threading.Barrier(8)

    def contend(store: RawStore) -> None:
        barrier.wait()
        try:
            got.append(open_journal(store).run_id)
        except GraphRunningError:
            got.append("")

    stores = [RawStore(path) for _ in range(8)]
    threads = [threading.Thread(target=contend, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (run,) = stores[0].list_runs()
    assert sorted(got) == [""] * 7 + [run.run_id]
    for store in stores:
        store.close()


# The end


def test_a_closed_store_says_so(path: Path) -> None:
    store = RawStore(path)
    run_once(store, row("t"))
    store.close()
    store.close()
    uses = (
        store.list_runs,
        store.list_task_executions,
        store.list_events,
        lambda: store.record_event("trip", {}),
        lambda: store.lookup(["k"]),
        lambda: open_journal(store),
        store.__enter__,
    )
    for use in uses:
        with pytest.raises(StoreError, match="closed"):
            use()
    assert "closed" in repr(store)
    assert is_whole(path)


def test_an_unused_store_has_no_thread(path: Path) -> None:
    before = threading.active_count()
    with RawStore(path) as store:
        store.list_runs()
        assert threading.active_count() == before
        open_journal(store).close()
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


def test_closing_the_store_ends_a_run_that_is_on(path: Path) -> None:
    store, told = RawStore(path), Told()
    journal = open_journal(store, told=told)
    journal.put(row("before"))
    store.close()
    assert "closed" in str(told.wait_error())
    with RawStore(path) as again:
        assert again.list_runs()[0].state == "crashed"
    journal.put(row("after"))
    with pytest.raises(StoreError, match="closed"):
        journal.close()
    assert journal.backlog == 1
    with RawStore(path) as again:
        assert [one.task_id for one in again.list_task_executions()] == ["before"]
        assert open_journal(again).resumed


def test_a_store_that_closes_meanwhile_takes_up_no_run(path: Path) -> None:
    store = RawStore(path)
    store._writer.close()
    with pytest.raises(StoreError, match="closed"):
        open_journal(store)
    with RawStore(path) as other:
        assert other.list_runs()[0].state == "crashed"
        open_journal(other).close()
    store.close()


def test_a_file_that_has_gone_is_not_made_anew(store: RawStore, path: Path) -> None:
    path.unlink()
    with pytest.raises(StoreError, match=r"s\.db.*unable to open"):
        store.list_runs()
    assert not path.exists()


def test_a_copy_is_a_store(store: RawStore, path: Path) -> None:
    run_id = run_once(store, row("t"))
    store.close()
    copy = path.with_name("copy.db")
    copy.write_bytes(path.read_bytes())
    with RawStore(copy) as other:
        assert [run.run_id for run in other.list_runs()] == [run_id]
