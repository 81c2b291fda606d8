//! The document as one plain page: a table of contents, then each operation with what it takes and answers.

use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt::Write;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
code,pre{font:14px/1.4 ui-monospace,monospace}pre{background:#8881;padding:.5rem;overflow:auto}\
table{border-collapse:collapse;width:100%}td,th{border:1px solid #8886;padding:.25rem .5rem;text-align:left;\
vertical-align:top}h3{margin-top:2.5rem;border-top:1px solid #8886;padding-top:1rem}:root{color-scheme:light dark}";

/// Writes the page.
pub(super) fn render(document: &Value) -> String {
    let mut page = Page { html: String::new() };
    let info = &document["info"];
    page.push("<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">");
    page.push("<meta name=\"viewport\" content=\"width=device-width\">");
    let title = escaped(text(&info["title"]));
    let _ =
        write!(page.html, "<title>{title}</title><style>{STYLE}</style><h1>{title} {}</h1>", text(&info["version"]));
    page.prose(text(&info["description"]));
    page.push("<p>The same for programs: <a href=\"/v1/openapi.json\">/v1/openapi.json</a>.</p>");
    let operations = by_tag(document);
    page.contents(&operations);
    for (tag, operations) in &operations {
        let _ = write!(page.html, "<h2>{}</h2>", escaped(tag));
        operations.iter().for_each(|operation| page.operation(operation));
    }
    page.push("<h2>Schemas</h2>");
    for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
        let name = escaped(name);
        let _ = write!(page.html, "<h3 id=\"{name}\">{name}</h3>");
        page.json(schema);
    }
    page.html
}

/// One method of one path.
struct Operation<'a> {
    method: String,
    path: &'a str,
    value: &'a Map<String, Value>,
}

fn by_tag(document: &Value) -> BTreeMap<&str, Vec<Operation<'_>>> {
    let mut found: BTreeMap<&str, Vec<Operation<'_>>> = BTreeMap::new();
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        for (method, value) in item.as_object().into_iter().flatten() {
            let Some(value) = value.as_object() else { continue };
            let tag = value.get("tags").map_or("", |tags| text(&tags[0]));
            found.entry(tag).or_default().push(Operation { method: method.to_uppercase(), path, value });
        }
    }
    found
}

struct Page {
    html: String,
}

impl Page {
    fn push(&mut self, html: &str) {
        self.html.push_str(html);
    }

    fn contents(&mut self, operations: &BTreeMap<&str, Vec<Operation<'_>>>) {
        self.push("<table><tr><th>operation<th>what it does</tr>");
        for Operation { method, path, value } in operations.values().flatten() {
            let (id, path) = (escaped(field(value, "operationId")), escaped(path));
            let summary = coded(field(value, "summary"));
            let _ = write!(self.html, "<tr><td><a href=\"#{id}\"><code>{method} {path}</code></a><td>{summary}</tr>");
        }
        self.push("</table>");
    }

    fn operation(&mut self, operation: &Operation<'_>) {
        let Operation { method, path, value } = operation;
        let id = escaped(field(value, "operationId"));
        let _ = write!(self.html, "<h3 id=\"{id}\"><code>{method} {}</code></h3>", escaped(path));
        self.prose(field(value, "summary"));
        self.prose(field(value, "description"));
        let security = value.get("security").and_then(Value::as_array).into_iter().flatten();
        let bearers: Vec<_> = security.filter_map(bearer).collect();
        if !bearers.is_empty() {
            let _ = write!(self.html, "<p>With the token of a {}.</p>", escaped(&bearers.join(" or a ")));
        }
        self.parameters(value.get("parameters").and_then(Value::as_array).map_or(&[], Vec::as_slice));
        if let Some(body) = value.get("requestBody") {
            self.push("<h4>Body</h4>");
            self.content(body);
        }
        self.push("<h4>Answers</h4><table><tr><th>status<th>what</tr>");
        for (status, answer) in value.get("responses").and_then(Value::as_object).into_iter().flatten() {
            let _ = write!(self.html, "<tr><td>{}<td>", escaped(status));
            self.prose(text(&answer["description"]));
            self.content(answer);
            self.push("</tr>");
        }
        self.push("</table>");
    }

