//! What can be said on the command line.

use crate::target::Target;
use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use lockstep_server::config::LogFlags;
use lockstep_server::{Config, Flags};
use std::path::PathBuf;

/// A multi-device message sync server. Without a command it serves.
#[derive(Debug, Parser)]
#[command(name = "lockstep", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server.
    Serve(ServeArgs),
    /// Chat as one device of a user, in this terminal.
    Chat(crate::chat::Args),
    /// Show on this machine what Lockstep does: a server, three devices, a crash. Needs no set-up.
    Demo(crate::demo::Args),
    /// Measure how fast a server is on this machine, and check that it loses nothing.
    Bench(crate::bench::Args),
    /// Issue access tokens.
    #[command(subcommand)]
    Token(TokenCommand),
    /// List and look at users, disable them, give them passwords.
    #[command(subcommand)]
    User(UserCommand),
    /// Link this terminal as a device; list, look at and remove devices.
    #[command(subcommand)]
    Device(DeviceCommand),
    /// List and close live connections.
    #[command(subcommand)]
    Connection(ConnectionCommand),
    /// Watch how a server does, in this terminal.
    Top(crate::top::Args),
    /// List services, replace their tokens, revoke them. `lockstep token service` makes one.
    #[command(subcommand)]
    Service(ServiceCommand),
    /// Make and look at conversations.
    #[command(subcommand)]
    Conversation(ConversationCommand),
    /// Say what became of a message for a device, and why the device has not got it.
    Explain(ExplainArgs),
    /// Say what users and conversations are called elsewhere, such as in another protocol.
    #[command(subcommand)]
    Alias(AliasCommand),
}

/// How to serve. Settings: defaults < lockstep.toml < LOCKSTEP_* (such as LOCKSTEP_LIMITS__HEARTBEAT_MS) < these.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// The address to listen on; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,
    #[command(flatten)]
    pub(crate) place: Place,
    /// How long an access token is good for [default: 900]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) token_ttl_s: Option<u64>,
    /// How log lines are written: text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log_format: Option<String>,
    /// What is logged: a level, or directives such as info,lockstep_engine=debug [default: info]
    #[arg(long, value_name = "LEVEL")]
    pub(crate) log_level: Option<String>,
    /// Also make sample users with devices, say how to chat as them, and take what services publish on 127.0.0.1:4151 as
    /// nsqd would
    #[arg(long)]
    pub(crate) dev: bool,
    /// Print the effective configuration and exit
    #[arg(long)]
    pub(crate) check_config: bool,
}

/// Which server is meant.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// The server's data folder [default: lockstep-data]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) data: Option<PathBuf>,
    /// A configuration file instead of lockstep.toml
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

impl Place {
    /// The data folder of the server that is meant: the same that the server would find.
    ///
    /// # Errors
    ///
    /// If the configuration is wrong.
    pub(crate) fn data_folder(&self) -> Result<PathBuf> {
        let flags = Flags { file: self.config.clone(), data: self.data.clone(), ..Flags::default() };
        Ok(Config::load(&flags)?.data)
    }
}

