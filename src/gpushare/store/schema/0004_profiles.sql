-- SPDX-License-Identifier: Apache-2.0
-- What past runs say: how fast programs were alone and beside another, and what each one took.
-- `beside` is empty for alone; `at` is when it was last added to, so that the oldest can be forgotten.

CREATE TABLE profiles (
    program TEXT NOT NULL,
    beside  TEXT NOT NULL,
    seconds REAL NOT NULL,
    work    REAL NOT NULL,
    at      REAL NOT NULL,
    PRIMARY KEY (program, beside)
) STRICT, WITHOUT ROWID;

CREATE TABLE runs (
    program TEXT NOT NULL PRIMARY KEY,
    at      REAL NOT NULL,
    body    BLOB NOT NULL
) STRICT, WITHOUT ROWID;
