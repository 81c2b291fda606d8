//! The part of the directory's suite about services.

use super::Stores;
use super::world::at;
use crate::ServiceRefusal;
use lockstep_model::{ClientMsgId, ConversationId, Scope, Service, ServiceName, TokenGeneration, UnixMs};

/// A name that no service has.
pub(super) fn new_service() -> ServiceName {
    ServiceName::new(&format!("s-{}", ClientMsgId::random())).expect("a UUID is short")
}

pub(super) async fn services(stores: &Stores) {
    a_service_is_made_and_found(stores).await;
    rotation_and_revocation(stores).await;
    too_many_scopes(stores).await;
}

async fn put(stores: &Stores, name: &ServiceName, scopes: &[Scope], now: UnixMs) -> Service {
    stores.directory.put_service(name.clone(), scopes.to_vec(), now).await.expect("put_service").expect("it fits")
}

async fn found(stores: &Stores, name: &ServiceName) -> Option<Service> {
    stores.directory.service(name.clone()).await.expect("service")
}

async fn a_service_is_made_and_found(stores: &Stores) {
    let (name, other) = (new_service(), new_service());
    assert_eq!(found(stores, &name).await, None);
    let scopes = [Scope::Publish(ConversationId::generate()), Scope::PublishAnywhere];
    let made = put(stores, &name, &scopes, at(5)).await;
    let expected = Service {
        name: name.clone(),
        scopes: scopes.to_vec(),
        generation: TokenGeneration::default(),
        previous_until: UnixMs::ZERO,
        created_at: at(5),
        rotated_at: None,
        revoked_at: None,
    };
    assert_eq!(made, expected);
    assert_eq!(found(stores, &name).await, Some(expected.clone()));
    // Again, with other scopes: those count, and the tokens stay.
    let fewer = put(stores, &name, &scopes[..1], at(6)).await;
    assert_eq!(fewer, Service { scopes: scopes[..1].to_vec(), ..expected });
    assert_eq!(put(stores, &name, &[], at(6)).await.scopes, []);
    put(stores, &other, &[], at(7)).await;
    let names: Vec<ServiceName> =
        stores.directory.services().await.expect("services").into_iter().map(|service| service.name).collect();
    assert!(names.is_sorted() && names.contains(&name) && names.contains(&other), "{names:?}");
}

async fn rotation_and_revocation(stores: &Stores) {
    let name = new_service();
    let rotate =
        async |until| stores.directory.rotate_service(name.clone(), at(until), at(10)).await.expect("rotate_service");
    let revoke = async |now| stores.directory.revoke_service(name.clone(), at(now)).await.expect("revoke_service");
    assert_eq!(rotate(20).await, Err(ServiceRefusal::NoSuchService));
    assert_eq!(revoke(20).await, Err(ServiceRefusal::NoSuchService));
    let made = put(stores, &name, &[Scope::PublishAnywhere], at(5)).await;
    let rotated = rotate(20).await.expect("it is there");
    let (generation, previous_until) = (TokenGeneration(made.generation.0 + 1), at(20));
    let expected = Service { generation, previous_until, rotated_at: Some(at(10)), ..made.clone() };
    assert_eq!(rotated, expected);
    assert_eq!(found(stores, &name).await, Some(expected));
    assert!(rotated.takes(made.generation, at(19)) && !rotated.takes(made.generation, at(20)));
    let revoked = revoke(30).await.expect("it is there");
    assert_eq!((revoked.revoked_at, revoked.generation.0), (Some(at(30)), generation.0 + 1));
    assert_eq!(revoke(40).await, Ok(revoked.clone()), "again: nothing");
    assert_eq!(rotate(20).await, Err(ServiceRefusal::Revoked));
    assert_eq!(found(stores, &name).await, Some(revoked.clone()));
    // It comes back; no token that was made before is good, not even by an overlap.
    let back = put(stores, &name, &[], at(11)).await;
    assert_eq!((back.revoked_at, back.generation, back.created_at), (None, revoked.generation, made.created_at));
    assert!(
        !back.takes(generation, at(11)) && !back.takes(made.generation, at(11)) && back.takes(back.generation, at(11))
    );
}

async fn too_many_scopes(stores: &Stores) {
    let name = new_service();
    let scopes = vec![Scope::PublishAnywhere; Service::SCOPES_MAX + 1];
    let refused = stores.directory.put_service(name.clone(), scopes.clone(), at(0)).await.expect("put_service");
    assert_eq!(refused, Err(ServiceRefusal::TooMany));
    assert_eq!(found(stores, &name).await, None);
    put(stores, &name, &scopes[1..], at(0)).await;
}
