//! Every wrong kind of outside token, beside the right ones.

use super::*;
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::EncodingKey;
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::TempDir;

const NOW: UnixMs = UnixMs::new(1_000_000);

fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A key of each algorithm: what signs, and the public half as a JWK.
fn key_of(algorithm: Algorithm, id: &str) -> (EncodingKey, Value) {
    let (signing, mut jwk) = match algorithm {
        Algorithm::RS256 => {
            let pair = RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
            let public = pair.public_key();
            let (n, e) = (public.modulus().big_endian_without_leading_zero(), public.exponent());
            let jwk = json!({"kty": "RSA", "n": encoded(n), "e": encoded(e.big_endian_without_leading_zero())});
            // PKCS#1 is what stands inside of PKCS#8 after a head of 26 bytes for this size.
            let pkcs8 = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
            (EncodingKey::from_rsa_der(&pkcs8.as_ref()[26..]), jwk)
        }
        Algorithm::ES256 => {
            let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
            let public = pair.public_key().as_ref();
            let jwk = json!({"kty": "EC", "crv": "P-256", "x": encoded(&public[1..33]), "y": encoded(&public[33..])});
            (EncodingKey::from_ec_der(pair.to_pkcs8v1().unwrap().as_ref()), jwk)
        }
        Algorithm::EdDSA => {
            let pair = Ed25519KeyPair::generate().unwrap();
            let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": encoded(pair.public_key().as_ref())});
            let pkcs8 = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
            (EncodingKey::from_ed_der(pkcs8.as_ref()), jwk)
        }
        other => panic!("{other:?}"),
    };
    jwk["kid"] = json!(id);
    (signing, jwk)
}

fn settings(key: Key) -> IssuerSettings {
    IssuerSettings {
        issuer: "https://id.example".into(),
        audience: "chat".into(),
        key,
        leeway: Duration::from_secs(30),
        user_claim: "sub".into(),
        name_claim: None,
        user_prefix: String::new(),
        create_users: true,
    }
}

fn file(folder: &TempDir, name: &str, content: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    path
}

fn set(keys: &[&Value]) -> Vec<u8> {
    json!({"keys": keys}).to_string().into_bytes()
}

fn claims() -> Value {
    json!({"iss": "https://id.example", "aud": "chat", "sub": "ana", "exp": 1_060, "nbf": 1_000, "iat": 1_000})
}

/// Signs whatever header and claims a forger chooses.
fn signed(key: &EncodingKey, algorithm: Algorithm, header: &Value, claims: &Value) -> String {
    let message = format!("{}.{}", encoded(header.to_string().as_bytes()), encoded(claims.to_string().as_bytes()));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), key, algorithm).unwrap();
    format!("{message}.{signature}")
}

fn open(settings: Vec<IssuerSettings>) -> Issuers {
    Issuers::open(settings).unwrap_or_else(|error| panic!("{error}"))
}

fn user(issuers: &Issuers, token: &str) -> Result<String, Code> {
    issuers.verify(token, NOW).map(|claim| claim.user.to_string())
}

#[test]
fn each_algorithm_is_taken_where_it_is_pinned() {
    let folder = tempfile::tempdir().unwrap();
    let secret = [7; 32];
    let secret_file = file(&folder, "secret", &[&secret[..], b"\n"].concat());
    let mut issuers = vec![("HS256", EncodingKey::from_secret(&secret), Algorithm::HS256, Key::Hs256(secret_file))];
    for (name, algorithm) in [("RS256", Algorithm::RS256), ("ES256", Algorithm::ES256), ("EdDSA", Algorithm::EdDSA)] {
        let (signing, jwk) = key_of(algorithm, "k");
        let path = file(&folder, name, &set(&[&jwk]));
        let key = match algorithm {
            Algorithm::RS256 => Key::Rs256(path),
            Algorithm::ES256 => Key::Es256(path),
            _ => Key::EdDsa(path),
        };
        issuers.push((name, signing, algorithm, key));
    }
    for (name, signing, algorithm, _) in &issuers {
        let token = signed(signing, *algorithm, &json!({"alg": name, "typ": "JWT", "kid": "k"}), &claims());
        for (pinned, _, _, key) in &issuers {
            let expected = if pinned == name { Ok("ana".to_owned()) } else { Err(Code::TokenInvalid) };
            assert_eq!(user(&open(vec![settings(key.clone())]), &token), expected, "{name} where {pinned} is pinned");
        }
    }
    // The public key as a secret: the confusion that pinning is for (RFC 8725, section 2.1).
    let Key::Es256(path) = &issuers[2].3 else { panic!("the third is ES256") };
    let public = EncodingKey::from_secret(&std::fs::read(path).unwrap());
    let forged = signed(&public, Algorithm::HS256, &json!({"alg": "HS256", "kid": "k"}), &claims());
    assert_eq!(user(&open(vec![settings(issuers[2].3.clone())]), &forged), Err(Code::TokenInvalid));
}

