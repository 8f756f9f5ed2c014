# SPDX-License-Identifier: Apache-2.0
"""Logging in with a code, against a real issuer."""

import pytest

from gpushare.model.errors import (
    ConfigError,
    DaemonError,
    UnauthenticatedError,
    WaitTimeoutError,
)
from gpushare.session.device_login import GRANT, login_proof
from support.issuer import CLIENT, issuing

PENDING = (400, {"error": "authorization_pending"})
SLOW = (400, {"error": "slow_down"})


@pytest.fixture
def there():
    with issuing() as found:
        yield found


def logged_in(there, *answers):
    """The proof, what was shown, and each waiting time."""
    told, pauses = [], []
    there.answers = list(answers)
    found = login_proof(there.url, CLIENT, lambda *words: told.append(words), sleep=pauses.append)
    return found, told, pauses


def test_a_code_is_entered_elsewhere_while_we_wait(there):
    found, told, pauses = logged_in(there, PENDING, SLOW, PENDING, (200, {"id_token": "signed"}))
    assert found == "signed"
    assert told == [(f"{there.url}/page", "ABCD-EFGH")]
    assert pauses == [1, 1, 6, 6]
    device, *tries = [form for path, form in there.asked if path in {"/device", "/token"}]
    assert device["client_id"] == [CLIENT]
    assert tries[0] == {
        "grant_type": [GRANT],
        "device_code": ["secret-code"],
        "client_id": [CLIENT],
    }


def test_an_access_token_does_where_there_is_no_id_token(there):
    assert logged_in(there, (200, {"access_token": "signed"}))[0] == "signed"


@pytest.mark.parametrize("reason", ["access_denied", "expired_token", "invalid_client"])
def test_a_refused_caller_gets_the_reason(there, reason):
    with pytest.raises(UnauthenticatedError, match=reason):
        logged_in(there, (400, {"error": reason}))


def test_a_code_that_is_not_entered_expires(there):
    with pytest.raises(WaitTimeoutError):
        logged_in(there, PENDING)


@pytest.mark.parametrize("missing", ["device_authorization_endpoint", "token_endpoint"])
def test_an_issuer_without_this_way_says_so(there, missing):
    del there.about[missing]
    with pytest.raises(DaemonError, match=missing):
        logged_in(there, PENDING)


def test_an_issuer_that_fails_is_an_error(there):
    with pytest.raises(DaemonError):
        logged_in(there, (500, {}))
    there.about["token_endpoint"] = "http://evil.example/token"
    with pytest.raises(ConfigError, match="unencrypted"):
        logged_in(there, PENDING)
