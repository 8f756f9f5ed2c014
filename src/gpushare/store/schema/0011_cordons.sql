-- SPDX-License-Identifier: Apache-2.0
-- Cordons in force; the id is the target, with `auto:` before it for those of the daemon.

CREATE TABLE cordons (
    id   TEXT NOT NULL PRIMARY KEY,
    body BLOB NOT NULL
) STRICT, WITHOUT ROWID;
