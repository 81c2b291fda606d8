//! The keys of an issuer, read from a file at the start, and again when it has changed.

use super::Key;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use lockstep_model::UnixMs;
use parking_lot::Mutex;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Largest file that is read. A key of a JWK set has some hundred bytes, with certificates some thousand.
const FILE_BYTES_MAX: u64 = 256 * 1024;
/// How often a file is looked at: not more often than this, and only when a token comes.
const LOOK_PERIOD: Duration = Duration::from_secs(2);
/// Most keys of one issuer.
const KEYS_MAX: usize = 64;
/// A secret has at least as many bits as the hash (RFC 7518, section 3.2).
const SECRET_BYTES_MIN: usize = 32;
/// RSA keys have 2048 bits or more (RFC 7518, section 3.3).
const RSA_BYTES_MIN: usize = 256;

/// Why an issuer's tokens cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// The file cannot be read.
    #[error("the issuer's key file {} cannot be read", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Others can read the secret, and so make tokens.
    #[error("others can read the issuer's secret {} (mode {mode:03o}): run `chmod 600 {0}`", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The secret is too short.
    #[error("the issuer's secret {} is too short: it needs at least {SECRET_BYTES_MIN} bytes", path.display())]
    ShortSecret {
        /// The file.
        path: PathBuf,
    },
    /// The file is no JWK set, or a too large one.
    #[error("{} is no JWK set of at most {KEYS_MAX} keys: save the issuer's jwks_uri there", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// There is no key of the algorithm.
    #[error("{} has no key for {algorithm}", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        algorithm: String,
    },
}

/// The keys of one algorithm, as they stand in a file that somebody may change.
pub(super) struct Keys {
    file: Key,
    held: Mutex<Held>,
}

type KeyList = Arc<[(Option<String>, DecodingKey)]>;

struct Held {
    /// Those of the last time that the file was right; none if it then held none of the algorithm.
    keys: KeyList,
    /// What the file held when it was looked at last, or why it could not be read.
    seen: Result<Vec<u8>, String>,
    looked_at: UnixMs,
}

impl Keys {
    pub(super) fn open(file: Key) -> Result<Self, IssuerError> {
        let content = read(&file)?;
        let keys = parse(&file, &content)?;
        Ok(Self { file, held: Mutex::new(Held { keys, seen: Ok(content), looked_at: UnixMs::new(0) }) })
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        self.file.algorithm()
    }

    /// The key that a token names; a token that names none is taken if there is only one. A secret has no name.
    pub(super) fn find(&self, id: Option<&str>, now: UnixMs) -> Option<DecodingKey> {
        self.look(now);
        let keys = Arc::clone(&self.held.lock().keys);
        let found = match (&keys[..], id) {
            ([(None, only)], _) | ([(_, only)], None) => Some(only),
            (_, None) => None,
            (keys, Some(id)) => keys.iter().find(|(known, _)| known.as_deref() == Some(id)).map(|(_, key)| key),
        };
        found.cloned()
    }

    /// Takes the file's keys if they are others than before, also if it has none any more. It is small and on a disk of this machine, so that it is read
    /// where it is asked for.
    fn look(&self, now: UnixMs) {
        {
            let mut held = self.held.lock();
            // Either way: a clock that was set back must not keep the file from being looked at.
            if now.get().abs_diff(held.looked_at.get()) < LOOK_PERIOD.as_millis() as u64 {
                return;
            }
            held.looked_at = now;
        }
        let (seen, keys) = match read(&self.file) {
            Ok(content) => {
                let keys = parse(&self.file, &content);
                (Ok(content), keys)
            }
            Err(error) => (Err(error.to_string()), Err(error)),
        };
        let mut held = self.held.lock();
        // What stays wrong in the same way is said once.
        if held.seen == seen {
            return;
        }
        held.seen = seen;
        let outcome = match keys {
            Ok(keys) => {
                held.keys = keys;
                tracing::info!(file = %self.file.path().display(), "an issuer's keys were read again");
                "taken"
            }
            // A whole set says what there is: whoever withdraws all keys must not find that they go on to open doors.
            Err(error @ IssuerError::NoKey { .. }) => {
                held.keys = KeyList::from([]);
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "an issuer's keys were withdrawn: its tokens are refused until there are others");
                "withdrawn"
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "an issuer's keys stay those of before");
                "refused"
            }
        };
        metrics::counter!("lockstep_issuer_key_files_total", "outcome" => outcome).increment(1);
    }
}

fn parse(file: &Key, content: &[u8]) -> Result<KeyList, IssuerError> {
    let (path, algorithm) = (file.path(), file.algorithm());
    match file {
        Key::Hs256(_) => Ok([(None, DecodingKey::from_secret(secret(path, content)?))].into()),
        Key::Rs256(_) | Key::Es256(_) | Key::EdDsa(_) => of_set(path, content, algorithm),
    }
}

fn secret<'a>(path: &Path, content: &'a [u8]) -> Result<&'a [u8], IssuerError> {
    let lines_end = content.iter().rev().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
    let secret = &content[..content.len() - lines_end];
    if secret.len() < SECRET_BYTES_MIN {
        return Err(IssuerError::ShortSecret { path: path.to_owned() });
    }
    Ok(secret)
}

/// The keys of a set that are for signatures by this algorithm. Others may stand beside them.
fn of_set(path: &Path, content: &[u8], algorithm: Algorithm) -> Result<KeyList, IssuerError> {
    let malformed = || IssuerError::Malformed { path: path.to_owned() };
    let set: JwkSet = serde_json::from_slice(content).map_err(|_| malformed())?;
    if set.keys.len() > KEYS_MAX {
        return Err(malformed());
    }
    let mut keys = Vec::new();
    for jwk in set.keys.iter().filter(|jwk| is_for(jwk, algorithm)) {
        keys.push((jwk.common.key_id.clone(), DecodingKey::from_jwk(jwk).map_err(|_| malformed())?));
    }
    if keys.is_empty() {
        return Err(IssuerError::NoKey { path: path.to_owned(), algorithm: format!("{algorithm:?}") });
    }
    Ok(keys.into())
}

fn is_for(jwk: &Jwk, algorithm: Algorithm) -> bool {
    let common = &jwk.common;
    let says_otherwise = common.key_algorithm.is_some_and(|said| said != algorithm.into());
    let is_for_signatures = common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature);
    let fits = match (&jwk.algorithm, algorithm) {
        (AlgorithmParameters::RSA(key), Algorithm::RS256) => {
            URL_SAFE_NO_PAD.decode(&key.n).is_ok_and(|n| n.len() >= RSA_BYTES_MIN)
        }
        (AlgorithmParameters::EllipticCurve(key), Algorithm::ES256) => key.curve == EllipticCurve::P256,
        (AlgorithmParameters::OctetKeyPair(key), Algorithm::EdDSA) => key.curve == EllipticCurve::Ed25519,
        _ => false,
    };
    fits && is_for_signatures && !says_otherwise
}

fn read(key: &Key) -> Result<Vec<u8>, IssuerError> {
    let path = key.path();
    let fail = |source| IssuerError::File { path: path.to_owned(), source };
    let file = File::open(path).map_err(fail)?;
    let mode = file.metadata().map_err(fail)?.permissions().mode() & 0o777;
    if matches!(key, Key::Hs256(_)) && mode & 0o077 != 0 {
        return Err(IssuerError::Exposed { path: path.to_owned(), mode });
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(fail)?;
    Ok(bytes)
}
