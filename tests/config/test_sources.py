# SPDX-License-Identifier: Apache-2.0
"""Where settings come from, and who wins."""

import os
from pathlib import Path
from typing import Any, get_args

import pytest
from msgspec import Meta

from gpushare.config.settings import LogLevel
from gpushare.config.sources import FIELDS, VARIABLES, describe, load
from gpushare.model.errors import ConfigError
from gpushare.model.units import GIB


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_root_serves_the_machine_and_a_user_themselves(tmp_path: Path) -> None:
    root = load({}, {}, tmp_path, uid=0).settings
    user = load(
        {}, {"HOME": "/home/ana", "XDG_RUNTIME_DIR": str(tmp_path / "7")}, tmp_path, uid=7
    ).settings

    assert root.socket == tmp_path / "run/gpushare/gpushare.sock"
    assert root.state_dir == tmp_path / "var/lib/gpushare"
    assert user.socket == tmp_path / "7/gpushare/gpushare.sock"
    assert user.state_dir == Path("/home/ana/.local/state/gpushare")


def test_a_user_without_a_runtime_directory_gets_one(tmp_path: Path) -> None:
    assert load({}, {}, tmp_path, uid=7).settings.runtime_dir == tmp_path / "tmp/gpushare-7"


@pytest.mark.parametrize("kind", ["relative", "a file", "below a file", "removed by a logout"])
def test_a_runtime_directory_that_is_of_no_use_is_not_used(tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").touch()
    given = {
        "relative": "run",
        "a file": str(tmp_path / "file"),
        "below a file": str(tmp_path / "file/run"),
        # Its parent is not the user's either, so it cannot be made again.
        "removed by a logout": "/proc/self/7",
    }[kind]

    found = load({}, {"XDG_RUNTIME_DIR": given}, tmp_path, uid=7)

    assert found.settings.runtime_dir == tmp_path / "tmp/gpushare-7"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_the_runtime_directory_of_another_user_is_not_used(tmp_path: Path) -> None:
    """As `su` and `sudo` leave it."""
    (tmp_path / "0").mkdir()
    os.chown(tmp_path / "0", 12345, 12345)

    found = load({}, {"XDG_RUNTIME_DIR": str(tmp_path / "0")}, tmp_path, uid=7)

    assert found.settings.runtime_dir == tmp_path / "tmp/gpushare-7"


def test_the_socket_lies_in_the_runtime_folder_unless_it_is_set(tmp_path: Path) -> None:
    env = {"GPUSHARE_RUNTIME_DIR": "/srv/run"}

    assert load({}, env, tmp_path).settings.socket == Path("/srv/run/gpushare.sock")
    assert load({"socket": "/srv/sock"}, env, tmp_path).settings.socket == Path("/srv/sock")


def test_each_source_beats_the_one_before(tmp_path: Path) -> None:
    home = tmp_path / "home"
    env = {"XDG_CONFIG_HOME": str(home)}
    flags: dict[str, object] = {"log_level": None}
    seen = [load(flags, env, tmp_path).settings.log_level]

    write(tmp_path / "etc/gpushare/config.toml", 'log_level = "debug"')
    seen.append(load(flags, env, tmp_path).settings.log_level)
    write(tmp_path / "etc/gpushare/conf.d/10-more.toml", 'log_level = "warning"')
    seen.append(load(flags, env, tmp_path).settings.log_level)
    write(home / "gpushare/config.toml", 'log_level = "error"')
    seen.append(load(flags, env, tmp_path).settings.log_level)
    env["GPUSHARE_LOG_LEVEL"] = "info"
    seen.append(load(flags, env, tmp_path).settings.log_level)
    flags["log_level"] = "debug"
    seen.append(load(flags, env, tmp_path).settings.log_level)

    assert seen == ["info", "debug", "warning", "error", "info", "debug"]


def test_every_value_says_where_it_comes_from(tmp_path: Path) -> None:
    file = write(tmp_path / "etc/gpushare/config.toml", "reconcile_interval = 5")
    found = load({"socket": "/s"}, {"GPUSHARE_STATE_DIR": "/srv/state"}, tmp_path)

    assert found.settings.reconcile_interval == 5
    assert found.origins["reconcile_interval"] == str(file)
    assert found.origins["state_dir"] == "GPUSHARE_STATE_DIR"
    assert found.origins["socket"] == "--socket"
    assert found.origins["log_level"] == "default"


def test_an_unknown_key_is_an_error_that_names_file_key_and_neighbour(tmp_path: Path) -> None:
    file = write(tmp_path / "etc/gpushare/config.toml", 'log_levle = "info"')

    with pytest.raises(ConfigError) as refused:
        load({}, {}, tmp_path)

    assert str(file) in refused.value.what
    assert "log_levle" in refused.value.what
    assert "log_level" in refused.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "log_level = 'loud'",
        "log_level = 3",
        "reconcile_interval = 0",
        "reconcile_interval = '5'",
        "socket = 'relative/sock'",
        "socket = ''",
        "socket = 7",
        "this is not toml",
    ],
)
def test_a_wrong_value_in_a_file_is_an_error_that_names_the_file(tmp_path: Path, text: str) -> None:
    file = write(tmp_path / "etc/gpushare/config.toml", text)

    with pytest.raises(ConfigError, match=str(file)):
        load({}, {}, tmp_path)


