//! Passwords: argon2id (RFC 9106), on a bounded number of threads.

use argon2::password_hash::{PasswordHash as Phc, PasswordHasher, PasswordVerifier, Salt, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use std::fmt;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A password as a person gave it. It is hashed as it is: two ways of writing the same letter in Unicode are two
/// passwords, so an application that types them should normalise them itself (RFC 8265).
#[derive(Clone)]
pub struct Password(String);

impl Password {
    /// Fewest and most characters. Fewer are guessed too soon, more are no password (NIST SP 800-63B asks for 8 and 64).
    pub const CHARS_MIN: usize = 8;
    /// See [`CHARS_MIN`](Self::CHARS_MIN).
    pub const CHARS_MAX: usize = 256;

    /// A password that somebody may choose; `None` if it is too short or too long.
    pub fn new(text: String) -> Option<Self> {
        (Self::CHARS_MIN..=Self::CHARS_MAX).contains(&text.chars().count()).then_some(Self(text))
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// What a hash costs, and how many are made at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordSettings {
    /// Memory of one hash in KiB. The defaults are those of OWASP's Password Storage Cheat Sheet.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
    /// Hashes that are computed at once, each on a thread of its own and with its memory.
    pub at_once: usize,
    /// Further ones that wait. One more is refused.
    pub waiting_max: usize,
}

impl Default for PasswordSettings {
    fn default() -> Self {
        Self { memory_kib: 19 * 1024, passes: 2, lanes: 1, at_once: 2, waiting_max: 64 }
    }
}

/// So many hashes wait already that the caller should come again later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many passwords are being checked")]
pub struct Busy;

/// Hashes and checks passwords.
pub struct Passwords {
    argon2: Argon2<'static>,
    threads: Arc<Semaphore>,
    /// One place for each that is computed or waits.
    places: Arc<Semaphore>,
    /// What a password is compared with where there is none: it costs as much as any, so that nobody learns from the time
    /// whether a user is there.
    nobodys: String,
}

impl Passwords {
    /// With these settings.
    ///
    /// # Panics
    ///
    /// If they are beyond what argon2 takes: at least 8 KiB for each lane, and one pass.
    pub fn new(settings: PasswordSettings) -> Self {
        let PasswordSettings { memory_kib, passes, lanes, at_once, waiting_max } = settings;
        let params = Params::new(memory_kib, passes, lanes, None).expect("the settings are within argon2's bounds");
        // No password has this hash but by a chance of one in 2^256.
        let hash = [salt(), salt()].concat();
        let (salt, hash) = (STANDARD_NO_PAD.encode(salt()), STANDARD_NO_PAD.encode(hash));
        Self {
            argon2: Argon2::new(Algorithm::Argon2id, Version::V0x13, params),
            threads: Arc::new(Semaphore::new(at_once)),
            places: Arc::new(Semaphore::new(at_once + waiting_max)),
            nobodys: format!("$argon2id$v=19$m={memory_kib},t={passes},p={lanes}${salt}${hash}"),
        }
    }

    /// The hash of a password, as a PHC string with its salt and costs.
    ///
    /// # Errors
    ///
    /// [`Busy`].
    pub async fn hash(&self, password: Password) -> Result<String, Busy> {
        let argon2 = self.argon2.clone();
        self.compute(move || {
            let salt = SaltString::encode_b64(&salt()).expect("16 bytes are a salt");
            let salt: Salt<'_> = salt.as_salt();
            argon2.hash_password(password.0.as_bytes(), salt).expect("length and costs are within bounds").to_string()
        })
        .await
    }

    /// Whether this is the password that has this hash. Without a hash it is not, which takes as long.
    ///
    /// # Errors
    ///
    /// [`Busy`].
    pub async fn verify(&self, password: Password, hash: Option<&str>) -> Result<bool, Busy> {
        let known = hash.is_some();
        let (argon2, hash) = (self.argon2.clone(), hash.unwrap_or(&self.nobodys).to_owned());
        self.compute(move || {
            // The costs are those that stand in the hash, not those of today.
            let right = Phc::new(&hash).is_ok_and(|hash| argon2.verify_password(password.0.as_bytes(), &hash).is_ok());
            right && known
        })
        .await
    }

    async fn compute<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Busy> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Busy)?;
        let thread = Arc::clone(&self.threads).acquire_owned().await.expect("nobody closes the semaphore");
        // What has begun runs to its end even if nobody waits for it any more; it holds its place until then.
        let permits: [OwnedSemaphorePermit; 2] = [place, thread];
        let computed = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(permits);
            result
        });
        Ok(computed.await.expect("hashing does not panic, and the runtime outlives its callers"))
    }
}

