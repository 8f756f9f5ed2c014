-- SPDX-License-Identifier: Apache-2.0
-- Rows that could not be read at start, as they were found.

CREATE TABLE damaged (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    origin TEXT NOT NULL,  -- the table that they were in
    key    TEXT NOT NULL,  -- an SQL literal
    why    TEXT NOT NULL,
    body   BLOB
) STRICT;
