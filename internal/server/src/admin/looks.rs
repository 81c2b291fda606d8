//! The client's part for what stands under `/v1/admin`: the same on the admin socket and by REST.

use super::client::{AdminClient, AdminError};
use super::transport::percent_encoded;
use super::{
    ClosingInfo, ConnectionPage, ConsumerPage, ConversationInfo, DeviceInfo, DeviceList, MemberPage, RemovalInfo,
    RemovedDevices, Stats, TeardownPage, TopicInfo, UserPage, UserRow,
};
use hyper::Method;
use serde::de::DeserializeOwned;

impl AdminClient {
    /// How the server does.
    ///
    /// # Errors
    ///
    /// Each [`AdminError`]; so for the others.
    pub async fn stats(&self) -> Result<Stats, AdminError> {
        self.get("/v1/admin/stats").await
    }

    /// Users whose ids begin with a prefix, in their order. `cursor` is the `next` of the page before.
    ///
    /// # Errors
    ///
    /// See [`stats`](Self::stats).
    pub async fn users(&self, prefix: &str, cursor: Option<&str>, limit: u32) -> Result<UserPage, AdminError> {
        self.get(&paged("/v1/admin/users", &[("prefix", Some(prefix)), ("cursor", cursor)], limit)).await
    }

    /// One user.
    ///
    /// # Errors
    ///
    /// See [`stats`](Self::stats).
    pub async fn user(&self, user: &str) -> Result<UserRow, AdminError> {
        self.get(&format!("/v1/admin/users/{}", percent_encoded(user))).await
    }

    /// Disables a user: no device of the user is let in any more.
    ///
    /// # Errors
    ///
    /// See [`stats`](Self::stats).
    pub async fn disable_user(&self, user: &str) -> Result<UserRow, AdminError> {
        let path = format!("/v1/admin/users/{}/disable", percent_encoded(user));
        self.ask(Method::POST, &path, None::<&()>).await
    }

    /// Lets a user sign in again.
    ///
    /// # Errors
    ///
    /// See [`stats`](Self::stats).
    pub async fn enable_user(&self, user: &str) -> Result<UserRow, AdminError> {
        let path = format!("/v1/admin/users/{}/enable", percent_encoded(user));
        self.ask(Method::POST, &path, None::<&()>).await
    }

    /// The devices of a user.
    ///
    /// # Errors
    ///
    /// See [`stats`](Self::stats).
    pub async fn devices(&self, user: &str) -> Result<DeviceList, AdminError> {
        self.get(&format!("/v1/admin/users/{}/devices", percent_encoded(user))).await
    }

    /// One device, a removed one too.
    ///
    /// # Errors
    ///
    /// See [`stats`](Self::stats).
    pub async fn device(&self, device: &str) -> Result<DeviceInfo, AdminError> {
        self.get(&format!("/v1/admin/devices/{}", percent_encoded(device))).await
    }

    /// A page of the jobs of removals, newest first; `all`: those that are done too. `cursor` is the `next` of the page
    /// before.
    ///
    /// # Errors
    ///
    /// See [`token`](Self::token).
    pub async fn teardowns(&self, all: bool, cursor: Option<&str>) -> Result<TeardownPage, AdminError> {
        let cursor = cursor.map(|cursor| format!("&cursor={}", percent_encoded(cursor))).unwrap_or_default();
        self.ask(Method::GET, &format!("/v1/admin/teardowns?all={all}{cursor}"), None::<&()>).await
    }

    /// Removes all devices of a user, the last main device too.
    ///
    /// # Errors
    ///
    /// See [`token`](Self::token).
    pub async fn remove_all_devices(&self, user: &str) -> Result<RemovedDevices, AdminError> {
        let path = format!("/v1/admin/users/{}/devices", percent_encoded(user));
        self.ask(Method::DELETE, &path, None::<&()>).await
    }

    /// Removes a device. Removing it again changes nothing but deletes what was left of it.
    ///
    /// # Errors
    ///
    /// See [`stats`](Self::stats).
    pub async fn remove_device(&self, device: &str) -> Result<RemovalInfo, AdminError> {
        self.ask(Method::DELETE, &format!("/v1/admin/devices/{}", percent_encoded(device)), None::<&()>).await
    }

    /// Live connections, of one user or of all. `cursor` is the `next` of the page before.
    ///
    /// # Errors
    ///
    /// See [`stats`](Self::stats).
    pub async fn connections(
        &self,
        user: Option<&str>,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<ConnectionPage, AdminError> {
        self.get(&paged("/v1/admin/connections", &[("user", user), ("cursor", cursor)], limit)).await
    }

    /// Closes the connection of a device, which may come again.
    ///
    /// # Errors
    ///
    /// See [`stats`](Self::stats).
    pub async fn close_connection(&self, device: &str) -> Result<ClosingInfo, AdminError> {
        self.ask(Method::DELETE, &format!("/v1/admin/connections/{}", percent_encoded(device)), None::<&()>).await
    }

    /// One conversation.
    ///
    /// # Errors
    ///
    /// See [`stats`](Self::stats).
    pub async fn conversation(&self, conversation: &str) -> Result<ConversationInfo, AdminError> {
        self.get(&format!("/v1/admin/conversations/{}", percent_encoded(conversation))).await
    }

    /// The members of a conversation. `cursor` is the `next` of the page before.
    ///
    /// # Errors
    ///
    /// See [`stats`](Self::stats).
    pub async fn members(
        &self,
        conversation: &str,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<MemberPage, AdminError> {
        let path = format!("/v1/admin/conversations/{}/members", percent_encoded(conversation));
        self.get(&paged(&path, &[("cursor", cursor)], limit)).await
    }

    /// The devices that consume a conversation. `cursor` is the `next` of the page before.
    ///
    /// # Errors
    ///
    /// See [`stats`](Self::stats).
    pub async fn consumers(
        &self,
        conversation: &str,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<ConsumerPage, AdminError> {
        let path = format!("/v1/admin/conversations/{}/consumers", percent_encoded(conversation));
        self.get(&paged(&path, &[("cursor", cursor)], limit)).await
    }

    /// Where NSQ has the topic of a conversation.
    ///
    /// # Errors
    ///
    /// See [`stats`](Self::stats).
    pub async fn topic(&self, conversation: &str) -> Result<TopicInfo, AdminError> {
        self.get(&format!("/v1/admin/conversations/{}/topic", percent_encoded(conversation))).await
    }

    async fn get<A: DeserializeOwned>(&self, path: &str) -> Result<A, AdminError> {
        self.ask(Method::GET, path, None::<&()>).await
    }
}

fn paged(path: &str, parameters: &[(&str, Option<&str>)], limit: u32) -> String {
    let mut path = format!("{path}?limit={limit}");
    for (name, value) in parameters.iter().filter_map(|(name, value)| Some((name, (*value)?))) {
        path.push_str(&format!("&{name}={}", percent_encoded(value)));
    }
    path
}
