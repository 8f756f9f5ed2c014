# SPDX-License-Identifier: Apache-2.0
"""How many file descriptors the daemon may have."""

import resource

import structlog

_log = structlog.get_logger()
_ENOUGH = 65_536  # as deploy/systemd sets it


def raise_limit() -> int:
    """Raise the soft limit to the hard one; the limit afterwards.

    Shells and user managers set a soft limit of 1024 for programs that use select(2), which the
    daemon does not.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, max(soft, _ENOUGH))
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        _log.info("daemon.descriptors", limit=wanted)
        return wanted
    return soft
