//! The signing key: made on the first start, kept in the data folder, never readable by others.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The key's file in the data folder.
const FILE_NAME: &str = "token-key.pem";
/// Largest key file that is read: a PKCS#8 key in PEM has about 120 bytes.
const FILE_BYTES_MAX: u64 = 4 * 1024;
const PEM_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_END: &str = "-----END PRIVATE KEY-----";

/// Why there is no signing key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Others can read the key, and so make tokens.
    #[error(
        "others can read the signing key {} (mode {mode:03o}): run `chmod 600 {0}`, or delete it if someone may have \
         taken it; a new one is then made and all tokens become invalid",
        path.display()
    )]
    Exposed {
        /// The key file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file is there but holds no key.
    #[error(
        "{} is no Ed25519 key in PKCS#8 PEM: put the right file back, or delete it; a new one is then made and all \
         tokens become invalid",
        path.display()
    )]
    Malformed {
        /// The key file.
        path: PathBuf,
    },
    /// The file cannot be read or written.
    #[error("the signing key {} could not be {operation}", path.display())]
    File {
        /// What was tried.
        operation: &'static str,
        /// The key file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The system gave no randomness.
    #[error("no signing key could be made: the system gave no randomness")]
    Random,
}

/// A key pair, with its name.
pub(crate) struct SigningKey {
    /// The private key as PKCS#8.
    pub(crate) pkcs8: Vec<u8>,
    /// The 32 bytes of the public key.
    pub(crate) public: Vec<u8>,
    /// The key's name: its thumbprint (RFC 7638, with the members of RFC 8037 section 2).
    pub(crate) id: String,
}

impl SigningKey {
    /// Reads the key of a data folder, or makes one.
    pub(crate) fn open(folder: &Path) -> Result<Self, KeyError> {
        let path = folder.join(FILE_NAME);
        match File::open(&path) {
            Ok(file) => Self::read(file, path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::create(folder, path),
            Err(source) => Err(KeyError::File { operation: "opened", path, source }),
        }
    }

    fn read(file: File, path: PathBuf) -> Result<Self, KeyError> {
        let fail = |source| KeyError::File { operation: "read", path: path.clone(), source };
        let mode = file.metadata().map_err(fail)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Exposed { path, mode });
        }
        let mut pem = String::new();
        match file.take(FILE_BYTES_MAX).read_to_string(&mut pem) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(KeyError::Malformed { path }),
            Err(source) => return Err(fail(source)),
        }
        let key = from_pem(&pem).and_then(Self::from_pkcs8);
        key.ok_or(KeyError::Malformed { path })
    }

    fn create(folder: &Path, path: PathBuf) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::generate().map_err(|_| KeyError::Random)?;
        let pkcs8 = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair).map_err(|_| KeyError::Random)?;
        let pkcs8 = pkcs8.as_ref().to_vec();
        write_durably(folder, &path, &to_pem(&pkcs8)).map_err(|source| KeyError::File {
            operation: "written",
            path: path.clone(),
            source,
        })?;
        Self::from_pkcs8(pkcs8).ok_or(KeyError::Malformed { path })
    }

    pub(crate) fn from_pkcs8(pkcs8: Vec<u8>) -> Option<Self> {
        let pair = Ed25519KeyPair::from_pkcs8(&pkcs8).ok()?;
        let public = pair.public_key().as_ref().to_vec();
        let id = thumbprint(&public);
        Some(Self { pkcs8, public, id })
    }

    /// The public half as a JSON Web Key (RFC 8037, section 2).
    pub(crate) fn public_jwk(&self) -> serde_json::Value {
        serde_json::json!({
            "kty": "OKP",
            "crv": "Ed25519",
            "x": URL_SAFE_NO_PAD.encode(&self.public),
            "kid": self.id,
            "use": "sig",
            "alg": "EdDSA",
        })
    }
}

/// Writes the file whole or not at all, whenever the machine stops.
fn write_durably(folder: &Path, path: &Path, pem: &str) -> io::Result<()> {
    let unfinished = path.with_extension("pem.new");
    match std::fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    file.write_all(pem.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)?;
    File::open(folder)?.sync_all()
}

fn to_pem(pkcs8: &[u8]) -> String {
    let text = STANDARD.encode(pkcs8);
    // RFC 7468, section 2: lines of 64 characters. Base64 is ASCII, so any byte is a boundary.
    let lines: Vec<&str> = (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
    format!("{PEM_BEGIN}\n{}\n{PEM_END}\n", lines.join("\n"))
}

fn from_pem(pem: &str) -> Option<Vec<u8>> {
    let inner = pem.trim().strip_prefix(PEM_BEGIN)?.strip_suffix(PEM_END)?;
    let text: String = inner.split_ascii_whitespace().collect();
    STANDARD.decode(text).ok()
}

fn thumbprint(public: &[u8]) -> String {
    let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, URL_SAFE_NO_PAD.encode(public));
    URL_SAFE_NO_PAD.encode(digest(&SHA256, members.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_key_is_made_once_and_only_for_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token-key.pem.new"), "left by a crash").unwrap();
        let first = SigningKey::open(folder.path()).unwrap();
        let again = SigningKey::open(folder.path()).unwrap();
        assert_eq!((first.id.len(), &first.id), (43, &again.id));
        assert_eq!(mode(&folder.path().join(FILE_NAME)), 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_wrong_key_file_is_refused_with_a_fix() {
        let whole = {
            let folder = tempfile::tempdir().unwrap();
            SigningKey::open(folder.path()).unwrap();
            std::fs::read(folder.path().join(FILE_NAME)).unwrap()
        };
        let cases: Vec<(&str, Vec<u8>, u32, &str)> = vec![
            ("readable by the group", whole.clone(), 0o640, "chmod 600"),
            ("readable by all", whole.clone(), 0o604, "(mode 604)"),
            ("empty", vec![], 0o600, "no Ed25519 key"),
            ("cut short", whole[..60].to_vec(), 0o600, "no Ed25519 key"),
            ("not text", vec![0xff; 80], 0o600, "no Ed25519 key"),
            ("not base64", format!("{PEM_BEGIN}\n!\n{PEM_END}").into_bytes(), 0o600, "delete it"),
            ("not a key", format!("{PEM_BEGIN}\nAAAA\n{PEM_END}").into_bytes(), 0o600, "delete it"),
        ];
        for (what, content, mode, expected) in cases {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(FILE_NAME);
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            let sentence = SigningKey::open(folder.path()).map(|_| ()).unwrap_err().to_string();
            assert!(sentence.contains(expected), "{what}: {sentence}");
        }
    }

    #[test]
    fn a_key_that_cannot_be_reached_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        symlink(&path, &path).unwrap();
        assert!(matches!(SigningKey::open(folder.path()), Err(KeyError::File { operation: "opened", .. })));
    }

    #[test]
    fn the_thumbprint_is_that_of_rfc_8037_appendix_a_3() {
        let public = URL_SAFE_NO_PAD.decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
        assert_eq!(thumbprint(&public), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }
}
