//! The one configuration: defaults < `lockstep.toml` < `LOCKSTEP_*` < flags, checked whole before anything is opened.

mod accounts;
mod bootstrap;
mod devices;
mod error;
mod http;
mod limits;
mod links;
mod nsq;
mod retention;
mod trace;

pub use accounts::{AccountsConfig, IssuerAlgorithm, IssuerConfig, NewMain, SignUp};
pub use bootstrap::{BootstrapConfig, Fallback, SubNeedsMain};
pub use devices::DevicesConfig;
pub use error::ConfigError;
pub use http::HttpConfig;
pub use limits::Limits;
pub use links::LinksConfig;
pub use nsq::{Channels, Ingest, NsqConfig, NsqHttpConfig, NsqHttpListen, NsqdConfig};
pub use retention::{RetentionConfig, RetentionRuleConfig};
pub use trace::TraceConfig;

use figment::Figment;
use figment::providers::{Format, Serialized, Toml};
use serde::{Deserialize, Serialize};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The file that is read when none is named; it need not be there.
const DEFAULT_FILE: &str = "lockstep.toml";
/// `LOCKSTEP_LISTEN` sets `listen`, `LOCKSTEP_LIMITS__HEARTBEAT_MS` sets `limits.heartbeat_ms`, `LOCKSTEP_CONFIG` names the
/// file.
const ENVIRONMENT_PREFIX: &str = "LOCKSTEP_";
/// How long a token may be good for at most: one that is lost stays dangerous so long.
pub const TOKEN_TTL_S_MAX: u64 = 30 * 24 * 60 * 60;

/// What one server is told: read once, checked, handed down in parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The address that devices and services connect to. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// The folder that the server keeps everything in.
    pub data: PathBuf,
    /// How long an access token is good for, in seconds.
    pub token_ttl_s: u64,
    /// What is logged, and how.
    pub log: LogConfig,
    /// Who may use the door for devices and services.
    pub http: HttpConfig,
    /// Who may sign up and in.
    pub accounts: AccountsConfig,
    /// How devices are linked.
    pub links: LinksConfig,
    /// How conversations are called in NSQ.
    pub nsq: NsqConfig,
    /// The door for services that publish as to nsqd.
    pub nsq_http: NsqHttpConfig,
    /// When devices go by themselves.
    pub devices: DevicesConfig,
    /// How long conversations keep their entries.
    pub retention: RetentionConfig,
    /// What is remembered of entries on their way.
    pub trace: TraceConfig,
    /// How new devices are filled.
    pub bootstrap: BootstrapConfig,
    /// The bounds.
    pub limits: Limits,
    /// Whether the server is to be tried out: what is convenient then is on unless it is set otherwise. A flag alone.
    #[serde(skip)]
    pub dev: bool,
}

/// What is logged, and how. Logs go to standard error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// One line of text or of JSON per event.
    pub format: LogFormat,
    /// The least severe level (`error`, `warn`, `info`, `debug`, `trace`), or directives such as
    /// `info,lockstep_engine=debug`.
    pub level: String,
}

/// How a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// What the command line may set. It wins over everything else.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Flags {
    /// The file to read instead of `lockstep.toml`; it must be there.
    #[serde(skip)]
    pub file: Option<PathBuf>,
    /// See [`Config::dev`].
    #[serde(skip)]
    pub dev: bool,
    /// See [`Config::listen`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
    /// See [`Config::data`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<PathBuf>,
    /// See [`Config::token_ttl_s`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_ttl_s: Option<u64>,
    /// See [`Config::log`].
    #[serde(skip_serializing_if = "LogFlags::is_empty")]
    pub log: LogFlags,
}

/// The part of [`Flags`] about logs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LogFlags {
    /// See [`LogConfig::format`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// See [`LogConfig::level`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
}

impl LogFlags {
    fn is_empty(&self) -> bool {
        self.format.is_none() && self.level.is_none()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            data: PathBuf::from("lockstep-data"),
            token_ttl_s: 900,
            log: LogConfig { format: LogFormat::Text, level: "info".to_owned() },
            http: HttpConfig::default(),
            accounts: AccountsConfig::default(),
            links: LinksConfig::default(),
            nsq: NsqConfig::default(),
            nsq_http: NsqHttpConfig::default(),
            devices: DevicesConfig::default(),
            retention: RetentionConfig::default(),
            trace: TraceConfig::default(),
            bootstrap: BootstrapConfig::default(),
            limits: Limits::default(),
            dev: false,
        }
    }
}

