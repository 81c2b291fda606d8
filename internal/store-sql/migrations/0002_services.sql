-- Services write too: what names a send once is a device's 16 bytes, or `service:` and the service's name.
ALTER TABLE sends RENAME COLUMN device TO sender;

-- Who publishes by REST with a token of its own.
CREATE TABLE services (
  name TEXT NOT NULL PRIMARY KEY,
  -- What its tokens allow, with a space between two.
  scopes TEXT NOT NULL,
  -- Of its newest tokens. Those of the generation before are good until previous_until.
  generation INTEGER NOT NULL DEFAULT 0,
  previous_until INTEGER NOT NULL DEFAULT 0,
  created_at INTEGER NOT NULL,
  rotated_at INTEGER,
  revoked_at INTEGER
) STRICT, WITHOUT ROWID;
