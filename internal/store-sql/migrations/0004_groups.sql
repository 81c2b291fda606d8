-- How many members a conversation has now.
ALTER TABLE conversations ADD COLUMN member_count INTEGER NOT NULL DEFAULT 0;
UPDATE conversations SET member_count =
  (SELECT count(*) FROM members m WHERE m.conversation = conversations.id AND m.left_seq IS NULL);
CREATE TRIGGER members_come AFTER INSERT ON members WHEN NEW.left_seq IS NULL BEGIN
  UPDATE conversations SET member_count = member_count + 1 WHERE id = NEW.conversation;
END;
CREATE TRIGGER members_go AFTER UPDATE OF left_seq ON members
  WHEN (OLD.left_seq IS NULL) <> (NEW.left_seq IS NULL) BEGIN
  UPDATE conversations SET member_count = member_count + (NEW.left_seq IS NULL) - (OLD.left_seq IS NULL)
    WHERE id = NEW.conversation;
END;