def test_a_wrong_variable_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="GPUSHARE_RECONCILE_INTERVAL"):
        load({}, {"GPUSHARE_RECONCILE_INTERVAL": "soon"}, tmp_path)


def test_an_empty_variable_sets_nothing(tmp_path: Path) -> None:
    assert load({}, {"GPUSHARE_LOG_LEVEL": ""}, tmp_path).settings.log_level is LogLevel.INFO


def test_the_machine_serves_users_who_run_no_daemon(tmp_path: Path) -> None:
    system = tmp_path / "run/gpushare/gpushare.sock"
    own = tmp_path / "tmp/gpushare-7/gpushare.sock"
    env = {"HOME": str(tmp_path)}
    before = load({}, env, tmp_path, uid=7).reachable_socket()
    write(system, "")
    while_only_the_machine_serves = load({}, env, tmp_path, uid=7).reachable_socket()
    write(own, "")
    while_both_serve = load({}, env, tmp_path, uid=7).reachable_socket()

    assert (before, while_only_the_machine_serves, while_both_serve) == (own, system, own)


def test_a_socket_that_was_set_is_the_one_that_is_asked(tmp_path: Path) -> None:
    write(tmp_path / "run/gpushare/gpushare.sock", "")

    found = load({"socket": "/srv/sock"}, {}, tmp_path, uid=7)

    assert found.reachable_socket() == Path("/srv/sock")


def _bounds(kind: Any) -> tuple[float | None, float | None] | None:
    """The least and the most of a number's type; None for other types."""
    least, most, number = None, None, False
    kinds = [kind]
    while kinds:
        kind = kinds.pop()
        for meta in getattr(kind, "__metadata__", ()):
            least, most = meta.ge if least is None else least, meta.le if most is None else most
        kinds += [k for k in get_args(kind) if not isinstance(k, Meta)]
        number = number or getattr(kind, "__supertype__", kind) in {int, float}
    return (least, most) if number else None


def test_every_key_has_a_variable_and_a_description() -> None:
    assert VARIABLES.keys() == FIELDS.keys()
    assert all(describe(name) for name in FIELDS)


@pytest.mark.parametrize(
    ("text", "size"), [("64GiB", 64 * GIB), ("0", 0), ("1024", 1024), ("512M", 512 << 20)]
)
def test_sizes_are_written_as_on_the_command_line(tmp_path: Path, text: str, size: int) -> None:
    assert load({}, {"GPUSHARE_SWAP_MEMORY": text}, tmp_path).settings.swap_memory == size
    write(tmp_path / "etc/gpushare/config.toml", f'swap_ahead = "{text}"')
    if not text.isdecimal():
        assert load({}, {}, tmp_path).settings.swap_ahead == size


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("GPUSHARE_SWAP_MEMORY", "much"),
        ("GPUSHARE_GATE_QUANTUM", "1"),
        ("GPUSHARE_BEST_EFFORT_MINIMUM", "51"),
        ("GPUSHARE_GATE_GRACE", "-1"),
        ("GPUSHARE_TURN_SECONDS", "0"),
    ],
)
def test_settings_out_of_their_bounds_are_refused(tmp_path: Path, variable: str, text: str) -> None:
    with pytest.raises(ConfigError, match=variable):
        load({}, {variable: text}, tmp_path)


