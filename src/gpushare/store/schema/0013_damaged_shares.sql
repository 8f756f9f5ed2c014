-- SPDX-License-Identifier: Apache-2.0
-- Shares can be damaged, which an earlier gpushare does not know: it refuses this file instead of
-- taking the record for one that cannot be read.

SELECT 1;
