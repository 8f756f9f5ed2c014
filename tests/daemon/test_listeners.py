# SPDX-License-Identifier: Apache-2.0
"""Where the daemon listens, and where it refuses to."""

import errno
import os
import socket

import pytest

from gpushare.config.sources import load
from gpushare.daemon.listeners import bound, certificate, rules
from gpushare.model.errors import ConfigError, DeniedError
from support.certificates import Authority


def settings(tmp_path, **values):
    return load(values, {}, tmp_path).settings


@pytest.mark.parametrize("place", ["127.0.0.1:0", "localhost:0", "127.9.9.9:0"])
def test_on_this_machine_it_may_be_in_clear(place):
    with bound(place, secure=False) as listener:
        assert listener.getsockname()[1]
        assert listener.proto == socket.IPPROTO_TCP  # else answers wait for acknowledgements


@pytest.mark.parametrize("place", ["0.0.0.0:0", ":0", "10.255.255.1:0"])
def test_elsewhere_it_may_not(place):
    with pytest.raises(ConfigError, match="without encryption"):
        bound(place, secure=False)


def test_with_a_certificate_it_may_be_anywhere():
    with bound("0.0.0.0:0", secure=True) as listener:
        assert listener.family == socket.AF_INET


@pytest.mark.parametrize(
    "place", ["", "7443", "host", "host:", "host:x", "host:99999", "a.invalid:1"]
)
def test_places_that_are_none_are_usage_errors(place):
    with pytest.raises(ConfigError):
        bound(place, secure=True)


def test_an_address_in_use_is_reported(tmp_path):
    with (
        bound("127.0.0.1:0", secure=False) as first,
        pytest.raises(DeniedError, match="listen"),
    ):
        bound(f"127.0.0.1:{first.getsockname()[1]}", secure=False)


def test_a_certificate_needs_its_key_and_a_key_its_certificate(tmp_path):
    pair, other = (Authority(tmp_path).issue(name) for name in ("one", "two"))
    assert certificate(settings(tmp_path)) is None
    assert certificate(settings(tmp_path, tls_cert=pair.cert, tls_key=pair.key))
    for wrong in (
        {"tls_cert": pair.cert},
        {"tls_key": pair.key},
        {"tls_cert": pair.cert, "tls_key": other.key},
        {"tls_cert": pair.cert, "tls_key": tmp_path / "none"},
        {"tls_cert": pair.key, "tls_key": pair.key},
        {"tls_cert": pair.cert, "tls_key": pair.key, "tls_client_ca": tmp_path / "none"},
    ):
        with pytest.raises(ConfigError):
            certificate(settings(tmp_path, **wrong))


def test_the_machine_is_called_by_its_own_name_and_those_that_are_set(tmp_path):
    env = {"GPUSHARE_HOSTS": "gpu.lab,GPU2.lab", "GPUSHARE_RATE_LIMIT": "7"}
    found = rules(load({}, env, tmp_path).settings)
    assert {"localhost", "gpu.lab", "gpu2.lab", socket.gethostname().lower()} <= found.hosts
    assert found.rate == 7


def test_a_service_without_network_is_shown_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> socket.socket:
        raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))

    monkeypatch.setattr(socket, "socket", refused)
    with pytest.raises(DeniedError, match="Address family not supported") as caught:
        bound("127.0.0.1:0", secure=False)
    assert "remote.conf" in caught.value.hint
