"""A folder as storage: links, file systems that refuse, and what is left behind."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import anyio
import pytest

from aifs_media.errors import BucketNotFoundError, ConfigurationError, RequestRejectedError, StorageError, UploadError
from aifs_media.storage.local import LocalStorage
from aifs_media.testing.sources import Source

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


def _files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


async def _put(storage: LocalStorage, key: str, data: bytes = b"picture", failure: Exception | None = None) -> None:
    await storage.put(key, Source(data, failure=failure), media_type="image/png", labels={})


async def test_only_the_file_is_there(tmp_path: Path) -> None:
    """After a put there is the file and nothing else, as readable as any other of this user."""
    await _put(LocalStorage(tmp_path), "a/b.png")
    assert _files(tmp_path) == ["a/b.png"]
    (tmp_path / "plain").touch()
    assert (tmp_path / "a/b.png").stat().st_mode == (tmp_path / "plain").stat().st_mode


async def test_failure_keeps_the_old_file(tmp_path: Path) -> None:
    """A failed replacement leaves the former file, and no partial one."""
    storage = LocalStorage(tmp_path)
    await _put(storage, "a.png", b"old")
    with pytest.raises(RuntimeError):
        await _put(storage, "a.png", b"new", failure=RuntimeError())
    assert _files(tmp_path) == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == b"old"


async def test_partial_files_of_a_crash(tmp_path: Path) -> None:
    """What a killed process left is removed for exactly that key."""
    program = """
import sys, anyio, os
from aifs_media.storage.local import LocalStorage

class Source:
    length = None
    async def read(self):
        if self.done:
            os.kill(os.getpid(), 9)
        self.done = True
        return b"x" * 2_000_000
    done = False

anyio.run(lambda: LocalStorage(sys.argv[1]).put(sys.argv[2], Source(), media_type="image/png", labels={}))
"""
    for key in ("a.png", "aa.png"):
        await anyio.run_process([sys.executable, "-c", program, str(tmp_path), key], check=False)
    assert len(_files(tmp_path)) == 2
    storage = LocalStorage(tmp_path)
    await storage.discard_partial("a.png")
    assert len(_files(tmp_path)) == 1
    await storage.discard_partial("aa.png")
    assert _files(tmp_path) == []


@pytest.mark.parametrize("key", ["link/a.png", "file.png"])
async def test_links_that_lead_out(tmp_path: Path, key: str) -> None:
    """No link in the folder lets a key reach a file outside."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.png").write_bytes(b"secret")
    folder = tmp_path / "media"
    folder.mkdir()
    (folder / "link").symlink_to(outside)
    (folder / "file.png").symlink_to(outside / "a.png")
    storage = LocalStorage(folder)
    with pytest.raises(StorageError, match="leads out of the folder"):
        await _put(storage, key)
    with pytest.raises(StorageError, match="leads out of the folder"):
        await storage.open(key)
    with pytest.raises(StorageError, match="leads out of the folder"):
        await storage.delete(key)
    assert (outside / "a.png").read_bytes() == b"secret"


async def test_folder_that_is_a_link(tmp_path: Path) -> None:
    """The folder itself may be a link."""
    (tmp_path / "real").mkdir()
    (tmp_path / "media").symlink_to(tmp_path / "real")
    await _put(LocalStorage(tmp_path / "media"), "a.png")
    assert _files(tmp_path / "real") == ["a.png"]


@pytest.mark.parametrize(
    ("key", "hint"),
    [("file/a.png", "A file is in the way"), ("folder", "A folder has this name"), ("n" * 300, "shorter key")],
)
async def test_places_that_cannot_be_written(tmp_path: Path, key: str, hint: str) -> None:
    """Each refusal of the file system is an UploadError with the next step, and leaves nothing behind."""
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(UploadError, match=hint):
        await _put(LocalStorage(tmp_path), key)
    assert _files(tmp_path) == ["file"]


async def test_folder_that_cannot_be_made() -> None:
    """Where no folder can be made, the error names it and the setting."""
    with pytest.raises(BucketNotFoundError, match="MEDIA_LOCAL_DIR") as caught:
        await _put(LocalStorage("/proc/aifs-media"), "a.png")
    assert "/proc/aifs-media" in str(caught.value)


