-- The stays of a user that are over, the last ones first: what a connecting device asks for, and which are forgotten.
CREATE INDEX members_ended ON members (user, left_at, conversation, joined_seq, left_seq, visible_from_seq)
  WHERE left_seq IS NOT NULL;

-- Deletes edits by their own places, however many others are left of the same messages.
CREATE INDEX edits_by_place ON edits (conversation, seq);

-- As many as are kept from now on.
DELETE FROM members WHERE (conversation, joined_seq, user) IN
  (SELECT conversation, joined_seq, user FROM
    (SELECT conversation, joined_seq, user,
       row_number() OVER (PARTITION BY user ORDER BY left_at DESC, conversation DESC, joined_seq DESC) AS turn
     FROM members WHERE left_seq IS NOT NULL)
   WHERE turn > 10000);
