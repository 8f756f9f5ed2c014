-- SPDX-License-Identifier: Apache-2.0
-- What is known from past runs: how fast programs were alone and with another, and what each used.
-- `beside` is empty for alone; `at` is the last change, so that the oldest can be deleted.  prose: allow

CREATE TABLE profiles (
    program TEXT NOT NULL,
    beside  TEXT NOT NULL,  -- prose: allow
    seconds REAL NOT NULL,
    work    REAL NOT NULL,
    at      REAL NOT NULL,
    PRIMARY KEY (program, beside)  -- prose: allow
) STRICT, WITHOUT ROWID;

CREATE TABLE runs (
    program TEXT NOT NULL PRIMARY KEY,
    at      REAL NOT NULL,
    body    BLOB NOT NULL
) STRICT, WITHOUT ROWID;
