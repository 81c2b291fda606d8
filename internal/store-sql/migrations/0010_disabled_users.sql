-- Since when an administrator lets none of the user's devices in.
ALTER TABLE users ADD COLUMN disabled_at INTEGER;
