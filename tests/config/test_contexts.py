# SPDX-License-Identifier: Apache-2.0
"""Which daemon is meant, and how its token is found."""

from pathlib import Path

import pytest

from gpushare.config.address import PORT, Remote, parse
from gpushare.config.credentials import Credentials, read
from gpushare.config.sources import load
from gpushare.model.errors import ConfigError

LAB = '[contexts.lab]\nhost = "gpu.lab"\n[contexts.home]\nhost = "https://[::1]:9"\n'


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}


@pytest.fixture
def write(tmp_path: Path):
    def written(text: str, name: str = ".config/gpushare/config.toml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return written


def where(tmp_path, env, *, context=None, **flags):
    return load(flags, env, tmp_path, uid=7).reachable(context)


def test_the_last_and_nearest_source_wins(tmp_path, env, write):
    own = tmp_path / "gpushare/gpushare.sock"
    assert where(tmp_path, env) == own
    write(f'context = "lab"\n{LAB}')
    assert where(tmp_path, env) == Remote("gpu.lab")
    env["GPUSHARE_SOCKET"] = "/s"
    assert where(tmp_path, env) == Path("/s")
    env["GPUSHARE_CONTEXT"] = "home"
    assert where(tmp_path, env) == Remote("::1", 9)
    env["GPUSHARE_HOST"] = "other.lab:8"
    assert where(tmp_path, env) == Remote("other.lab", 8)
    assert where(tmp_path, env, socket="/t") == Path("/t")
    assert where(tmp_path, env, context="lab", socket="/t") == Remote("gpu.lab")
    assert where(tmp_path, env, context="local") == Path("/s")


def test_a_users_file_adds_to_the_machines(tmp_path, env, write):
    write(LAB, "etc/gpushare/config.toml")
    write('[contexts.lab]\nhost = "new.lab"')
    assert where(tmp_path, env, context="lab") == Remote("new.lab")
    assert where(tmp_path, env, context="home") == Remote("::1", 9)


def test_a_token_goes_only_where_it_belongs(tmp_path, env, write):
    write(LAB)
    env["GPUSHARE_TOKEN"] = "gs_for_host"
    assert where(tmp_path, env, context="lab").token is None
    assert where(tmp_path, {**env, "GPUSHARE_HOST": "a.lab"}).token == "gs_for_host"
    Credentials(tmp_path / ".local/state/gpushare").put("gpu.lab", PORT, "gs_stored")
    assert where(tmp_path, env, context="lab").token == "gs_stored"
    assert where(tmp_path, env, context="home").token is None
    assert "gs_stored" not in repr(where(tmp_path, env, context="lab"))


def test_a_context_may_name_files(tmp_path, env, write):
    token = write("gs_filed\n", "t")
    token.chmod(0o600)
    write(f'[contexts.x]\nhost = "x"\ntoken_file = "{token}"\nca = "~/ca.pem"\ncert = "/c.pem"\n')
    found = where(tmp_path, env, context="x")
    assert (found.token, found.cert) == ("gs_filed", Path("/c.pem"))
    assert found.ca == Path("~/ca.pem").expanduser()


@pytest.mark.parametrize(
    "text",
    [
        "contexts = 3",
        "[contexts.lab]",
        "[contexts.lab]\nhost = 3",
        '[contexts.lab]\nhost = "a"\nhots = "b"',
        '[contexts.lab]\nhost = "a"\nca = "relative"',
        "context = 3",
        "[context]",
    ],
)
def test_contexts_that_make_no_sense_are_errors_that_name_the_file(tmp_path, env, write, text):
    path = write(text)
    with pytest.raises(ConfigError, match=str(path)):
        where(tmp_path, env)


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("gpu.lab", ("gpu.lab", PORT, True)),
        ("gpu.lab:1", ("gpu.lab", 1, True)),
        ("https://GPU.lab/", ("gpu.lab", PORT, True)),
        ("https://[::1]:7", ("::1", 7, True)),
        ("http://127.0.0.1:7", ("127.0.0.1", 7, False)),
        ("http://localhost", ("localhost", PORT, False)),
    ],
)
def test_addresses_are_read(url, found):
    assert parse(url) == found


@pytest.mark.parametrize(
    "url",
    ["", "http://gpu.lab", "http://10.0.0.1", "file:///x", "https://", "https://h/path",
     "https://u:p@h", "https://h?x=1", "https://h:99999", "https://h:x", "https://[::"],
)  # fmt: skip
def test_other_addresses_are_refused(url):
    with pytest.raises(ConfigError):
        parse(url)


def test_stored_tokens_are_readable_by_their_user_only(tmp_path):
    stored = Credentials(tmp_path)
    path = stored.put("gpu.lab", 1, "gs_one")
    assert stored.put("gpu.lab", 1, "gs_two") == path
    assert (stored.get("gpu.lab", 1), path.stat().st_mode & 0o777) == ("gs_two", 0o600)
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [one.name for one in path.parent.iterdir()] == ["gpu.lab_1"]
    assert stored.remove("gpu.lab", 1)
    assert not stored.remove("gpu.lab", 1)
    assert stored.get("gpu.lab", 1) is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o622, 0o700 | 0o010])
def test_a_token_that_others_can_reach_is_not_used(tmp_path, mode):
    path = tmp_path / "t"
    path.write_text("gs_secret")
    path.chmod(mode)
    with pytest.raises(ConfigError, match="others") as refused:
        read(path)
    assert "gs_secret" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "two words", "gs_ü", "gs_\nInjected: header", "gs_\0"])
def test_what_is_no_token_is_not_sent(tmp_path, text):
    path = tmp_path / "t"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ConfigError):
        read(path)
