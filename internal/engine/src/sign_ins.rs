//! Sign-ins that wait for the word of a main device. They are kept in memory: a restart ends them, and they are asked for
//! again.

use crate::{Engine, SignInRequest};
use lockstep_model::{Code, Device, DeviceId, SignInId, TokenGeneration, UnixMs, UserId};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::Duration;

/// How long a sign-in waits.
const WAITING_MAX: Duration = Duration::from_secs(120);
/// Most that wait for one user, and in all. One more is refused until one of them ends.
const PER_USER_MAX: usize = 5;
const COUNT_MAX: usize = 2_000;

/// A sign-in as main devices see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingSignIn {
    /// Its id.
    pub id: SignInId,
    /// What the device is called, if that was said.
    pub name: Option<String>,
    /// What it runs on, if that was said.
    pub platform: Option<String>,
    /// When it was asked for.
    pub created_at: UnixMs,
    /// Until when it waits.
    pub expires_at: UnixMs,
}

/// What whoever waits hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Polled {
    /// Nobody has said anything yet.
    Waiting(UnixMs),
    /// It was approved: this may go on, once.
    Approved(SignInRequest),
}

#[derive(Debug, Default)]
pub(crate) struct SignIns(Mutex<HashMap<SignInId, Waiting>>);

#[derive(Debug)]
struct Waiting {
    request: SignInRequest,
    /// The SHA-256 of what only the one who waits knows.
    secret: [u8; 32],
    created_at: UnixMs,
    /// What was said about it, and who said so: a main device with its generation.
    said: Option<(bool, DeviceId, TokenGeneration)>,
    /// Whether it is being carried out: it can come back, unless it was forgotten meanwhile.
    taken: bool,
}

impl Waiting {
    fn expires_at(&self) -> UnixMs {
        UnixMs::new(self.created_at.get().saturating_add(WAITING_MAX.as_millis() as u64))
    }

    /// Whether this is the secret, compared in a time that does not depend on where they differ.
    fn is_secret(&self, secret: &[u8; 32]) -> bool {
        self.secret.iter().zip(secret).fold(0, |differs, (one, other)| differs | (one ^ other)) == 0
    }
}

impl SignIns {
    fn add(&self, request: SignInRequest, secret: [u8; 32], now: UnixMs) -> Result<(SignInId, UnixMs), Duration> {
        let mut all = self.0.lock();
        all.retain(|_, waiting| waiting.expires_at() > now);
        let of_user = all.values().filter(|waiting| waiting.request.user == request.user && !waiting.taken);
        let is_full = of_user.count() >= PER_USER_MAX;
        if is_full || all.len() >= COUNT_MAX {
            let blocking = all.values().filter(|waiting| !is_full || waiting.request.user == request.user);
            let first = blocking.map(Waiting::expires_at).min().unwrap_or(now);
            return Err(Duration::from_millis(first.get().saturating_sub(now.get())));
        }
        let (id, waiting) =
            (SignInId::generate(), Waiting { request, secret, created_at: now, said: None, taken: false });
        let expires_at = waiting.expires_at();
        all.insert(id, waiting);
        Ok((id, expires_at))
    }

    fn of(&self, user: &UserId, now: UnixMs) -> Vec<WaitingSignIn> {
        let all = self.0.lock();
        let of_user = all.iter().filter(|(_, waiting)| waiting.request.user == *user && waiting.said.is_none());
        let mut listed: Vec<WaitingSignIn> = of_user
            .filter(|(_, waiting)| waiting.expires_at() > now)
            .map(|(id, waiting)| WaitingSignIn {
                id: *id,
                name: waiting.request.device.name.clone(),
                platform: waiting.request.device.platform.clone(),
                created_at: waiting.created_at,
                expires_at: waiting.expires_at(),
            })
            .collect();
        listed.sort_unstable_by_key(|waiting| (waiting.created_at, waiting.id));
        listed
    }

    fn answer(&self, by: &Device, id: SignInId, approve: bool, now: UnixMs) -> Result<(), Code> {
        let mut all = self.0.lock();
        let waiting = all.get_mut(&id).filter(|waiting| waiting.request.user == by.user && waiting.expires_at() > now);
        let waiting = waiting.ok_or(Code::NoSuchSignIn)?;
        // The first word counts.
        let (said, ..) = *waiting.said.get_or_insert((approve, by.id, by.token_generation));
        if said == approve { Ok(()) } else { Err(Code::NoSuchSignIn) }
    }

