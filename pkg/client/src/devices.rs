//! A user's devices by REST (`docs/rest.md`): which there are, and which may come.

use crate::requests::Requests;
use crate::{RestError, TokenSource};
use hyper::Method;
use lockstep_protocol::{DeviceId, SignInId, UnixMs};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// The devices of a user. Another one comes by [`crate::Accounts::sign_in`], which gives one that is there another name
/// too.
#[derive(Clone)]
pub struct Devices {
    requests: Requests,
}

/// One of a user's devices.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Device {
    /// Its id.
    pub id: DeviceId,
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub kind: DeviceKind,
    /// What it runs on.
    #[serde(default)]
    pub platform: Option<String>,
    /// Whether it has tokens that may be good.
    pub signed_in: bool,
    /// Since when there is the device.
    pub created_at: UnixMs,
    /// When it last was there.
    #[serde(default)]
    pub seen_at: Option<UnixMs>,
    /// Whether it is the one that asks.
    pub current: bool,
}

/// What a device may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    /// All that its user may.
    Main,
    /// All but what concerns other devices.
    Sub,
    /// Something that this version does not know.
    #[serde(other)]
    Other,
}

/// What became of a device that was removed. It is out in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Removal {
    /// Nothing of it is left.
    Done,
    /// There may be channels of it on servers that are away.
    Fenced {
        /// On so many.
        pending: u64,
    },
    /// Something that this version does not know.
    #[serde(other)]
    Other,
}

/// A device that waits to be let in.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct WaitingDevice {
    /// The id of its sign-in.
    pub id: SignInId,
    /// What it calls itself.
    #[serde(default)]
    pub name: Option<String>,
    /// What it says that it runs on.
    #[serde(default)]
    pub platform: Option<String>,
    /// When it came.
    pub created_at: UnixMs,
    /// When it is turned away if nobody answers.
    pub expires_at: UnixMs,
}

impl Devices {
    /// The devices at the server at a URL such as `http://127.0.0.1:8080`, of the user that the tokens are of.
    pub fn new(url: impl Into<String>, tokens: Arc<dyn TokenSource>) -> Self {
        Self { requests: Requests::new(url, tokens) }
    }

    /// All that have not been removed, oldest first.
    ///
    /// # Errors
    ///
    /// [`RestError`] with what any request is refused with.
    pub async fn list(&self) -> Result<Vec<Device>, RestError> {
        self.requests.part("/v1/devices", "devices").await
    }

    /// Gives a device another name, and returns it. A main device names any, a sub device only itself.
    ///
    /// # Errors
    ///
    /// [`RestError`] with `bad_request`, `no_such_device`, or `forbidden` to a sub device.
    pub async fn rename(&self, device: DeviceId, name: &str) -> Result<Device, RestError> {
        self.requests.ask(Method::PATCH, &format!("/v1/devices/{device}"), &json!({"name": name})).await
    }

    /// Removes a device: its tokens and its connection end. A main device removes any, as long as a main device stays, a sub
    /// device only itself; one that was removed stays so.
    ///
    /// # Errors
    ///
    /// [`RestError`] with `no_such_device`, `last_main`, or `forbidden` to a sub device.
    pub async fn remove(&self, device: DeviceId) -> Result<Removal, RestError> {
        self.requests.ask(Method::DELETE, &format!("/v1/devices/{device}"), &Value::Null).await
    }

    /// The devices that wait to be let in, oldest first: at most five.
    ///
    /// # Errors
    ///
    /// [`RestError`] with `forbidden` to a sub device.
    pub async fn waiting(&self) -> Result<Vec<WaitingDevice>, RestError> {
        self.requests.part("/v1/sign-ins", "sign_ins").await
    }

    /// Lets a device in that waits.
    ///
    /// # Errors
    ///
    /// [`RestError`] with `no_such_sign_in`, or `forbidden` to a sub device.
    pub async fn approve(&self, sign_in: SignInId) -> Result<(), RestError> {
        self.requests.tell(Method::POST, &format!("/v1/sign-ins/{sign_in}/approve"), &Value::Null).await
    }

    /// Turns a device away that waits.
    ///
    /// # Errors
    ///
    /// As [`Devices::approve`].
    pub async fn refuse(&self, sign_in: SignInId) -> Result<(), RestError> {
        self.requests.tell(Method::POST, &format!("/v1/sign-ins/{sign_in}/refuse"), &Value::Null).await
    }
}
