# SPDX-License-Identifier: Apache-2.0
"""build_deb.py FOLDER: a Debian package of what `make install` installs, for this machine's Debian.

It is for the architecture and the minor version of Python that it is built on, and needs no index
when it is installed.
"""

import gzip
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

from install import ROOT, Place, install, run

PYTHON = "/usr/bin/python3"  # Debian's own, which the package depends on
DEBIAN = ROOT / "deploy" / "deb"
SCRIPTS = ("postinst", "prerm", "postrm")
NAME = "gpushare-suite"
VERSION = "from gpushare.model.version import __version__; print(__version__)"
MINOR = "import sys; print(sys.version_info.minor)"
DOCUMENTS = Path("usr/share/doc") / NAME


def build(folder: Path, python: str = PYTHON) -> Path:
    for tool in ("dpkg-deb", "strip", python):
        if shutil.which(tool) is None:
            sys.exit(f"deb: there is no {tool}; a Debian package is built on Debian or Ubuntu")
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch, NAME)
        tree.mkdir()
        place = Place(Path("/usr"), tree)
        install(place, python)
        strip(place.staged(place.tree))
        add_documents(tree)
        add_control(tree, facts(place, python))
        link_to_python(place)
        open_to_all(tree)
        return pack(tree, folder)


def link_to_python(place: Place) -> None:
    """Debian wants links within /usr to be relative."""
    folder = place.tree / "bin"
    for link in place.staged(folder).glob("python*"):
        if link.readlink().is_absolute():
            target = os.path.relpath(link.readlink(), folder)
            link.unlink()
            link.symlink_to(target)


def strip(library: Path) -> None:
    for path in (*library.rglob("*.so"), *library.rglob("*.so.*"), *library.glob("**/_native/*/*")):
        if path.is_file() and path.read_bytes()[:4] == b"\x7fELF":
            run("strip", "--strip-unneeded", path)


def add_documents(tree: Path) -> None:
    documents = tree / DOCUMENTS
    (documents / "examples").mkdir(parents=True)
    shutil.copy(ROOT / "deploy/systemd/remote.conf", documents / "examples")
    shutil.copy(ROOT / "docs/reference/config.md", documents)
    copyright_of(documents / "copyright")
    compressed(documents / "changelog.gz", (ROOT / "CHANGELOG.md").read_bytes())
    settings = tree / "etc" / "gpushare"
    settings.mkdir(parents=True)
    shutil.copy(DEBIAN / "config.toml", settings)
    overrides = tree / "usr/share/lintian/overrides"
    overrides.mkdir(parents=True)
    shutil.copy(DEBIAN / "lintian-overrides", overrides / NAME)


def copyright_of(path: Path) -> None:
    """Licences of the packages that it contains are next to them."""
    path.write_text(
        "gpushare: Copyright (C) 2026 The gpushare authors, Apache License 2.0;\n"
        "on Debian systems its text is in /usr/share/common-licenses/Apache-2.0.\n\n"
        "The Python packages in /usr/lib/gpushare have their licences in *.dist-info folders.\n",
        "utf-8",
    )


def compressed(path: Path, content: bytes) -> None:
    path.write_bytes(gzip.compress(content, 9, mtime=0))


def facts(place: Place, python: str) -> dict[str, str]:
    """What `control` leaves open."""
    minor = int(run(python, "-c", MINOR))
    sizes = sum(path.stat().st_size for path in place.destdir.rglob("*") if path.is_file())
    own_python = place.staged(place.tree) / "bin" / "python"
    return {
        "VERSION": debian_version(run(own_python, "-B", "-c", VERSION)),
        "ARCHITECTURE": run("dpkg", "--print-architecture").strip(),
        "SIZE": str(sizes // 1024),
        "GLIBC": platform.libc_ver()[1],
        "PYTHON": f"3.{minor}",
        "NEXT_PYTHON": f"3.{minor + 1}",
    }


def debian_version(version: str) -> str:
    """1.2.0rc1 and 1.2.0.dev3 come before 1.2.0."""
    for mark in ("a", "b", "rc", ".dev"):
        version = version.strip().replace(mark, f"~{mark.strip('.')}")
    return version


def add_control(tree: Path, known: dict[str, str]) -> None:
    control = tree / "DEBIAN"
    control.mkdir()
    text = (DEBIAN / "control").read_text("utf-8")
    for key, value in known.items():
        text = text.replace(f"@{key}@", value)
    (control / "control").write_text(text, "utf-8")
    (control / "conffiles").write_text("/etc/gpushare/config.toml\n", "utf-8")
    for name in SCRIPTS:
        shutil.copy(DEBIAN / name, control)
    changes = f"{NAME} ({known['VERSION']}) unstable; urgency=medium\n\n  * See changelog.gz.\n\n"
    author = f" -- The gpushare authors <gpushare@users.noreply.github.com>  {formatdate()}\n"
    compressed(tree / DOCUMENTS / "changelog.Debian.gz", (changes + author).encode())
    (control / "md5sums").write_text("".join(checksums(tree)), "utf-8")


def checksums(tree: Path) -> Iterator[str]:
    for path in sorted(tree.rglob("*")):
        inside = path.relative_to(tree)
        if path.is_file() and not path.is_symlink() and inside.parts[0] not in {"DEBIAN", "etc"}:
            digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
            yield f"{digest}  {inside}\n"


def open_to_all(tree: Path) -> None:
    """Whatever umask it was built with."""
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            runs = path.stat().st_mode & 0o100 and ".so" not in path.suffixes
            path.chmod(0o755 if runs or path.is_dir() or path.name in SCRIPTS else 0o644)


def pack(tree: Path, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Zgzip", "--build", tree, folder], check=True
    )
    return max(folder.glob(f"{NAME}_*.deb"), key=lambda path: path.stat().st_mtime)


if __name__ == "__main__":
    build(Path(sys.argv[1]).absolute(), *sys.argv[2:])
