"""The store: all or nothing, across kill -9, and errors that name the thing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dougong.errors import StoreCorrupt, StoreError, StoreFull
from dougong.store import Store, height_key


def test_a_transaction_is_all_or_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "db", ("a", "b"))
    with pytest.raises(RuntimeError, match="midway"), store.write() as txn:
        txn.put("a", b"k", b"v")
        assert txn.get("a", b"k") == b"v"
        raise RuntimeError("midway")
    assert store.get("a", b"k") is None
    with store.write() as txn:
        txn.put("a", b"k", b"v")
        txn.put("b", b"k", b"w")
    with store.write() as txn:
        txn.delete("a", b"k")
    assert (store.get("a", b"k"), store.get("b", b"k")) == (None, b"w")
    store.close()


def test_items_come_in_key_order(tmp_path: Path) -> None:
    store = Store(tmp_path / "db", ("a",))
    with store.write() as txn:
        for height in (300, 2, 70000):
            txn.put("a", height_key(height), str(height).encode())
    assert [value for _, value in store.items("a")] == [b"2", b"300", b"70000"]
    assert [value for _, value in store.items("a", height_key(3))] == [b"300", b"70000"]
    assert [value for _, value in store.items("a", reverse=True, limit=1)] == [b"70000"]
    store.close()


def test_a_full_store_says_so_and_keeps_what_it_had(tmp_path: Path) -> None:
    store = Store(tmp_path / "db", ("a",), map_bytes=1 << 20)
    with store.write() as txn:
        txn.put("a", b"kept", b"v")
    with pytest.raises(StoreFull, match="full"), store.write() as txn:
        for i in range(10_000):
            txn.put("a", height_key(i), bytes(1000))
    assert store.get("a", b"kept") == b"v"
    store.close()


CUT_OFF = """
import os, sys
from pathlib import Path
from dougong.errors import StoreCorrupt
from dougong.store import Store, height_key

path, whole = Path(sys.argv[1]), os.path.getsize(sys.argv[1] + "/data.mdb")
for size in (whole * 3 // 4, whole // 2, 8192, 5000, 100):
    os.truncate(path / "data.mdb", size)
    try:
        Store(path, ("a",)).items("a")
    except StoreCorrupt:
        continue
    sys.exit(f"{size} of {whole} bytes were taken for a store")
"""


def test_a_file_that_was_cut_off_is_corruption_and_not_the_end_of_the_process(tmp_path: Path) -> None:
    store = Store(tmp_path / "db", ("a",))
    with store.write() as txn:
        for height in range(2_000):
            txn.put("a", height_key(height), os.urandom(200))
    store.close()
    done = subprocess.run([sys.executable, "-c", CUT_OFF, str(tmp_path / "db")], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_garbage_in_place_of_the_store_is_corruption(tmp_path: Path) -> None:
    folder = tmp_path / "db"
    folder.mkdir()
    (folder / "data.mdb").write_bytes(os.urandom(1 << 16))
    with pytest.raises(StoreCorrupt) as caught:
        Store(folder, ("a",))
    assert "rebuild" in caught.value.remedy


def test_a_path_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "db").write_text("not a folder")
    with pytest.raises(StoreError, match="db"):
        Store(tmp_path / "db", ("a",))


WRITER = """
import sys
from pathlib import Path
from dougong.store import Store, height_key
store = Store(Path(sys.argv[1]), ("a", "b"))
height = len(store.items("a"))
while True:
    with store.write() as txn:
        txn.put("a", height_key(height), b"x" * 500)
        txn.put("b", height_key(height), b"y" * 500)
    print(height, flush=True)
    height += 1
"""


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    for _ in range(3):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "db")], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        acknowledged = -1
        for _ in range(20):
            acknowledged = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        acknowledged = max([acknowledged, *(int(line) for line in writer.stdout.read().split())])
        store = Store(tmp_path / "db", ("a", "b"))
        keys = [key for key, _ in store.items("a")]
        assert keys == [key for key, _ in store.items("b")]
        assert len(keys) > acknowledged
        store.close()
