-- Times are milliseconds since 1970 (UTC). Ids that are UUIDs are their 16 bytes.

CREATE TABLE meta (
  name TEXT NOT NULL PRIMARY KEY,
  value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE conversations (
  id BLOB NOT NULL PRIMARY KEY,
  kind TEXT NOT NULL,
  title TEXT,
  floor INTEGER NOT NULL DEFAULT 1,
  head INTEGER NOT NULL DEFAULT 0,
  created_at INTEGER NOT NULL,
  active_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The truth about every conversation. Between floor and head there is no gap.
CREATE TABLE entries (
  conversation BLOB NOT NULL,
  seq INTEGER NOT NULL,
  id BLOB NOT NULL,
  kind TEXT NOT NULL,
  sender TEXT NOT NULL,
  sender_device BLOB,
  client_msg_id TEXT,
  body TEXT NOT NULL,
  sent_at INTEGER NOT NULL,
  PRIMARY KEY (conversation, seq)
) STRICT, WITHOUT ROWID;

-- What a resend is answered with, whatever has happened to the entry since. Kept for 30 days: rowids are given in order
-- of time, so new rows go to the right end and the purge finds the oldest at the left one.
CREATE TABLE sends (
  client_msg_id TEXT NOT NULL,
  device BLOB NOT NULL,
  conversation BLOB NOT NULL,
  seq INTEGER NOT NULL,
  entry_id BLOB NOT NULL,
  sent_at INTEGER NOT NULL,
  content_hash BLOB NOT NULL
) STRICT;
-- Begins with the client_msg_id because most are made in order of time (UUID v7): the rows of a batch then fill a few
-- pages at the right end, where the other order would touch a page for every device. Random ones touch a page each, of
-- this narrow index only.
CREATE UNIQUE INDEX sends_by_client_msg_id ON sends (client_msg_id, device);

-- Conversations with entries below their floor that are still to be deleted.
CREATE TABLE sweeps (
  conversation BLOB NOT NULL PRIMARY KEY
) STRICT, WITHOUT ROWID;

CREATE TABLE users (
  id TEXT NOT NULL PRIMARY KEY,
  feed BLOB NOT NULL UNIQUE REFERENCES conversations (id),
  created_at INTEGER NOT NULL,
  -- How many conversations the user is a member of now, the feed not among them.
  conversation_count INTEGER NOT NULL DEFAULT 0,
  offsets_version INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE TABLE devices (
  id BLOB NOT NULL PRIMARY KEY,
  user TEXT NOT NULL REFERENCES users (id),
  name TEXT NOT NULL,
  kind TEXT NOT NULL,
  token_generation INTEGER NOT NULL DEFAULT 0,
  connection_generation INTEGER NOT NULL DEFAULT 0,
  created_at INTEGER NOT NULL,
  seen_at INTEGER,
  removed_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX devices_of_user ON devices (user, created_at, id);

-- Stays (I11). A user has at most one stay in a conversation that has not ended.
CREATE TABLE members (
  conversation BLOB NOT NULL REFERENCES conversations (id),
  joined_seq INTEGER NOT NULL,
  user TEXT NOT NULL REFERENCES users (id),
  left_seq INTEGER,
  visible_from_seq INTEGER NOT NULL,
  PRIMARY KEY (conversation, joined_seq, user)
) STRICT, WITHOUT ROWID;
CREATE INDEX members_by_user ON members (user, conversation, left_seq);

CREATE TABLE cursors (
  device BLOB NOT NULL,
  conversation BLOB NOT NULL,
  seq INTEGER NOT NULL,
  PRIMARY KEY (device, conversation)
) STRICT, WITHOUT ROWID;

CREATE TABLE offsets (
  user TEXT NOT NULL,
  conversation BLOB NOT NULL,
  seq INTEGER NOT NULL,
  version INTEGER NOT NULL,
  PRIMARY KEY (user, conversation)
) STRICT, WITHOUT ROWID;
CREATE INDEX offsets_by_version ON offsets (user, version);
