//! The admin socket: what operators do there, and what they are told when it is wrong.

mod support;

use lockstep_server::admin::{
    AdminClient, AdminError, GroupRequest, RemovalInfo, RotateRequest, ServiceTokenGrant, ServiceTokenRequest,
    TokenRequest,
};
use std::os::unix::fs::PermissionsExt;
use support::House;

fn request(user: &str, device_name: &str, kind: &str, ttl_s: Option<u64>) -> TokenRequest {
    TokenRequest { user: user.into(), device_name: device_name.into(), kind: kind.into(), unfilled: false, ttl_s }
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

    let (code, _) = refusal(house.admin.remove_device(&first.device).await);
    assert_eq!(code, "last_main");
    let pad = house.grant("ana", "pad", "main").await;
    for _ in 0..2 {
        assert_eq!(house.admin.remove_device(&first.device).await.unwrap(), RemovalInfo::Done);
    }
    house.ask(&again.token, "GET", "/v1/devices", None).await.problem(401, "device_removed");
    let new = house.grant("ana", "phone", "sub").await;
    assert_ne!(first.device, new.device);
    let listed = house.admin.devices("ana").await.unwrap().devices;
    let expected = [(pad.device, "main".to_owned()), (new.device, "sub".to_owned())];
    assert_eq!(listed.iter().map(|d| (d.id.to_string(), d.kind.to_string())).collect::<Vec<_>>(), expected);
    house.running.stop().await.unwrap();
}

#[tokio::test]
async fn removals_are_listed_with_what_became_of_them() {
    let house = House::start().await;
    house.grant("ana", "phone", "main").await;
    let mut removed = Vec::new();
    for name in ["pad", "desk"] {
        let grant = house.grant("ana", name, "sub").await;
        house.admin.remove_device(&grant.device).await.unwrap();
        removed.push(grant.device);
    }
    assert_eq!(house.admin.teardowns(false, None).await.unwrap().teardowns, []);
    let all = house.admin.teardowns(true, None).await.unwrap();
    let mut listed: Vec<_> = all.teardowns.iter().map(|one| one.device.to_string()).collect();
    listed.sort();
    removed.sort();
    assert_eq!((listed, all.next), (removed, None));
    for one in &all.teardowns {
        assert_eq!((one.user.as_str(), &*one.reason, one.attempts), ("ana", "administrator", 1));
        assert!(one.done_at >= Some(one.requested_at) && one.next_try_at.is_none() && one.pending.is_empty());
    }
    let newest = &all.teardowns[0];
    let after = format!("{}-{}", newest.requested_at, newest.device);
    let second = house.admin.teardowns(true, Some(&after)).await.unwrap();
    assert_eq!(second.teardowns, all.teardowns[1..]);
    for wrong in ["", "x", "1-x", "-1-0190c5a1-7d2e-7cc3-9f0e-3f1d5c1f0a11"] {
        let (code, sentence) = refusal(house.admin.teardowns(true, Some(wrong)).await);
        assert!(code == "bad_request" && sentence.contains("another page"), "{wrong}: {code} {sentence}");
    }
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

fn service(name: &str, scopes: &[&str], ttl_s: Option<u64>) -> ServiceTokenRequest {
    let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
    ServiceTokenRequest { name: name.into(), scopes, ttl_s }
}

#[tokio::test]
async fn services_are_made_changed_and_revoked() {
    let house = House::start().await;
    let conversation = "publish:b07e0b16-c06a-8310-ad6d-62bfa14d9be7";
    let day_ms = 24 * 60 * 60 * 1_000;
    let now = lockstep_model::UnixMs::now().get();
    let lasts = |grant: &ServiceTokenGrant, days: u64| {
        let left = grant.expires_at - now;
        assert!((days * day_ms - 2_000..days * day_ms + 60_000).contains(&left), "{left} ms");
    };
    let first = house.admin.service_token(&service("billing", &[conversation, "publish:*"], None)).await.unwrap();
    lasts(&first, 365);
    assert_eq!(
        (first.service.generation, &*first.service.scopes),
        (0, &[conversation, "publish:*"].map(String::from)[..])
    );
    // Again: other scopes, said twice, and the same generation.
    let again = service("billing", &["publish:*", "publish:*"], Some(86_400));
    let again = house.admin.service_token(&again).await.unwrap();
    lasts(&again, 1);
    assert_eq!((again.service.generation, &*again.service.scopes), (0, &["publish:*".to_owned()][..]));
    let rotated = house.admin.rotate_service("billing", &RotateRequest::default()).await.unwrap();
    assert_eq!(rotated.service.generation, 1);
    let grace = rotated.service.previous_until - now;
    assert!((day_ms..day_ms + 60_000).contains(&grace), "{grace} ms");
    house.admin.service_token(&service("alarm", &["publish:*"], None)).await.unwrap();
    for _ in 0..2 {
        assert!(house.admin.revoke_service("billing").await.unwrap().revoked_at.is_some());
    }
    let listed = house.admin.services().await.unwrap().services;
    let listed: Vec<_> = listed.iter().map(|one| (&*one.name, one.generation, one.revoked_at.is_some())).collect();
    assert_eq!(listed, [("alarm", 0, false), ("billing", 2, true)]);

    let long = RotateRequest { grace_s: Some(u64::MAX), ttl_s: None };
    let rotations = [
        (
            "billing",
            RotateRequest::default(),
            "bad_request",
            "has been revoked; a new token with its scopes brings it back",
        ),
        ("nobody", RotateRequest::default(), "no_such_service", "There is no such service."),
        ("Bill ing", RotateRequest::default(), "bad_request", "a service's name must have"),
        ("alarm", long, "bad_request", "\"grace_s\" must be from 0 to 2592000"),
    ];
    for (name, request, code, words) in rotations {
        let (found, sentence) = refusal(house.admin.rotate_service(name, &request).await);
        assert!(found == code && sentence.contains(words), "{name}: {found} {sentence}");
    }
    assert_eq!(refusal(house.admin.revoke_service("nobody").await).0, "no_such_service");
    let many: Vec<String> =
        (0..65).map(|_| format!("publish:{}", lockstep_model::ConversationId::generate())).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let tokens = [
        (service("Billing", &["publish:*"], None), "a service's name must have 1 to 48"),
        (service("nsq", &["publish:*"], None), "are the server's own"),
        (service("lockstep", &["publish:*"], None), "are the server's own"),
        (service("b", &[], None), "at least one scope"),
        (service("b", &["publish:ana"], None), "a scope must be publish:* or publish: and a conversation's id"),
        (service("b", &many, None), "each with 64 scopes"),
        (service("b", &["publish:*"], Some(0)), "\"ttl_s\" must be from 1 to 315360000"),
    ];
    for (request, words) in tokens {
        let (code, sentence) = refusal(house.admin.service_token(&request).await);
        assert!(code == "bad_request" && sentence.contains(words), "{request:?}: {code} {sentence}");
    }
    house.running.stop().await.unwrap();
}
