//! The write task: the one owner of the connection that writes.
//!
//! It takes all commands that wait, executes them in one transaction and answers after the commit (group commit). If a
//! statement fails because of its rows, the transaction is rolled back and done again with a savepoint around every
//! command, so that only what is at fault fails.

mod about;
mod accounts;
mod aliases;
mod append;
mod conversations;
mod cursors;
mod devices;
mod disabling;
mod entries;
mod groups;
mod job;
mod links;
mod maintain;
mod member_state;
mod members;
mod offsets;
mod people;
mod services;
mod settings;
mod sign_outs;
mod task;
mod teardowns;
mod users;
mod work;

pub(crate) use accounts::{RenewPassword, Rotate, SetPassword, SignInDevice, SignUp};
pub(crate) use aliases::{PutAlias, RemoveAlias};
pub(crate) use append::{AppendRow, Appends};
pub(crate) use conversations::CreateConversation;
pub(crate) use cursors::{Cursors, LowerCursors};
pub(crate) use devices::{ConnectDevice, CreateDevice, FillDevice, RenameDevice, SeeDevices};
pub(crate) use disabling::{DisableUser, EnableUser};
pub(crate) use groups::{ChangeDetails, CreateGroup};
pub(crate) use job::{Batch, Call, Command};
pub(crate) use links::{AddLink, AnswerLink, ClaimLink};
pub(crate) use maintain::{Maintain, RaiseFloor};
pub(crate) use member_state::ChangeState;
#[cfg(test)]
pub(crate) use members::SUCCESSOR;
pub(crate) use members::{AddMembers, Join, Leave, RemoveMember, SetRole};
pub(crate) use offsets::{Advance, Advances};
pub(crate) use people::{ChangeProfile, IS_BLOCKED, PutBlock, PutContact, RemoveBlock, RemoveContact, pair};
pub(crate) use services::{PutService, RevokeService, RotateService};
pub(crate) use settings::ChangeReceiptSettings;
pub(crate) use sign_outs::{SignOut, SignOutAll};
pub(crate) use task::{Queued, Writer};
pub(crate) use teardowns::{PurgeTeardowns, RemoveAllDevices, RemoveDevice, TeardownTried};
pub(crate) use users::EnsureUser;
