//! Every wrong kind of token, beside the right one.

use super::*;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

const NOW: UnixMs = UnixMs::ZERO;

fn at(seconds: u64) -> UnixMs {
    UnixMs::new(seconds * 1_000)
}

fn key() -> SigningKey {
    SigningKey::open(tempfile::tempdir().unwrap().path()).unwrap()
}

fn claim(user: &str) -> Claim {
    Claim { user: user.parse().unwrap(), device: DeviceId::generate(), token_generation: TokenGeneration(3) }
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// Signs whatever header and claims a forger chooses with a key.
fn signed(key: &SigningKey, header: &Value, claims: &Value) -> String {
    let message = format!("{}.{}", part(header), part(claims));
    let signature =
        jsonwebtoken::crypto::sign(message.as_bytes(), &EncodingKey::from_ed_der(&key.pkcs8), Algorithm::EdDSA)
            .unwrap();
    format!("{message}.{signature}")
}

#[test]
fn a_token_says_what_it_was_made_for() {
    let tokens = Tokens::with_key(&key());
    for user in ["ana", "\u{1f984}\"\\/", &"\u{10ffff}".repeat(64)] {
        let claim = claim(user);
        let issued = tokens.issue(&claim, Duration::from_secs(900), at(100));
        assert_eq!(issued.expires_at, at(1_000));
        assert!(issued.token.len() <= TOKEN_BYTES_MAX / 2, "{}", issued.token.len());
        assert_eq!(tokens.verify(&issued.token, at(999)), Ok(claim));
        assert_eq!(tokens.verify(&issued.token, at(1_000)), Err(Code::TokenExpired));
    }
}

/// Only `exp` is compared, and without leeway: it is the clock that set it.
#[test]
fn a_clock_that_is_set_counts_from_then_on() {
    let tokens = Tokens::with_key(&key());
    let issued = tokens.issue(&claim("ana"), Duration::from_secs(900), at(10_000)).token;
    let cases = [
        // Set back after it was made: the token is from the future then, and is good for longer.
        (at(0), true),
        (at(9_999), true),
        (at(10_000), true),
        (UnixMs::new(10_899_999), true),
        (UnixMs::new(10_900_000), false),
        (at(86_400), false),
        (UnixMs::new(u64::MAX), false),
    ];
    for (now, good) in cases {
        let expected = if good { Ok(()) } else { Err(Code::TokenExpired) };
        assert_eq!(tokens.verify(&issued, now).map(drop), expected, "at {now:?}");
    }
}

#[test]
fn wrong_tokens_are_invalid() {
    let (ours, foreign) = (key(), key());
    let tokens = Tokens::with_key(&ours);
    let header = json!({"typ": "at+jwt", "alg": "EdDSA", "kid": ours.id});
    let claims = json!({
        "iss": "lockstep", "aud": "lockstep", "sub": "ana", "device": DeviceId::generate(), "gen": 1, "iat": 0, "exp": 900
    });
    let with = |base: &Value, name: &str, value: Value| {
        let mut changed = base.clone();
        changed[name] = value;
        changed
    };
    let without = |name: &str| {
        let mut changed = claims.clone();
        changed.as_object_mut().unwrap().remove(name);
        changed
    };
    let good = signed(&ours, &header, &claims);
    assert!(tokens.verify(&good, NOW).is_ok(), "the forger's own signing works");

    let (head, rest) = good.split_once('.').unwrap();
    let (payload, signature) = rest.split_once('.').unwrap();
    let hs256 = {
        let message = format!("{}.{payload}", part(&with(&header, "alg", json!("HS256"))));
        let secret = EncodingKey::from_secret(&ours.public);
        format!("{message}.{}", jsonwebtoken::crypto::sign(message.as_bytes(), &secret, Algorithm::HS256).unwrap())
    };
    let none = part(&with(&header, "alg", json!("none")));
    let cases = [
        ("empty", String::new()),
        ("no JWT", "not a token".into()),
        ("two parts", format!("{head}.{payload}")),
        ("four parts", format!("{good}.{signature}")),
        ("no signature", format!("{head}.{payload}.")),
        ("cut short", good[..good.len() - 1].into()),
        ("padded", format!("{good}=")),
        ("with a space", format!("{good} ")),
        ("too long", format!("{good}{}", "A".repeat(TOKEN_BYTES_MAX))),
        ("another payload", format!("{head}.{}.{signature}", part(&with(&claims, "sub", json!("ben"))))),
        ("alg none", format!("{none}.{payload}.")),
        ("alg none, signed", format!("{none}.{payload}.{signature}")),
        ("HS256 with the public key as the secret", hs256),
        ("a foreign key under our name", signed(&foreign, &header, &claims)),
        ("a foreign key under its own name", signed(&foreign, &with(&header, "kid", json!(foreign.id)), &claims)),
        ("another kid", signed(&ours, &with(&header, "kid", json!("other")), &claims)),
        ("no kid", signed(&ours, &json!({"typ": "at+jwt", "alg": "EdDSA"}), &claims)),
        ("another type", signed(&ours, &with(&header, "typ", json!("JWT")), &claims)),
        ("a critical extension", signed(&ours, &with(&header, "crit", json!(["b64"])), &claims)),
        ("a key in the header", signed(&ours, &with(&header, "jwk", ours.public_jwk()), &claims)),
        ("another issuer", signed(&ours, &header, &with(&claims, "iss", json!("elsewhere")))),
        ("another audience", signed(&ours, &header, &with(&claims, "aud", json!("elsewhere")))),
        ("no issuer", signed(&ours, &header, &without("iss"))),
        ("no audience", signed(&ours, &header, &without("aud"))),
        ("no subject", signed(&ours, &header, &without("sub"))),
        ("no device", signed(&ours, &header, &without("device"))),
        ("no generation", signed(&ours, &header, &without("gen"))),
        ("no expiry", signed(&ours, &header, &without("exp"))),
        ("an expiry that is no number", signed(&ours, &header, &with(&claims, "exp", json!("900")))),
        ("an expiry below zero", signed(&ours, &header, &with(&claims, "exp", json!(-1)))),
        ("a subject that is no user id", signed(&ours, &header, &with(&claims, "sub", json!("service:x")))),
        ("a device that is no id", signed(&ours, &header, &with(&claims, "device", json!("phone")))),
        ("claims that are no object", signed(&ours, &header, &json!([1, 2, 3]))),
    ];
    for (what, token) in cases {
        assert_eq!(tokens.verify(&token, NOW), Err(Code::TokenInvalid), "{what}");
    }
}

#[test]
fn a_services_token_opens_no_device_and_the_other_way_round() {
    let ours = key();
    let tokens = Tokens::with_key(&ours);
    let longest = ServiceName::new(&"b".repeat(ServiceName::CHARS_MAX)).unwrap();
    for service in [ServiceName::new("billing").unwrap(), longest] {
        let claim = ServiceClaim { service, token_generation: TokenGeneration(2) };
        let issued = tokens.issue_service(&claim, Duration::from_secs(900), at(100));
        assert_eq!(issued.expires_at, at(1_000));
        assert_eq!(tokens.verify_any(&issued.token, at(999)), Ok(Bearer::Service(claim)));
        assert_eq!(tokens.verify(&issued.token, at(999)), Err(Code::ServiceToken));
        assert_eq!(tokens.verify(&issued.token, at(1_000)), Err(Code::TokenExpired));
        assert!(issued.token.len() <= TOKEN_BYTES_MAX / 2, "{}", issued.token.len());
    }
    let device = claim("ana");
    let issued = tokens.issue(&device, Duration::from_secs(900), NOW);
    assert_eq!(tokens.verify_any(&issued.token, NOW), Ok(Bearer::Device(device)));

    // The header of one kind over the claims of the other, whole or in parts, signed with the right key.
    let header = |kind: &str| json!({"typ": kind, "alg": "EdDSA", "kid": ours.id});
    let claims = |audience: &str, subject: &str| {
        let device = DeviceId::generate();
        json!({"iss": "lockstep", "aud": audience, "sub": subject, "device": device, "gen": 0, "iat": 0, "exp": 900})
    };
    let good = signed(&ours, &header("lockstep-service+jwt"), &claims("lockstep-service", "billing"));
    assert!(matches!(tokens.verify_any(&good, NOW), Ok(Bearer::Service(_))), "the forger's own signing works");
    let cases = [
        ("lockstep-service+jwt", "lockstep", "billing"),
        ("at+jwt", "lockstep-service", "billing"),
        ("lockstep-service+jwt", "lockstep-service", "service:billing"),
        ("lockstep-service+jwt", "lockstep-service", "nsq"),
        ("lockstep-service+jwt", "lockstep-service", "lockstep"),
        ("lockstep-service+jwt", "lockstep-service", "Ana"),
        ("jwt", "lockstep-service", "billing"),
    ];
    for (kind, audience, subject) in cases {
        let token = signed(&ours, &header(kind), &claims(audience, subject));
        assert_eq!(tokens.verify_any(&token, NOW), Err(Code::TokenInvalid), "{kind} {audience} {subject}");
    }
    let foreign = signed(&key(), &header("lockstep-service+jwt"), &claims("lockstep-service", "billing"));
    assert_eq!(tokens.verify_any(&foreign, NOW), Err(Code::TokenInvalid));
    assert_eq!(tokens.verify(&foreign, NOW), Err(Code::TokenInvalid), "what is not ours is not looked into");
}

#[test]
fn an_expired_foreign_token_is_invalid_not_expired() {
    let tokens = Tokens::with_key(&key());
    let foreign = Tokens::with_key(&key()).issue(&claim("ana"), Duration::from_secs(1), NOW);
    assert_eq!(tokens.verify(&foreign.token, at(10)), Err(Code::TokenInvalid));
}

#[test]
fn the_published_key_verifies_what_is_issued() {
    let (ours, foreign) = (key(), key());
    let tokens = Tokens::with_key(&ours);
    let set: jsonwebtoken::jwk::JwkSet = serde_json::from_str(tokens.jwks()).unwrap();
    assert!(!tokens.jwks().contains("\"d\""), "the private half stays private");
    let issued = tokens.issue(&claim("ana"), Duration::from_secs(60), NOW);
    let kid = jsonwebtoken::decode_header(&issued.token).unwrap().kid.unwrap();
    let published = DecodingKey::from_jwk(set.find(&kid).unwrap()).unwrap();
    let read =
        |key: &DecodingKey| jsonwebtoken::decode::<Claims>(&issued.token, key, &tokens.device.validation).is_ok();
    assert!(read(&published));
    assert!(!read(&DecodingKey::from_ed_der(&foreign.public)));
}

#[test]
fn secrets_are_of_one_key_and_one_purpose() {
    let (one, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let open = |folder: &tempfile::TempDir| Tokens::open(folder.path()).expect("a key");
    let secret = open(&one).secret_for("envelopes");
    assert_eq!(open(&one).secret_for("envelopes"), secret, "the same after a restart");
    assert_ne!(open(&one).secret_for("others"), secret);
    assert_ne!(open(&other).secret_for("envelopes"), secret);
}
