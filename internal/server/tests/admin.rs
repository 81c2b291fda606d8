//! The admin socket: what operators do there, and what they are told when it is wrong.

mod support;

use lockstep_server::admin::{AdminClient, AdminError, GroupRequest, TokenRequest};
use std::os::unix::fs::PermissionsExt;
use support::House;

fn request(user: &str, device_name: &str, kind: &str, ttl_s: Option<u64>) -> TokenRequest {
    TokenRequest { user: user.into(), device_name: device_name.into(), kind: kind.into(), ttl_s }
}

fn refusal<T>(result: Result<T, AdminError>) -> (String, String) {
    match result {
        Err(AdminError::Refused { code, detail }) => (code, detail),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it was not refused"),
    }
}

#[tokio::test]
async fn a_device_is_made_once_per_name_and_again_after_its_removal() {
    let house = House::start().await;
    let first = house.grant("ana", "phone", "main").await;
    let again = house.grant("ana", "phone", "sub").await;
    assert_eq!((&first.device, "main"), (&again.device, again.kind.as_str()), "it stays what it was");
    let other = house.grant("ben", "phone", "sub").await;
    assert_ne!(first.device, other.device);
    assert_eq!(house.ask(&first.token, "GET", "/v1/devices", None).await.status, 200);

    house.admin.remove_device(&first.device).await.unwrap();
    house.admin.remove_device(&first.device).await.unwrap();
    house.ask(&again.token, "GET", "/v1/devices", None).await.problem(401, "device_removed");
    assert!(house.admin.devices("ana").await.unwrap().devices.is_empty());
    let new = house.grant("ana", "phone", "sub").await;
    assert_ne!(first.device, new.device);
    let listed = house.admin.devices("ana").await.unwrap().devices;
    assert_eq!(listed.iter().map(|d| (&*d.id, &*d.kind)).collect::<Vec<_>>(), [(&*new.device, "sub")]);
    house.running.stop().await.unwrap();
}

#[tokio::test]
async fn two_requests_for_one_name_make_one_device() {
    let house = House::start().await;
    let grants = tokio::join!(house.grant("ana", "phone", "main"), house.grant("ana", "phone", "main"));
    assert_eq!(grants.0.device, grants.1.device);
    house.running.stop().await.unwrap();
}

#[tokio::test]
async fn a_token_ends_when_it_was_asked_to() {
    let house = House::start_with(|config| config.token_ttl_s = 100).await;
    let now = lockstep_model::UnixMs::now().get();
    let standard = house.grant("ana", "phone", "main").await.expires_at;
    let longer = house.admin.token(&request("ana", "phone", "main", Some(1_000))).await.unwrap().expires_at;
    assert!((now + 98_000..now + 120_000).contains(&standard), "{}", standard - now);
    assert!((now + 998_000..now + 1_020_000).contains(&longer), "{}", longer - now);
    house.running.stop().await.unwrap();
}

#[tokio::test]
async fn users_and_groups_are_made() {
    let house = House::start().await;
    let ana = house.admin.ensure_user("ana/\u{fc} ?").await.unwrap();
    assert_eq!(house.admin.ensure_user(&ana.user).await.unwrap().feed, ana.feed);
    assert!(house.admin.devices(&ana.user).await.unwrap().devices.is_empty());
    let ben = house.token("ben", "phone", "main").await;
    let team =
        GroupRequest { title: Some("Team".into()), members: vec!["ben".into(), ana.user.clone()], creator: None };
    let group = house.admin.create_group(&team).await.unwrap();
    let members = house.ask(&ben, "GET", &format!("/v1/conversations/{}/members", group.id), None).await.json();
    assert_eq!(members["members"].as_array().unwrap().len(), 2);
    house.running.stop().await.unwrap();
}

#[tokio::test]
async fn wrong_requests_are_refused_with_code_and_sentence() {
    let house = House::start().await;
    let tokens = [
        (request("", "phone", "main", None), "bad_request", "a user id must have 1 to 64 characters"),
        (request("service:x", "phone", "main", None), "bad_request", "must not begin with \"service:\""),
        (request("ana", "phone", "third", None), "bad_request", "\"kind\" must be \"main\" or \"sub\""),
        (request("ana", "", "main", None), "bad_request", ""),
        (request("ana", &"n".repeat(129), "main", None), "bad_request", ""),
        (request("ana", "phone", "main", Some(0)), "bad_request", "\"ttl_s\" must be from 1 to 2592000"),
        (request("ana", "phone", "main", Some(u64::MAX)), "bad_request", "\"ttl_s\" must be from 1 to 2592000"),
    ];
    for (request, code, words) in tokens {
        let (found, sentence) = refusal(house.admin.token(&request).await);
        assert!(found == code && sentence.contains(words), "{request:?}: {found} {sentence}");
    }
    let groups =
        [(vec![], "bad_request", "at least one user"), (vec!["nobody".to_owned()], "no_such_user", "no such user")];
    for (members, code, words) in groups {
        let (found, sentence) =
            refusal(house.admin.create_group(&GroupRequest { title: None, members, creator: None }).await);
        assert!(found == code && sentence.contains(words), "{found} {sentence}");
    }
    let devices = [
        ("x", "bad_request", "a device id must be a UUID"),
        ("0190c5a1-7d2e-7cc3-9f0e-3f1d5c1f0a11", "no_such_device", "no such device"),
        ("../tokens", "bad_request", "a device id must be a UUID"),
    ];
    for (id, code, words) in devices {
        let (found, sentence) = refusal(house.admin.remove_device(id).await);
        assert!(found == code && sentence.contains(words), "{id}: {found} {sentence}");
    }
    house.running.stop().await.unwrap();
}

#[tokio::test]
async fn only_its_owner_opens_the_folder_and_nobody_when_no_server_runs() {
    let house = House::start().await;
    let data = house.running.data().to_owned();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let modes = [mode(&data), mode(&data.join("admin.sock")), mode(&data.join("token-key.pem"))];
    assert_eq!(modes, [0o700, 0o600, 0o600]);
    house.running.stop().await.unwrap();
    let gone = AdminClient::new(&data).ensure_user("ana").await;
    assert!(matches!(gone, Err(AdminError::Connect { .. })), "{gone:?}");
}
