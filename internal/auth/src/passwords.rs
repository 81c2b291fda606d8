//! Passwords: argon2id (RFC 9106), on a bounded number of threads.

use argon2::password_hash::{PasswordHash as Phc, PasswordHasher, PasswordVerifier, Salt, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
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
        Self {
            argon2: Argon2::new(Algorithm::Argon2id, Version::V0x13, params),
            threads: Arc::new(Semaphore::new(at_once)),
            places: Arc::new(Semaphore::new(at_once + waiting_max)),
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

    /// The hash of a password that has been proven by this one, with the costs of today and the salt of before; `None` if
    /// its costs are those of today.
    ///
    /// # Errors
    ///
    /// [`Busy`].
    pub async fn renew(&self, password: Password, hash: &str) -> Result<Option<String>, Busy> {
        let read = |hash: &Phc<'_>| Some((costs(hash)?, SaltString::from_b64(hash.salt?.as_str()).ok()?));
        let Some((before, salt)) = Phc::new(hash).ok().as_ref().and_then(read) else { return Ok(None) };
        let of = |costs: &Params| (costs.m_cost(), costs.t_cost(), costs.p_cost());
        if of(&before) == of(self.argon2.params()) {
            return Ok(None);
        }
        let argon2 = self.argon2.clone();
        let hashed = move || argon2.hash_password(password.0.as_bytes(), &salt).ok().map(|hash| hash.to_string());
        self.compute(hashed).await
    }

    /// Whether this is the password that has this hash. Without a hash it is not, which takes as long, so that nobody
    /// learns from the time whether a user is there. A hash that cost less than one does today is made up for where the
    /// password is wrong.
    ///
    /// # Errors
    ///
    /// [`Busy`].
    pub async fn verify(&self, password: Password, hash: Option<&str>) -> Result<bool, Busy> {
        let (argon2, hash) = (self.argon2.clone(), hash.map(str::to_owned));
        self.compute(move || {
            let hash = hash.as_deref().and_then(|hash| Phc::new(hash).ok());
            // The costs are those that stand in the hash, not those of today.
            let verified = |hash: &Phc<'_>| argon2.verify_password(password.0.as_bytes(), hash).is_ok();
            let right = hash.as_ref().is_some_and(verified);
            if !right && let Some(rest) = rest(argon2.params(), hash.as_ref().and_then(costs).as_ref()) {
                let spending = Argon2::new(Algorithm::Argon2id, Version::V0x13, rest);
                let spent = spending.hash_password_into(password.0.as_bytes(), &[0; 16], &mut [0; 32]);
                spent.expect("length and costs are within bounds");
            }
            right
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

/// What a hash has cost, if it is one of argon2.
fn costs(hash: &Phc<'_>) -> Option<Params> {
    Algorithm::try_from(hash.algorithm).ok()?;
    Params::try_from(hash).ok()
}

/// What is still to be spent so that it comes to the whole: a hash's time goes by its memory times its passes. `None` if that
/// is nothing, or less than a hash can cost.
fn rest(whole: &Params, spent: Option<&Params>) -> Option<Params> {
    let work = |costs: &Params| u64::from(costs.m_cost()) * u64::from(costs.t_cost());
    let left = work(whole).saturating_sub(spent.map_or(0, work));
    let memory_kib = u32::try_from(left / u64::from(whole.t_cost())).ok()?;
    Params::new(memory_kib, whole.t_cost(), whole.p_cost(), None).ok()
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

    #[test]
    fn a_wrong_password_costs_what_any_costs() {
        let costs = |memory_kib, passes, lanes| Params::new(memory_kib, passes, lanes, None).unwrap();
        let whole = costs(64, 3, 2);
        let cases = [
            (None, Some(costs(64, 3, 2))),
            (Some(costs(64, 3, 2)), None),
            (Some(costs(64, 2, 1)), Some(costs(21, 3, 2))),
            (Some(costs(16, 3, 1)), Some(costs(48, 3, 2))),
            (Some(costs(96, 1, 1)), Some(costs(32, 3, 2))),
            // Nearly the same, and more: there is nothing to make up for.
            (Some(costs(60, 3, 2)), None),
            (Some(costs(128, 3, 1)), None),
        ];
        for (spent, expected) in cases {
            let found = rest(&whole, spent.as_ref());
            assert_eq!(found, expected, "{spent:?}");
        }
    }

    #[tokio::test]
    async fn a_hash_is_renewed_when_the_costs_are_others() {
        let passwords = Passwords::new(cheap());
        let hash = passwords.hash(password("correct horse")).await.unwrap();
        assert_eq!(passwords.renew(password("correct horse"), &hash).await, Ok(None));
        for settings in [
            PasswordSettings { memory_kib: 16, ..cheap() },
            PasswordSettings { passes: 2, ..cheap() },
            PasswordSettings { memory_kib: 16, lanes: 2, ..cheap() },
        ] {
            let PasswordSettings { memory_kib, passes, lanes, .. } = settings;
            let passwords = Passwords::new(settings);
            let renewed = passwords.renew(password("correct horse"), &hash).await.unwrap().unwrap();
            assert!(renewed.starts_with(&format!("$argon2id$v=19$m={memory_kib},t={passes},p={lanes}$")), "{renewed}");
            let salt = |hash: &str| Phc::new(hash).unwrap().salt.unwrap().as_str().to_owned();
            assert_eq!(salt(&renewed), salt(&hash), "it stays the same password");
            assert_eq!(passwords.renew(password("correct horse"), &renewed).await, Ok(None));
            assert_eq!(passwords.verify(password("correct horse"), Some(&renewed)).await, Ok(true));
            assert_eq!(passwords.verify(password("correct house"), Some(&renewed)).await, Ok(false));
        }
        assert_eq!(passwords.renew(password("correct horse"), "$2b$12$abcdefghijklmnopqrstuu").await, Ok(None));
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