/// An issuer with two keys, the second of which signs.
fn two_keys(change: impl Fn(&mut IssuerSettings)) -> (TempDir, Issuers, EncodingKey) {
    let folder = tempfile::tempdir().unwrap();
    let ((_, first), (signing, second)) = (key_of(Algorithm::ES256, "1"), key_of(Algorithm::ES256, "2"));
    let mut settings = settings(Key::Es256(file(&folder, "jwks", &set(&[&first, &second]))));
    change(&mut settings);
    (folder, open(vec![settings]), signing)
}

#[test]
fn what_a_token_has_to_say() {
    let (_folder, issuers, key) = two_keys(|_| {});
    let header = json!({"alg": "ES256", "typ": "JWT", "kid": "2"});
    let with = |base: &Value, name: &str, value: Value| {
        let mut changed = base.clone();
        match value {
            Value::Null => drop(changed.as_object_mut().unwrap().remove(name)),
            value => changed[name] = value,
        }
        changed
    };
    let claim = |name: &str, value: Value| (header.clone(), with(&claims(), name, value));
    let head = |name: &str, value: Value| (with(&header, name, value), claims());
    let (good, invalid, expired) = (Ok("ana".to_owned()), Err(Code::TokenInvalid), Err(Code::TokenExpired));
    let cases = [
        ((header.clone(), claims()), good.clone()),
        (head("typ", Value::Null), good.clone()),
        (head("typ", json!("jwt")), good.clone()),
        (head("typ", json!("at+jwt")), invalid.clone()),
        (head("kid", json!("1")), invalid.clone()),
        (head("kid", json!("3")), invalid.clone()),
        (head("kid", Value::Null), invalid.clone()),
        (head("crit", json!(["exp"])), invalid.clone()),
        (head("alg", json!("none")), invalid.clone()),
        (head("alg", json!("HS256")), invalid.clone()),
        (head("jku", json!("https://evil.example")), good.clone()),
        (claim("iss", json!("https://evil.example")), invalid.clone()),
        (claim("iss", Value::Null), invalid.clone()),
        (claim("aud", json!(["mail", "chat"])), good.clone()),
        (claim("aud", json!(["mail"])), invalid.clone()),
        (claim("aud", Value::Null), invalid.clone()),
        (claim("sub", json!("")), invalid.clone()),
        (claim("sub", json!(7)), invalid.clone()),
        (claim("sub", json!("service:lockstep")), invalid.clone()),
        (claim("sub", json!("x".repeat(65))), invalid.clone()),
        (claim("sub", Value::Null), invalid.clone()),
        // The clock says 1,000 s; 30 s of leeway.
        (claim("exp", json!(970.5)), good.clone()),
        (claim("exp", json!(970)), expired.clone()),
        (claim("exp", json!(0)), expired),
        (claim("exp", json!(-1)), invalid.clone()),
        (claim("exp", json!("2000")), invalid.clone()),
        (claim("exp", Value::Null), invalid.clone()),
        (claim("nbf", json!(1_030)), good.clone()),
        (claim("nbf", json!(1_031)), invalid.clone()),
        (claim("nbf", json!("soon")), invalid.clone()),
        (claim("iat", json!(1_030)), good.clone()),
        (claim("iat", json!(1_030.5)), invalid.clone()),
        (claim("iat", json!(1_031)), invalid.clone()),
        (claim("iat", json!("now")), invalid),
        (claim("iat", Value::Null), good.clone()),
        (claim("nbf", Value::Null), good),
    ];
    for ((header, claims), expected) in cases {
        let token = signed(&key, Algorithm::ES256, &header, &claims);
        assert_eq!(user(&issuers, &token), expected, "{header} {claims}");
    }
}

