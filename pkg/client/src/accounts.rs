//! Signing in by REST (`docs/rest.md`).

use crate::RestError;
use crate::rest::{Rest, read};
use hyper::Method;
use lockstep_protocol::{DeviceId, SignInId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt;

/// A server's accounts.
#[derive(Debug, Clone)]
pub struct Accounts {
    rest: Rest,
}

/// What a device is signed in with.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct Session {
    /// The user.
    pub user: UserId,
    /// The device.
    pub device: DeviceId,
    /// For connections and requests: a secret.
    pub access_token: String,
    /// How long that is good, in milliseconds from now on.
    pub expires_in_ms: u64,
    /// For the next session: a secret, to be kept before it is used.
    pub refresh_token: String,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("user", &self.user).field("device", &self.device).finish_non_exhaustive()
    }
}

/// The device that signs in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SigningDevice {
    /// Which of the user's devices it is; absent for a new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<DeviceId>,
    /// What people call it. A new one must have a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it runs on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
}

/// What became of a sign-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignIn {
    /// The device is signed in.
    Done(Session),
    /// A main device of the user has to approve it: ask with [`Accounts::ask`] every two seconds or so.
    Waiting(Waiting),
}

/// A sign-in that waits for its approval.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct Waiting {
    /// Its id.
    pub id: SignInId,
    /// What only the one who waits knows.
    #[serde(default)]
    secret: String,
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Accounts {
    /// The accounts of the server at a URL such as `http://127.0.0.1:8080`.
    pub fn new(url: impl Into<String>) -> Self {
        Self { rest: Rest::new(url) }
    }

    /// Makes a user, if the server lets everybody sign up, with what people are to call the user, if that is said.
    ///
    /// # Errors
    ///
    /// [`RestError`] with `sign_up_closed`, `user_taken` or `bad_request`.
    pub async fn sign_up(&self, id: &UserId, password: &str, name: Option<&str>) -> Result<(), RestError> {
        let request = json!({"id": id, "password": password, "name": name});
        self.rest.exchange(Method::POST, "/v1/users", None, &request).await.map(drop)
    }

    /// Signs a device in as a main device of a user.
    ///
    /// # Errors
    ///
    /// [`RestError`] with `wrong_credentials`, `user_disabled`, `no_such_device`, `too_many_devices`, `bad_request`, or
    /// `rate_limited` after too many attempts.
    pub async fn sign_in(&self, user: &UserId, password: &str, device: &SigningDevice) -> Result<SignIn, RestError> {
        self.begin("/v1/sessions", &json!({"user": user, "password": password, "device": device})).await
    }

    /// Signs a device in as a main device of the user whom a token of an outside issuer names.
    ///
    /// # Errors
    ///
    /// [`RestError`] with `token_invalid`, `token_expired` or `no_such_user`, and as [`Accounts::sign_in`].
    pub async fn sign_in_external(&self, token: &str, device: &SigningDevice) -> Result<SignIn, RestError> {
        self.begin("/v1/sessions/external", &json!({"token": token, "device": device})).await
    }

    async fn begin(&self, path: &str, request: &Value) -> Result<SignIn, RestError> {
        match self.rest.exchange(Method::POST, path, None, request).await? {
            (202, body) => Ok(SignIn::Waiting(read(&body)?)),
            (_, body) => Ok(SignIn::Done(read(&body)?)),
        }
    }

    /// Asks what has become of a sign-in that waits.
    ///
    /// # Errors
    ///
    /// [`RestError`] with `no_such_sign_in`, `sign_in_refused`, `user_disabled` or `too_many_devices`.
    pub async fn ask(&self, waiting: &Waiting) -> Result<SignIn, RestError> {
        let path = format!("/v1/sign-ins/{}", waiting.id);
        match self.rest.exchange(Method::POST, &path, None, &json!({"secret": waiting.secret})).await? {
            (202, _) => Ok(SignIn::Waiting(waiting.clone())),
            (_, body) => Ok(SignIn::Done(read(&body)?)),
        }
    }

    /// Takes a refresh token for the next session. If the answer is lost, the same again does no harm.
    ///
    /// # Errors
    ///
    /// [`RestError`] with `token_invalid`, `token_expired`, `token_revoked` or `device_removed`: then the device has to sign
    /// in again; or with `user_disabled`: then it cannot, until an administrator enables the user.
    pub async fn refresh(&self, refresh_token: &str) -> Result<Session, RestError> {
        let request = json!({"refresh_token": refresh_token});
        read(&self.rest.exchange(Method::POST, "/v1/sessions/refresh", None, &request).await?.1)
    }

    /// Signs the device out that this access token is of.
    ///
    /// # Errors
    ///
    /// [`RestError`] with what any request is refused with.
    pub async fn sign_out(&self, access_token: &str) -> Result<(), RestError> {
        self.tell(Method::DELETE, "/v1/sessions/current", access_token, &Value::Null).await
    }

    /// Signs all devices of the user out, and turns away those that wait.
    ///
    /// # Errors
    ///
    /// [`RestError`] with `forbidden` to a sub device.
    pub async fn sign_out_everywhere(&self, access_token: &str) -> Result<(), RestError> {
        self.tell(Method::DELETE, "/v1/sessions", access_token, &Value::Null).await
    }

    /// Signs all other devices of the user out, and turns away those that wait.
    ///
    /// # Errors
    ///
    /// As [`Accounts::sign_out_everywhere`].
    pub async fn sign_out_elsewhere(&self, access_token: &str) -> Result<(), RestError> {
        self.tell(Method::DELETE, "/v1/sessions?keep=current", access_token, &Value::Null).await
    }

    /// Gives the user another password. All other devices are signed out.
    ///
    /// # Errors
    ///
    /// [`RestError`] with `wrong_credentials`, `bad_request`, or `rate_limited` after too many attempts.
    pub async fn change_password(&self, access_token: &str, old: &str, new: &str) -> Result<(), RestError> {
        self.tell(Method::PUT, "/v1/profile/password", access_token, &json!({"old": old, "new": new})).await
    }

    async fn tell(&self, method: Method, path: &str, access_token: &str, body: &Value) -> Result<(), RestError> {
        self.rest.exchange(method, path, Some(access_token), body).await.map(drop)
    }
}
