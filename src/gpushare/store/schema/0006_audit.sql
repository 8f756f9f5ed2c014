-- SPDX-License-Identifier: Apache-2.0
-- Where each audit log ended when it was last safe on the disk.

CREATE TABLE audit (
    path TEXT NOT NULL PRIMARY KEY,
    seq  INTEGER NOT NULL,
    hash TEXT NOT NULL
) STRICT, WITHOUT ROWID;
