//! Sessions of devices and their connections: whoever is signed out is out at once.

mod common;

use common::watched::WatchedBroker;
use common::{House, asked_and_given_up, claim, soon, user};
use lockstep_engine::{DeviceWanted, EngineConfig, PasswordHash, Proof, Refresh, SignInOutcome, SignInRequest};
use lockstep_model::{Code, Device, DeviceId, FeedChange, Notice, RefreshHash, TokenGeneration, UnixMs};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use tokio::sync::mpsc;

fn hash(text: &str) -> PasswordHash {
    PasswordHash(text.to_owned())
}

fn token() -> Refresh {
    static NEXT: AtomicU8 = AtomicU8::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    Refresh { hash: RefreshHash([number; 32]), expires_at: UnixMs::new(UnixMs::now().get() + 60_000) }
}

fn request(name: &str, device: DeviceWanted) -> SignInRequest {
    SignInRequest { user: user(name), proof: Proof::Password(hash("one")), device, approved_by: None }
}

fn named(name: &str) -> DeviceWanted {
    DeviceWanted { name: Some(name.into()), ..DeviceWanted::default() }
}

fn known(device: &Device) -> DeviceWanted {
    DeviceWanted { known: Some(device.id), ..DeviceWanted::default() }
}

/// Signs in, and says which generation the refresh token was made for.
async fn sign_in(house: &House, request: &SignInRequest, refresh: Refresh) -> Result<(Device, TokenGeneration), Code> {
    let mut made_for = None;
    let make = |_: DeviceId, generation| {
        made_for = Some(generation);
        refresh
    };
    match house.engine.sign_in(request, false, make).await? {
        SignInOutcome::Done(device) => Ok((device, made_for.expect("a token was made"))),
        SignInOutcome::NeedsApproval => panic!("nobody has to approve"),
    }
}

/// A house with ana, who has a password, and a device of hers with its refresh token.
async fn set() -> (House, Device, Refresh) {
    let house = House::new().await;
    house.engine.sign_up(user("ana"), None, hash("one")).await.unwrap();
    let refresh = token();
    let (device, generation) = sign_in(&house, &request("ana", named("phone")), refresh).await.unwrap();
    assert_eq!(generation, device.token_generation);
    (house, device, refresh)
}

#[tokio::test]
async fn a_reused_refresh_token_closes_the_devices_connection() {
    let (house, device, first) = set().await;
    let mut live = house.resume(&device).await;
    let refresh = async |presented: Refresh, next: Refresh| {
        house.engine.refresh(device.id, device.token_generation, presented.hash, next).await.map(|device| device.id)
    };
    let (second, third) = (token(), token());
    assert_eq!(refresh(first, second).await, Ok(device.id));
    assert_eq!(refresh(second, third).await, Ok(device.id));
    assert_eq!(refresh(first, token()).await, Err(Code::TokenRevoked));
    assert_eq!(live.closed().await, Code::TokenRevoked);
    assert_eq!(refresh(third, token()).await, Err(Code::TokenRevoked));
    assert_eq!(house.try_connect(&device).await.map(drop).unwrap_err(), Code::TokenRevoked);
    assert_eq!(house.engine.authorize(&claim(&device)).await, Err(Code::TokenRevoked));
    let gone = house.engine.refresh(DeviceId::generate(), device.token_generation, first.hash, token()).await;
    assert_eq!(gone, Err(Code::DeviceRemoved));
}

#[tokio::test]
async fn signing_in_again_ends_what_was_before() {
    let (house, device, _) = set().await;
    let mut live = house.resume(&device).await;
    let (again, generation) = sign_in(&house, &request("ana", known(&device)), token()).await.unwrap();
    assert_eq!((again.id, again.name.as_str(), again.token_generation), (device.id, "phone", generation));
    assert_eq!(live.closed().await, Code::TokenRevoked);
    assert_eq!(house.try_connect(&device).await.map(drop).unwrap_err(), Code::TokenRevoked);
    house.connect(&again).await;
    // Another user's device is nobody's business, and a removed one is gone.
    let bens = house.device("ben").await;
    for wrong in [known(&bens), DeviceWanted { known: Some(DeviceId::generate()), ..DeviceWanted::default() }] {
        let refused = sign_in(&house, &request("ana", wrong), token()).await;
        assert_eq!(refused.unwrap_err(), Code::NoSuchDevice);
    }
    house.device("ana").await;
    house.engine.remove_device(device.id).await.unwrap();
    assert_eq!(sign_in(&house, &request("ana", known(&device)), token()).await.unwrap_err(), Code::NoSuchDevice);
}

#[tokio::test]
async fn signing_out_everywhere_closes_all_connections_but_one() {
    let (house, first, _) = set().await;
    let (second, _) = sign_in(&house, &request("ana", named("pad")), token()).await.unwrap();
    let (mut first_live, mut second_live) = (house.resume(&first).await, house.resume(&second).await);
    house.engine.sign_out_all(&user("ana"), Some(second.id)).await.unwrap();
    assert_eq!(first_live.closed().await, Code::DeviceRemoved);
    // The one that stays hears of it by its feed.
    let heard = second_live
        .find(|notice| match notice {
            Notice::Entry(entry) => FeedChange::of(entry) == Some(FeedChange::DeviceRemoved { device: first.id }),
            _ => false,
        })
        .await;
    assert!(matches!(heard, Notice::Entry(_)));
    let out = house.engine.sign_out(second.id).await.unwrap();
    assert_eq!((out.removed_at, out.signed_out_at.is_some()), (None, true), "it is the last main device");
    assert_eq!(second_live.closed().await, Code::TokenRevoked);
}

