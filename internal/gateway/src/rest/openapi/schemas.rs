//! What types of the model look like in the document, where these do not say it themselves.

use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// What a member may do.
#[derive(ToSchema)]
#[schema(as = Role, rename_all = "snake_case")]
#[expect(dead_code, reason = "only its schema is of use")]
pub(crate) enum RoleSchema {
    Member,
    Admin,
    Owner,
}

/// A JSON object of the application's own.
#[derive(ToSchema)]
#[schema(as = CustomObject, value_type = Object, example = json!({"colour": "green"}))]
#[expect(dead_code, reason = "only its schema is of use")]
pub(crate) struct CustomSchema(serde_json::Value);

/// What newcomers see of what was before them.
pub(crate) struct HistorySchema;

impl PartialSchema for HistorySchema {
    fn schema() -> RefOr<Schema> {
        let words = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["all", "none"]));
        let last = lockstep_model::History::LAST_MAX;
        let number = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).maximum(Some(last));
        let what = "What newcomers see of what was before them: all, none, or so many entries.";
        RefOr::T(Schema::OneOf(OneOfBuilder::new().item(words).item(number).description(Some(what)).build()))
    }
}

impl ToSchema for HistorySchema {
    fn name() -> std::borrow::Cow<'static, str> {
        "History".into()
    }
}
