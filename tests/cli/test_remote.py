# SPDX-License-Identifier: Apache-2.0
"""The command line and a daemon that is reached over TLS, as users of another machine do."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.certificates import Authority
from support.daemon import GPUSHARE, Daemon, until
from support.issuer import CLIENT, issuing
from support.machine import Machine


class Lab(Daemon):
    """A daemon that listens on this machine's address; `away` runs commands as from elsewhere."""

    def __init__(self, machine: Machine, folder: Path) -> None:
        super().__init__(machine, folder)
        self.more: dict[str, str] = {}
        self.authority = Authority(folder)
        self.pair = self.authority.issue("server", "localhost")
        self.home = folder / "home"
        self.home.mkdir()

    @property
    def environment(self) -> dict[str, str]:
        return {
            **super().environment,
            "GPUSHARE_TLS_CERT": str(self.pair.cert),
            "GPUSHARE_TLS_KEY": str(self.pair.key),
            **self.more,
        }

    def listen(self) -> None:
        self.start("--listen", "localhost:0")

    @property
    def port(self) -> int:
        found = until(lambda: re.search(r"listens.*port=(\d+)", self.log.read_text()), "the port")
        return int(found[1])

    @property
    def host(self) -> str:
        return f"https://localhost:{self.port}"

    def away(self, *arguments: str, stdin: str = "", **variables: str):
        """One command by a user who has only the address and the authority's certificate."""
        env = {
            "PATH": self.machine.environment["PATH"],
            "HOME": str(self.home),
            "GPUSHARE_HOST": self.host,
            "GPUSHARE_CA": str(self.authority.cert),
            "NO_COLOR": "1",
            **variables,
        }
        if "PYTHONPATH" in self.machine.environment:
            env["PYTHONPATH"] = self.machine.environment["PYTHONPATH"]
        return subprocess.run(
            [*GPUSHARE, *arguments],
            env=env,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def token(self, *options: str) -> str:
        made = self.gpushare("token", "create", *options)
        assert made.returncode == 0, made.stderr
        return made.stdout.strip()


@pytest.fixture
def lab(machine: Machine, short_path: Path) -> Iterator[Lab]:
    found = Lab(machine, short_path)
    found.listen()
    yield found
    found.stop()


def test_shares_are_used_from_another_machine(lab: Lab) -> None:
    token = lab.token("--note", "laptop")

    made = lab.away("create", "--name", "held", "-m", "1GiB", GPUSHARE_TOKEN=token)
    seen = lab.away("ps", "-o", "name", GPUSHARE_TOKEN=token)
    gone = lab.away("rm", "held", GPUSHARE_TOKEN=token)

    assert (made.returncode, seen.stdout, gone.returncode) == (0, "held\n", 0), made.stderr
    listed = lab.json("token", "ls")["items"]
    assert [(one["note"], one["used"] is not None) for one in listed] == [("laptop", True)]


def test_without_a_token_the_hint_says_how_to_get_one(lab: Lab) -> None:
    done = lab.away("ps")

    assert done.returncode == 5
    assert "GS1304" in done.stderr
    assert "gpushare login" in done.stderr


def test_login_stores_the_token_readable_by_its_user_only(lab: Lab) -> None:
    token = lab.token()

    wrong = lab.away("login", lab.host, stdin="gs_0_wrong\n")
    done = lab.away("login", lab.host, stdin=f"{token}\n")

    assert (wrong.returncode, done.returncode) == (5, 0), done.stderr
    [stored] = (lab.home / ".local/state/gpushare/tokens").iterdir()
    assert stored.read_text() == f"{token}\n"
    assert stored.stat().st_mode & 0o777 == 0o600
    assert lab.away("ps").returncode == 0
    assert lab.away("logout").returncode == 0
    assert not stored.exists()
    assert lab.gpushare("token", "ls", "-q").stdout == ""
    assert lab.away("ps").returncode == 5


def test_logging_in_at_an_issuer_needs_no_token(machine: Machine, short_path: Path) -> None:
    lab = Lab(machine, short_path)
    with issuing() as issuer:
        issuer.answers = [
            (400, {"error": "authorization_pending"}),
            (200, {"id_token": issuer.sign(preferred_username="nobody")}),  # prose: allow
        ]
        lab.more = {"GPUSHARE_OIDC_ISSUER": issuer.url, "GPUSHARE_OIDC_CLIENT": CLIENT}
        lab.listen()
        done = lab.away("login", lab.host, "--oidc")
        listed = lab.away("token", "ls", "--json")
        issuer.answers = [(200, {"id_token": issuer.sign(preferred_username="root")})]
        root = lab.away("login", lab.host, "--oidc")
        lab.stop()

    assert done.returncode == 0, done.stderr
    assert "ABCD-EFGH" in done.stderr
    [token] = json.loads(listed.stdout)["items"]
    assert (token["user"], token["role"], token["note"]) == (
        "nobody",  # prose: allow
        "user",
        "login",
    )
    assert (root.returncode, "no account" in root.stderr) == (5, True)


def test_without_an_issuer_there_is_no_such_login(lab: Lab) -> None:
    assert lab.away("login", lab.host, "--oidc").returncode == 7


def test_a_token_that_others_can_read_is_not_used(lab: Lab) -> None:
    lab.away("login", lab.host, stdin=f"{lab.token()}\n")
    [stored] = (lab.home / ".local/state/gpushare/tokens").iterdir()
    stored.chmod(0o640)

    done = lab.away("ps")

    assert done.returncode == 2
    assert "other users can read" in done.stderr


def test_contexts_name_machines(lab: Lab) -> None:
    file = lab.home / "token"
    file.write_text(lab.token())
    file.chmod(0o600)
    config = lab.home / ".config/gpushare/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(
        f'context = "lab"\nsocket = "{lab.home / "nobody"}"\n'  # not that of this machine's daemon
        f'[contexts.lab]\nhost = "{lab.host}"\n'
        f'token_file = "{file}"\nca = "{lab.authority.cert}"\n'
    )
    alone = {"GPUSHARE_HOST": "", "GPUSHARE_CA": ""}

    assert lab.away("ps", **alone).returncode == 0
    assert lab.away("--context", "lab", "gpus", **alone).returncode == 0
    assert lab.away("--context", "local", "ps", **alone).returncode == 6
    other = lab.away("--context", "office", "ps", **alone)
    assert (other.returncode, "lab" in other.stderr) == (2, True)


