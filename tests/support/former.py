# SPDX-License-Identifier: Apache-2.0
"""What earlier versions left behind, for a daemon of this one.

tests/upgrade/former has one archive per schema of the state and version of the shared files, each
recorded by `scripts/record_former_state.py` from the commit that its manifest names. An archive is
unpacked as it was, then made to be of this machine: its user is the one that runs the tests, and
programs that lived when it was recorded are processes of the test (`Former.adopt`) or have ended.
"""

import json
import os
import shutil
import sqlite3
import struct
import subprocess
import tarfile
from contextlib import closing
from pathlib import Path
from typing import Any
from zlib import crc32

from .daemon import Daemon

ARCHIVES = sorted((Path(__file__).parents[1] / "upgrade" / "former").glob("*.tar.xz"))
_SLOT_0 = 512 + 16 * 512  # of a region: after the header and 16 GPUs
_NEW_SLOT = 384


def unpack(files: tarfile.TarFile, folder: Path) -> None:
    """With the filter of Pythons that have one: Debian 12's 3.11.2 knows no such argument."""
    files.extraction_filter = getattr(tarfile, "data_filter", None)
    files.extractall(folder)


class Former:
    """The files of an earlier daemon in the folders of a new one, which is not started yet."""

    def __init__(self, daemon: Daemon, archive: Path) -> None:
        self.daemon, self.name = daemon, archive.name.removesuffix(".tar.xz")
        unpacked = daemon.folder / "archive"
        with tarfile.open(archive) as files:
            unpack(files, unpacked)
        self.manifest = json.loads((unpacked / "manifest.json").read_text())
        shutil.copytree(unpacked / "files" / "state", daemon.state)
        shutil.copytree(unpacked / "files" / "run", daemon.runtime)
        for left in ("daemon.lock", "state.db-shm"):
            (daemon.state / left).unlink(missing_ok=True)
        for path in (daemon.runtime / "regions").iterdir():
            path.chmod(0o600)
        self.programs: dict[str, subprocess.Popen[bytes]] = {}
        self._change(self._of_this_user)

    @property
    def shares(self) -> dict[str, dict[str, Any]]:
        """As the earlier daemon showed them last, by name."""
        return {share["name"]: share for share in self.manifest["shares"]}

    def region(self, name: str) -> Path:
        """The region of a share."""
        return self.daemon.runtime / "regions" / str(self.shares[name]["id"])

    def adopt(self, name: str) -> subprocess.Popen[bytes]:
        """A process of the test becomes the program that the share had."""
        program = subprocess.Popen(
            ["/bin/sleep", "1000"],
            env={"GPUSHARE_SHARE": self.shares[name]["id"]},
            stdin=subprocess.DEVNULL,
        )
        self.programs[name] = program
        started = _started(program.pid)

        def adopted(body: dict[str, Any]) -> None:
            if body["name"] == name:
                process = {"pid": program.pid, "started": started}
                body["members"] = [process]
                body["holder"] = process if body.get("holder") else None

        self._change(adopted)
        self._name_slots(self.region(name), self.shares[name]["pids"][0], program.pid, started)
        return program

    def end(self) -> None:
        for program in self.programs.values():
            program.kill()
            program.wait()

    def _of_this_user(self, body: dict[str, Any]) -> None:
        body["uid"], body["gid"] = os.geteuid(), os.getegid()

    def _change(self, change: Any) -> None:
        """Each share's record; the columns that repeat a field follow."""
        with closing(sqlite3.connect(self.daemon.state / "state.db")) as database, database:
            columns = {row[1] for row in database.execute("PRAGMA table_info(shares)")}
            for key, stored in database.execute("SELECT id, body FROM shares").fetchall():
                begins = stored.index(b"{")
                body = json.loads(stored[begins:])
                change(body)
                text = json.dumps(body).encode()
                checksum = b"%08x" % crc32(text) if begins else b""
                database.execute("UPDATE shares SET body = ? WHERE id = ?", (checksum + text, key))
                if "uid" in columns:
                    uid = body["uid"]
                    database.execute("UPDATE shares SET uid = ? WHERE id = ?", (uid, key))

    def _name_slots(self, region: Path, before: int, pid: int, started: int) -> None:
        """The slot of the program that was recorded names the process of the test."""
        here = Path("/proc/self/ns/pid").stat().st_ino & 0xFFFFFFFF
        data = bytearray(region.read_bytes())
        size = struct.unpack_from("<I", data, 20)[0]
        at = 8 if size == _NEW_SLOT else 0  # of the pid in a slot
        for slot in range(_SLOT_0, len(data), size):
            if struct.unpack_from("<i", data, slot + at)[0] == before:
                struct.pack_into("<iIQ", data, slot + at, pid, here, started)
                if size == _NEW_SLOT:  # no life: by its pid, as where no lock could be had
                    struct.pack_into("<Q", data, slot, 1 << 63 | pid)
                else:
                    struct.pack_into("<Q", data, slot + 216, 0)
        region.write_bytes(data)


def _started(pid: int) -> int:
    stat = Path(f"/proc/{pid}/stat").read_text()
    return int(stat.rpartition(")")[2].split()[19])
