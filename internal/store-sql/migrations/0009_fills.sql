-- Whether another device of its user is still to give the device its history: conversations without a cursor deliver
-- nothing before.
ALTER TABLE devices ADD COLUMN unfilled INTEGER NOT NULL DEFAULT 0;
-- The key with which others could seal what they give to it.
ALTER TABLE devices ADD COLUMN public_key TEXT;
