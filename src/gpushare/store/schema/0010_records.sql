-- SPDX-License-Identifier: Apache-2.0
-- When a share ended, in seconds since 1970; 0: it is not to be remembered. Of those that have
-- ended already the time counts from now.
ALTER TABLE shares ADD COLUMN ended REAL;
UPDATE shares SET ended = CAST(strftime('%s', 'now') AS REAL) WHERE state IN ('released', 'failed');

-- The last output of detached programs that have ended.
CREATE TABLE outputs (
    seq   INTEGER PRIMARY KEY AUTOINCREMENT,  -- order of arrival: the oldest are forgotten first
    share TEXT NOT NULL UNIQUE REFERENCES shares (id) ON DELETE CASCADE,
    uid   INTEGER NOT NULL,
    text  BLOB NOT NULL
) STRICT;
