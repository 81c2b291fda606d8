//! What the server writes into the log of a group or room: every change that all members have to hear of.

use crate::{ConversationKind, CustomObject, DetailsChange, History, Role};
use lockstep_protocol::{Body, Entry, Kind, Sender, UserId};
use serde::{Deserialize, Serialize};

/// A change that a conversation's system entry tells of. Whoever takes all of them from the first on knows title, members
/// and roles. Bodies that this version does not know are passed on unread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum LogChange {
    /// It was made; who made it is a member, and the owner.
    Created {
        /// Who made it.
        by: UserId,
        /// Of which kind it is.
        kind: ConversationKind,
        /// Its title.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        title: Option<String>,
        /// Its avatar.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        avatar: Option<String>,
        /// What newcomers see.
        history: History,
        /// The application's own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        custom: Option<CustomObject>,
    },
    /// Users were invited, and are members now.
    MembersAdded {
        /// Who invited them.
        by: UserId,
        /// The new members.
        members: Vec<UserId>,
    },
    /// A user has joined by itself.
    MemberJoined {
        /// The new member.
        member: UserId,
    },
    /// A member has left by itself. The last entry of its stay.
    MemberLeft {
        /// Who left.
        member: UserId,
    },
    /// A member was removed. The last entry of its stay.
    MemberRemoved {
        /// Who removed it.
        by: UserId,
        /// Who was removed.
        member: UserId,
    },
    /// A member has another role.
    RoleChanged {
        /// Who gave it.
        by: UserId,
        /// Who has it.
        member: UserId,
        /// The role: not `owner`.
        role: Role,
    },
    /// Another member owns the conversation; who did before is an admin.
    OwnerChanged {
        /// Who handed it over, or left it.
        by: UserId,
        /// The owner.
        member: UserId,
    },
    /// Title, avatar or the like are others.
    Changed {
        /// Who changed them.
        by: UserId,
        /// What is different.
        #[serde(flatten)]
        change: DetailsChange,
    },
}

/// Bytes of user ids in one `members_added`, far enough below what a body may have.
const MEMBERS_BYTES_MAX: usize = 60_000;

impl LogChange {
    /// What tells of these new members: more than one entry where one body could not hold them.
    pub fn members_added(by: &UserId, members: &[UserId]) -> Vec<Self> {
        let mut changes: Vec<Vec<UserId>> = Vec::new();
        let mut bytes = MEMBERS_BYTES_MAX;
        for member in members {
            // Each character takes at most four bytes, or two where it is escaped; quotes and a comma come on top.
            let cost = 2 * member.as_str().len() + 3;
            if bytes + cost > MEMBERS_BYTES_MAX {
                (bytes, _) = (0, changes.push(Vec::new()));
            }
            bytes += cost;
            if let Some(last) = changes.last_mut() {
                last.push(member.clone());
            }
        }
        changes.into_iter().map(|members| Self::MembersAdded { by: by.clone(), members }).collect()
    }

    /// The body of the system entry.
    pub fn to_body(&self) -> Body {
        let json = serde_json::to_string(self).expect("ids, texts and objects are JSON");
        Body::parse(&json).expect("every part is bounded so that the whole is a body")
    }

    /// The change that an entry of a conversation's log tells of.
    pub fn of(entry: &Entry) -> Option<Self> {
        let ours = entry.kind == Kind::System && entry.sender == Sender::server();
        if ours { serde_json::from_str(entry.body.as_json()).ok() } else { None }
    }

