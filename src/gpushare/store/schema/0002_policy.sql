-- SPDX-License-Identifier: Apache-2.0
-- Revisions of the policy, the newest last; and GPU time per tenant and hour.

CREATE TABLE policies (
    revision INTEGER PRIMARY KEY,
    body     BLOB NOT NULL
) STRICT;

CREATE TABLE usage (
    hour    INTEGER NOT NULL,  -- hours since 1970, UTC
    tenant  TEXT NOT NULL,
    seconds REAL NOT NULL,     -- GPU seconds: of whole GPUs, over all of them
    PRIMARY KEY (hour, tenant)
) STRICT, WITHOUT ROWID;

CREATE TABLE charged (  -- until when GPU time is charged
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    until TEXT NOT NULL
) STRICT;
