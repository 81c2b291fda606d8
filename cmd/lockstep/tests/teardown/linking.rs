//! A removal of the main device that approves a link.

use crate::scene::{Ben, Device, House};
use anyhow::{Context, Result, bail, ensure};
use lockstep_testkit::{Answer, Dice, ask};
use serde_json::{Value, json};
use tokio::sync::watch;

/// A device that asks to be linked.
pub(crate) struct Asking {
    link: String,
    code: String,
    secret: String,
}

impl Asking {
    pub(crate) async fn ask(house: &House) -> Result<Self> {
        let asked = ask(house.server.address(), "POST", "/v1/links", &[], Some(&json!({}))).await?;
        ensure!(asked.status == 201, "{asked:?}");
        let asked = asked.json();
        let text = |name: &str| asked[name].as_str().map(str::to_owned).context("a text");
        Ok(Self { link: text("link")?, code: text("code")?, secret: text("secret")? })
    }

    pub(crate) async fn approved(&self, house: &House, token: &str) -> Result<Answer> {
        let path = format!("/v1/links/{}/approve", self.link);
        house.ask("POST", &path, token, &[], Some(&json!({"code": self.code}))).await
    }

    pub(crate) async fn claimed(&self, house: &House) -> Result<Answer> {
        let path = format!("/v1/links/{}/claim", self.link);
        ask(house.server.address(), "POST", &path, &[], Some(&json!({"secret": self.secret}))).await
    }
}

/// A new device of the user whose main device has this token.
pub(crate) async fn linked(house: &House, token: &str) -> Result<Device> {
    let asking = Asking::ask(house).await?;
    let approved = asking.approved(house, token).await?;
    ensure!(approved.status == 204, "{approved:?}");
    device(&asking.claimed(house).await?.json())
}

fn device(session: &Value) -> Result<Device> {
    let id = session["device"].as_str().with_context(|| format!("a device in {session}"))?;
    let mut device = Device { id: id.to_owned(), ..Device::default() };
    device.take(session)?;
    Ok(device)
}

/// The device that approves is removed, alone or with all others but the phone, while the new one claims what it was promised.
pub(crate) async fn against_a_link(house: &House, ben: Ben, dice: &mut Dice) -> Result<()> {
    let asking = Asking::ask(house).await?;
    let (everywhere, enough) = (dice.below(2) == 0, dice.below(4));
    let (claims, mut claim) = watch::channel(0);
    let (out, is_out) = watch::channel(false);
    let approving = async {
        let approved = asking.approved(house, ben.device.token()).await?;
        let is_refused = approved.status == 401 && ["device_removed", "token_revoked"].contains(&&*approved.code());
        ensure!(approved.status == 204 || is_refused, "{approved:?}");
        anyhow::Ok(approved.status == 204)
    };
    let removing = async {
        claim.wait_for(|count| *count >= enough).await?;
        let answer = match everywhere {
            true => house.ask("DELETE", "/v1/sessions?keep=current", ben.phone.token(), &[], None).await?,
            false => house.remove(ben.phone.token(), &ben.device.id).await?,
        };
        ensure!(answer.status < 300, "{answer:?}");
        out.send_replace(true);
        anyhow::Ok(())
    };
    let claiming = async {
        loop {
            let is_late = *is_out.borrow();
            let answer = asking.claimed(house).await?;
            claims.send_modify(|count| *count += 1);
            match answer.status {
                201 => {
                    ensure!(!is_late, "it was claimed after the removal had returned: {answer:?}");
                    // So that the removal need not wait for more.
                    claims.send_replace(enough);
                    return device(&answer.json()).map(Some);
                }
                202 if is_late => return Ok(None),
                202 => {}
                404 => {
                    claims.send_replace(enough);
                    return Ok(None);
                }
                _ => bail!("{answer:?}"),
            }
        }
    };
    let (is_approved, (), new) = tokio::try_join!(approving, removing, claiming)?;
    let again = asking.claimed(house).await?;
    // Nobody's word is left, or nobody has said any.
    let is_waiting = !is_approved && again.status == 202;
    ensure!(is_waiting || again.code() == "no_such_link", "approved: {is_approved}, {again:?}");
    house.is_out(&ben.device).await?;
    match new {
        Some(new) if everywhere => house.is_out(&new).await,
        Some(new) => {
            let answer = house.ask("GET", "/v1/devices", new.token(), &[], None).await?;
            ensure!(answer.status == 200, "it was linked before: {answer:?}");
            Ok(())
        }
        None => Ok(()),
    }
}