    fn parameters(&mut self, parameters: &[Value]) {
        if parameters.is_empty() {
            return;
        }
        self.push("<h4>Parameters</h4><table><tr><th>name<th>in<th>what</tr>");
        for parameter in parameters {
            let (name, place) = (escaped(text(&parameter["name"])), escaped(text(&parameter["in"])));
            let needed = if parameter["required"] == true { ", required" } else { "" };
            let _ = write!(self.html, "<tr><td><code>{name}</code><td>{place}{needed}<td>");
            self.prose(text(&parameter["description"]));
            self.schema(&parameter["schema"]);
            self.push("</tr>");
        }
        self.push("</table>");
    }

    /// The schemas of a body. Problems have all the same one, which need not stand everywhere.
    fn content(&mut self, holder: &Value) {
        for (kind, media) in holder["content"].as_object().into_iter().flatten() {
            if kind != "application/problem+json" {
                let _ = write!(self.html, "<code>{}</code> ", escaped(kind));
                self.schema(&media["schema"]);
            }
        }
    }

    fn schema(&mut self, schema: &Value) {
        match schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next()) {
            Some(name) => {
                let name = escaped(name);
                let _ = write!(self.html, "<a href=\"#{name}\">{name}</a>");
            }
            None if schema.is_null() => {}
            None => self.json(schema),
        }
    }

    fn json(&mut self, value: &Value) {
        let _ = write!(self.html, "<pre>{}</pre>", escaped(&format!("{value:#}")));
    }

    /// Lines that begin with a hyphen are a list.
    fn prose(&mut self, words: &str) {
        for line in words.lines().filter(|line| !line.trim().is_empty()) {
            let _ = write!(self.html, "<p>{}</p>", coded(line.trim_start_matches("- ")));
        }
    }
}

/// Whose token is meant, and with which scope.
fn bearer(alternative: &Value) -> Option<String> {
    let (name, scopes) = alternative.as_object()?.iter().next()?;
    Some(match scopes[0].as_str() {
        Some(scope) => format!("{name} with the scope {scope}"),
        None => name.clone(),
    })
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn field<'a>(object: &'a Map<String, Value>, name: &str) -> &'a str {
    object.get(name).map(text).unwrap_or_default()
}

/// What stands in backticks becomes code.
fn coded(words: &str) -> String {
    let escaped = escaped(words);
    let parts = escaped.split('`').enumerate();
    parts.map(|(index, part)| if index % 2 == 1 { format!("<code>{part}</code>") } else { part.to_owned() }).collect()
}

fn escaped(words: &str) -> String {
    words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_page_has_each_operation_and_no_markup_of_the_document() {
        let document = json!({
            "info": {"title": "T<b>", "version": "1", "description": "d"},
            "paths": {"/x/{id}": {"get": {
                "operationId": "x_get", "tags": ["x"], "summary": "Says `a < b`.", "security": [{"device": []}, {"service": ["s"]}],
                "parameters": [{"name": "id", "in": "path", "required": true, "schema": {"$ref": "#/s/Id"}}],
                "responses": {"200": {"description": "fine", "content": {"text/plain": {"schema": {"type": "string"}}}}},
            }}},
            "components": {"schemas": {"Id": {"type": "string", "description": "<script>"}}},
        });
        let page = render(&document);
        for expected in [
            "<title>T&lt;b&gt;</title>",
            "<a href=\"#x_get\"><code>GET /x/{id}</code></a>",
            "<code>a &lt; b</code>",
            "the token of a device or a service with the scope s.",
            "<a href=\"#Id\">Id</a>",
            "&lt;script&gt;",
        ] {
            assert!(page.contains(expected), "{expected}: {page}");
        }
        assert!(!page.contains("<script"));
    }
}
