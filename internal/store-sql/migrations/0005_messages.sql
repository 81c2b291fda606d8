-- What has been taken back.
ALTER TABLE entries ADD COLUMN recalled INTEGER NOT NULL DEFAULT 0;

-- Who is named in which message.
CREATE TABLE mentions (
  conversation BLOB NOT NULL,
  seq INTEGER NOT NULL,
  user TEXT NOT NULL,
  PRIMARY KEY (conversation, seq, user)
) STRICT, WITHOUT ROWID;
