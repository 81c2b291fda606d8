//! Refresh tokens against a model: whoever presents whichever token in whichever order, a device goes on only with its
//! newest token that was used, or with one that was given out for that.

use lockstep_model::{Device, DeviceId, RefreshHash, TokenGeneration, UnixMs, UserId};
use lockstep_ports::{AccountRefusal, Accounts, Directory, NEXT_MAX, Proof, Rotated, Rotation, SignIn};
use lockstep_store_sql::{SqliteOptions, SqliteStore};
use proptest::prelude::*;

/// What ought to be known of a device's tokens.
struct Model {
    used: Option<u8>,
    /// Given out for the used one, oldest first.
    next: Vec<u8>,
    signed_out: bool,
}

impl Model {
    /// Whether the token is good; then the next one is given out.
    fn present(&mut self, token: u8, next: u8) -> Option<bool> {
        if self.signed_out {
            return None;
        }
        if self.next.contains(&token) {
            (self.used, self.next) = (Some(token), vec![]);
        } else if self.used != Some(token) {
            self.signed_out = true;
            return Some(false);
        }
        self.next.push(next);
        if self.next.len() > NEXT_MAX {
            self.next.remove(0);
        }
        Some(true)
    }
}

fn hash(token: u8) -> RefreshHash {
    RefreshHash([token; 32])
}

fn at(ms: u64) -> UnixMs {
    UnixMs::new(1_000_000 + ms)
}

async fn sign_in(store: &SqliteStore) -> Device {
    let sign_in = SignIn {
        user: UserId::new("ana").expect("an id"),
        proof: Proof::Issuer { create_user: true, name: None },
        device: DeviceId::generate(),
        again: None,
        name: "phone".into(),
        platform: None,
        unfilled: false,
        alone: false,
        approved_by: None,
        refresh: hash(0),
        refresh_expires_at: at(0),
        now: at(0),
    };
    store.sign_in(sign_in).await.expect("sign_in").expect("it may").value
}

/// Presents tokens, each chosen by its age among those given out so far.
async fn play(ages: Vec<usize>) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::open(folder.path(), SqliteOptions::default()).await.expect("open");
    let device = sign_in(&store).await;
    let mut model = Model { used: None, next: vec![0], signed_out: false };
    for (number, age) in (1..).zip(ages) {
        let token = (number - 1_u8).saturating_sub(age as u8);
        let rotation = Rotation {
            device: device.id,
            token_generation: device.token_generation,
            presented: hash(token),
            next: hash(number),
            next_expires_at: at(number.into()),
            now: at(number.into()),
        };
        let found = match store.rotate(rotation).await.expect("rotate") {
            Ok(Rotated::Next(_)) => Some(true),
            Ok(Rotated::Reused(_)) => Some(false),
            Err(AccountRefusal::OldGeneration) => None,
            Err(other) => panic!("{other:?}"),
        };
        assert_eq!(found, model.present(token, number), "token {token} in step {number}");
        let stored = store.device(device.id).await.expect("device").expect("it is there");
        let generation = TokenGeneration(device.token_generation.0 + u64::from(model.signed_out));
        assert_eq!((stored.token_generation, stored.signed_out_at.is_some()), (generation, model.signed_out));
    }
    store.close().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_device_goes_on_with_its_newest_tokens_alone(ages in proptest::collection::vec(prop_oneof![
        4 => Just(0_usize), 3 => Just(1), 2 => 2_usize..4, 1 => 4_usize..12
    ], 1..24)) {
        tokio::runtime::Runtime::new().expect("a runtime").block_on(play(ages));
    }
}