fn salt() -> [u8; 16] {
    let mut salt = [0; 16];
    aws_lc_rs::rand::fill(&mut salt).expect("the system gives randomness");
    salt
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cheap() -> PasswordSettings {
        PasswordSettings { memory_kib: 8, passes: 1, ..PasswordSettings::default() }
    }

    fn password(text: &str) -> Password {
        Password::new(text.to_owned()).unwrap()
    }

    #[test]
    fn which_passwords_may_be_chosen() {
        let cases = [
            ("seven77".to_owned(), false),
            ("eight888".to_owned(), true),
            ("ü".repeat(7), false),
            ("\u{1f984}".repeat(8), true),
            ("a\0b\nc d\t".to_owned(), true),
            ("x".repeat(256), true),
            ("x".repeat(257), false),
        ];
        for (text, expected) in cases {
            assert_eq!(Password::new(text.clone()).is_some(), expected, "{text:?}");
        }
        assert_eq!(format!("{:?}", password("secret-word")), "Password(..)");
    }

    #[tokio::test]
    async fn a_hash_knows_its_password_and_its_costs() {
        let passwords = Passwords::new(cheap());
        let hash = passwords.hash(password("correct horse")).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{hash}");
        let other = passwords.hash(password("correct horse")).await.unwrap();
        assert_ne!(hash, other, "each has a salt of its own");
        // One who has other settings now still knows it.
        let passwords = Passwords::new(PasswordSettings { memory_kib: 16, passes: 2, ..cheap() });
        let check = async |text: &str, hash: Option<&str>| passwords.verify(password(text), hash).await.unwrap();
        assert!(check("correct horse", Some(&hash)).await && check("correct horse", Some(&other)).await);
        assert!(!check("correct house", Some(&hash)).await);
        assert!(!check("correct horse", None).await);
        for broken in
            ["", "$argon2id$", "$2b$12$abcdefghijklmnopqrstuu", &hash[..hash.len() - 4], &hash.replace("m=8", "m=1")]
        {
            assert!(!check("correct horse", Some(broken)).await, "{broken}");
        }
    }

    #[tokio::test]
    async fn nobodys_password_costs_what_any_costs() {
        let settings = PasswordSettings { memory_kib: 64, passes: 3, lanes: 2, ..cheap() };
        let passwords = Passwords::new(settings);
        let nobodys = Phc::new(&passwords.nobodys).unwrap();
        let real = passwords.hash(password("correct horse")).await.unwrap();
        let real = Phc::new(&real).unwrap();
        assert_eq!((nobodys.algorithm, nobodys.version), (real.algorithm, real.version));
        assert_eq!(Params::try_from(&nobodys).unwrap(), Params::try_from(&real).unwrap());
        assert_eq!(nobodys.hash.unwrap().len(), real.hash.unwrap().len());
        assert_eq!(nobodys.salt.unwrap().as_str().len(), real.salt.unwrap().as_str().len());
    }

    #[tokio::test]
    async fn one_more_than_may_wait_is_refused() {
        let settings = PasswordSettings { at_once: 1, waiting_max: 1, ..cheap() };
        let passwords = Arc::new(Passwords::new(settings));
        // Somebody computes, and takes the time that this test wants.
        let (go, gate) = std::sync::mpsc::channel::<()>();
        let (begun, computing) = tokio::sync::oneshot::channel();
        let holder = tokio::spawn({
            let passwords = Arc::clone(&passwords);
            async move {
                let work = move || {
                    let _ = begun.send(());
                    gate.recv().unwrap();
                };
                passwords.compute(work).await
            }
        });
        computing.await.unwrap();
        let mut waiting = Box::pin(passwords.verify(password("correct horse"), None));
        assert!(poll_once(waiting.as_mut()).is_none());
        let mut too_many = Box::pin(passwords.verify(password("correct horse"), None));
        assert_eq!(poll_once(too_many.as_mut()), Some(Err(Busy)));
        let mut too_many = Box::pin(passwords.hash(password("correct horse")));
        assert_eq!(poll_once(too_many.as_mut()), Some(Err(Busy)));
        // A caller that goes away gives its place back.
        drop(waiting);
        let mut waiting = Box::pin(passwords.verify(password("correct horse"), None));
        assert!(poll_once(waiting.as_mut()).is_none());
        go.send(()).unwrap();
        assert_eq!((holder.await.unwrap(), waiting.await), (Ok(()), Ok(false)));
        assert!(passwords.hash(password("correct horse")).await.is_ok());
    }

    /// Polls a future once.
    fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
        match future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        }
    }
}
