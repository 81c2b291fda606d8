//! Accounts: users sign up, devices sign in, stay signed in, and sign out.

use crate::Engine;
use crate::api::store_failed;
use crate::devices::check_name;
use crate::people::is_name;
use lockstep_model::{
    Code, Device, DeviceChange, DeviceId, DeviceKind, RefreshHash, TokenGeneration, UnixMs, User, UserId, limits,
};
use lockstep_ports::{
    AccountRefusal, Committed, PasswordChange, PasswordHash, Proof, Rotated, Rotation, SignIn, StoreError,
};

/// What a device that signs in is to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeviceWanted {
    /// A device of the user that is there; a new one if absent.
    pub known: Option<DeviceId>,
    /// What people call it. A device that is there keeps its name if this is absent.
    pub name: Option<String>,
    /// What it runs on; likewise.
    pub platform: Option<String>,
    /// Whether a new one is to be filled by a main device that is there, instead of from the log.
    pub fill: bool,
}

/// Who wants to sign in. What stands here has been proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignInRequest {
    /// The user.
    pub user: UserId,
    /// By what right.
    pub proof: Proof,
    /// With which device.
    pub device: DeviceWanted,
    /// Which main device approved it, and that device's generation then.
    pub approved_by: Option<(DeviceId, TokenGeneration)>,
}

/// What became of a sign-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignInOutcome {
    /// The device is signed in.
    Done(Device),
    /// A main device of the user has to approve it first.
    NeedsApproval,
}

/// A refresh token as the engine sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refresh {
    /// What is stored of it.
    pub hash: RefreshHash,
    /// Until when it is good.
    pub expires_at: UnixMs,
}

impl Engine {
    /// Makes a user with a password, and perhaps a name.
    ///
    /// # Errors
    ///
    /// `bad_request` (a name that does not fit), `user_taken`, `try_again`.
    pub async fn sign_up(&self, user: UserId, name: Option<String>, password: PasswordHash) -> Result<User, Code> {
        if !name.as_deref().is_none_or(is_name) {
            return Err(Code::BadRequest);
        }
        self.0.ports.directory.sign_up(user, name, password, UnixMs::now()).await.map_err(failed)?.map_err(refused)
    }

    /// What a user's password is compared with.
    ///
    /// # Errors
    ///
    /// `try_again`.
    pub async fn password(&self, user: &UserId) -> Result<Option<PasswordHash>, Code> {
        self.0.ports.directory.password(user.clone()).await.map_err(failed)
    }

    /// Stores another hash of a user's password, unless the password is another one by now.
    ///
    /// # Errors
    ///
    /// `try_again`.
    pub async fn renew_password(&self, user: &UserId, old: PasswordHash, new: PasswordHash) -> Result<bool, Code> {
        self.0.ports.directory.renew_password(user.clone(), old, new).await.map_err(failed)
    }

    /// Gives a user another password, and signs out all devices but `keep`. `old` is what was proven; without it an
    /// operator wants it.
    ///
    /// # Errors
    ///
    /// `wrong_credentials` if the password was changed meanwhile, `no_such_user`, `try_again`.
    pub async fn set_password(
        &self,
        user: &UserId,
        old: Option<PasswordHash>,
        new: PasswordHash,
        keep: Option<DeviceId>,
    ) -> Result<(), Code> {
        let change = PasswordChange { user: user.clone(), old, new, keep, now: UnixMs::now() };
        let (engine, user) = (self.clone(), user.clone());
        self.to_the_end(async move {
            let ended = engine.0.ports.directory.set_password(change).await.map_err(failed)?.map_err(refused)?;
            engine.0.sign_ins.forget(&user);
            engine.end_sessions(ended).await;
            Ok(())
        })
        .await
    }

