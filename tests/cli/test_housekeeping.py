# SPDX-License-Identifier: Apache-2.0
"""config, explain, completion, version, and `gpushare` alone."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

import gpushare
from gpushare.model.errors import catalogue
from gpushare.model.version import DISTRIBUTION
from support.daemon import GPUSHARE, Daemon
from support.machine import Machine, real

Command = Callable[..., CompletedProcess[str]]


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Run gpushare on a home of its own, without a daemon."""
    home = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    env = {**home, "GPUSHARE_SOCKET": str(tmp_path / "none"), "NO_COLOR": "1"}
    return lambda *words, **more: real().run(*GPUSHARE, *words, env={**env, **more})


def configure(folder: Path, text: str) -> Path:
    path = folder / "config" / "gpushare" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


def test_config_show_says_where_values_come_from(command: Command, tmp_path: Path) -> None:
    file = configure(tmp_path, 'log_level = "debug"')

    shown = command("config", "show", "--origin").stdout
    items = json.loads(command("config", "show", "-o", "json").stdout)["items"]

    assert any("log_level" in line and str(file) in line for line in shown.splitlines())
    assert {"key": "log_level", "value": "debug", "origin": str(file)} in items


def test_a_wrong_file_fails_every_command_with_its_name(command: Command, tmp_path: Path) -> None:
    file = configure(tmp_path, "sokcet = '/x'")

    for words in (("config", "validate"), ("config", "show"), ("ps",)):
        done = command(*words)
        assert done.returncode == 2
        assert str(file) in done.stderr
        assert "did you mean socket?" in done.stderr


def test_a_right_configuration_is_valid(command: Command, tmp_path: Path) -> None:
    configure(tmp_path, "reconcile_interval = 3")

    assert command("config", "validate").returncode == 0


def test_validate_warns_of_a_former_key(command: Command, tmp_path: Path) -> None:
    file = configure(tmp_path, "gate_slice = 70")

    done = command("config", "validate")
    items = json.loads(command("config", "show", "-o", "json").stdout)["items"]

    assert done.returncode == 0
    assert f"warning: {file}: gate_slice is named gate_timeslice now" in done.stderr
    assert {"key": "gate_timeslice", "value": "70", "origin": str(file)} in items


def test_config_path_names_files_that_are_not_there_too(command: Command, tmp_path: Path) -> None:
    items = json.loads(command("config", "path", "-o", "json").stdout)["items"]

    assert {"path": str(tmp_path / "config/gpushare/config.toml"), "exists": False} in items


@pytest.mark.parametrize("code", ["GS1702", "gs1702"])
def test_explain_tells_what_helps(command: Command, code: str) -> None:
    done = command("explain", code)

    assert done.returncode == 0
    assert "--no-wait" in done.stdout


def test_explain_alone_lists_every_code(command: Command) -> None:
    assert command("explain", "-q").stdout.split() == list(catalogue())


def test_an_unknown_code_is_not_found(command: Command) -> None:
    assert command("explain", "GS9999").returncode == 4


def test_versions_agree(command: Command) -> None:
    from importlib.metadata import version  # noqa: PLC0415 (only this test)

    assert gpushare.__version__ == version(DISTRIBUTION)
    assert command("--version").stdout == f"gpushare {gpushare.__version__}\n"
    assert json.loads(command("version", "-o", "json").stdout)["daemon"] is None


def test_the_daemon_and_its_driver_have_versions_too(daemon: Daemon) -> None:
    found = daemon.json("version")["daemon"]

    assert found["version"] == gpushare.__version__
    assert found["driver"]


def test_alone_without_anything_it_says_how_to_begin(command: Command) -> None:
    done = command()

    assert done.returncode == 0
    assert "no daemon answers" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("hint: ")


@pytest.mark.parametrize("machine", ["dgx-h100"], indirect=True)
def test_alone_it_is_a_status_of_ten_lines(daemon: Daemon) -> None:
    daemon.gpushare("create", "--name", "all", "-n", "8")
    waiting = []
    for number in range(4):
        waiting.append(daemon.spawn("run", "--name", f"late-{number}", "--", "true"))
        daemon.until_state(f"late-{number}", "queued")

    shown = daemon.gpushare().stdout.splitlines()

    assert len(shown) <= 10
    assert "shares: 4 queued, 1 granted" in shown
    assert any("late-0 queued #1" in line for line in shown)
    daemon.gpushare("rm", "all")
    for process in waiting:
        process.communicate(timeout=120)


def complete(found: Daemon, *words: str) -> list[str]:
    env = {
        "_GPUSHARE_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(["gpushare", *words]),
        "COMP_CWORD": str(len(words)),
    }
    lines = found.gpushare(env=env).stdout.splitlines()
    return [line.partition(",")[2] for line in lines if line]


def test_shells_complete_verbs_shares_gpus_and_codes(daemon: Daemon) -> None:
    daemon.gpushare("create", "--name", "notebook", "-m", "1GiB")

    assert complete(daemon, "ver") == ["verify", "version"]
    assert complete(daemon, "show", "note") == ["notebook"]
    assert complete(daemon, "run", "--gpu", "GPU-")[0].startswith("GPU-")
    for verb in ("cordon", "drain", "uncordon"):
        assert complete(daemon, verb, "n") == ["node"]
        assert complete(daemon, verb, "0") == ["0"]
    assert complete(daemon, "daemon", "rel") == ["reload"]
    assert complete(daemon, "explain", "GS170") == [f"GS170{n}" for n in range(1, 7)]


def test_completion_without_a_daemon_is_empty_not_an_error(machine: Machine, tmp_path) -> None:
    assert complete(Daemon(machine, tmp_path), "show", "") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_is_one_that_the_shell_reads(command: Command, shell: str) -> None:
    script = command("completion", shell)

    assert script.returncode == 0
    assert "_GPUSHARE_COMPLETE" in script.stdout
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed, so it cannot check the script")
    checked = real().run(shell, "-n", "-c", script.stdout, env={"PATH": os.environ["PATH"]})
    assert checked.returncode == 0, checked.stderr


def test_completion_knows_three_shells(command: Command) -> None:
    assert command("completion", "tcsh").returncode == 2


@pytest.mark.parametrize("words", [("ps", "--bogus", "-o", "json"), ("shw", "--json")])
def test_errors_are_json_where_json_is_asked_for_even_wrongly(command: Command, words) -> None:
    done = command(*words)

    assert done.returncode == 2
    assert json.loads(done.stderr)["error"]["code"] == "GS1100"
