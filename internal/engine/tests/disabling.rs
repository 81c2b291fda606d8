//! Users whom an administrator disables: nobody of theirs is in afterwards, whatever was under way.

mod common;

use common::{House, asked_and_given_up, claim, soon, user};
use lockstep_engine::{DeviceWanted, EngineConfig, PasswordHash, Proof, Refresh, SignInOutcome, SignInRequest};
use lockstep_model::{Code, Device, DeviceId, RefreshHash, UnixMs};
use tokio::task::JoinSet;

fn refresh() -> Refresh {
    let (one, other) = (DeviceId::generate(), DeviceId::generate());
    let hash = RefreshHash([*one.as_bytes(), *other.as_bytes()].concat().try_into().unwrap());
    Refresh { hash, expires_at: UnixMs::new(UnixMs::now().get() + 60_000) }
}

fn request(device: DeviceWanted) -> SignInRequest {
    SignInRequest { user: user("ana"), proof: Proof::Password(PasswordHash("one".into())), device, approved_by: None }
}

fn wanted(known: Option<DeviceId>) -> DeviceWanted {
    DeviceWanted { known, name: Some("phone".into()), platform: None, fill: false }
}

async fn sign_in(house: &House, device: DeviceWanted, token: Refresh) -> Result<Device, Code> {
    match house.engine.sign_in(&request(device), false, |_, _| token).await? {
        SignInOutcome::Done(device) => Ok(device),
        SignInOutcome::NeedsApproval => panic!("nobody has to approve"),
    }
}

/// Connects, refreshes, signs in and asks again and again while the user is disabled: what won is out, what lost is refused.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_slips_in_while_a_user_is_disabled() {
    for _ in 0..20 {
        let house = House::new().await;
        house.engine.sign_up(user("ana"), None, PasswordHash("one".into())).await.unwrap();
        let token = refresh();
        let phone = sign_in(&house, wanted(None), token).await.unwrap();
        let live = house.engine.connect(claim(&phone), None, Default::default(), Default::default()).await.unwrap();
        let mut racing = JoinSet::new();
        for _ in 0..4 {
            let (engine, phone) = (house.engine.clone(), phone.clone());
            racing.spawn(async move {
                let come = engine.connect(claim(&phone), None, Default::default(), Default::default()).await;
                come.map(|admission| admission.connection)
            });
        }
        let (engine, device, generation) = (house.engine.clone(), phone.id, phone.token_generation);
        let rotated = tokio::spawn(async move { engine.refresh(device, generation, token.hash, refresh()).await });
        let engine = house.engine.clone();
        let signed_in =
            tokio::spawn(async move { engine.sign_in(&request(wanted(None)), false, |_, _| refresh()).await });
        house.engine.disable_user(&user("ana")).await.unwrap();

        let mut connections = vec![live.connection];
        while let Some(come) = racing.join_next().await {
            match come.unwrap() {
                Ok(connection) => connections.push(connection),
                Err(code) => assert!([Code::UserDisabled, Code::Replaced].contains(&code), "{code}"),
            }
        }
        assert!(connections.iter().all(|connection| connection.mailbox.is_closed()), "somebody is still in");
        if let Err(code) = rotated.await.unwrap() {
            assert_eq!(code, Code::UserDisabled);
        }
        match signed_in.await.unwrap() {
            Ok(SignInOutcome::Done(device)) => {
                assert_eq!(house.engine.authorize(&claim(&device)).await.map(drop), Err(Code::UserDisabled));
            }
            Ok(SignInOutcome::NeedsApproval) => panic!("nobody has to approve"),
            Err(code) => assert_eq!(code, Code::UserDisabled),
        }
        assert_eq!(house.try_connect(&phone).await.map(drop).unwrap_err(), Code::UserDisabled);
    }
}

#[tokio::test]
async fn a_disabled_user_is_out_until_a_new_sign_in_after_enabling() {
    let house = House::new().await;
    house.engine.sign_up(user("ana"), None, PasswordHash("one".into())).await.unwrap();
    let token = refresh();
    let phone = sign_in(&house, wanted(None), token).await.unwrap();
    let mut live = house.resume(&phone).await;
    let ben = house.device("ben").await;
    let bens = house.resume(&ben).await;
    let waiting = house.engine.await_approval(request(wanted(None)), [7; 32]).unwrap().0;
    // The caller hangs up: it is carried out all the same.
    asked_and_given_up(house.engine.disable_user(&user("ana")));
    assert_eq!(live.closed().await, Code::UserDisabled);
    house.engine.disable_user(&user("ana")).await.unwrap();
    assert!(!bens.connection.mailbox.is_closed());
    assert_eq!(house.engine.poll_sign_in(waiting, &[7; 32]), Err(Code::NoSuchSignIn));
    assert_eq!(sign_in(&house, wanted(Some(phone.id)), refresh()).await, Err(Code::UserDisabled));
    assert_eq!(house.engine.authorize(&claim(&phone)).await, Err(Code::UserDisabled));
    let rotated = house.engine.refresh(phone.id, phone.token_generation, token.hash, refresh()).await;
    assert_eq!(rotated, Err(Code::UserDisabled));

    house.engine.enable_user(&user("ana")).await.unwrap();
    assert_eq!(house.try_connect(&phone).await.map(drop).unwrap_err(), Code::TokenRevoked);
    let rotated = house.engine.refresh(phone.id, phone.token_generation, token.hash, refresh()).await;
    assert_eq!(rotated, Err(Code::TokenRevoked));
    let back = sign_in(&house, wanted(Some(phone.id)), refresh()).await.unwrap();
    assert_eq!(back.id, phone.id);
    house.resume(&back).await;
    let nobody = user("nobody");
    assert_eq!(house.engine.disable_user(&nobody).await, Err(Code::NoSuchUser));
    assert_eq!(house.engine.enable_user(&nobody).await, Err(Code::NoSuchUser));
}

#[tokio::test]
async fn connections_are_listed_in_order_and_closed() {
    let house = House::with(EngineConfig::default()).await;
    let mut devices = Vec::new();
    let mut lives = Vec::new();
    for name in ["ana", "ana", "ben", "cleo", "dan"] {
        let device = house.device(name).await;
        lives.push(house.connect(&device).await);
        devices.push(device);
    }
    devices.sort_by_key(|device| device.id);
    let list = |of: Option<&str>, after: Option<DeviceId>, count| {
        let of = of.map(user);
        let listed = house.engine.connections_after(of.as_ref(), after, count);
        listed.iter().map(|connection| connection.device).collect::<Vec<_>>()
    };
    let all: Vec<DeviceId> = devices.iter().map(|device| device.id).collect();
    assert_eq!(list(None, None, 10), all);
    assert_eq!(list(None, None, 2), all[..2]);
    assert_eq!(list(None, Some(all[1]), 2), all[2..4]);
    assert_eq!(list(None, Some(all[4]), 2), []);
    assert_eq!(list(Some("ana"), None, 10).len(), 2);
    assert_eq!((house.engine.load().connections, house.engine.load().users_online), (5, 4));
    let ben = lives[2].connection.device;
    assert_eq!(house.engine.close_connection(ben).await, Ok(true));
    assert_eq!(lives[2].closed().await, Code::Disconnected);
    let stranger = house.device("eve").await.id;
    assert_eq!(house.engine.close_connection(stranger).await, Ok(false));
    assert_eq!(house.engine.close_connection(DeviceId::generate()).await, Err(Code::NoSuchDevice));
    // It may come again.
    let device = house.engine.device(ben).await.unwrap();
    soon(house.try_connect(&device)).await.unwrap();
}