#[test]
fn texts_that_are_no_tokens() {
    let (_folder, issuers, key) = two_keys(|_| {});
    let header = json!({"alg": "ES256", "kid": "2"});
    let good = signed(&key, Algorithm::ES256, &header, &claims());
    assert_eq!(user(&issuers, &good), Ok("ana".into()));
    let (message, _) = good.rsplit_once('.').unwrap();
    let mut large = claims();
    large["note"] = json!("x".repeat(TOKEN_BYTES_MAX));
    let (other, _) = key_of(Algorithm::ES256, "2");
    let texts = [
        String::new(),
        "x".into(),
        format!("{message}."),
        message.into(),
        format!("{good}A"),
        signed(&key, Algorithm::ES256, &header, &large),
        signed(&other, Algorithm::ES256, &header, &claims()),
    ];
    for text in texts {
        assert_eq!(user(&issuers, &text), Err(Code::TokenInvalid), "{}", &text[..text.len().min(80)]);
    }
}

#[test]
fn who_the_user_is() {
    let header = json!({"alg": "ES256", "kid": "2"});
    let mut claims = claims();
    claims["email"] = json!("ana@id.example");
    let (_folder, issuers, key) = two_keys(|settings| {
        settings.user_claim = "email".into();
        settings.user_prefix = "corp:".into();
        settings.create_users = false;
    });
    let claim = issuers.verify(&signed(&key, Algorithm::ES256, &header, &claims), NOW).unwrap();
    assert_eq!((claim.user.as_str(), claim.create_user), ("corp:ana@id.example", false));
}

fn later(seconds: f64) -> UnixMs {
    UnixMs::new(NOW.get() + (seconds * 1_000.0) as u64)
}

#[test]
fn keys_of_a_file_that_changes_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let ((old, old_jwk), (new, new_jwk)) = (key_of(Algorithm::ES256, "1"), key_of(Algorithm::ES256, "2"));
    let path = file(&folder, "jwks", &set(&[&old_jwk]));
    let issuers = open(vec![settings(Key::Es256(path.clone()))]);
    let token =
        |key: &EncodingKey, kid: &str| signed(key, Algorithm::ES256, &json!({"alg": "ES256", "kid": kid}), &claims());
    let (by_old, by_new) = (token(&old, "1"), token(&new, "2"));
    let taken = |at: UnixMs| [&by_old, &by_new].map(|token| issuers.verify(token, at).is_ok());
    assert_eq!(taken(NOW), [true, false]);
    // The next one stands beside the first for a while.
    std::fs::write(&path, set(&[&old_jwk, &new_jwk])).unwrap();
    assert_eq!(taken(later(1.9)), [true, false], "a flood of tokens does not keep the disk busy");
    assert_eq!(taken(later(2.0)), [true, true]);
    // What cannot be read or is broken says nothing about the keys: those of before stay.
    let wrong: [&dyn Fn(); 3] = [
        &|| std::fs::write(&path, &set(&[&old_jwk, &new_jwk])[..100]).unwrap(),
        &|| std::fs::remove_file(&path).unwrap(),
        &|| std::fs::create_dir(&path).unwrap(),
    ];
    for (number, break_it) in wrong.into_iter().enumerate() {
        break_it();
        assert_eq!(taken(later(4.0 + 2.0 * number as f64)), [true, true], "{number}");
    }
    std::fs::remove_dir(&path).unwrap();
    // By a rename, as it should be done; what is not there any more does not count.
    std::fs::rename(file(&folder, "next", &set(&[&new_jwk])), &path).unwrap();
    assert_eq!(taken(later(12.0)), [false, true]);
    // The same name for another key, of the same size, under a clock that was set back.
    let (_, mut other) = key_of(Algorithm::ES256, "2");
    other["kid"] = json!("2");
    std::fs::write(&path, set(&[&other])).unwrap();
    assert_eq!(taken(NOW), [false, false]);
    std::fs::write(&path, set(&[&new_jwk])).unwrap();
    assert_eq!(taken(later(2.0)), [false, true]);
}

