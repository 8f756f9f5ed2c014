-- SPDX-License-Identifier: Apache-2.0
-- Values are stored as the JSON of their model; only what SQL queries has a column of its own.

CREATE TABLE shares (
    seq   INTEGER PRIMARY KEY AUTOINCREMENT,  -- order of arrival, which is the order of the queue
    id    TEXT NOT NULL UNIQUE,
    name  TEXT NOT NULL,
    state TEXT NOT NULL,
    body  BLOB NOT NULL
) STRICT;

CREATE UNIQUE INDEX one_living_name ON shares (name) WHERE state NOT IN ('released', 'failed');
CREATE INDEX shares_by_state ON shares (state);

CREATE TABLE events (
    seq  INTEGER PRIMARY KEY AUTOINCREMENT,
    body BLOB NOT NULL
) STRICT;

CREATE TABLE intents (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    share     TEXT NOT NULL,
    act       TEXT NOT NULL,
    arguments BLOB NOT NULL
) STRICT;

CREATE TABLE verifications (
    boot       TEXT NOT NULL,
    driver     TEXT NOT NULL,
    mechanisms TEXT NOT NULL,
    body       BLOB NOT NULL,
    PRIMARY KEY (boot, driver, mechanisms)
) STRICT, WITHOUT ROWID;

CREATE TABLE contexts (
    gpu    TEXT NOT NULL,
    driver TEXT NOT NULL,
    bytes  INTEGER NOT NULL,
    PRIMARY KEY (gpu, driver)
) STRICT, WITHOUT ROWID;