    /// Signs a device in as a main device. `alone`: only if no main device is there that could approve it. One that
    /// was approved needs it anew if the device that did so is gone or signed out. `refresh` makes
    /// the refresh token of the device with its generation.
    ///
    /// # Errors
    ///
    /// `bad_request` (a name that is empty or too long), `wrong_credentials`, `no_such_user` (one that an issuer names and
    /// that may not be made), `user_disabled`, `no_such_device`, `too_many_devices`, `try_again`.
    pub async fn sign_in(
        &self,
        request: &SignInRequest,
        alone: bool,
        refresh: impl FnOnce(DeviceId, TokenGeneration) -> Refresh + Send,
    ) -> Result<SignInOutcome, Code> {
        let SignInRequest { user, proof, device: wanted, approved_by } = request;
        let known = match wanted.known {
            None => None,
            Some(id) => Some(self.known_device(user, id).await?),
        };
        let (known_name, known_platform) =
            known.as_ref().map_or((None, None), |known| (Some(&known.name), known.platform.as_ref()));
        let name = wanted.name.as_ref().or(known_name).ok_or(Code::BadRequest)?.clone();
        let platform = wanted.platform.as_ref().or(known_platform).cloned();
        check_name(&name)?;
        platform.as_deref().map_or(Ok(()), check_platform)?;
        let device = known.as_ref().map_or_else(DeviceId::generate, |known| known.id);
        let again = known.as_ref().map(|known| known.token_generation);
        let generation = again.map_or_else(TokenGeneration::default, |now| TokenGeneration(now.0 + 1));
        let Refresh { hash, expires_at } = refresh(device, generation);
        let sign_in = SignIn {
            user: user.clone(),
            proof: with_a_fitting_name(proof),
            device,
            again,
            name,
            platform,
            unfilled: wanted.fill,
            alone,
            approved_by: *approved_by,
            refresh: hash,
            refresh_expires_at: expires_at,
            now: UnixMs::now(),
        };
        let (engine, is_again) = (self.clone(), again.is_some());
        self.to_the_end(async move { engine.carry_out(sign_in, is_again).await }).await
    }

    async fn carry_out(&self, sign_in: SignIn, is_again: bool) -> Result<SignInOutcome, Code> {
        let by_password = matches!(sign_in.proof, Proof::Password(_));
        let committed = match self.0.ports.directory.sign_in(sign_in).await.map_err(failed)? {
            Ok(committed) => committed,
            // Somebody else has just signed the device in or out.
            Err(AccountRefusal::OldGeneration) => return Err(Code::TryAgain),
            Err(AccountRefusal::NeedsApproval) => return Ok(SignInOutcome::NeedsApproval),
            Err(AccountRefusal::NoSuchUser) if by_password => return Err(Code::WrongCredentials),
            Err(refusal) => return Err(refused(refusal)),
        };
        if is_again {
            // Whoever is connected with the tokens of before.
            self.0.connections.close_device(&committed.value.user, committed.value.id, Code::TokenRevoked);
        }
        self.tell(&committed, DeviceChange::Added);
        Ok(SignInOutcome::Done(self.announce(committed).await))
    }

    async fn known_device(&self, user: &UserId, id: DeviceId) -> Result<Device, Code> {
        let device = self.device(id).await?;
        if device.user == *user && device.removed_at.is_none() { Ok(device) } else { Err(Code::NoSuchDevice) }
    }

    /// Takes a refresh token for the next one. One that was used before, and whose next one has been used, signs the
    /// device out: somebody else has it too.
    ///
    /// # Errors
    ///
    /// `token_revoked`, `device_removed`, `user_disabled`, `try_again`.
    pub async fn refresh(
        &self,
        device: DeviceId,
        token_generation: TokenGeneration,
        presented: RefreshHash,
        next: Refresh,
    ) -> Result<Device, Code> {
        let Refresh { hash: next, expires_at: next_expires_at } = next;
        let rotation = Rotation { device, token_generation, presented, next, next_expires_at, now: UnixMs::now() };
        let engine = self.clone();
        self.to_the_end(async move {
            match engine.0.ports.directory.rotate(rotation).await.map_err(failed)? {
                Ok(Rotated::Next(device)) => Ok(device),
                Ok(Rotated::Reused(device)) => {
                    engine.forget_sign_ins(&device);
                    engine.0.connections.close_device(&device.user, device.id, Code::TokenRevoked);
                    metrics::counter!("lockstep_refresh_tokens_reused_total").increment(1);
                    tracing::warn!("an old refresh token was used again: its device is signed out");
                    Err(Code::TokenRevoked)
                }
                Err(AccountRefusal::NoSuchDevice | AccountRefusal::DeviceRemoved) => Err(Code::DeviceRemoved),
                Err(refusal) => Err(refused(refusal)),
            }
        })
        .await
    }

