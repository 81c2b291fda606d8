//! What ids, numbers and bodies look like in an OpenAPI document (OpenAPI 3.1, section 4.8.24).

use crate::{
    Body, ClientMsgId, ConversationId, DeviceId, EntryId, Epoch, Kind, LinkId, OffsetsVersion, Sender, Seq,
    ServiceName, SignInId, UnixMs, UserId,
};
use serde_json::json;
use utoipa::openapi::schema::{ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// Declares how types are described.
macro_rules! described {
    ($($name:ident = $schema:expr, $what:literal;)*) => {
        $(
            impl PartialSchema for $name {
                fn schema() -> RefOr<Schema> {
                    $schema.description(Some($what)).build().into()
                }
            }
            impl ToSchema for $name {}
        )*
    };
}

described! {
    UserId = text(UserId::CHARS_MAX).examples(["ana"]), "A user: without control characters, not beginning with service:.";
    ClientMsgId = text(ClientMsgId::CHARS_MAX), "The sender's name for a message.";
    ServiceName = text(ServiceName::CHARS_MAX).pattern(Some("^[a-z0-9][a-z0-9._-]*$")), "The name of a service.";
    DeviceId = uuid(), "A device.";
    ConversationId = uuid(), "A conversation.";
    SignInId = uuid(), "A sign-in that waits for an approval.";
    LinkId = uuid(), "A device that asks to be linked.";
    EntryId = uuid(), "An entry of a conversation's log.";
    Epoch = uuid(), "The identity of a store.";
    Seq = number(), "A place in a conversation's log; 0 is before the first.";
    UnixMs = number(), "A moment in milliseconds since 1970-01-01T00:00:00Z.";
    OffsetsVersion = number(), "A version of one user's read offsets.";
    Sender = string().examples(["ana", "service:weather"]), "A user, or service: and a name.";
    Kind = string().examples(["message", "edit", "recall", "reaction", "system"]), "What an entry is; there may be more.";
    Body = body(), "A JSON object of the application's own, kept as it was written.";
}

fn string() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

fn text(chars_max: usize) -> ObjectBuilder {
    string().min_length(Some(1)).max_length(Some(chars_max))
}

fn uuid() -> ObjectBuilder {
    string().format(Some(SchemaFormat::Custom("uuid".to_owned())))
}

fn number() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0)).maximum(Some(Seq::MAX.get()))
}

fn body() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .property("type", text(64))
        .required("type")
        .examples([json!({"type": "text", "text": "Hi"})])
}
