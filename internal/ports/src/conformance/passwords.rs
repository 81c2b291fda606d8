//! The part of the directory's suite about passwords.

use super::Stores;
use super::accounts::{device, found, hash, make, sign_in, signed_in};
use super::world::{at, nobody};
use crate::{AccountRefusal, PasswordChange, PasswordHash, Proof, SignIn};
use lockstep_model::UserId;

pub(super) async fn passwords(stores: &Stores) {
    changing_the_password(stores).await;
    hashing_it_again(stores).await;
}

async fn changing_the_password(stores: &Stores) {
    let user = make(stores).await;
    let (kept, other) = (device(stores, &user.id).await.0, device(stores, &user.id).await.0);
    let change = |old: Option<&str>, new: &str, user: &UserId| PasswordChange {
        user: user.clone(),
        old: old.map(hash),
        new: hash(new),
        keep: Some(kept.id),
        now: at(9),
    };
    let set = async |change| stores.directory.set_password(change).await.expect("set_password");
    let stored = async |user: &UserId| stores.directory.password(user.clone()).await.expect("password");
    assert_eq!(set(change(Some("two"), "three", &user.id)).await, Err(AccountRefusal::PasswordChanged));
    assert_eq!(stored(&user.id).await, Some(hash("one")));
    let done = set(change(Some("one"), "two", &user.id)).await.expect("it may");
    assert_eq!(done.value.iter().map(|one| (one.id, one.removed_at)).collect::<Vec<_>>(), [(other.id, Some(at(9)))]);
    assert_eq!((stored(&user.id).await, found(stores, kept.id).await), (Some(hash("two")), kept.clone()));
    // A sign-in whose password was proven before the change comes too late.
    assert_eq!(signed_in(stores, sign_in(&user.id)).await, Err(AccountRefusal::PasswordChanged));
    assert_eq!(set(change(None, "x", &nobody())).await, Err(AccountRefusal::NoSuchUser));
    // A first password signs nobody out.
    let without = stores.make_author().await;
    let first = set(change(None, "first", &without.user)).await.expect("it may");
    assert_eq!((first.value, stored(&without.user).await), (vec![], Some(hash("first"))));
    assert_eq!(found(stores, without.device).await.signed_out_at, None);
}

/// The same password with other costs: proofs by both hashes are good. Any other password wins over it.
async fn hashing_it_again(stores: &Stores) {
    let of = |salt: &str, costs: u32| PasswordHash(format!("$argon2id$v=19$m={costs},t=2,p=1${salt}$aGFzaA{costs}"));
    let (old, new, newer) = (of("c2FsdHNhbHQ", 8), of("c2FsdHNhbHQ", 16), of("c2FsdHNhbHQ", 32));
    let user =
        stores.directory.sign_up(nobody(), None, old.clone(), at(0)).await.expect("sign_up").expect("it is free").id;
    let stored = async || stores.directory.password(user.clone()).await.expect("password").expect("there is one");
    let renew = async |old: &PasswordHash, new: &PasswordHash| {
        let renewed = stores.directory.renew_password(user.clone(), old.clone(), new.clone()).await;
        renewed.expect("renew_password")
    };
    let by = |proven: &PasswordHash| SignIn { proof: Proof::Password(proven.clone()), ..sign_in(&user) };
    let first = signed_in(stores, by(&old)).await.expect("it may").value;
    assert!(renew(&old, &new).await);
    assert!(!renew(&old, &newer).await, "somebody else was faster");
    assert_eq!((stored().await, found(stores, first.id).await), (new.clone(), first.clone()), "nobody is signed out");
    for proven in [&old, &new] {
        assert!(signed_in(stores, by(proven)).await.is_ok(), "{}", proven.0);
    }
    let other = of("b3RoZXJzYWx0", 16);
    assert_eq!(signed_in(stores, by(&other)).await, Err(AccountRefusal::PasswordChanged));
    // The password is changed by one who proved it before it was hashed again.
    let change =
        PasswordChange { user: user.clone(), old: Some(old.clone()), new: other.clone(), keep: None, now: at(5) };
    stores.directory.set_password(change.clone()).await.expect("set_password").expect("it may");
    assert!(!renew(&new, &newer).await && stored().await == other, "the new password stays");
    for proven in [&old, &new] {
        assert_eq!(signed_in(stores, by(proven)).await, Err(AccountRefusal::PasswordChanged), "{}", proven.0);
    }
    let again = stores.directory.set_password(change).await.expect("set_password");
    assert_eq!(again, Err(AccountRefusal::PasswordChanged));
    let nobody = stores.directory.renew_password(nobody(), old, new).await;
    assert!(!nobody.expect("renew_password"));
}
