-- SPDX-License-Identifier: Apache-2.0
-- Checksums of shares, whose order and end are in no body, and of rows that were put aside.

ALTER TABLE shares ADD COLUMN sum INTEGER;
ALTER TABLE damaged ADD COLUMN sum INTEGER;
