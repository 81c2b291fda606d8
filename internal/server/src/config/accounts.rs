//! What is set about accounts.

use super::Config;
use lockstep_auth::{IssuerSettings, Key, PasswordSettings};
use lockstep_gateway::{AccountsConfig as Gateway, Attempt};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// Most issuers.
const ISSUERS_MAX: usize = 16;
/// Most that an issuer's clock may be from ours, in seconds.
const LEEWAY_S_MAX: u64 = 60;
/// Longest text of an issuer's settings.
const TEXT_CHARS_MAX: usize = 512;

/// Who may sign up and in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AccountsConfig {
    /// Whether whoever likes may become a user; absent: closed, but with `--dev` open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sign_up: Option<SignUp>,
    /// Whether a further main device has to be approved by one that is there.
    pub new_main: NewMain,
    /// How long a refresh token is good for, in seconds.
    pub refresh_ttl_s: u64,
    /// Memory of one password's hash, in KiB.
    pub password_memory_kib: u64,
    /// Passes over it.
    pub password_passes: u64,
    /// Lanes in it.
    pub password_lanes: u64,
    /// Passwords that are hashed at once, each on a thread of its own with its memory.
    pub password_threads: u64,
    /// Further ones that wait. One more is answered with `try_again`.
    pub password_queue: u64,
    /// How often a password may be tried for one user, at once. Then `rate_limited`.
    pub user_attempts: u64,
    /// How often after that, per minute.
    pub user_attempts_per_minute: u64,
    /// How often one address may try to sign up or in, at once. Then `rate_limited`.
    pub address_attempts: u64,
    /// How often after that, per minute.
    pub address_attempts_per_minute: u64,
    /// Issuers by whose word users sign in. The last key, since each is a table.
    pub issuers: Vec<IssuerConfig>,
}

/// Whether whoever likes may become a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignUp {
    /// Everybody.
    Open,
    /// Operators make users, or issuers name them.
    Closed,
}

/// Whether a further main device has to be approved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NewMain {
    /// The password is enough.
    #[default]
    Allow,
    /// A main device that is signed in has to approve it.
    Confirm,
}

/// An issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// The `iss` of its tokens.
    pub issuer: String,
    /// The `aud` of its tokens that means this server.
    pub audience: String,
    /// The one algorithm that it signs with.
    pub algorithm: IssuerAlgorithm,
    /// The secret of HS256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
    /// The public keys of the others: a JWK set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_file: Option<PathBuf>,
    /// How far its clock may be from ours, in seconds.
    #[serde(default = "default_leeway_s")]
    pub leeway_s: u64,
    /// The claim that names the user.
    #[serde(default = "default_user_claim")]
    pub user_claim: String,
    /// The claim that becomes the name of a user who signs in for the first time and has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_claim: Option<String>,
    /// Put in front of what stands there.
    #[serde(default)]
    pub user_prefix: String,
    /// Whether users are made at their first sign-in.
    #[serde(default = "default_create_users")]
    pub create_users: bool,
}

fn default_leeway_s() -> u64 {
    30
}

fn default_user_claim() -> String {
    "sub".to_owned()
}

fn default_create_users() -> bool {
    true
}

/// What an issuer may sign with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are those of RFC 7518 and RFC 8037")]
pub enum IssuerAlgorithm {
    HS256,
    RS256,
    ES256,
    EdDSA,
}

impl Default for AccountsConfig {
    fn default() -> Self {
        Self {
            sign_up: None,
            new_main: NewMain::default(),
            refresh_ttl_s: 2_592_000,
            password_memory_kib: 19_456,
            password_passes: 2,
            password_lanes: 1,
            password_threads: 2,
            password_queue: 64,
            user_attempts: 10,
            user_attempts_per_minute: 6,
            address_attempts: 60,
            address_attempts_per_minute: 60,
            issuers: vec![],
        }
    }
}

