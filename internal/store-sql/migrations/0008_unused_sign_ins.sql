-- Whether the device was signed in and has neither connected nor refreshed its tokens since: its answer may have been lost.
ALTER TABLE devices ADD COLUMN tokens_unused INTEGER NOT NULL DEFAULT 0;
