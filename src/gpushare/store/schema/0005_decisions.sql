-- SPDX-License-Identifier: Apache-2.0
-- What each place was decided from: compressed JSON, replayed to explain it.
CREATE TABLE decisions (
    share TEXT PRIMARY KEY,
    at TEXT NOT NULL,
    body BLOB NOT NULL
) STRICT;