    fn poll(&self, id: SignInId, secret: &[u8; 32], now: UnixMs) -> Result<Polled, Code> {
        let mut all = self.0.lock();
        let is_meant =
            |waiting: &&mut Waiting| waiting.is_secret(secret) && waiting.expires_at() > now && !waiting.taken;
        let waiting = all.get_mut(&id).filter(is_meant).ok_or(Code::NoSuchSignIn)?;
        match waiting.said {
            None => Ok(Polled::Waiting(waiting.expires_at())),
            Some((true, approver, generation)) => {
                waiting.taken = true;
                Ok(Polled::Approved(SignInRequest {
                    approved_by: Some((approver, generation)),
                    ..waiting.request.clone()
                }))
            }
            Some((false, ..)) => {
                all.remove(&id);
                Err(Code::SignInRefused)
            }
        }
    }

    /// Ends all sign-ins of a user, approved ones too.
    pub(crate) fn forget(&self, user: &UserId) {
        self.0.lock().retain(|_, waiting| waiting.request.user != *user);
    }

    /// Not one that was forgotten meanwhile.
    fn put_back(&self, id: SignInId, now: UnixMs) {
        if let Some(waiting) = self.0.lock().get_mut(&id) {
            (waiting.taken, waiting.created_at) = (false, now);
        }
    }
}

impl Engine {
    /// Lets a sign-in wait for a main device of its user. `secret` is the SHA-256 of what the one who waits shows later.
    ///
    /// # Errors
    ///
    /// How long to wait until there is room: so many wait already.
    pub fn await_approval(&self, request: SignInRequest, secret: [u8; 32]) -> Result<(SignInId, UnixMs), Duration> {
        self.0.sign_ins.add(request, secret, UnixMs::now())
    }

    /// The sign-ins of a user that wait for a word, oldest first.
    pub fn waiting_sign_ins(&self, user: &UserId) -> Vec<WaitingSignIn> {
        self.0.sign_ins.of(user, UnixMs::now())
    }

    /// A main device approves or refuses a sign-in of its user. The first word counts.
    ///
    /// # Errors
    ///
    /// `no_such_sign_in`.
    pub fn answer_sign_in(&self, by: &Device, id: SignInId, approve: bool) -> Result<(), Code> {
        self.0.sign_ins.answer(by, id, approve, UnixMs::now())
    }

    /// What has become of a sign-in. An approved one is given out once; see [`restore_sign_in`](Self::restore_sign_in).
    ///
    /// # Errors
    ///
    /// `no_such_sign_in`, `sign_in_refused`.
    pub fn poll_sign_in(&self, id: SignInId, secret: &[u8; 32]) -> Result<Polled, Code> {
        self.0.sign_ins.poll(id, secret, UnixMs::now())
    }