impl AccountsConfig {
    /// Numbers with their bounds.
    fn numbers(&self) -> [(&'static str, u64, u64, u64); 10] {
        [
            ("accounts.refresh_ttl_s", self.refresh_ttl_s, 60, 31_536_000),
            ("accounts.password_memory_kib", self.password_memory_kib, 7_168, 1_048_576),
            ("accounts.password_passes", self.password_passes, 1, 64),
            ("accounts.password_lanes", self.password_lanes, 1, 16),
            ("accounts.password_threads", self.password_threads, 1, 64),
            ("accounts.password_queue", self.password_queue, 0, 10_000),
            ("accounts.user_attempts", self.user_attempts, 1, 1_000_000),
            ("accounts.user_attempts_per_minute", self.user_attempts_per_minute, 1, 1_000_000),
            ("accounts.address_attempts", self.address_attempts, 1, 1_000_000),
            ("accounts.address_attempts_per_minute", self.address_attempts_per_minute, 1, 1_000_000),
        ]
    }

    /// Keys whose values the types leave open, and whether they are right.
    pub(super) fn checks(&self) -> impl Iterator<Item = (&'static str, bool)> {
        let mut names: Vec<&str> = self.issuers.iter().map(|issuer| &*issuer.issuer).collect();
        names.sort_unstable();
        names.dedup();
        let are_issuers = names.len() == self.issuers.len()
            && names.len() <= ISSUERS_MAX
            && self.issuers.iter().all(IssuerConfig::is_right);
        let numbers = self.numbers().map(|(key, value, min, max)| (key, (min..=max).contains(&value)));
        numbers.into_iter().chain([("accounts.issuers", are_issuers)])
    }

    /// What a key has to be, as the end of a sentence.
    pub(super) fn requirement(key: &str) -> Option<String> {
        let bounds = Self::default().numbers().into_iter().find(|(name, ..)| *name == key);
        if let Some((_, _, min, max)) = bounds {
            return Some(format!("a whole number from {min} to {max}"));
        }
        let sentence = match key {
            "accounts.sign_up" => "\"open\" or \"closed\"",
            "accounts.new_main" => "\"allow\" or \"confirm\"",
            key if key.starts_with("accounts.issuers") => {
                "a list of at most 16 tables with an issuer of its own, an audience, an algorithm (HS256 with a \
                 secret_file, or RS256, ES256 or EdDSA with a jwks_file) and a leeway_s of at most 60"
            }
            _ => return None,
        };
        Some(sentence.to_owned())
    }

    /// The issuers with their keys, as they are to be read.
    pub(crate) fn issuer_settings(&self) -> Vec<IssuerSettings> {
        self.issuers.iter().filter_map(IssuerConfig::settings).collect()
    }
}

impl IssuerConfig {
    fn is_right(&self) -> bool {
        let texts = [&self.issuer, &self.audience, &self.user_claim];
        let are_texts =
            texts.into_iter().chain(&self.name_claim).all(|text| (1..=TEXT_CHARS_MAX).contains(&text.chars().count()));
        are_texts && self.leeway_s <= LEEWAY_S_MAX && self.settings().is_some()
    }

    /// `None` if the key's file does not fit the algorithm.
    fn settings(&self) -> Option<IssuerSettings> {
        let key = match (self.algorithm, &self.secret_file, &self.jwks_file) {
            (IssuerAlgorithm::HS256, Some(file), None) => Key::Hs256(file.clone()),
            (IssuerAlgorithm::RS256, None, Some(file)) => Key::Rs256(file.clone()),
            (IssuerAlgorithm::ES256, None, Some(file)) => Key::Es256(file.clone()),
            (IssuerAlgorithm::EdDSA, None, Some(file)) => Key::EdDsa(file.clone()),
            _ => return None,
        };
        Some(IssuerSettings {
            issuer: self.issuer.clone(),
            audience: self.audience.clone(),
            key,
            leeway: Duration::from_secs(self.leeway_s),
            user_claim: self.user_claim.clone(),
            name_claim: self.name_claim.clone(),
            user_prefix: self.user_prefix.clone(),
            create_users: self.create_users,
        })
    }
}

impl Config {
    /// Whether whoever likes may become a user.
    pub fn sign_up_is_open(&self) -> bool {
        self.accounts.sign_up.map_or(self.dev, |sign_up| sign_up == SignUp::Open)
    }

    /// What a password costs.
    pub(crate) fn password_settings(&self) -> PasswordSettings {
        let accounts = &self.accounts;
        PasswordSettings {
            memory_kib: accounts.password_memory_kib as u32,
            passes: accounts.password_passes as u32,
            lanes: accounts.password_lanes as u32,
            at_once: accounts.password_threads as usize,
            waiting_max: accounts.password_queue as usize,
        }
    }

    /// What the gateway is told about accounts.
    pub(crate) fn gateway_accounts(&self) -> Gateway {
        let accounts = &self.accounts;
        let attempt = |burst: u64, per_minute: u64| Attempt { burst: burst as u32, per_minute: per_minute as u32 };
        Gateway {
            sign_up_open: self.sign_up_is_open(),
            approve_mains: accounts.new_main == NewMain::Confirm,
            token_ttl: self.token_ttl(),
            refresh_ttl: Duration::from_secs(accounts.refresh_ttl_s),
            passwords: self.password_settings(),
            per_user: attempt(accounts.user_attempts, accounts.user_attempts_per_minute),
            per_address: attempt(accounts.address_attempts, accounts.address_attempts_per_minute),
        }
    }
}