def test_a_certificate_of_an_unknown_authority_is_not_trusted(lab: Lab) -> None:
    done = lab.away("ps", GPUSHARE_TOKEN=lab.token(), GPUSHARE_CA="")

    assert done.returncode == 6
    assert "not trusted" in done.stderr
    assert "GPUSHARE_CA" in done.stderr


def test_a_certificate_for_another_name_is_not_trusted(lab: Lab) -> None:
    host = f"https://127.0.0.1:{lab.port}"

    done = lab.away("ps", GPUSHARE_TOKEN=lab.token(), GPUSHARE_HOST=host)

    assert (done.returncode, "127.0.0.1" in done.stderr) == (6, True)


def test_addresses_that_cannot_be_used_are_usage_errors(lab: Lab) -> None:
    for host in ["http://gpu.lab", "ftp://gpu.lab", "https://", "https://a:b@gpu.lab", "gpu.lab:x"]:
        assert lab.away("ps", GPUSHARE_HOST=host).returncode == 2, host


def test_what_needs_this_machine_says_so(lab: Lab) -> None:
    token = lab.token()
    assert lab.gpushare("create", "--name", "held", "-m", "1GiB").returncode == 0

    for words in (("run", "--", "true"), ("exec", "held", "--", "true"), ("env", "held")):
        done = lab.away(*words, GPUSHARE_TOKEN=token)
        assert done.returncode != 0
        assert "another machine" in done.stderr, done.stderr
        assert "ssh" in done.stderr
    assert "ssh" in lab.away("logs", "held", GPUSHARE_TOKEN=token).stderr


def test_a_daemon_that_is_away_is_not_replaced_by_this_machines_driver(lab: Lab) -> None:
    done = lab.away("gpus", GPUSHARE_HOST="https://localhost:1")

    assert done.returncode == 6
    assert done.stdout == ""


def test_secrets_are_in_no_log_no_record_and_no_argument(lab: Lab) -> None:
    token = lab.token()
    secret = token.split("_", 2)[2]
    lab.away("create", "-m", "1GiB", GPUSHARE_TOKEN=token)
    lab.away("ps", GPUSHARE_TOKEN=token)
    lab.away("ps", GPUSHARE_TOKEN=token + "x")
    events = lab.spawn("wait", "nobody")  # prose: allow
    events.communicate(timeout=120)
    lab.stop()

    kept = [path for path in lab.folder.rglob("*") if path.is_file()]
    assert [path for path in kept if secret.encode() in path.read_bytes()] == []
    lab.listen()


def test_tokens_are_made_and_revoked(lab: Lab) -> None:
    lab.token("--role", "viewer", "--scope", "gpus:read", "--ttl", "1h")
    [made] = lab.json("token", "ls")["items"]
    assert (made["role"], made["scopes"]) == ("viewer", ["gpus:read"])
    assert "in 59m" in lab.gpushare("token", "ls").stdout

    revoked = lab.gpushare("token", "revoke", made["id"])

    assert revoked.returncode == 0
    assert lab.json("token", "ls")["items"] == []
    assert lab.gpushare("token", "revoke", made["id"]).returncode == 4


def test_tokens_that_make_no_sense_are_refused(lab: Lab) -> None:
    for options in (
        ("--ttl", "1s"),
        ("--ttl", "366d"),
        ("--ttl", "soon"),
        ("--scope", "everything"),
        ("--scope", "shares:write", "--role", "viewer"),
        ("--user", "no-such-user"),
        ("--note", "x" * 201),
    ):
        done = lab.gpushare("token", "create", *options)
        assert (done.returncode, done.stdout) == (2, ""), options


def test_it_listens_in_clear_for_this_machine_only(machine: Machine, short_path: Path) -> None:
    found = Daemon(machine, short_path)

    done = machine.run(*GPUSHARE, "daemon", "--listen", "0.0.0.0:0", env=found.environment)

    assert done.returncode == 2
    assert "without encryption" in done.stderr


def test_the_json_of_a_new_token_is_the_apis(lab: Lab) -> None:
    made = json.loads(lab.gpushare("token", "create", "--json").stdout)

    assert made["apiVersion"] == "v1"
    assert made["secret"].startswith(f"gs_{made['token']['id']}_")
