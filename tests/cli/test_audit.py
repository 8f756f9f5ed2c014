# SPDX-License-Identifier: Apache-2.0
"""`gpushare audit`, against a real daemon and without one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.daemon import Daemon, until
from support.program import training

WITHOUT = """
import sys
class Missing:
    def find_spec(self, name, *_):
        if name.split(".")[0] == "cryptography":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
"""
AS_NOBODY = """
import os, sys
from gpushare.client import Client
from gpushare.model.audit import AuditQuery
from gpushare.model.errors import RoleError
audit = Client().audit
audit.records(AuditQuery(last=1))
os.seteuid(65534)
def shown():
    return [f"{record.action} {record.result}" for record in audit.records(AuditQuery())]
before = shown()
for call in (audit.verify, audit.sign, audit.heads):
    try:
        call()
    except RoleError:
        continue
    sys.exit("an outsider may call it")
print("\\n".join([str(len(before)), *shown()]))
"""


def use(daemon: Daemon) -> Daemon:
    """Have it grant, refuse and release."""
    assert daemon.gpushare("create", "-m", "2GiB", "--name", "held").returncode == 0
    assert daemon.gpushare("create", "-m", "900TiB").returncode != 0
    assert daemon.gpushare("rm", "held").returncode == 0
    return daemon


@pytest.fixture
def used(daemon: Daemon) -> Daemon:
    return use(daemon)


@pytest.fixture(scope="module")
def shared(shared_daemon: Daemon) -> Daemon:
    """For tests that only read."""
    return use(shared_daemon)


def log(daemon: Daemon) -> Path:
    return daemon.state / "audit.jsonl"


def lines(daemon: Daemon) -> list[bytes]:
    return log(daemon).read_bytes().splitlines(keepends=True)


def test_ls_lists_every_change_and_refusal(shared: Daemon):
    items = shared.json("audit", "ls")["items"]
    told = [(item["action"], item["result"]) for item in items]

    assert told[1][0] == "daemon.started"
    assert ("POST /v1/shares", "ok") in told
    assert ("POST /v1/shares", "GS1701") in told
    assert ("DELETE /v1/shares/{ref}", "ok") in told
    assert ("share.granted", "ok") in told
    created = next(item for item in items if item["action"] == "POST /v1/shares")
    assert created["actor"]["uid"] == os.geteuid()
    assert created["detail"]["spec.name"] == "held"


def test_a_program_at_its_limit_is_recorded(daemon: Daemon):
    with training(daemon, "-m", "1GiB", "--name", "greedy", memory="2GiB"):
        found = until(lambda: hits(daemon), "the refused allocation to be recorded")

    assert found[0]["actor"]["user"] == "daemon"
    assert "refused at its limit" in found[0]["detail"]["message"]


def hits(daemon: Daemon) -> list[dict]:
    return daemon.json("audit", "ls", "--action", "share.denied")["items"]


def test_ls_can_be_narrowed(shared: Daemon):
    def found(*options: str) -> list[str]:
        return [item["action"] for item in shared.json("audit", "ls", *options)["items"]]

    assert set(found("--action", "share.")) >= {"share.queued", "share.granted"}
    assert found("--actor", "daemon", "--action", "POST") == []
    assert found("-n", "1", "--action", "share.queued") == ["share.queued"]
    assert found("--since", "1h") == found()
    assert found("--since", "2199-01-01") == []
    assert found("--until", "2001-01-01T00:00") == []


def test_ls_is_a_table_for_people(shared: Daemon):
    first, *rows = shared.gpushare("audit", "ls").stdout.splitlines()

    assert first.split() == ["SEQ", "TIME", "USER", "ACTION", "OBJECT", "RESULT", "DETAIL"]
    assert any("GS1701" in row for row in rows)


@pytest.mark.parametrize("time", ["yesterday", "12", "1e9d", "99999999999d", "2026-13-01", ""])
def test_a_time_that_cannot_be_read_is_refused(shared: Daemon, time: str):
    done = shared.gpushare("audit", "ls", "--since", time)

    assert (done.returncode, time == "12") in {(2, False), (0, True)}


def test_ls_follows(used: Daemon):
    with used.spawn("audit", "ls", "-f", "-o", "jsonl") as following:
        assert following.stdout is not None
        seen = [json.loads(following.stdout.readline()) for _ in lines(used)]
        used.gpushare("create", "-m", "1GiB", "--name", "later")
        while "spec.name" not in (record := json.loads(following.stdout.readline()))["detail"]:
            seen.append(record)
        following.kill()
    assert record["detail"]["spec.name"] == "later"
    numbers = [item["seq"] for item in seen]
    assert numbers == list(range(1, len(numbers) + 1))


def test_following_has_no_end_so_it_is_no_document(shared: Daemon):
    assert shared.gpushare("audit", "ls", "-f", "-o", "json").returncode == 2


def test_a_terminal_is_not_written_to_by_names(used: Daemon):
    used.gpushare("token", "revoke", "\x1b[31mred\nline")

    shown = used.gpushare("audit", "ls", "--action", "DELETE").stdout
    assert "\x1b" not in shown
    assert "\\x1b[31mred\\nline" in shown


def test_verify_finds_it_whole(shared: Daemon):
    done = shared.gpushare("audit", "verify")
    report = shared.json("audit", "verify")

    assert done.returncode == 0, done.stderr
    assert "chain    intact" in done.stdout
    assert report["ok"]
    assert report["key"] == shared.gpushare("audit", "key").stdout.strip()


def test_verify_names_the_record_that_was_edited(used: Daemon):
    all_lines = lines(used)
    [at] = [n for n, raw in enumerate(all_lines) if b"GS1701" in raw]
    all_lines[at] = all_lines[at].replace(b"GS1701", b"ok")
    log(used).write_bytes(b"".join(all_lines))

    done = used.gpushare("audit", "verify")

    assert done.returncode == 3
    assert "GS1604" in done.stderr
    assert f"record {at + 1}: edited" in done.stderr
    assert f"{log(used)}:{at + 1}" in done.stderr


def test_verify_works_without_a_daemon(used: Daemon):
    used.stop()
    done = used.gpushare("audit", "verify")
    assert done.returncode == 0, done.stderr
    assert "no daemon" in done.stderr

    log(used).write_bytes(b"".join(lines(used)[:-1]))
    done = used.gpushare("audit", "verify", "-o", "json")
    assert done.returncode == 3
    assert json.loads(done.stdout)["flaw"]["kind"] == "truncated"


def test_a_killed_daemon_leaves_a_log_that_holds(used: Daemon):
    used.kill()
    assert used.gpushare("audit", "verify").returncode == 0
    used.start()

    assert used.gpushare("audit", "verify").returncode == 0
    assert [i["action"] for i in used.json("audit", "ls")["items"]].count("daemon.started") == 2


def test_records_are_read_without_a_daemon(used: Daemon):
    used.stop()

    items = used.json("audit", "ls")["items"]
    assert items[-1]["detail"]["why"] == "stop"
    assert used.gpushare("audit", "key").stdout.startswith("ed25519:")
    assert len(used.gpushare("audit", "export").stdout.splitlines()) == len(items)


def test_where_there_is_no_log_there_is_nothing(daemon: Daemon):
    daemon.stop()
    log(daemon).unlink()
    (daemon.state / "state.db").unlink()

    assert daemon.gpushare("audit", "verify").returncode == 4
    assert daemon.gpushare("audit", "verify", "--file", "/nowhere.jsonl").returncode == 4


@pytest.mark.parametrize("style", ["jsonl", "json", "csv"])
def test_an_export_proves_itself(used: Daemon, tmp_path: Path, style: str):
    done = used.gpushare("audit", "export", "--since", "1h", "-o", style)
    file = tmp_path / f"part.{style}"
    file.write_text(done.stdout)
    key = used.gpushare("audit", "key").stdout.strip()
    used.stop()

    good = used.gpushare("audit", "verify", "--file", str(file), "--key", key)
    assert good.returncode == 0, good.stderr
    assert "signed up to" in done.stderr
    file.write_text(done.stdout.replace("GS1701", "GS1702"))
    assert used.gpushare("audit", "verify", "--file", str(file)).returncode == 3
    file.write_text(done.stdout)
    stranger = "ed25519:" + "A" * 43 + "="
    bad = used.gpushare("audit", "verify", "--file", str(file), "--key", stranger)
    assert bad.returncode == 3
    assert "foreign signature" in bad.stderr


def test_an_export_of_an_earlier_time_ends_at_a_head(shared: Daemon):
    done = shared.gpushare("audit", "export", "--until", "2199-01-01")
    assert json.loads(done.stdout.splitlines()[-1])["action"] == "audit.head"

    assert shared.gpushare("audit", "export", "--until", "2001-01-01").returncode == 4
    assert shared.gpushare("audit", "export", "--since", "2199-01-01").returncode == 4


@pytest.mark.parametrize("key", ["nonsense", "ed25519:AAAA", ""])
def test_what_is_no_key_is_refused(shared: Daemon, key: str):
    done = shared.gpushare("audit", "verify", "--file", str(log(shared)), "--key", key)

    assert done.returncode == 2


def test_what_is_no_export_is_refused(shared: Daemon, tmp_path: Path):
    for style in ("csv", "json"):
        file = tmp_path / f"part.{style}"
        file.write_text('{"a": 1}')
        assert shared.gpushare("audit", "verify", "--file", str(file)).returncode == 2


def test_a_rotated_log_is_walked_through(machine, unstarted: Daemon):
    machine.environment["GPUSHARE_AUDIT_SIZE"] = "64KiB"
    unstarted.start()
    try:
        for _ in range(90):
            script = "from gpushare.client import Client; c = Client()\n"
            script += "for _ in range(20): c.audit.sign()\n"
            done = subprocess.run(
                [sys.executable, "-c", script], env=unstarted.environment, check=False
            )
            assert done.returncode == 0
            if (unstarted.state / "audit-000001.jsonl").exists():
                break
        report = unstarted.json("audit", "verify")
        assert report["ok"]
        assert len(report["files"]) == 2
    finally:
        unstarted.stop()


def test_without_the_package_it_is_kept_unsigned(machine, tmp_path: Path, unstarted: Daemon):
    (tmp_path / "sitecustomize.py").write_text(WITHOUT)
    machine.environment["PYTHONPATH"] = str(tmp_path)
    unstarted.start()
    try:
        assert unstarted.gpushare("create", "-m", "1GiB", "--name", "held").returncode == 0
        verified = unstarted.gpushare("audit", "verify")
        key = unstarted.gpushare("audit", "key")
        stranger = "ed25519:" + "A" * 43 + "="
        asked = unstarted.gpushare("audit", "verify", "--file", log(unstarted), "--key", stranger)
    finally:
        unstarted.stop()

    assert verified.returncode == 0, verified.stderr
    assert "not signed" in verified.stdout
    assert "gpushare-suite" in verified.stdout
    assert key.returncode == 4
    assert "gpushare-suite" in key.stderr
    assert asked.returncode == 2


def test_another_user_sees_only_their_own_records(used: Daemon):
    if os.geteuid() != 0:
        pytest.skip("needs root, to become another user")
    used.folder.chmod(0o755)

    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY],
        env=used.environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:-1] == [
        "0",
        "GET /v1/audit/verify GS1305",
        "POST /v1/audit/heads GS1305",
        "GET /v1/audit/heads GS1305",
    ]
