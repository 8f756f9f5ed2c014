# SPDX-License-Identifier: Apache-2.0
"""Rules from a file and by verbs, on a real daemon."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemon import Daemon, serving

LAB = """
apiVersion = "v1"
half_life = "14d"

[default]
limit = { memory = "20GiB" }

[tenant.lab]
guaranteed = { memory = "80GiB", compute = 60 }

[tenant.vision]
parent = "lab"
users = ["root"]
weight = 2
guaranteed = { memory = "40GiB" }
gpu_hours = 500

[tenant.speech]
parent = "lab"
shares = 3
"""

# Loads everything first: another user may not be able to read where Python is installed.
AS_NOBODY = """
import os, sys
from gpushare.cli import main
for words in (["quota", "ls"], ["export"], ["tenant", "set", "speech"]):
    main(words)
os.setgroups([])
os.setuid(65534)
print("as another user:")
main(sys.argv[1:])
"""


@pytest.fixture
def policy(short_path: Path) -> Path:
    found = short_path / "policy.toml"
    found.write_text(LAB)
    return found


def apply(daemon: Daemon, policy: Path) -> Daemon:
    done = daemon.gpushare("apply", "-f", policy)
    assert done.returncode == 0, done.stderr
    return daemon


@pytest.fixture
def lab(daemon: Daemon, policy: Path) -> Daemon:
    return apply(daemon, policy)


@pytest.fixture(scope="module")
def shared_lab() -> Iterator[Daemon]:
    """For tests that leave the policy as it is."""
    with serving() as daemon:
        path = daemon.folder / "policy.toml"
        path.write_text(LAB)
        yield apply(daemon, path)


def test_a_file_is_applied_and_applying_it_again_changes_nothing(daemon: Daemon, policy: Path):
    first = daemon.gpushare("apply", "-f", policy)
    again = daemon.gpushare("apply", "-f", policy)

    assert '~ half_life: "7d" -> "14d"' in first.stdout
    assert '+ tenant.speech = {"parent": "lab", "shares": 3}' in first.stdout
    assert (again.returncode, again.stdout) == (0, "nothing to change\n")


@pytest.mark.parametrize("style", ["toml", "yaml", "json"])
def test_what_is_exported_is_what_apply_reads(shared_lab: Daemon, short_path: Path, style: str):
    path = short_path / f"exported.{style}"
    path.write_text(shared_lab.gpushare("export", "-o", style).stdout)

    assert shared_lab.gpushare("apply", "-f", path, "--prune", "--check").returncode == 0


def test_check_and_diff_change_nothing(shared_lab: Daemon, policy: Path):
    policy.write_text(LAB.replace("weight = 2", "weight = 3"))

    check = shared_lab.gpushare("apply", "-f", policy, "--check")
    diff = shared_lab.gpushare("apply", "-f", policy, "--diff")
    dry = shared_lab.gpushare("apply", "-f", policy, "--dry-run")

    assert (check.returncode, diff.returncode, dry.returncode) == (3, 0, 0)
    assert "code: GS1802" in check.stderr
    assert {"-weight = 2", "+weight = 3"} <= set(diff.stdout.splitlines())
    assert dry.stdout == "~ tenant.vision.weight: 2 -> 3\n"
    assert shared_lab.gpushare("apply", "-f", policy, "--check").returncode == 3


def test_json_of_a_change_is_the_apis_own(shared_lab: Daemon, policy: Path):
    policy.write_text(LAB.replace("weight = 2", "weight = 3"))

    found = json.loads(shared_lab.gpushare("apply", "-f", policy, "--diff", "-o", "json").stdout)

    assert found["changes"] == [{"path": "tenant.vision.weight", "before": 2, "after": 3}]


def test_tenants_that_a_file_does_not_name_go_only_when_it_says_so(lab: Daemon, policy: Path):
    lab.gpushare("create", "-m", "1GiB", "--name", "mine")
    policy.write_text(LAB[: LAB.index("[tenant.vision]")])

    kept = lab.gpushare("apply", "-f", policy)
    pruned = lab.gpushare("apply", "-f", policy, "--prune")

    assert kept.stdout == "nothing to change\n"
    assert pruned.stdout.startswith("- tenant.speech")
    assert "tenant vision is removed: 1 of its shares keep its name" in pruned.stderr
    assert lab.gpushare("tenant", "ls", "-q").stdout == "lab\n"
    assert lab.json("show", "mine")["tenant"] == "vision"


def test_an_earlier_policy_is_brought_back(lab: Daemon, short_path: Path):
    before = lab.gpushare("export").stdout
    lab.gpushare("tenant", "rm", "speech")
    (short_path / "old.toml").write_text(lab.gpushare("export", "--revision", "1").stdout)
    lines = lab.gpushare("export", "--history").stdout.splitlines()
    lab.gpushare("apply", "-f", short_path / "old.toml", "--prune")

    assert [line.split()[0] for line in lines] == ["REVISION", "2", "1"]
    assert lab.gpushare("export").stdout == before
    assert lab.gpushare("export", "--revision", "99").returncode == 4


def test_standard_input_is_a_file_too(daemon: Daemon):
    with daemon.spawn("apply", "-f", "-", "--format", "yaml", stdin=subprocess.PIPE) as applying:
        out, _ = applying.communicate("apiVersion: v1\nplacement: spread\n", timeout=60)

    assert out == '~ placement: "pack" -> "spread"\n'


@pytest.mark.parametrize(
    ("text", "said"),  # prose: allow
    [
        (LAB.replace("weight", "weigth"), "did you mean weight?"),
        (LAB.replace("[tenant.lab]", "[tenant.lab]\nparent = 'speech'"), "below itself"),
        (LAB.replace('"lab"', '"lub"', 1), "there is no such tenant"),
        (LAB.replace("80GiB", "800GiB"), "more is guaranteed than there is"),
        (LAB.replace("40GiB", "90GiB"), "more is guaranteed than there is"),
        (LAB.replace("80GiB", "80 cows"), "tenant.lab.guaranteed.memory"),
        (LAB.replace('"14d"', '"14000d"'), "longer than ten years"),
        (LAB.replace("tenant.speech", 'tenant."a/b"'), "cannot name a tenant 'a/b'"),
        (LAB.replace('"v1"', '"v2"'), "apiVersion is 'v2'"),
        (LAB + LAB, "cannot be read as toml"),
        ("half_life = ", "cannot be read as toml"),
    ],
)
def test_a_file_that_is_wrong_changes_nothing(
    shared_daemon: Daemon, policy: Path, text: str, said: str
):
    policy.write_text(text)

    done = shared_daemon.gpushare("apply", "-f", policy)

    assert done.returncode == 2
    assert said in done.stderr
    assert "code: GS1105" in done.stderr
    assert shared_daemon.gpushare("tenant", "ls", "-q").stdout == ""


def test_a_missing_file_and_an_unknown_kind_are_refused(shared_daemon: Daemon, short_path: Path):
    for name in ("none.toml", "policy.txt"):
        done = shared_daemon.gpushare("apply", "-f", short_path / name)
        assert done.returncode == 2
        assert "code: GS1105" in done.stderr


def test_unknown_users_are_only_warned_about(daemon: Daemon):
    done = daemon.gpushare(
        "tenant",
        "set",
        "ghosts",
        "--user",
        "nobody-of-this-name",  # prose: allow
    )

    assert done.returncode == 0
    assert "this machine has no user nobody-of-this-name" in done.stderr  # prose: allow


def test_tenants_are_made_changed_and_removed(daemon: Daemon):
    made = daemon.gpushare("tenant", "set", "lab", "--weight", "3", "--memory", "100GiB")
    daemon.gpushare("tenant", "set", "vision", "--parent", "lab", "--user", "root")
    changed = daemon.gpushare("tenant", "set", "lab", "--memory", "none", "--compute", "80")
    held = daemon.gpushare("tenant", "rm", "lab")
    free = daemon.gpushare("tenant", "set", "vision", "--parent", "none", "--user", "none")

    assert made.stdout == '+ tenant.lab = {"limit": {"memory": "100GiB"}, "weight": 3}\n'
    assert changed.stdout.splitlines() == [
        '- tenant.lab.limit.memory = "100GiB"',
        "+ tenant.lab.limit.compute = 80",
    ]
    assert held.returncode == 2
    assert "has others below it" in held.stderr
    assert free.returncode == 0
    assert daemon.gpushare("tenant", "rm", "lab").stdout.startswith("- tenant.lab")
    assert [one["name"] for one in daemon.json("tenant", "ls")["items"]] == ["vision"]
    assert daemon.json("tenant", "show", "vision")["spec"]["users"] == []


def test_a_tenant_that_is_not_there(shared_daemon: Daemon):
    for words in (("tenant", "show"), ("tenant", "rm"), ("quota", "rm")):
        done = shared_daemon.gpushare(*words, "nobody")  # prose: allow
        assert done.returncode == 4
        assert "code: GS1204" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("--memory", "many"),
        ("--gpu-hours", "nan"),
        ("--max-shares", "-1"),
        ("--compute", "half"),
        ("--guaranteed-memory", "9999GiB"),
        (),
    ],
)
def test_quotas_that_cannot_be_are_refused(shared_lab: Daemon, words: tuple[str, ...]):
    assert shared_lab.gpushare("quota", "set", "lab", *words).returncode == 2


def test_quotas_are_set_and_taken_away(lab: Daemon):
    lab.gpushare("quota", "set", "speech", "--gpu-hours", "12.5", "--max-shares", "none")
    lab.gpushare("quota", "set", "default", "--memory", "30GiB", "--max-shares", "4")
    found = lab.json("tenant", "show", "speech")["spec"]
    lab.gpushare("quota", "rm", "speech")

    assert (found["gpu_hours"], found["shares"], found["parent"]) == (12.5, None, "lab")
    assert lab.json("tenant", "show", "speech")["spec"]["gpu_hours"] is None
    assert lab.json("tenant", "show", "default")["spec"]["shares"] == 4


def test_quota_ls_shows_the_tree_with_what_is_used(lab: Daemon):
    lab.gpushare("create", "-m", "50GiB", "-c", "30", "--name", "one")
    lab.gpushare("create", "-m", "10GiB", "-c", "20", "--name", "two")
    found = {one["tenant"]: one for one in lab.json("quota", "ls")["items"]}
    table = lab.gpushare("quota", "ls").stdout.splitlines()

    gib = 1024**3
    assert list(found) == ["lab", "speech", "vision"]
    assert found["lab"]["used"] == {"memory": 60 * gib, "compute": 50}
    assert (found["vision"]["shares"], found["speech"]["shares"]) == (2, 0)
    assert found["vision"]["gpu_hours"] == 500
    assert table[0].split()[:2] == ["TENANT", "GUARANTEED"]
    assert table[3].startswith("  vision  40 GiB")


def test_a_share_belongs_to_the_tenant_that_lists_its_user(lab: Daemon):
    lab.gpushare("create", "-m", "1GiB", "--name", "mine")
    assert lab.json("show", "mine")["tenant"] == "vision"


def test_metrics_tell_what_tenants_have(lab: Daemon):
    lab.gpushare("create", "-m", "10GiB", "-c", "20", "--name", "mine")
    source = "from gpushare.client import Client; print(Client().metrics())"
    lines = lab.machine.python(source, env=lab.environment).stdout.splitlines()
    found = {
        name: float(value)
        for name, _, value in (line.rpartition(" ") for line in lines)
        if name.startswith("gpushare_tenant")
    }

    assert found['gpushare_tenant_memory_granted_bytes{tenant="lab"}'] == 10 * 1024**3
    assert found['gpushare_tenant_compute_guaranteed_ratio{tenant="lab"}'] == 0.6
    assert found['gpushare_tenant_gpu_hours_limit{tenant="vision"}'] == 500


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_changes_nothing_and_sees_only_their_own(lab: Daemon):
    lab.folder.chmod(0o755)
    lab.socket.chmod(0o666)
    lab.gpushare("tenant", "set", "speech", "--user", "nobody")  # prose: allow
    lab.gpushare("tenant", "set", "apart", "--weight", "2")

    def as_nobody(*words: str) -> subprocess.CompletedProcess[str]:
        return lab.machine.python(AS_NOBODY, *words, env={**lab.environment, "HOME": "/"})

    for words in (
        ("tenant", "set", "speech", "--weight", "9"),
        ("tenant", "rm", "apart"),
        ("quota", "set", "speech", "--memory", "1GiB"),
        ("export",),
    ):
        done = as_nobody(*words)
        assert done.returncode == 5, (words, done.stdout, done.stderr)
        assert "code: GS1305" in done.stderr
    for words in (("quota", "ls", "-q"), ("tenant", "ls", "-q")):
        assert as_nobody(*words).stdout.split("as another user:\n")[1].split() == ["lab", "speech"]
