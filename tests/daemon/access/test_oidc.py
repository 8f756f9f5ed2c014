# SPDX-License-Identifier: Apache-2.0
"""Logins that an issuer vouches for: a real one over HTTP, and attempts to pass for it."""

import asyncio
import sys
from datetime import UTC, datetime

import pytest

from gpushare.daemon.access.https import fetch
from gpushare.daemon.access.oidc import Issuer, IssuerSettings
from gpushare.model.errors import ConfigError, DaemonError, UnauthenticatedError
from support.issuer import KINDS, issuing

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Clock:
    seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def there():
    with issuing(NOW.timestamp) as found:
        yield found


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def issuer(there, clock):
    return Issuer(IssuerSettings(issuer=there.url, audience="gpushare", client="cli"), clock)


def at(seconds: int) -> int:
    """So long after the moment at which the issuer signs and we look."""
    return int(NOW.timestamp()) + seconds


def vouched(issuer, proof):
    return asyncio.run(issuer.verify(proof, NOW))


def refused(issuer, proof):
    with pytest.raises(UnauthenticatedError) as error:
        vouched(issuer, proof)
    assert proof not in str(error.value)


@pytest.mark.parametrize("algorithm", [*KINDS])
def test_who_the_issuer_names_is_believed(there, issuer, algorithm):
    there.keys = [there.new_key("k", algorithm)]
    assert vouched(issuer, there.sign(algorithm=algorithm)).user == "lin"
    assert vouched(issuer, there.sign(algorithm=algorithm, aud=["x", "gpushare"])).user == "lin"


def test_the_old_name_of_ed25519_is_understood(there, issuer):
    there.keys = [there.new_key("k", "Ed25519")]
    with pytest.warns(match="EdDSA"):
        proof = there.sign(algorithm="EdDSA")
    assert vouched(issuer, proof).user == "lin"


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "another"},
        {"aud": ["another", "gpushare-cli"]},
        {"aud": None},
        {"iss": "https://evil.example"},
        {"iss": None},
        {"exp": at(-61)},
        {"exp": None},
        {"exp": "never"},
        {"exp": float("nan")},
        {"nbf": at(600)},
        {"iat": at(600)},
        {"preferred_username": None},
        {"preferred_username": ""},
        {"preferred_username": ["root"]},
        {"preferred_username": 0},
    ],
)
def test_what_was_not_made_for_us_and_now_is_refused(there, issuer, changes):
    refused(issuer, there.sign(**changes))


def test_clocks_may_differ_by_a_minute(there, issuer):
    assert vouched(issuer, there.sign(exp=at(-50))).user == "lin"


def test_what_is_not_signed_is_refused(there, issuer):
    refused(issuer, there.unsigned())
    refused(issuer, there.confused())
    refused(issuer, there.sign(there.new_key("first")))  # the right name, another key
    whole = there.sign()
    refused(issuer, whole[:-4] + ("AAAA" if whole[-4:] != "AAAA" else "BBBB"))
    head, _, signature = whole.split(".")
    refused(issuer, ".".join([head, there.unsigned(sub="x").split(".")[1], signature]))


@pytest.mark.parametrize("proof", ["", ".", "..", "a.b.c", "é.é.é", "e30.e30.", "x" * 9999])
def test_nonsense_is_refused(issuer, proof):
    with pytest.raises(UnauthenticatedError):
        vouched(issuer, proof)


def test_an_unknown_key_is_asked_for_once(there, issuer, clock):
    assert vouched(issuer, there.sign()).user == "lin"
    stranger = there.sign(there.new_key("unknown"))
    refused(issuer, stranger)
    before = len(there.asked)
    refused(issuer, stranger)
    assert len(there.asked) == before


def test_keys_may_be_rotated(there, issuer, clock):
    old = there.sign()
    assert vouched(issuer, old).user == "lin"
    there.keys = [there.new_key("second")]
    clock.seconds += 60
    assert vouched(issuer, there.sign()).user == "lin"
    refused(issuer, old)


def test_a_silent_issuer_lets_no_new_user_in(clock):
    nobody = Issuer(IssuerSettings(issuer="http://127.0.0.1:1", audience="a", client="c"), clock)
    with pytest.raises(DaemonError):
        vouched(nobody, "a.b.c")


def test_known_keys_outlive_a_pause_of_the_issuer(there, issuer, clock):
    proof = there.sign()
    assert vouched(issuer, proof).user == "lin"
    there.about["jwks_uri"] = f"{there.url}/nowhere"
    clock.seconds += 7200
    assert vouched(issuer, proof).user == "lin"


def test_an_issuer_that_calls_itself_otherwise_is_not_the_one(there, issuer):
    there.about["issuer"] = "https://evil.example"
    with pytest.raises(DaemonError):
        vouched(issuer, there.sign())


def test_roles_come_from_the_claim_that_is_set(there, clock):
    rules = IssuerSettings(
        issuer=there.url,
        audience="gpushare",
        client="cli",
        user_claim="uid",
        role_claim="groups",
        operators=("gpu-ops",),
    )
    issuer = Issuer(rules, clock)
    for groups, operator in (
        (["a", "gpu-ops"], True),
        ("gpu-ops", True),
        (["a"], False),
        (7, False),
    ):
        found = vouched(issuer, there.sign(uid="ana", groups=groups))
        assert (found.user, found.operator) == ("ana", operator)
    assert not vouched(issuer, there.sign(uid="ana")).operator


def test_without_its_package_an_issuer_is_an_error_of_the_configuration(clock, monkeypatch):
    monkeypatch.setitem(sys.modules, "joserfc", None)
    with pytest.raises(ConfigError, match="joserfc") as refused:
        Issuer(IssuerSettings(issuer="https://id.lab", audience="a", client="c"), clock)
    assert "gpushare-suite" in refused.value.hint


@pytest.mark.parametrize("url", ["http://evil.example/x", "file:///etc/passwd", "ftp://127.0.0.1/"])
def test_documents_come_over_https_only(url):
    with pytest.raises(ValueError, match="not https"):
        fetch(url)