impl Config {
    /// Reads all sources and checks the result.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], for the first thing that is wrong.
    pub fn load(flags: &Flags) -> Result<Self, ConfigError> {
        let environment = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        // A value that is not UTF-8 fails the checks, or is a path that cannot be named in the file either.
        Self::from_sources(flags, environment.map(|(name, value)| (name, value.to_string_lossy().into_owned())))
    }

    fn from_sources(flags: &Flags, environment: impl Iterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let figment = sources(flags, environment)?;
        let mut config: Self = figment
            .extract()
            .map_err(|errors| ConfigError::of(&figment, &errors.into_iter().next().expect("an error has a first")))?;
        config.dev = flags.dev;
        config.check(&figment)?;
        Ok(config)
    }

    /// Checks what the types leave open.
    fn check(&self, figment: &Figment) -> Result<(), ConfigError> {
        let level_is_known = tracing_subscriber::EnvFilter::try_new(&self.log.level).is_ok();
        let ttl_fits = (1..=TOKEN_TTL_S_MAX).contains(&self.token_ttl_s);
        let checks = [
            ("data", !self.data.as_os_str().is_empty()),
            ("token_ttl_s", ttl_fits),
            ("nsq_http.names", self.nsq_http.names_are_right()),
            ("log.level", level_is_known && !self.log.level.trim().is_empty()),
        ];
        if let Some((key, _)) = checks
            .into_iter()
            .chain(self.http.checks())
            .chain(self.nsq.checks())
            .chain(self.accounts.checks())
            .chain(self.links.checks())
            .chain(self.devices.checks())
            .chain(self.retention.checks())
            .chain(self.trace.checks())
            .chain(self.bootstrap.checks())
            .find(|(_, right)| !right)
        {
            return Err(ConfigError::value(figment, key));
        }
        let out_of_bounds = self.limits.table().find(|(_, value, min, max)| !(min..=max).contains(&value));
        match out_of_bounds {
            Some((name, ..)) => Err(ConfigError::value(figment, &format!("limits.{name}"))),
            None => Ok(()),
        }
    }

    /// The effective configuration as a file that would set it.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("the configuration has text keys, and its tables come last")
    }

    /// How long an access token is good for.
    pub fn token_ttl(&self) -> Duration {
        Duration::from_secs(self.token_ttl_s)
    }
}

fn sources(flags: &Flags, environment: impl Iterator<Item = (String, String)>) -> Result<Figment, ConfigError> {
    let mut file = flags.file.clone();
    let mut variables = Vec::new();
    for (name, value) in environment {
        match name.strip_prefix(ENVIRONMENT_PREFIX) {
            // The chat's, which is no setting of a server.
            Some("TOKEN") => {}
            Some("CONFIG") => file = file.or(Some(PathBuf::from(value))),
            Some(key) => variables.push(Named {
                name: format!("the environment variable {name}"),
                // figment reads numbers and truth values out of the text; what is neither stays a text.
                value: Serialized::default(&key.to_lowercase().replace("__", "."), parsed(&value)),
            }),
            None => {}
        }
    }
    let mut figment = Figment::from(Serialized::defaults(Config::default()));
    let path = file.as_deref().unwrap_or(Path::new(DEFAULT_FILE));
    match std::fs::read(path) {
        Ok(_) => figment = figment.merge(Toml::file_exact(path)),
        Err(error) if file.is_none() && error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(ConfigError::File { path: path.to_owned(), source }),
    }
    for variable in variables {
        figment = figment.merge(variable);
    }
    Ok(figment.merge(Named { name: "the command line".to_owned(), value: Serialized::defaults(flags) }))
}

fn parsed(text: &str) -> figment::value::Value {
    match text.parse() {
        Ok(value) => value,
        Err(never) => match never {},
    }
}

/// A source under a name that errors can say.
struct Named<T> {
    name: String,
    value: Serialized<T>,
}

impl<T: Serialize> figment::Provider for Named<T> {
    fn metadata(&self) -> figment::Metadata {
        figment::Metadata::named(self.name.clone())
    }

    fn data(&self) -> figment::error::Result<figment::value::Map<figment::Profile, figment::value::Dict>> {
        self.value.data()
    }
}

#[cfg(test)]
mod tests;
