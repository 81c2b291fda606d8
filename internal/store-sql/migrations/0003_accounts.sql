-- How a user proves to be the one: argon2id as a PHC string. NULL for one who has no password.
ALTER TABLE users ADD COLUMN password_hash TEXT;

-- What the device says that it runs on.
ALTER TABLE devices ADD COLUMN platform TEXT;
-- Since when the device has no good tokens. It stays known, and can be signed in again.
ALTER TABLE devices ADD COLUMN signed_out_at INTEGER;

-- The refresh tokens that are good, by their SHA-256: of each device the newest one that was used, and those that were
-- given out for it, of which none has been used yet.
CREATE TABLE refresh_tokens (
  hash BLOB NOT NULL PRIMARY KEY,
  device BLOB NOT NULL,
  used INTEGER NOT NULL DEFAULT 0,
  expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX refresh_tokens_of_device ON refresh_tokens (device, used, expires_at);
CREATE INDEX refresh_tokens_by_expiry ON refresh_tokens (expires_at);

-- A user's devices that are there: those that were removed stay in the table.
CREATE INDEX devices_there ON devices (user, created_at, id) WHERE removed_at IS NULL;