#[tokio::test]
async fn another_password_signs_out_everywhere_else() {
    let (house, first, _) = set().await;
    let (second, _) = sign_in(&house, &request("ana", named("pad")), token()).await.unwrap();
    let (mut first_live, mut second_live) = (house.resume(&first).await, house.resume(&second).await);
    let change = async |old: &str, new: &str| {
        house.engine.set_password(&user("ana"), Some(hash(old)), hash(new), Some(first.id)).await
    };
    assert_eq!(change("wrong", "two").await, Err(Code::WrongCredentials));
    assert_eq!(change("one", "two").await, Ok(()));
    assert_eq!(change("one", "three").await, Err(Code::WrongCredentials), "of two changes at once one is too late");
    assert_eq!(second_live.closed().await, Code::DeviceRemoved);
    // Whoever had proven the old password just before is too late.
    let late = sign_in(&house, &request("ana", named("late")), token()).await;
    assert_eq!(late.unwrap_err(), Code::WrongCredentials);
    house.engine.authorize(&claim(&first)).await.unwrap();
    first_live.find(|notice| matches!(notice, Notice::Entry(_))).await;
}

#[tokio::test]
async fn what_is_no_name_names_nobody() {
    let house = House::new().await;
    let password = || hash("one");
    for wrong in ["", "a\nb", &"x".repeat(129)] {
        let refused = house.engine.sign_up(user("ana"), Some(wrong.to_owned()), password()).await;
        assert_eq!(refused.unwrap_err(), Code::BadRequest, "{wrong:?}");
        // By an issuer's word users sign in all the same.
        let proof = Proof::Issuer { create_user: true, name: Some(wrong.to_owned()) };
        let name = format!("by-issuer-{}", wrong.len());
        let by_issuer = SignInRequest { proof, ..request(&name, named("phone")) };
        sign_in(&house, &by_issuer, token()).await.unwrap();
        assert_eq!(house.engine.profile(&user(&name)).await.unwrap().name, None, "{wrong:?}");
    }
    house.engine.sign_up(user("ana"), Some("x".repeat(128)), password()).await.unwrap();
}

#[tokio::test]
async fn who_cannot_sign_in() {
    let (house, device, _) = set().await;
    let nobody = sign_in(&house, &request("nobody", named("x")), token()).await;
    assert_eq!(nobody.unwrap_err(), Code::WrongCredentials, "as for a wrong password");
    let by_issuer =
        |create_user| SignInRequest { proof: Proof::Issuer { create_user, name: None }, ..request("new", named("x")) };
    assert_eq!(sign_in(&house, &by_issuer(false), token()).await.unwrap_err(), Code::NoSuchUser);
    assert!(sign_in(&house, &by_issuer(true), token()).await.is_ok());
    assert_eq!(house.engine.sign_up(user("ana"), None, hash("two")).await.unwrap_err(), Code::UserTaken);
    for wrong in ["", "a\nb", &"x".repeat(129)] {
        assert_eq!(sign_in(&house, &request("ana", named(wrong)), token()).await.unwrap_err(), Code::BadRequest);
    }
    assert_eq!(sign_in(&house, &request("ana", DeviceWanted::default()), token()).await.unwrap_err(), Code::BadRequest);
    for _ in 1..Device::PER_USER_MAX {
        sign_in(&house, &request("ana", named("x")), token()).await.unwrap();
    }
    assert_eq!(sign_in(&house, &request("ana", named("x")), token()).await.unwrap_err(), Code::TooManyDevices);
    let (device, _) = sign_in(&house, &request("ana", known(&device)), token()).await.expect("no further device");
    house.connect(&device).await;
    // With an approval of its own only.
    let alone = house.engine.sign_in(&request("ana", known(&device)), true, |_, _| token()).await;
    assert_eq!(alone, Ok(SignInOutcome::NeedsApproval));
}

#[tokio::test]
async fn a_device_that_goes_leaves_no_channels() {
    let (deleted, mut heard) = mpsc::unbounded_channel();
    let watched = WatchedBroker { deleted: Some(deleted), ..WatchedBroker::default() };
    let house = House::made(EngineConfig::default(), |ports, _| ports.broker = Arc::new(watched)).await;
    let mut mains = Vec::new();
    for _ in 0..4 {
        mains.push(house.device("ana").await.id);
    }
    house.engine.sign_out(mains[0]).await.unwrap();
    assert_eq!(soon(heard.recv()).await, Some(mains[0]));
    house.engine.sign_out_all(&user("ana"), Some(mains[3])).await.unwrap();
    let mut gone = [soon(heard.recv()).await.unwrap(), soon(heard.recv()).await.unwrap()];
    gone.sort();
    assert_eq!(gone, [mains[1], mains[2]]);
    // One that stays known keeps what it has.
    house.engine.sign_out(mains[3]).await.unwrap();
    assert!(heard.try_recv().is_err());
}

/// Who hangs up in the middle of a request has given the command all the same: its commit ends tokens, so the connections
/// that they opened must not go on.
#[tokio::test]
async fn commands_are_carried_out_to_the_end_when_their_callers_are_gone() {
    let house = House::new().await;
    let (phone, laptop, tablet) = (house.device("ana").await, house.device("ana").await, house.device("ana").await);
    let (mut laptop_live, mut tablet_live) = (house.connect(&laptop).await, house.connect(&tablet).await);
    let ana = user("ana");
    asked_and_given_up(house.engine.remove_device(laptop.id));
    assert_eq!(laptop_live.closed().await, Code::DeviceRemoved);
    asked_and_given_up(house.engine.sign_out_all(&ana, Some(phone.id)));
    assert_eq!(tablet_live.closed().await, Code::DeviceRemoved);
}
