-- SPDX-License-Identifier: Apache-2.0
-- Stored events carry the new names of their types. The order matters: `share.idle` was the name of `share.empty`.

UPDATE events SET body = CAST(replace(CAST(body AS TEXT), '"type":"share.idle"', '"type":"share.empty"') AS BLOB);
UPDATE events SET body = CAST(replace(CAST(body AS TEXT), '"type":"share.quiet"', '"type":"share.idle"') AS BLOB);
UPDATE events SET body = CAST(replace(CAST(body AS TEXT), '"type":"share.works"', '"type":"share.active"') AS BLOB);
UPDATE events SET body = CAST(replace(CAST(body AS TEXT), '"type":"share.over"', '"type":"share.over_limit"') AS BLOB);
UPDATE events SET body = CAST(replace(CAST(body AS TEXT), '"type":"share.sized"', '"type":"share.resized"') AS BLOB);
UPDATE events SET body = CAST(replace(CAST(body AS TEXT), '"type":"share.unsized"', '"type":"share.resize_failed"') AS BLOB);
UPDATE events SET body = CAST(replace(CAST(body AS TEXT), '"type":"share.undone"', '"type":"share.rolled_back"') AS BLOB);
UPDATE events SET body = CAST(replace(CAST(body AS TEXT), '"type":"share.broken"', '"type":"share.verification_failed"') AS BLOB);
UPDATE events SET body = CAST(replace(CAST(body AS TEXT), '"type":"share.unmovable"', '"type":"share.suspend_failed"') AS BLOB);
UPDATE events SET body = CAST(replace(CAST(body AS TEXT), '"type":"gpu.found"', '"type":"gpu.recovered"') AS BLOB);
UPDATE events SET body = CAST(replace(CAST(body AS TEXT), '"type":"mps.mended"', '"type":"mps.restarted"') AS BLOB);
UPDATE events SET body = CAST(replace(CAST(body AS TEXT), '"type":"audit.uncopied"', '"type":"audit.forward_failed"') AS BLOB);
