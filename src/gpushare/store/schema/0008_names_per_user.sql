-- SPDX-License-Identifier: Apache-2.0
-- Names of living shares are unique for each user, no longer on the machine.

ALTER TABLE shares ADD COLUMN uid INTEGER NOT NULL DEFAULT -1;
UPDATE shares SET uid = json_extract(CAST(body AS TEXT), '$.uid');
DROP INDEX one_living_name;
CREATE UNIQUE INDEX one_living_name ON shares (uid, name) WHERE state NOT IN ('released', 'failed');
CREATE INDEX shares_by_name ON shares (uid, name);
