# SPDX-License-Identifier: Apache-2.0
"""The file of a backup: a zip archive of `manifest.json` and `state.db`.

The manifest has the size and the SHA-256 of each other file. A file that was cut off lacks the
directory at its end, so it is refused before anything is read from it. Nothing is unpacked that the
manifest does not name, and never more bytes than it states.
"""

import io
import zipfile
import zlib
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import msgspec
from msgspec.structs import replace

from gpushare.model.errors import BackupError
from gpushare.model.state.backup import FORMAT, BackupPart, Manifest

MANIFEST, STATE = "manifest.json", "state.db"
_MOST = 4 * 1024**3  # bytes of one file, far beyond any state
_MOST_MANIFEST = 1024**2
_UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


class _Head(msgspec.Struct):
    """What every format has."""

    format: int
    version: str = "unknown"


def packed(manifest: Manifest, contents: Mapping[str, bytes]) -> tuple[Manifest, bytes]:
    """The manifest with its `files`, and the archive."""
    files = {
        name: BackupPart(size=len(content), sha256=sha256(content).hexdigest())
        for name, content in contents.items()
    }
    manifest = replace(manifest, files=files)
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MANIFEST, text)
        for name, content in contents.items():
            archive.writestr(name, content)
    return manifest, buffer.getvalue()


def opened(path: Path) -> tuple[Manifest, bytes]:
    """The manifest and the state of a backup, both checked. Raises BackupError, OSError."""
    with path.open("rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                manifest = _manifest(path, archive)
                return manifest, _content(path, archive, manifest)
        except _UNREADABLE as error:
            raise _refused(path, "it is no backup, or it was cut off or damaged") from error


def _manifest(path: Path, archive: zipfile.ZipFile) -> Manifest:
    if MANIFEST not in archive.namelist():
        raise _refused(path, f"it is no backup: it has no {MANIFEST}")
    if archive.getinfo(MANIFEST).file_size > _MOST_MANIFEST:
        raise _refused(path, f"its {MANIFEST} is too large")
    text = archive.read(MANIFEST)
    try:
        head = msgspec.json.decode(text, type=_Head)
        if head.format > FORMAT:
            raise _refused(
                path,
                f"gpushare {head.version} wrote it in format {head.format}; this one reads "
                f"format {FORMAT}",
                "restore it with that version",
            )
        return msgspec.json.decode(text, type=Manifest)
    except (msgspec.MsgspecError, ValueError) as error:
        raise _refused(path, f"its {MANIFEST} cannot be read: {error}") from error


def _content(path: Path, archive: zipfile.ZipFile, manifest: Manifest) -> bytes:
    part = manifest.files.get(STATE)
    if part is None or STATE not in archive.namelist():
        raise _refused(path, f"it has no {STATE}")
    size = archive.getinfo(STATE).file_size
    if size != part.size or size > _MOST:
        raise _refused(path, f"its {STATE} has {size} bytes, the manifest says {part.size}")
    with archive.open(STATE) as file:
        # One byte more than announced shows that the archive's directory states a wrong size.
        content = file.read(part.size + 1)
    if len(content) != part.size or sha256(content).hexdigest() != part.sha256:
        raise _refused(path, f"its {STATE} is not what was backed up: its SHA-256 differs")
    return content


def _refused(path: Path, because: str, hint: str = "use another backup") -> BackupError:
    return BackupError(f"{path} cannot be restored", because, hint)
