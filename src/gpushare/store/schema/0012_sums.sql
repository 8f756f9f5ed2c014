-- SPDX-License-Identifier: Apache-2.0
-- A checksum of each row whose values are not all covered by the checksum of a body (store/integrity/sums.py).

ALTER TABLE tokens ADD COLUMN sum INTEGER;
ALTER TABLE intents ADD COLUMN sum INTEGER;
ALTER TABLE verifications ADD COLUMN sum INTEGER;
ALTER TABLE runs ADD COLUMN sum INTEGER;
ALTER TABLE usage ADD COLUMN sum INTEGER;
ALTER TABLE charged ADD COLUMN sum INTEGER;
ALTER TABLE contexts ADD COLUMN sum INTEGER;
ALTER TABLE profiles ADD COLUMN sum INTEGER;
ALTER TABLE decisions ADD COLUMN sum INTEGER;
ALTER TABLE outputs ADD COLUMN sum INTEGER;
ALTER TABLE cordons ADD COLUMN sum INTEGER;
ALTER TABLE audit ADD COLUMN sum INTEGER;
