-- A recalled message, and each of its edits, has the stub for a body. It does not count as unread.
ALTER TABLE entries ADD COLUMN recalled INTEGER NOT NULL DEFAULT 0;

-- Which edits a message has, so that a recall finds their bodies too.
CREATE TABLE edits (
  conversation BLOB NOT NULL,
  target INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  PRIMARY KEY (conversation, target, seq)
) STRICT, WITHOUT ROWID;

-- Who is named in which message: members only. They go with the message, by recall or retention.
CREATE TABLE mentions (
  conversation BLOB NOT NULL,
  seq INTEGER NOT NULL,
  user TEXT NOT NULL,
  PRIMARY KEY (conversation, seq, user)
) STRICT, WITHOUT ROWID;
CREATE INDEX mentions_of_user ON mentions (user, conversation, seq);
