//! Commands about people and devices: profiles, contacts, blocks, what others hear of the user.

use super::Chat;
use super::input::Personal;
use anyhow::Result;
use lockstep_client::protocol::UserId;
use lockstep_client::{Profile, ProfileChange, ReceiptSettings, ReceiptSettingsChange, Removal};

impl Chat {
    /// Does what a line about people or devices says.
    pub(super) async fn personal(&mut self, line: Personal) -> Result<()> {
        match line {
            Personal::Profile(user) => self.profile(user).await,
            Personal::Name(name) => self.rename(name).await,
            Personal::Contacts => self.contacts().await,
            Personal::Contact { user, name } => self.put_contact(&user, name.as_deref()).await,
            Personal::NoContact(user) => self.remove_contact(&user).await,
            Personal::Blocks => self.blocks().await,
            Personal::Block { user, on } => self.block(&user, on).await,
            Personal::Receipts(told) => self.receipts(told).await,
            Personal::Devices => self.devices().await,
            Personal::Drop(end) => self.drop_device(&end).await,
        }
    }

    async fn profile(&mut self, user: Option<UserId>) -> Result<()> {
        let asked = match &user {
            Some(user) => self.people.profile(user).await,
            None => self.people.own_profile().await,
        };
        let Some(profile) = self.heard(asked)? else { return Ok(()) };
        self.show(&profile)
    }

    async fn rename(&mut self, name: Option<String>) -> Result<()> {
        let change = ProfileChange { name: Some(name), ..ProfileChange::default() };
        let Some(profile) = self.heard(self.people.change_profile(&change).await)? else { return Ok(()) };
        self.show(&profile)
    }

    fn show(&self, profile: &Profile) -> Result<()> {
        let name = profile.name.as_deref().unwrap_or("without a name");
        let avatar = profile.avatar.as_ref().map(|avatar| format!(", {avatar}")).unwrap_or_default();
        self.screen.note(&format!("{}: {name}{avatar}", profile.id))
    }

    async fn contacts(&mut self) -> Result<()> {
        let Some(contacts) = self.heard(self.people.contacts().await)? else { return Ok(()) };
        for contact in &contacts {
            let name = contact.name.as_ref().map(|name| format!(": {name}")).unwrap_or_default();
            self.screen.note(&format!("{}{name}", contact.user))?;
        }
        self.screen.note(&format!("{} contacts", contacts.len()))
    }

    async fn put_contact(&mut self, user: &UserId, name: Option<&str>) -> Result<()> {
        let Some(_) = self.heard(self.people.put_contact(user, name).await)? else { return Ok(()) };
        self.screen.note(&format!("{user} is a contact"))
    }

    async fn remove_contact(&mut self, user: &UserId) -> Result<()> {
        let Some(()) = self.heard(self.people.remove_contact(user).await)? else { return Ok(()) };
        self.screen.note(&format!("{user} is no contact"))
    }

    async fn blocks(&mut self) -> Result<()> {
        let Some(blocks) = self.heard(self.people.blocks().await)? else { return Ok(()) };
        for block in &blocks {
            self.screen.note(block.user.as_str())?;
        }
        self.screen.note(&format!("{} blocked", blocks.len()))
    }

    async fn block(&mut self, user: &UserId, on: bool) -> Result<()> {
        let done = if on { self.people.block(user).await.map(drop) } else { self.people.unblock(user).await };
        let Some(()) = self.heard(done)? else { return Ok(()) };
        self.screen.note(&format!("{user} is {}", if on { "blocked" } else { "not blocked" }))
    }

    /// Shows what others hear of the user's devices, or says whether they do.
    async fn receipts(&mut self, told: Option<bool>) -> Result<()> {
        let asked = match told {
            None => self.people.receipt_settings().await,
            Some(on) => {
                let change = ReceiptSettingsChange { delivered: Some(on), read: Some(on) };
                self.people.change_receipt_settings(change).await
            }
        };
        let Some(ReceiptSettings { delivered, read }) = self.heard(asked)? else { return Ok(()) };
        let word = |told| if told { "told" } else { "not told" };
        self.screen.note(&format!("what has arrived is {}, what is read is {}", word(delivered), word(read)))
    }

    async fn devices(&mut self) -> Result<()> {
        let Some(devices) = self.heard(self.devices.list().await)? else { return Ok(()) };
        for device in devices {
            let here = if device.current { ", this one" } else { "" };
            let out = if device.signed_in { "" } else { ", signed out" };
            let kind = format!("{:?}", device.kind).to_lowercase();
            self.screen.note(&format!("{} {} ({kind}){here}{out}", device.id, device.name))?;
        }
        Ok(())
    }

    /// Removes the device whose id ends so.
    async fn drop_device(&mut self, end: &str) -> Result<()> {
        let Some(devices) = self.heard(self.devices.list().await)? else { return Ok(()) };
        let fitting: Vec<_> = devices.iter().filter(|it| it.id.to_string().ends_with(end)).collect();
        let [one] = fitting[..] else {
            return self.screen.note(&format!("{} devices end so; /devices shows them", fitting.len()));
        };
        let Some(removal) = self.heard(self.devices.remove(one.id).await)? else { return Ok(()) };
        let rest = match removal {
            Removal::Fenced { pending } => format!("; {pending} servers may have channels of it"),
            Removal::Done | Removal::Other => String::new(),
        };
        self.screen.note(&format!("{} is removed{rest}", one.name))
    }
}
