-- Devices that ask to be linked to a user. A row is of no use from expires_at on, and goes with the maintenance.
CREATE TABLE links (
  id BLOB NOT NULL PRIMARY KEY,
  -- What is kept of its three secrets: the code that a person types (a MAC, since codes are short), what the QR code
  -- holds, and what the device itself shows (SHA-256).
  code BLOB NOT NULL,
  scan BLOB NOT NULL,
  secret BLOB NOT NULL,
  name TEXT,
  platform TEXT,
  -- Where it was asked from: as main devices are shown it, and as it is counted.
  address TEXT NOT NULL,
  network TEXT NOT NULL,
  public_key TEXT,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  -- waiting, approved, refused or claimed.
  state TEXT NOT NULL DEFAULT 'waiting',
  -- Who answered: a main device of this generation.
  user TEXT,
  approver BLOB,
  approver_generation INTEGER,
  -- What was made of it.
  device BLOB
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX links_by_code ON links (code);
CREATE INDEX links_by_expiry ON links (expires_at);
CREATE INDEX links_of_network ON links (network, expires_at) WHERE state IN ('waiting', 'approved');
CREATE INDEX links_of_approver ON links (approver) WHERE approver IS NOT NULL;
CREATE INDEX links_of_user ON links (user) WHERE user IS NOT NULL;