#[test]
fn keys_that_are_withdrawn_end_even_if_no_others_come() {
    let folder = tempfile::tempdir().unwrap();
    let (key, jwk) = key_of(Algorithm::ES256, "1");
    let (_, of_another) = key_of(Algorithm::EdDSA, "1");
    let path = file(&folder, "jwks", &set(&[&jwk]));
    let issuers = open(vec![settings(Key::Es256(path.clone()))]);
    let tokens = [json!({"alg": "ES256", "kid": "1"}), json!({"alg": "ES256"})]
        .map(|header| signed(&key, Algorithm::ES256, &header, &claims()));
    let taken = |at: UnixMs| tokens.each_ref().map(|token| issuers.verify(token, at).is_ok());
    assert_eq!(taken(NOW), [true, true]);
    for (number, without) in [set(&[]), set(&[&of_another])].into_iter().enumerate() {
        let at = 2.0 + 6.0 * number as f64;
        std::fs::write(&path, without).unwrap();
        assert_eq!(taken(later(at)), [false, false], "{number}");
        // A file that then breaks does not bring them back.
        std::fs::write(&path, "{").unwrap();
        assert_eq!(taken(later(at + 2.0)), [false, false], "{number}");
        std::fs::write(&path, set(&[&jwk])).unwrap();
        assert_eq!(taken(later(at + 4.0)), [true, true], "{number}");
    }
}

#[test]
fn a_secret_that_changes_is_taken_unless_others_can_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "secret", &[1; 32]);
    let issuers = open(vec![settings(Key::Hs256(path.clone()))]);
    let by = |secret: u8| {
        let key = EncodingKey::from_secret(&[secret; 32]);
        signed(&key, Algorithm::HS256, &json!({"alg": "HS256"}), &claims())
    };
    let taken = |at: UnixMs| [1, 2].map(|secret| issuers.verify(&by(secret), at).is_ok());
    assert_eq!(taken(NOW), [true, false]);
    file(&folder, "secret", &[2; 32]);
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    assert_eq!(taken(later(2.0)), [true, false]);
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    assert_eq!(taken(later(4.0)), [false, true]);
    std::fs::write(&path, "short").unwrap();
    assert_eq!(taken(later(6.0)), [false, true]);
}

#[test]
fn what_people_call_the_user() {
    let header = json!({"alg": "ES256", "kid": "2"});
    for (claim, said, expected) in [
        (None, json!("Ana"), None),
        (Some("name"), json!("Ana \u{1f980}"), Some("Ana \u{1f980}")),
        (Some("name"), json!(""), None),
        (Some("name"), json!(["Ana"]), None),
        (Some("name"), Value::Null, None),
        (Some("nickname"), json!("Ana"), None),
    ] {
        let (_folder, issuers, key) = two_keys(|settings| settings.name_claim = claim.map(str::to_owned));
        let mut claims = claims();
        claims["name"] = said.clone();
        let found = issuers.verify(&signed(&key, Algorithm::ES256, &header, &claims), NOW).unwrap().name;
        assert_eq!(found.as_deref(), expected, "{claim:?} {said}");
    }
}

#[test]
fn wrong_key_files_are_refused_with_a_fix() {
    let folder = tempfile::tempdir().unwrap();
    let (_, mut of_encryption) = key_of(Algorithm::ES256, "1");
    of_encryption["use"] = json!("enc");
    let (_, mut of_another) = key_of(Algorithm::ES256, "1");
    of_another["alg"] = json!("ES384");
    let weak = json!({"kty": "RSA", "n": encoded(&[0xff; 128]), "e": "AQAB"});
    let (_, one) = key_of(Algorithm::ES256, "1");
    let written = |name: &str, content: &[u8]| file(&folder, name, content);
    let exposed = written("exposed", &[7; 32]);
    std::fs::set_permissions(&exposed, PermissionsExt::from_mode(0o640)).unwrap();
    let cases = [
        (Key::Es256(Path::new("missing").into()), "missing cannot be read"),
        (Key::Hs256(exposed), "chmod 600"),
        (Key::Hs256(written("short", &[7; 31])), "at least 32 bytes"),
        (Key::Hs256(written("lines", &[&[7; 31][..], b"\n\n"].concat())), "at least 32 bytes"),
        (Key::Es256(written("text", b"-----BEGIN")), "is no JWK set"),
        (Key::Es256(written("many", &set(&vec![&one; 65]))), "of at most 64 keys"),
        (Key::Es256(written("none", &set(&[]))), "has no key for ES256"),
        (Key::EdDsa(written("other", &set(&[&one]))), "has no key for EdDSA"),
        (Key::Es256(written("enc", &set(&[&of_encryption, &of_another]))), "has no key for ES256"),
        (Key::Rs256(written("weak", &set(&[&weak]))), "has no key for RS256"),
    ];
    for (key, expected) in cases {
        let sentence = Issuers::open(vec![settings(key)]).err().expect("it is refused").to_string();
        assert!(sentence.contains(expected), "{expected}: {sentence}");
    }
}
