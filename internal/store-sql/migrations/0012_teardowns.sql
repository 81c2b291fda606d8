-- What is left to do about devices that were removed, written in the commit of the removal.
CREATE TABLE teardowns (
  device BLOB NOT NULL PRIMARY KEY,
  user TEXT NOT NULL,
  reason TEXT NOT NULL,
  requested_at INTEGER NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  last_error TEXT,
  -- The servers that may have channels of it, one a line.
  pending TEXT NOT NULL DEFAULT '',
  -- Of one that is not done.
  next_try_at INTEGER,
  done_at INTEGER,
  CHECK ((next_try_at IS NULL) <> (done_at IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX teardowns_by_time ON teardowns (requested_at, device);
CREATE INDEX teardowns_waiting ON teardowns (requested_at, device) WHERE done_at IS NULL;
CREATE INDEX teardowns_due ON teardowns (next_try_at) WHERE done_at IS NULL;
CREATE INDEX teardowns_done ON teardowns (done_at) WHERE done_at IS NOT NULL;

-- Sub devices by the time when they were last seen.
CREATE INDEX devices_unseen ON devices (ifnull(seen_at, created_at), id) WHERE kind = 'sub' AND removed_at IS NULL;