NUMBERS = {
    name: bounds for name, field in FIELDS.items() if (bounds := _bounds(field.type)) is not None
}


def test_every_number_has_a_range() -> None:
    assert {"reconcile_interval", "turn_seconds", "swap_memory", "gate_quantum"} <= NUMBERS.keys()
    for name, (least, most) in NUMBERS.items():
        assert least is not None, name
        assert most is not None, name


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("text", ["-1", "inf", "-inf", "nan", "1e-9", "1e300", "9" * 30, "true"])
def test_no_number_is_taken_outside_its_range(tmp_path: Path, name: str, text: str) -> None:
    least, most = NUMBERS[name]
    assert least is not None
    assert most is not None
    if text == "1e-9" and least == 0 and FIELDS[name].type.__origin__ is float:
        return
    file = write(tmp_path / "etc/gpushare/config.toml", f"{name} = {text}")
    with pytest.raises(ConfigError, match=name):
        load({}, {}, tmp_path)
    file.unlink()
    with pytest.raises(ConfigError, match=name.upper()):
        load({}, {VARIABLES[name]: text}, tmp_path)


@pytest.mark.parametrize("name", NUMBERS)
def test_both_ends_of_a_range_are_taken(tmp_path: Path, name: str) -> None:
    for end in NUMBERS[name]:
        assert getattr(load({}, {VARIABLES[name]: str(end)}, tmp_path).settings, name) == end


@pytest.mark.parametrize(
    "place",
    [
        "0.0.0.0",
        ":99999",
        "h:",
        ":",
        "h:-1",
        "h:1.5",
        "h:\u0661",
        "h:7443:1",
        "::1:7443",
        "a b:1",
        "h: 1",
    ],
)
def test_an_address_to_listen_on_has_a_port(tmp_path: Path, place: str) -> None:
    write(tmp_path / "etc/gpushare/config.toml", f'listen = "{place}"')
    with pytest.raises(ConfigError, match="listen"):
        load({}, {}, tmp_path)


@pytest.mark.parametrize("place", ["", "0.0.0.0:7443", ":7443", "[::]:7443", "gpu.lab:0"])
def test_addresses_to_listen_on(tmp_path: Path, place: str) -> None:
    write(tmp_path / "etc/gpushare/config.toml", f'listen = "{place}"')
    assert load({}, {}, tmp_path).settings.listen == place


def test_a_former_key_is_read_with_a_warning(tmp_path: Path) -> None:
    file = write(tmp_path / "etc/gpushare/config.toml", "gate_slice = 70")
    found = load({}, {}, tmp_path)

    assert (found.settings.gate_timeslice, found.origins["gate_timeslice"]) == (70, str(file))
    assert found.warnings == (
        f"{file}: gate_slice is named gate_timeslice now; the next release refuses gate_slice",
    )


def test_a_former_variable_is_read_with_a_warning(tmp_path: Path) -> None:
    found = load({}, {"GPUSHARE_GATE_SLICE": "60"}, tmp_path)

    assert found.settings.gate_timeslice == 60
    assert found.origins["gate_timeslice"] == "GPUSHARE_GATE_SLICE"
    assert "GPUSHARE_GATE_TIMESLICE" in found.warnings[0]


def test_the_new_name_beats_the_former_one_and_is_no_reason_to_warn(tmp_path: Path) -> None:
    write(tmp_path / "etc/gpushare/config.toml", "gate_timeslice = 50\ngate_slice = 70")
    env = {"GPUSHARE_GATE_SLICE": "60", "GPUSHARE_GATE_TIMESLICE": "90"}

    assert load({}, {}, tmp_path).settings.gate_timeslice == 50
    assert load({}, env, tmp_path).settings.gate_timeslice == 90
    (tmp_path / "etc/gpushare/config.toml").write_text("gate_timeslice = 50")
    assert load({}, {}, tmp_path).warnings == ()


def test_a_former_key_is_checked_like_any_other(tmp_path: Path) -> None:
    write(tmp_path / "etc/gpushare/config.toml", "gate_slice = -1")
    with pytest.raises(ConfigError, match="gate_timeslice"):
        load({}, {}, tmp_path)
