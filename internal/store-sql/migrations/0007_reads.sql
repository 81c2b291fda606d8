-- Whether others hear how far the user's devices have got, and how far the user has read.
ALTER TABLE users ADD COLUMN tells_delivered INTEGER NOT NULL DEFAULT 1;
ALTER TABLE users ADD COLUMN tells_read INTEGER NOT NULL DEFAULT 1;
