//! The operations of the OpenAPI document, and requests made from their schemas.

use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// The document.
pub(crate) struct Document(Value);

/// One method of one path.
pub(crate) struct Operation<'a> {
    pub(crate) method: String,
    pub(crate) path: &'a str,
    value: &'a Value,
    document: &'a Value,
}

/// What stands for a value of a type by name, such as `ConversationId`.
pub(crate) trait Known {
    /// The value, if this type has one that cannot be made up.
    fn of(&self, type_name: &str) -> Option<Value>;
}

/// A request that is right but for who makes it.
pub(crate) struct Sample {
    pub(crate) path: String,
    pub(crate) headers: Vec<String>,
    pub(crate) body: Option<String>,
}

impl Document {
    pub(crate) fn new(value: Value) -> Self {
        Self(value)
    }

    pub(crate) fn operations(&self) -> Vec<Operation<'_>> {
        let mut found = Vec::new();
        for (path, item) in self.0["paths"].as_object().unwrap() {
            for (method, value) in item.as_object().unwrap() {
                found.push(Operation { method: method.to_uppercase(), path, value, document: &self.0 });
            }
        }
        found
    }
}

impl Operation<'_> {
    /// Whose tokens it takes: `device`, `service`.
    pub(crate) fn bearers(&self) -> BTreeSet<&str> {
        let alternatives = self.value["security"].as_array().into_iter().flatten();
        alternatives.flat_map(|one| one.as_object().unwrap().keys()).map(String::as_str).collect()
    }

    /// Whether a status with a code is in the document.
    pub(crate) fn documents(&self, status: u16, code: Option<&str>) -> bool {
        let answer = &self.value["responses"][status.to_string()];
        match code {
            None => status < 400 && answer.is_object(),
            Some(code) => {
                let problem = &answer["content"]["application/problem+json"]["schema"];
                self.codes().contains(code) && problem.to_string().contains(&format!("{code:?}"))
            }
        }
    }

    /// The codes that it may refuse with.
    pub(crate) fn codes(&self) -> BTreeSet<&str> {
        self.value["x-codes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// The types of what its path names.
    pub(crate) fn named_in_path(&self) -> BTreeSet<&str> {
        let parameters = self.parameters().filter(|parameter| parameter["in"] == "path");
        parameters.filter_map(|parameter| type_name(&parameter["schema"])).collect()
    }

    /// A request with everything that it requires.
    pub(crate) fn sample(&self, known: &dyn Known) -> Sample {
        let (mut path, mut headers, mut query) = (self.path.to_owned(), Vec::new(), Vec::new());
        for parameter in self.parameters().filter(|parameter| parameter["required"] == true) {
            let name = parameter["name"].as_str().unwrap();
            let value = plain(&self.value_of(&parameter["schema"], known));
            match parameter["in"].as_str().unwrap() {
                "path" => path = path.replace(&format!("{{{name}}}"), &value),
                "header" => headers.push(format!("{name}: {value}")),
                "query" => query.push(format!("{name}={value}")),
                place => panic!("{} {}: a parameter in {place}", self.method, self.path),
            }
        }
        assert!(!path.contains('{'), "{path}: what stands in braces is no parameter");
        if !query.is_empty() {
            path = format!("{path}?{}", query.join("&"));
        }
        let schema = &self.value["requestBody"]["content"]["application/json"]["schema"];
        let body = (!schema.is_null()).then(|| self.value_of(schema, known).to_string());
        Sample { path, headers, body }
    }

    fn parameters(&self) -> impl Iterator<Item = &Value> {
        self.value["parameters"].as_array().into_iter().flatten()
    }

    /// A value that a schema allows.
    fn value_of(&self, schema: &Value, known: &dyn Known) -> Value {
        if let Some(name) = type_name(schema) {
            let referred = &self.document["components"]["schemas"][name];
            assert!(referred.is_object(), "the schema {name} is missing");
            return known.of(name).unwrap_or_else(|| self.value_of(referred, known));
        }
        if let Some(example) = schema.get("example").or_else(|| schema["examples"].get(0)) {
            return example.clone();
        }
        if let Some(value) = schema.get("const").or_else(|| schema["enum"].get(0)) {
            return value.clone();
        }
        for choice in ["oneOf", "anyOf"] {
            let mut choices = schema[choice].as_array().into_iter().flatten();
            if let Some(first) = choices.find(|choice| choice["type"] != "null") {
                return self.value_of(first, known);
            }
        }
        if let Some(parts) = schema["allOf"].as_array() {
            let parts = parts.iter().map(|part| self.value_of(part, known));
            return parts.filter_map(|part| part.as_object().cloned()).flatten().collect::<Map<_, _>>().into();
        }
        let kind = match &schema["type"] {
            Value::Array(kinds) => kinds.iter().find(|kind| *kind != "null").and_then(Value::as_str),
            kind => kind.as_str(),
        };
        match kind {
            Some("object") | None => self.object_of(schema, known),
            Some("array") => {
                let least = schema["minItems"].as_u64().unwrap_or(0) as usize;
                vec![self.value_of(&schema["items"], known); least].into()
            }
            Some("integer" | "number") => schema["minimum"].as_u64().unwrap_or(0).max(1).into(),
            Some("boolean") => true.into(),
            Some("string") => "x".repeat(schema["minLength"].as_u64().unwrap_or(1).max(1) as usize).into(),
            Some(other) => panic!("a value of type {other}"),
        }
    }

    /// An object with what it requires, or with all that it may have if nothing is required.
    fn object_of(&self, schema: &Value, known: &dyn Known) -> Value {
        let required: BTreeSet<_> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let properties = schema["properties"].as_object().into_iter().flatten();
        let wanted = properties.filter(|(name, _)| required.is_empty() || required.contains(name.as_str()));
        let fields = wanted.map(|(name, schema)| (name.clone(), self.value_of(schema, known)));
        json!(fields.collect::<Map<_, _>>())
    }
}

/// The name of the type that a schema refers to, directly or as something that may be null.
fn type_name(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.rsplit('/').next()
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