    /// Takes an approved sign-in back that could not be stored, so that it can be asked for again. One that ended meanwhile
    /// stays ended.
    pub fn restore_sign_in(&self, id: SignInId) {
        self.0.sign_ins.put_back(id, UnixMs::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DeviceWanted;
    use lockstep_model::DeviceKind;
    use lockstep_ports::Proof;

    const SECRET: [u8; 32] = [7; 32];

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    fn request(name: &str) -> SignInRequest {
        let device = DeviceWanted { name: Some("phone".into()), ..DeviceWanted::default() };
        let proof = Proof::Issuer { create_user: false, name: None };
        SignInRequest { user: user(name), proof, device, approved_by: None }
    }

    fn main_of(name: &str) -> Device {
        Device {
            id: DeviceId::generate(),
            user: user(name),
            name: "phone".into(),
            kind: DeviceKind::Main,
            token_generation: TokenGeneration(3),
            connection_generation: Default::default(),
            created_at: at(0),
            seen_at: None,
            removed_at: None,
            signed_out_at: None,
            platform: None,
            unfilled: false,
            public_key: None,
        }
    }

    fn at(seconds: u64) -> UnixMs {
        UnixMs::new(seconds * 1_000)
    }

    #[test]
    fn the_first_word_counts_and_is_heard_once() {
        for approve in [true, false] {
            let all = SignIns::default();
            let (id, until) = all.add(request("ana"), SECRET, at(0)).unwrap();
            assert_eq!((until, all.poll(id, &SECRET, at(1))), (at(120), Ok(Polled::Waiting(at(120)))));
            let [waiting] = &all.of(&user("ana"), at(1))[..] else { panic!("one waits") };
            assert_eq!((waiting.id, waiting.name.as_deref(), waiting.expires_at), (id, Some("phone"), at(120)));
            let phone = main_of("ana");
            assert_eq!(all.answer(&main_of("ben"), id, approve, at(1)), Err(Code::NoSuchSignIn));
            assert_eq!(all.answer(&phone, SignInId::generate(), approve, at(1)), Err(Code::NoSuchSignIn));
            assert_eq!(all.answer(&phone, id, approve, at(1)), Ok(()));
            assert_eq!(all.answer(&phone, id, approve, at(2)), Ok(()), "said again");
            assert_eq!(all.answer(&phone, id, !approve, at(2)), Err(Code::NoSuchSignIn));
            assert_eq!(all.of(&user("ana"), at(2)), []);
            let mut wrong = SECRET;
            wrong[31] ^= 1;
            assert_eq!(all.poll(id, &wrong, at(2)), Err(Code::NoSuchSignIn));
            let approved = SignInRequest { approved_by: Some((phone.id, TokenGeneration(3))), ..request("ana") };
            let expected = if approve { Ok(Polled::Approved(approved)) } else { Err(Code::SignInRefused) };
            assert_eq!(all.poll(id, &SECRET, at(2)), expected);
            assert_eq!(all.poll(id, &SECRET, at(2)), Err(Code::NoSuchSignIn));
        }
    }

    #[test]
    fn what_a_user_forgets_is_gone_whatever_was_said() {
        let all = SignIns::default();
        let (waiting, _) = all.add(request("ana"), SECRET, at(0)).unwrap();
        let (approved, _) = all.add(request("ana"), SECRET, at(0)).unwrap();
        let (bens, _) = all.add(request("ben"), SECRET, at(0)).unwrap();
        all.answer(&main_of("ana"), approved, true, at(1)).unwrap();
        all.forget(&user("ana"));
        assert_eq!(all.poll(waiting, &SECRET, at(1)), Err(Code::NoSuchSignIn));
        assert_eq!(all.poll(approved, &SECRET, at(1)), Err(Code::NoSuchSignIn));
        assert_eq!(all.poll(bens, &SECRET, at(1)), Ok(Polled::Waiting(at(120))));
    }

    #[test]
    fn what_is_taken_comes_back_unless_it_was_forgotten() {
        for forgotten in [false, true] {
            let all = SignIns::default();
            let (id, _) = all.add(request("ana"), SECRET, at(0)).unwrap();
            all.answer(&main_of("ana"), id, true, at(1)).unwrap();
            assert!(matches!(all.poll(id, &SECRET, at(1)), Ok(Polled::Approved(_))));
            if forgotten {
                all.forget(&user("ana"));
            }
            all.put_back(id, at(2));
            assert_eq!(all.poll(id, &SECRET, at(2)).is_err(), forgotten);
        }
    }

    #[test]
    fn nobody_waits_for_ever() {
        let all = SignIns::default();
        let (id, _) = all.add(request("ana"), SECRET, at(0)).unwrap();
        assert!(all.poll(id, &SECRET, UnixMs::new(119_999)).is_ok());
        assert_eq!(all.poll(id, &SECRET, at(120)), Err(Code::NoSuchSignIn));
        assert_eq!(all.answer(&main_of("ana"), id, true, at(120)), Err(Code::NoSuchSignIn));
        assert_eq!(all.of(&user("ana"), at(120)), []);
    }

    #[test]
    fn so_many_wait_at_once() {
        let all = SignIns::default();
        for second in 0..PER_USER_MAX as u64 {
            all.add(request("ana"), SECRET, at(second)).unwrap();
        }
        assert_eq!(all.add(request("ana"), SECRET, at(20)), Err(Duration::from_secs(100)));
        assert!(all.add(request("ben"), SECRET, at(20)).is_ok(), "others are not meant");
        assert!(all.add(request("ana"), SECRET, at(120)).is_ok(), "the first one has ended");
        let all = SignIns::default();
        for number in 0..COUNT_MAX {
            all.add(request(&format!("u{number}")), SECRET, at(0)).unwrap();
        }
        assert_eq!(all.add(request("ana"), SECRET, at(90)), Err(Duration::from_secs(30)));
    }
}