async def test_file_that_grows_too_large(tmp_path: Path) -> None:
    """A write that the system ends half-way is an error, and the partial file is gone."""
    program = """
import resource, sys, anyio
from aifs_media.errors import UploadError
from aifs_media.storage.local import LocalStorage

class Source:
    length = None
    async def read(self):
        return b"x" * 700_000

resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, 1_500_000))
try:
    anyio.run(lambda: LocalStorage(sys.argv[1]).put("a.png", Source(), media_type="image/png", labels={}))
except UploadError as error:
    print(error.hint)
"""
    done = await anyio.run_process([sys.executable, "-c", program, str(tmp_path)])
    assert b"larger than the system allows" in done.stdout
    assert _files(tmp_path) == []


async def test_full_disk(tmp_path: Path) -> None:
    """A full disk is told with what to do, and leaves nothing behind."""
    image = tmp_path / "mounted"
    image.mkdir()
    mounted = await anyio.run_process(["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(image)], check=False)
    if mounted.returncode:
        pytest.skip("this user cannot mount a small disk")
    try:
        with pytest.raises(UploadError, match="The disk is full: make room"):
            await _put(LocalStorage(image), "a.png", b"x" * 1_000_000)
        assert _files(image) == []
    finally:
        await anyio.run_process(["umount", str(image)])


async def test_missing_folder(tmp_path: Path) -> None:
    """Reading from a folder that is not there names the folder."""
    with pytest.raises(BucketNotFoundError, match="MEDIA_LOCAL_DIR"):
        await LocalStorage(tmp_path / "missing").open("a.png")


async def test_file_url_opens(tmp_path: Path) -> None:
    """Without a public URL the asset's URL is the file itself, quoted."""
    storage = LocalStorage(tmp_path)
    await _put(storage, "Über uns #1.png")
    url = (await storage.url("Über uns #1.png")).url
    assert await anyio.Path(unquote(urlsplit(url).path)).read_bytes() == b"picture"


async def test_public_url(tmp_path: Path) -> None:
    """The public URL is followed by the quoted key; it must be a web address."""
    storage = LocalStorage(tmp_path, public_url="https://media.example.com/files/")
    assert (await storage.url("a b/ü.png")).url == "https://media.example.com/files/a%20b/%C3%BC.png"
    with pytest.raises(ConfigurationError, match="not an http or https address"):
        LocalStorage(tmp_path, public_url="media.example.com")


async def test_urls_do_not_expire(tmp_path: Path) -> None:
    """A folder cannot promise that a URL ends, so it does not."""
    with pytest.raises(RequestRejectedError, match="expires_in"):
        await LocalStorage(tmp_path).url("a.png", expires_in=60)


async def test_check(tmp_path: Path) -> None:
    """The check writes and cleans up, or says why it cannot."""
    (check,) = await LocalStorage(tmp_path / "media").check()
    assert check.ok
    assert _files(tmp_path) == []
    (tmp_path / "file").touch()
    (check,) = await LocalStorage(tmp_path / "file").check()
    assert not check.ok
    assert "A file is in the way" in check.hint


async def test_preflight_makes_the_folder_and_leaves_nothing_in_it(tmp_path: Path) -> None:
    """Where files can be written, there is an empty folder afterwards."""
    await LocalStorage(tmp_path / "new/media").preflight()
    assert (tmp_path / "new/media").is_dir()
    assert _files(tmp_path) == []


async def test_preflight_refuses_what_is_no_folder(tmp_path: Path) -> None:
    """Each reason is the storage's own error, with the next step."""
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file/media"):
        with pytest.raises(UploadError, match="A file is in the way"):
            await LocalStorage(folder).preflight()
    with pytest.raises(BucketNotFoundError, match="MEDIA_LOCAL_DIR"):
        await LocalStorage("/proc/aifs-media").preflight()


@pytest.mark.parametrize(("flags", "hint"), [(0, "Make the folder writable"), (os.ST_RDONLY, "mounted read-only")])
async def test_preflight_refuses_a_folder_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: int, hint: str
) -> None:
    """A folder of another user, and a disk that is mounted read-only. The superuser of a test may write everywhere."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_flag=flags))
    with pytest.raises(UploadError, match=hint):
        await LocalStorage(tmp_path).preflight()