    /// Whether the entry is the one by which the user leaves or is removed: the last that the user sees (I11).
    pub fn ends_stay(entry: &Entry, user: &UserId) -> bool {
        if entry.kind != Kind::System || entry.sender != Sender::server() {
            return false;
        }
        let ends = matches!(&*entry.body.type_name(), "member_left" | "member_removed");
        ends && entry.body.text_field("member").is_some_and(|member| member == user.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_protocol::{ConversationId, EntryId, Seq, UnixMs};

    fn user(name: &str) -> UserId {
        UserId::new(name).expect("a user")
    }

    fn entry(kind: Kind, sender: Sender, body: Body) -> Entry {
        Entry {
            conversation: ConversationId::from_bytes([1; 16]),
            seq: Seq::new(1),
            id: EntryId::generate(),
            kind,
            sender,
            sender_device: None,
            client_msg_id: None,
            body,
            sent_at: UnixMs::ZERO,
        }
    }

    #[test]
    fn bodies_are_as_documented() {
        let (ana, ben) = (user("ana"), user("b\"en"));
        let change = DetailsChange { title: Some(None), history: Some(History::Last(5)), ..DetailsChange::default() };
        let cases = [
            (
                LogChange::Created {
                    by: ana.clone(),
                    kind: ConversationKind::Room,
                    title: Some("T".into()),
                    avatar: None,
                    history: History::All,
                    custom: None,
                },
                r#"{"type":"created","by":"ana","kind":"room","title":"T","history":"all"}"#,
            ),
            (
                LogChange::MembersAdded { by: ana.clone(), members: vec![ben.clone()] },
                r#"{"type":"members_added","by":"ana","members":["b\"en"]}"#,
            ),
            (LogChange::MemberJoined { member: ana.clone() }, r#"{"type":"member_joined","member":"ana"}"#),
            (LogChange::MemberLeft { member: ana.clone() }, r#"{"type":"member_left","member":"ana"}"#),
            (
                LogChange::MemberRemoved { by: ana.clone(), member: ben.clone() },
                r#"{"type":"member_removed","by":"ana","member":"b\"en"}"#,
            ),
            (
                LogChange::RoleChanged { by: ana.clone(), member: ben.clone(), role: Role::Admin },
                r#"{"type":"role_changed","by":"ana","member":"b\"en","role":"admin"}"#,
            ),
            (
                LogChange::OwnerChanged { by: ana.clone(), member: ben.clone() },
                r#"{"type":"owner_changed","by":"ana","member":"b\"en"}"#,
            ),
            (
                LogChange::Changed { by: ana.clone(), change },
                r#"{"type":"changed","by":"ana","title":null,"history":5}"#,
            ),
        ];
        for (change, json) in cases {
            assert_eq!(change.to_body().as_json(), json);
            let written = entry(Kind::System, Sender::server(), change.to_body());
            assert_eq!(LogChange::of(&written), Some(change.clone()));
            let ends = matches!(change, LogChange::MemberLeft { .. });
            assert_eq!(LogChange::ends_stay(&written, &ana), ends, "{json}");
            assert_eq!(
                LogChange::ends_stay(&written, &ben),
                matches!(change, LogChange::MemberRemoved { .. }),
                "{json}"
            );
            // Nobody else can say so.
            for (kind, sender) in [(Kind::Message, Sender::server()), (Kind::System, Sender::user(&ana))] {
                let posed = entry(kind, sender, change.to_body());
                assert!(LogChange::of(&posed).is_none() && !LogChange::ends_stay(&posed, &ana), "{json}");
            }
        }
    }

    #[test]
    fn a_thousand_long_names_fit_into_a_few_bodies() {
        for character in ["🦀", "\"", "a"] {
            let members: Vec<UserId> = (0..1_000).map(|n| user(&format!("{}{n:04}", character.repeat(60)))).collect();
            let changes = LogChange::members_added(&user("ana"), &members);
            assert!((1..=9).contains(&changes.len()), "{}", changes.len());
            let told = changes.iter().flat_map(|change| match change {
                LogChange::MembersAdded { members, .. } => members.clone(),
                other => panic!("{other:?}"),
            });
            assert_eq!(told.collect::<Vec<_>>(), members);
            changes.iter().for_each(|change| drop(change.to_body()));
        }
        assert_eq!(LogChange::members_added(&user("ana"), &[]), []);
    }
}