    /// Ends a device's session. It is removed too, unless it is its user's last main device.
    ///
    /// # Errors
    ///
    /// `device_removed`, `try_again`.
    pub async fn sign_out(&self, device: DeviceId) -> Result<Device, Code> {
        let engine = self.clone();
        self.to_the_end(async move {
            let ended = engine.0.ports.directory.sign_out(device, UnixMs::now()).await.map_err(failed)?;
            let Committed { value, entries } = ended.map_err(|refusal| match refusal {
                // It was let in just before.
                AccountRefusal::NoSuchDevice | AccountRefusal::DeviceRemoved => Code::DeviceRemoved,
                refusal => refused(refusal),
            })?;
            engine.forget_sign_ins(&value);
            engine.end_sessions(Committed { value: vec![value.clone()], entries }).await;
            Ok(value)
        })
        .await
    }

    /// Signs out all devices of a user but `keep`.
    ///
    /// # Errors
    ///
    /// `try_again`.
    pub async fn sign_out_all(&self, user: &UserId, keep: Option<DeviceId>) -> Result<(), Code> {
        let (engine, user) = (self.clone(), user.clone());
        self.to_the_end(async move {
            let ended =
                engine.0.ports.directory.sign_out_all(user.clone(), keep, UnixMs::now()).await.map_err(failed)?;
            engine.0.sign_ins.forget(&user);
            engine.end_sessions(ended).await;
            Ok(())
        })
        .await
    }

    /// What a main device approved ends with it: it may have been in wrong hands.
    pub(crate) fn forget_sign_ins(&self, ended: &Device) {
        if ended.kind == DeviceKind::Main {
            self.0.sign_ins.forget(&ended.user);
        }
    }

    /// After the commit, so that whoever is let in from here on is refused by the store.
    async fn end_sessions(&self, ended: Committed<Vec<Device>>) {
        for device in &ended.value {
            let removed = device.removed_at.is_some();
            let code = if removed { Code::DeviceRemoved } else { Code::TokenRevoked };
            self.0.connections.close_device(&device.user, device.id, code);
            if removed {
                self.tell_of(device, DeviceChange::Removed);
                self.forget_filling(&device.user, device.id);
            }
        }
        self.announce(ended).await;
        // Nothing reaches the removed ones any more, so nobody waits for the transport's servers.
        self.0.teardowns.tell();
    }
}

/// What a device runs on is bounded like its name, and may be anything.
pub(crate) fn check_platform(platform: &str) -> Result<(), Code> {
    let fits = platform.chars().count() <= limits::NAME_CHARS_MAX;
    if fits && !platform.chars().any(char::is_control) { Ok(()) } else { Err(Code::BadRequest) }
}

/// What an issuer calls its user may be anything: what does not fit is no name here.
fn with_a_fitting_name(proof: &Proof) -> Proof {
    match proof.clone() {
        Proof::Issuer { create_user, name } => Proof::Issuer { create_user, name: name.filter(|name| is_name(name)) },
        by_password @ Proof::Password(_) => by_password,
    }
}

fn failed(error: StoreError) -> Code {
    store_failed(&error)
}

fn refused(refusal: AccountRefusal) -> Code {
    match refusal {
        AccountRefusal::Taken => Code::UserTaken,
        AccountRefusal::NoSuchUser => Code::NoSuchUser,
        AccountRefusal::PasswordChanged => Code::WrongCredentials,
        AccountRefusal::NoSuchDevice | AccountRefusal::DeviceRemoved => Code::NoSuchDevice,
        AccountRefusal::OldGeneration => Code::TokenRevoked,
        AccountRefusal::UserDisabled => Code::UserDisabled,
        // Whoever asks for an approval takes this for an answer of its own.
        AccountRefusal::NeedsApproval => Code::Forbidden,
        AccountRefusal::TooManyDevices => Code::TooManyDevices,
    }
}
