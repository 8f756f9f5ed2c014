# SPDX-License-Identifier: Apache-2.0
"""install.py PREFIX [--destdir FOLDER] [--python PYTHON] | install.py PREFIX --remove

Installs gpushare as one tree of its own, PREFIX/lib/gpushare, with the Python packages that it
needs, and what other programs look for: the command, completions and systemd units. `make deb`
packs the same files. Programs outside see none of these packages, and gpushare sees none of theirs.
"""

import argparse
import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
UNITS = ROOT / "deploy" / "systemd"
COMMANDS = ("/usr/local/bin/gpushare", "%h/.local/bin/gpushare")  # in the units
EXCHANGE = 2  # RENAME_EXCHANGE
HERE = -100  # AT_FDCWD


@dataclass(frozen=True)
class Place:
    """Where the files are used, and the folder that replaces / while they are written."""

    prefix: Path
    destdir: Path = Path("/")

    @property
    def tree(self) -> Path:
        return self.prefix / "lib" / "gpushare"

    @property
    def command(self) -> Path:
        return self.prefix / "bin" / "gpushare"

    @property
    def of_one_user(self) -> bool:
        return self.destdir == Path("/") and self.prefix.is_relative_to(Path.home())

    def staged(self, path: Path) -> Path:
        return self.destdir / path.relative_to("/")

    def completion(self, shell: str) -> Path:
        zsh = "vendor-completions" if self.prefix == Path("/usr") else "site-functions"
        return (
            self.prefix
            / "share"
            / {
                "bash": "bash-completion/completions/gpushare",
                "zsh": f"zsh/{zsh}/_gpushare",
                "fish": "fish/vendor_completions.d/gpushare.fish",
            }[shell]
        )

    def units(self) -> Iterator[tuple[Path, Path]]:
        """Each unit's source and its path; one for a single user is no use to root's systemd."""
        kind = "share" if self.of_one_user else "lib"
        yield (
            UNITS / "gpushare-user.service",
            self.prefix / kind / "systemd" / "user" / "gpushare.service",
        )
        if not self.of_one_user:
            for name in ("gpushare.service", "gpushare-prepare.service"):
                yield UNITS / name, self.prefix / "lib" / "systemd" / "system" / name

    def files(self) -> Iterator[Path]:
        """Everything outside of `tree`."""
        yield self.command
        yield from (self.completion(shell) for shell in ("bash", "zsh", "fish"))
        yield from (path for _, path in self.units())


def run(*command: str | Path) -> str:
    done = subprocess.run(
        [str(part) for part in command], check=False, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    if done.returncode:
        sys.exit(f"install: {' '.join(map(str, command))} failed")
    return done.stdout


def make_tree(place: Place, python: str) -> None:
    """The environment is built next to the present one and then takes its place in one step."""
    final = place.staged(place.tree)
    new = final.with_name("gpushare.new")
    shutil.rmtree(new, ignore_errors=True)
    run(python, "-m", "venv", "--without-pip", new)
    run(ROOT / "scripts" / "pip", sys.executable, "--python", new / "bin" / "python",
        "install", "--no-compile", ROOT)  # fmt: skip
    tidy(new, place.tree)
    exchange(new, final)


def tidy(tree: Path, final: Path) -> None:
    """Leave one command, which is to run at its final place, and no trace of the build."""
    for path in (tree / "bin").iterdir():
        if path.name == "gpushare":
            path.write_text(path.read_text("utf-8").replace(str(tree), str(final)), "utf-8")
        elif not path.name.startswith("python"):
            path.unlink()
    settings = tree / "pyvenv.cfg"
    kept = [line for line in settings.read_text("utf-8").splitlines() if str(tree) not in line]
    settings.write_text("\n".join([*kept, ""]), "utf-8")
    for name in ("direct_url.json", "INSTALLER", "REQUESTED"):
        for path in tree.glob(f"lib/*/site-packages/*.dist-info/{name}"):
            path.unlink()
    (tree / "lib64").unlink(missing_ok=True)
    shutil.rmtree(tree / "include", ignore_errors=True)  # headers of packages: none


def exchange(new: Path, final: Path) -> None:
    """Programs in shares load the guard from `final` at any moment, so it is never missing."""
    if not final.exists():
        new.rename(final)
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(HERE, os.fsencode(new), HERE, os.fsencode(final), EXCHANGE):
        sys.exit(f"install: cannot replace {final}: {os.strerror(ctypes.get_errno())}")
    shutil.rmtree(new)


def add_files(place: Place) -> None:
    for path in place.files():
        place.staged(path).parent.mkdir(parents=True, exist_ok=True)
    command = place.staged(place.command)
    command.unlink(missing_ok=True)
    command.symlink_to(os.path.relpath(place.tree / "bin" / "gpushare", place.command.parent))
    for shell in ("bash", "zsh", "fish"):
        python = place.staged(place.tree) / "bin" / "python"
        script = run(python, "-B", "-m", "gpushare", "completion", shell)
        place.staged(place.completion(shell)).write_text(script, "utf-8")
    for source, path in place.units():
        place.staged(path).write_text(unit(source, place), "utf-8")


def unit(source: Path, place: Place) -> str:
    text = source.read_text("utf-8")
    for command in COMMANDS:
        text = text.replace(command, str(place.command))
    return text


def install(place: Place, python: str) -> None:
    place.staged(place.tree).parent.mkdir(parents=True, exist_ok=True)
    make_tree(place, python)
    add_files(place)


def remove(place: Place) -> None:
    for path in place.files():
        path.unlink(missing_ok=True)
    shutil.rmtree(place.tree, ignore_errors=True)


def report(place: Place) -> None:
    version = run(place.command, "--version").strip()
    lines = [f"install: {version} is in {place.command.parent}"]
    if str(place.command.parent) not in os.environ.get("PATH", "").split(os.pathsep):
        lines.append(f'         add it to your PATH: export PATH="{place.command.parent}:$PATH"')
    sys.stdout.write("\n".join([*lines, ""]))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("prefix", type=Path)
    parser.add_argument("--destdir", type=Path, default=Path("/"))
    parser.add_argument("--python", default="python3")
    parser.add_argument("--remove", action="store_true")
    asked = parser.parse_args()
    place = Place(asked.prefix.expanduser().absolute(), asked.destdir.absolute())
    if asked.remove:
        remove(place)
        return
    install(place, asked.python)
    if place.destdir == Path("/"):
        run(place.staged(place.tree) / "bin" / "python", "-m", "compileall", "-q", place.tree)
        report(place)


if __name__ == "__main__":
    main()
