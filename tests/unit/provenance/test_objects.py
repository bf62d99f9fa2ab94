"""The object store: whole whatever is killed, limited, without secrets."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

import pytest

from argus_tasks.provenance import objects
from argus_tasks.provenance.manifest import CodeFile, Manifest
from argus_tasks.provenance.objects import ObjectStore
from argus_tasks.provenance.secret_files import looks_secret

WRITER = """
import sys
from hashlib import sha256
from argus_tasks.provenance.objects import ObjectStore
store = ObjectStore(sys.argv[1], "batch")
print("ready", flush=True)
for at in range(100_000):
    content = (f"# {at}\\n" * 2_000).encode()
    store.put_source(sha256(content).hexdigest(), content, "a.py")
"""


def digest(content: bytes) -> str:
    return sha256(content).hexdigest()


def stored(folder: Path) -> list[Path]:
    return [path for path in folder.glob("??/*") if path.suffix != ".tmp"]


def test_two_writers_and_kills_leave_whole_objects_only(tmp_path: Path) -> None:
    moments = random.Random(7)
    for _ in range(6):
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
            )
            for _ in range(2)
        ]
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
        time.sleep(moments.uniform(0.001, 0.1))  # the moment is what is random
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
            writer.wait()
            writer.stdout.close()  # type: ignore[union-attr]
    paths = stored(tmp_path)
    assert len(paths) > 10
    store = ObjectStore(tmp_path)
    for path in paths:
        assert store.source(path.parent.name + path.name) is not None


def test_sources_are_their_owners_to_read_and_manifests_everybodys(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path)
    before = os.umask(0o022)
    try:
        assert store.put_source(digest(b"x = 1\n"), b"x = 1\n", "a.py")
        name = store.put_manifest(Manifest((CodeFile("a.py", digest(b"x = 1\n")),)))
    finally:
        os.umask(before)
    assert os.stat(store.path(digest(b"x = 1\n"))).st_mode & 0o777 == 0o600  # noqa: PTH116
    assert os.stat(store.path(name)).st_mode & 0o777 == 0o644  # noqa: PTH116


def test_a_damaged_object_is_none(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path)
    content = b"x = 1\n" * 50
    store.put_source(digest(content), content, "a.py")
    path = Path(store.path(digest(content)))
    data = path.read_bytes()
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert store.source(digest(content)) in (None, content)
    path.write_bytes(b"")
    assert store.source(digest(content)) is None
    assert store.manifest("0" * 64) is None


def test_large_files_and_large_batches_keep_hashes_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "MOST_OF_A_BATCH", 3_000)
    large = b"#" * (objects.LARGEST_FILE + 1)
    assert not ObjectStore(tmp_path).put_source(digest(large), large, "a.py")
    noise = [random.Random(at).randbytes(1_000) for at in range(5)]
    kept = [  # as many processes would
        ObjectStore(tmp_path, "one").put_source(digest(content), content, "a.py")
        for content in noise
    ]
    assert kept == [True, True, False, False, False]
    assert ObjectStore(tmp_path, "two").put_source(digest(noise[4]), noise[4], "a.py")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (".env", b"A=1"),
        ("conf/secrets.py", b"A = 1"),
        ("deploy.pem", b""),
        ("a.py", b'WANDB_API_KEY = "abcdefgh"\n'),
        ("a.py", b"login(token='abcdefgh')\n"),
        ("a.py", b'url = "postgresql://me:abcdefgh@host/db"\n'),
        ("a.py", b'key = "' + b"sk-" + b'abcdefghijklmnopqrstuvwx"\n'),
        ("a.py", b'"""\n-----BEGIN RSA PRIVATE KEY-----\n"""\n'),
        ("conf/a.yaml", b"db:\n  password: abcdefgh\n"),
        ("conf/a.json", b'{"password": "abcdefgh"}\n'),
    ],
)
def test_what_looks_secret_is_not_stored(tmp_path: Path, name: str, content: bytes) -> None:
    assert not ObjectStore(tmp_path).put_source(digest(content), content, name)
    assert stored(tmp_path) == []


@pytest.mark.parametrize(
    "content",
    [
        b"token = batch['tokens'][at]\n",
        b"for token in tokens: pass\n",
        b"key = jax.random.PRNGKey(0)\nsecret = args.secret\n",
        b'tokenizer = "bert-base-uncased"\nmax_tokens = "many more"\n',
        b'x = os.environ["HF_TOKEN"]\nurl = "https://host/path"\n',
        b'password = getpass("password: ")\n',
    ],
)
def test_code_that_only_speaks_of_secrets_is_stored(content: bytes) -> None:
    assert not looks_secret("train.py", content)


def test_a_store_that_cannot_be_written_raises_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "objects").write_text("a file")
    with pytest.raises(OSError, match="objects"):
        ObjectStore(tmp_path / "objects").put_source(digest(b"x"), b"x", "a.py")


def test_what_no_kept_run_refers_to_is_counted(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path)
    texts = [f"x = {at}\n".encode() for at in range(3)]
    for text in texts:
        store.put_source(digest(text), text, "a.py")
    kept = store.put_manifest(Manifest((CodeFile("a.py", digest(texts[0])),)))
    gone = store.put_manifest(Manifest((CodeFile("a.py", digest(texts[1])),)))
    (Path(store.path(kept)).parent / "abc.tmp").write_text("being written")
    loose = store.unreferenced([kept, "0" * 64])
    expected = {Path(store.path(name)) for name in (gone, digest(texts[1]), digest(texts[2]))}
    assert loose.keys() == expected
    assert all(loose.values())
