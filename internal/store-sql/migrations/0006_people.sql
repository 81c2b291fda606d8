-- What a user shows of himself. The custom part is a JSON object.
ALTER TABLE users ADD COLUMN name TEXT;
ALTER TABLE users ADD COLUMN avatar TEXT;
ALTER TABLE users ADD COLUMN custom TEXT NOT NULL DEFAULT '{}';

CREATE TABLE contacts (
  owner TEXT NOT NULL REFERENCES users (id),
  user TEXT NOT NULL REFERENCES users (id),
  -- What the owner calls the user.
  name TEXT,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (owner, user)
) STRICT, WITHOUT ROWID;

CREATE TABLE blocks (
  owner TEXT NOT NULL REFERENCES users (id),
  user TEXT NOT NULL REFERENCES users (id),
  created_at INTEGER NOT NULL,
  PRIMARY KEY (owner, user)
) STRICT, WITHOUT ROWID;

-- Of a direct conversation: whether one of the two has blocked the other. It repeats what stands in blocks, so that an
-- append finds it in the row that it reads anyway.
ALTER TABLE conversations ADD COLUMN blocked INTEGER NOT NULL DEFAULT 0;

-- What a user keeps about a conversation for all own devices. It outlives the membership.
CREATE TABLE member_states (
  user TEXT NOT NULL REFERENCES users (id),
  conversation BLOB NOT NULL REFERENCES conversations (id),
  pinned INTEGER NOT NULL,
  archived INTEGER NOT NULL,
  muted_until INTEGER NOT NULL,
  marked_unread INTEGER NOT NULL,
  -- The first entry that the user wants to see.
  delete_before INTEGER NOT NULL,
  PRIMARY KEY (user, conversation)
) STRICT, WITHOUT ROWID;

-- What users and conversations are called elsewhere.
CREATE TABLE aliases (
  namespace TEXT NOT NULL,
  external TEXT NOT NULL,
  user TEXT REFERENCES users (id),
  conversation BLOB REFERENCES conversations (id),
  created_at INTEGER NOT NULL,
  PRIMARY KEY (namespace, external),
  CHECK ((user IS NULL) <> (conversation IS NULL))
) STRICT, WITHOUT ROWID;
