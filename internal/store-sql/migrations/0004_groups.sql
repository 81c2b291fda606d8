-- What people call a conversation, what newcomers see of it ('none', 'all', or a number of entries), how many are in it.
ALTER TABLE conversations ADD COLUMN avatar TEXT;
ALTER TABLE conversations ADD COLUMN custom TEXT;
ALTER TABLE conversations ADD COLUMN history TEXT NOT NULL DEFAULT 'all';
ALTER TABLE conversations ADD COLUMN member_count INTEGER NOT NULL DEFAULT 0;

-- The role of a stay that lasts, and when stays began and ended.
ALTER TABLE members ADD COLUMN role TEXT NOT NULL DEFAULT 'member';
ALTER TABLE members ADD COLUMN joined_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE members ADD COLUMN left_at INTEGER;

-- Finds the owner and the admins among many members.
CREATE INDEX members_with_role ON members (conversation, role, joined_seq, user) WHERE role <> 'member' AND left_seq IS NULL;
-- The members of now in their order, however many came and went.
CREATE INDEX members_now ON members (conversation, joined_seq, user) WHERE left_seq IS NULL;

UPDATE members SET joined_at = (SELECT created_at FROM conversations WHERE id = members.conversation);
UPDATE conversations SET
  member_count = (SELECT count(*) FROM members m WHERE m.conversation = conversations.id AND m.left_seq IS NULL),
  history = CASE kind WHEN 'group' THEN 'none' ELSE 'all' END;
-- Groups of before have no owner: the first of their members is as good as any.
UPDATE members SET role = 'owner' FROM conversations c
WHERE c.id = members.conversation AND c.kind = 'group' AND (joined_seq, user) =
  (SELECT m.joined_seq, m.user FROM members m WHERE m.conversation = c.id AND m.left_seq IS NULL
   ORDER BY m.joined_seq, m.user LIMIT 1);
