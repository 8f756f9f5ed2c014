-- SPDX-License-Identifier: Apache-2.0

CREATE TABLE tokens (
    id      TEXT PRIMARY KEY,
    digest  BLOB NOT NULL,     -- SHA-256 of the secret, which is kept nowhere
    uid     INTEGER NOT NULL,
    parent  TEXT,              -- the token that it was made with, and ends with
    expires INTEGER NOT NULL,  -- seconds since 1970
    body    BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX tokens_by_parent ON tokens (parent) WHERE parent IS NOT NULL;