impl ServeArgs {
    /// The part of the configuration that was said here.
    pub(crate) fn flags(&self) -> Flags {
        Flags {
            file: self.place.config.clone(),
            dev: self.dev,
            listen: self.listen.clone(),
            data: self.place.data.clone(),
            token_ttl_s: self.token_ttl_s,
            log: LogFlags { format: self.log_format.clone(), level: self.log_level.clone() },
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Print a token for a user's device; user and device are made if need be.
    User(TokenUser),
    /// Print a token of a service, which publishes or administers; it is made if need be, and gets these scopes.
    Service(TokenService),
}

#[derive(Debug, Args)]
pub(crate) struct TokenUser {
    /// Whose token
    #[arg(value_name = "USER", required_unless_present = "user_flag")]
    pub(crate) user: Option<String>,
    /// Whose token, as a flag
    #[arg(long = "user", value_name = "USER", conflicts_with = "user")]
    pub(crate) user_flag: Option<String>,
    /// The name of the user's device
    #[arg(long, visible_alias = "device", value_name = "NAME")]
    pub(crate) device_name: String,
    /// What the device is to its user: main (keeps the history) or sub
    #[arg(long, value_name = "KIND", default_value = "main", value_parser = ["main", "sub"])]
    pub(crate) kind: String,
    /// Let the device, if it is made, be filled by a main device of the user that is connected
    #[arg(long)]
    pub(crate) unfilled: bool,
    /// How long the token is good for, in seconds [default: the server's setting]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) ttl: Option<u64>,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct TokenService {
    /// The service's name: its entries have the sender service:NAME
    #[arg(value_name = "NAME", required_unless_present = "name_flag")]
    pub(crate) name: Option<String>,
    /// The service's name, as a flag
    #[arg(long = "name", value_name = "NAME", conflicts_with = "name")]
    pub(crate) name_flag: Option<String>,
    /// What it may do: publish:CONVERSATION for one conversation, publish:* for all, admin for looking after the server; may
    /// be given several times
    #[arg(long = "scope", value_name = "SCOPE", required = true)]
    pub(crate) scopes: Vec<String>,
    /// How long the token is good for, in seconds [default: 365 days]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) ttl: Option<u64>,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ServiceCommand {
    /// Print all services: name, generation, good or revoked, scopes.
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Print a new token of a service. The tokens before it are good for a while, so that it can be put in place.
    Rotate {
        /// The service's name
        name: String,
        /// How long the tokens before are still good, in seconds; 0 ends them at once [default: 24 hours]
        #[arg(long, value_name = "SECONDS")]
        grace: Option<u64>,
        /// How long the new token is good for, in seconds [default: 365 days]
        #[arg(long, value_name = "SECONDS")]
        ttl: Option<u64>,
        #[command(flatten)]
        place: Place,
    },
    /// Revoke a service: the next request with any of its tokens is refused.
    Revoke {
        /// The service's name
        name: String,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Give a user the password that stands in the first line of the standard input; the user is made if need be. All
    /// devices of a user who had another password are signed out.
    Password {
        /// Whose password
        #[arg(value_name = "USER")]
        user: String,
        #[command(flatten)]
        place: Place,
    },
    /// Print all users: id, good or disabled, how many devices, how many of them are connected.
    List {
        /// Only those whose id begins so
        #[arg(long, value_name = "TEXT", default_value = "")]
        prefix: String,
        #[command(flatten)]
        target: Target,
    },
    /// Print what is known of a user, a line for each field.
    Show {
        /// Whom
        user: String,
        #[command(flatten)]
        target: Target,
    },
    /// Sign out all devices of a user, and let none in any more. They stay.
    Disable {
        /// Whom
        user: String,
        /// Also remove all devices of the user, the last main device too
        #[arg(long)]
        remove_devices: bool,
        #[command(flatten)]
        target: Target,
    },
    /// Let a user sign in again.
    Enable {
        /// Whom
        user: String,
        #[command(flatten)]
        target: Target,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeviceCommand {
    /// Become a sub device of a user: shows a code and a QR code, and waits until a main device approves.
    Link(crate::link::Args),
    /// Print a user's devices: id, kind, name, when it was last seen (milliseconds since 1970).
    List {
        /// Whose devices
        #[arg(long)]
        user: String,
        #[command(flatten)]
        target: Target,
    },
    /// Print what is known of a device, a line for each field.
    Show {
        /// The device's id
        id: String,
        #[command(flatten)]
        target: Target,
    },
    /// Remove a device: its connection closes, and its tokens are refused from now on.
    Remove {
        /// The device's id
        id: String,
        #[command(flatten)]
        target: Target,
    },
    /// Print the removals whose channels are not all deleted yet, newest first: device, user, why it was removed, when
    /// (milliseconds since 1970), attempts, when the next one is made (or done), servers that may have channels, the last
    /// error.
    Teardowns {
        /// Those that are done too, for some days
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        target: Target,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConnectionCommand {
    /// Print the live connections: device, user, since when (milliseconds since 1970), door, address.
    List {
        /// Only those of this user
        #[arg(long)]
        user: Option<String>,
        #[command(flatten)]
        target: Target,
    },
    /// Close the connection of a device, which may come again.
    Close {
        /// The device's id
        device: String,
        #[command(flatten)]
        target: Target,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConversationCommand {
    /// Make a group and print its id.
    Create {
        /// The group's title
        #[arg(long)]
        title: Option<String>,
        /// Who is in it: existing users, separated by commas
        #[arg(long, value_delimiter = ',', required = true)]
        members: Vec<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Print what is known of a conversation, a line for each field, and what NSQ has of it.
    Show {
        /// The conversation's id
        id: String,
        /// Also print the members: member, user, role
        #[arg(long)]
        members: bool,
        /// Also print the devices that consume it in the server's process
        #[arg(long)]
        consumers: bool,
        #[command(flatten)]
        target: Target,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The device's id, as `lockstep device list` prints it
    #[arg(long, value_name = "DEVICE")]
    pub(crate) device: String,
    /// The message: CONVERSATION:SEQ, or the entry's id, which is looked for in the conversations of the device's user
    #[arg(long, value_name = "MESSAGE")]
    pub(crate) message: String,
    /// Print the answer as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AliasCommand {
    /// Make an alias. One that stands for something else has to be removed first.
    Put {
        #[command(flatten)]
        name: AliasName,
        /// The user that it stands for
        #[arg(long, required_unless_present = "conversation", conflicts_with = "conversation")]
        user: Option<String>,
        /// The conversation that it stands for
        #[arg(long)]
        conversation: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Print what an alias stands for: user or conversation, and the id.
    Get {
        #[command(flatten)]
        name: AliasName,
        #[command(flatten)]
        place: Place,
    },
    /// Remove an alias.
    Remove {
        #[command(flatten)]
        name: AliasName,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Args)]
pub(crate) struct AliasName {
    /// Whose ids they are, such as another protocol's: 1 to 32 of a-z, 0-9, ., _ and -
    pub(crate) namespace: String,
    /// The id there
    pub(crate) external: String,
}
