"""Assets in a folder."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import uuid
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

import anyio

from aifs_media._keys import public_url as join_public_url
from aifs_media.errors import BucketNotFoundError, ConfigurationError, RequestRejectedError, StorageError, UploadError
from aifs_media.records import Check, ObjectURL, StoredObject
from aifs_media.storage._object_key import check_object_key
from aifs_media.storage._pieces import Pieces
from aifs_media.storage._r2 import check_public_url
from aifs_media.storage._reader import BlockingReader
from aifs_media.storage._threads import Threads

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aifs_media.protocols import ByteSource

T = TypeVar("T")

BLOCK_SIZE = 1024 * 1024
FILES_AT_A_TIME = 16

HINTS = {
    errno.ENOSPC: "The disk is full: make room, or choose another folder with MEDIA_LOCAL_DIR.",
    errno.EDQUOT: "Your quota on this disk is used up: make room, or choose another folder with MEDIA_LOCAL_DIR.",
    errno.EFBIG: "The file is larger than the system allows here (ulimit -f, or the file system's own limit).",
    errno.EROFS: "The disk is mounted read-only: choose another folder with MEDIA_LOCAL_DIR.",
    errno.EACCES: "Make the folder writable for this user, or choose another with MEDIA_LOCAL_DIR.",
    errno.EPERM: "Make the folder writable for this user, or choose another with MEDIA_LOCAL_DIR.",
    errno.ENOTDIR: "A file is in the way where a folder is needed: remove it, or choose another folder with MEDIA_LOCAL_DIR.",
    errno.EEXIST: "A file is in the way where a folder is needed: remove it, or choose another folder with MEDIA_LOCAL_DIR.",
    errno.EISDIR: "A folder has this name: choose another key.",
    errno.ENAMETOOLONG: "The file system takes shorter names: choose a shorter key.",
}


class LocalStorage:
    """Assets as files below a folder, which is made when it is first needed.

    A file is written under another name beside its place, brought to the disk, and then renamed, so that what is visible is whole,
    also after a power cut. Media type and labels are not kept: a file has no place for them; the key's extension tells the type.

    Args:
        folder: where the files go; `~` is understood.
        public_url: the address under which a web server of yours shows the folder; None gives file:// URLs.

    Raises:
        ConfigurationError: the public URL is not an http or https address.
    """

    def __init__(self, folder: str | os.PathLike[str], *, public_url: str | None = None) -> None:
        self.name = "local"
        if "\0" in os.fspath(folder):
            raise ConfigurationError("A path with a NUL is no folder.", hint="Check MEDIA_LOCAL_DIR.")
        self.folder = Path(folder).expanduser().absolute()
        self._public_url = public_url or ""
        if self._public_url:
            check_public_url(self._public_url)
        self._threads = Threads(FILES_AT_A_TIME)

    def __repr__(self) -> str:
        return f"LocalStorage({str(self.folder)!r})"

    async def preflight(self) -> None:
        """Make the folder. Raises StorageError if that fails, or if the folder cannot be written."""
        await self._run(self._make_folder, action=f"Writing to the folder {str(self.folder)!r}")

    async def put(
        self,
        object_key: str,
        source: ByteSource,
        *,
        media_type: str,  # noqa: ARG002 - the protocol passes it; a file has no place for it
        labels: Mapping[str, str],  # noqa: ARG002 - as media_type
    ) -> StoredObject:
        """Read the source to its end and write it as one file, replacing what was there.

        Raises:
            StorageError: the file could not be written, or its key leads out of the folder; nothing is left behind.
        """
        action = f"Writing {object_key!r} to the folder {str(self.folder)!r}"
        pieces = Pieces(source)
        file = await self._run(lambda: _PartialFile(self._path(object_key)), action=action)
        try:
            while piece := await pieces.take(BLOCK_SIZE):
                await self._run(partial(file.write, piece), action=action)
            await self._run(file.finish, action=action)
        except BaseException:
            # Cancellation must not leave a partial file behind either.
            with anyio.CancelScope(shield=True):
                await self._threads.run(file.discard)
            raise
        return StoredObject(object_key=object_key, size=pieces.total, etag=file.etag)

    async def url(self, object_key: str, *, expires_in: float | None = None) -> ObjectURL:
        """Return the public URL if there is one, else a file:// URL. Raises RequestRejectedError for `expires_in`."""
        if expires_in is not None:
            raise RequestRejectedError(
                "A local folder cannot make URLs that end by themselves.", hint="Leave expires_in out, or use a bucket."
            )
        if self._public_url:
            return ObjectURL(url=join_public_url(self._public_url, check_object_key(object_key)))
        path = await self._run(lambda: self._path(object_key), action=f"Looking for {object_key!r}")
        return ObjectURL(url=path.as_uri())

    async def open(self, object_key: str) -> ByteSource:
        """Open a file. Raises StorageError if it is not there."""
        action = f"Reading {object_key!r} from the folder {str(self.folder)!r}"

        def open_file() -> tuple[BinaryIO, int]:
            file = self._path(object_key).open("rb")
            return file, os.fstat(file.fileno()).st_size

        run = partial(self._run, action=action, kind=StorageError)
        file, length = await run(open_file)
        return BlockingReader(file, run=run, length=length)

    async def delete(self, object_key: str) -> None:
        """Remove the file; one that is not there is fine."""
        action = f"Deleting {object_key!r} from the folder {str(self.folder)!r}"
        await self._run(lambda: self._path(object_key).unlink(missing_ok=True), action=action, kind=StorageError)

    async def discard_partial(self, object_key: str) -> None:
        """Remove partial files of exactly that key, which a crash left behind."""

        def discard() -> None:
            path = self._path(object_key)
            for leftover in path.parent.glob(f"{_partial_stem(path)}*"):
                leftover.unlink(missing_ok=True)

        await self._run(discard, action=f"Removing partial files of {object_key!r}", kind=StorageError)

    async def check(self) -> Sequence[Check]:
        """Write, read back and remove a small file, and report the free space."""
        try:
            free = await self._run(self._probe, action=f"Writing to the folder {str(self.folder)!r}")
        except StorageError as error:
            facts = {"code": error.code}
            return [Check(name="local folder", ok=False, message=error.message, hint=error.hint, facts={**facts})]
        message = f"A file was written to {str(self.folder)!r}, read back and removed; {free / 1e9:.1f} GB are free."
        return [Check(name="local folder", ok=True, message=message, facts={"free_bytes": free})]

    async def aclose(self) -> None:
        """Do nothing: no file stays open between calls."""

    def _make_folder(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if not os.access(self.folder, os.W_OK | os.X_OK):
            # Asked for rather than tried: a process that is killed in between would leave what it tried with.
            read_only = os.statvfs(self.folder).f_flag & os.ST_RDONLY
            code = errno.EROFS if read_only else errno.EACCES
            raise OSError(code, os.strerror(code))

    def _probe(self) -> int:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f".aifs-media-check-{uuid.uuid4().hex}"
        try:
            path.write_bytes(b"aifs-media")
            path.read_bytes()
        finally:
            path.unlink(missing_ok=True)
        return shutil.disk_usage(self.folder).free

    def _path(self, object_key: str) -> Path:
        """Return where the key's file is. Links are followed first, so that none can lead out of the folder."""
        path = (self.folder / check_object_key(object_key)).resolve()
        if not path.is_relative_to(self.folder.resolve()):
            raise StorageError(
                f"{object_key!r} leads out of the folder {str(self.folder)!r}.",
                hint="A link in the folder points elsewhere: remove it, or choose another key.",
            )
        return path

    async def _run(self, work: Callable[[], T], *, action: str, kind: type[StorageError] = UploadError) -> T:
        try:
            return await self._threads.run(work)
        except FileNotFoundError as error:
            if not self.folder.exists():
                missing = f"{action} failed: the folder is not there."
                raise BucketNotFoundError(missing, hint="Check MEDIA_LOCAL_DIR.") from error
            raise kind(f"{action} failed: there is no such file.", hint="It may have been deleted.") from error
        except OSError as error:
            hint = HINTS.get(error.errno or 0, "")
            raise kind(f"{action} failed: {error.strerror or error}.", hint=hint) from error


class _PartialFile:
    """A file being written beside its place. Blocking."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._partial = path.with_name(f"{_partial_stem(path)}{uuid.uuid4().hex}")
        self._file = self._partial.open("xb", buffering=0)
        self._digest = hashlib.md5(usedforsecurity=False)

    @property
    def etag(self) -> str:
        """The MD5 of what was written, as S3 would report it."""
        return self._digest.hexdigest()

    def write(self, block: bytearray) -> None:
        """Append a block."""
        self._digest.update(block)
        with memoryview(block) as view:
            written = 0
            while written < len(view):
                # A write to a nearly full disk may take a part of the block before the next one fails.
                written += self._file.write(view[written:])

    def finish(self) -> None:
        """Bring the file to the disk and give it its name."""
        os.fsync(self._file.fileno())
        self._file.close()
        self._partial.replace(self._path)
        _sync_folder(self._path.parent)

    def discard(self) -> None:
        """Remove what was written; afterwards nothing of it is left."""
        # A close that fails on a full disk must not keep the file from being removed.
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            self._partial.unlink(missing_ok=True)


def _partial_stem(path: Path) -> str:
    """Return how the partial files of a path begin: short however long the name is, and never that of another path."""
    return f".{hashlib.sha256(path.name.encode()).hexdigest()[:32]}.partial-"


def _sync_folder(folder: Path) -> None:
    """Bring a rename to the disk. Windows cannot open a folder for that."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
