//! Schemathesis reads the OpenAPI document and asks what it allows and what it does not: no answer is a mistake of the server,
//! and none is missing in the document.

use crate::clients::schemathesis;
use anyhow::{Context, Result, ensure};
use lockstep_testkit::{ServerOptions, ServerProcess, ask, post};
use serde_json::json;
use std::io::Write;

/// Nobody is to be refused for being too fast.
const FAST: [(&str, u64); 4] = [
    ("device_requests_burst", 1_000_000),
    ("user_requests_burst", 1_000_000),
    ("address_requests_burst", 1_000_000),
    ("sends_burst", 1_000_000),
];
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,\
                      response_headers_conformance,negative_data_rejection";
/// Operations that end what the others need, and the upgrade to a WebSocket.
const LEFT_OUT: &str = "^/v1/(ws|admin/.*|sessions.*|devices/.*|conversations/.id./leave)$";

#[tokio::test]
async fn no_answer_is_missing_in_the_document() -> Result<()> {
    let server = ServerProcess::start_with(env!("CARGO_BIN_EXE_lockstep"), ServerOptions::limits(&FAST)).await?;
    let token = server.token("ana", "phone", "main").await?;
    server.token("ben", "phone", "main").await?;
    let group = json!({"kind": "group", "members": ["ben"]});
    let group = post(server.address(), "/v1/conversations", &token, &group).await?;
    let id = group["id"].as_str().context("a conversation has an id")?;
    let mut settings = tempfile::NamedTempFile::with_suffix(".toml")?;
    let operations = "include-path-regex = \"^/v1/conversations/\"";
    writeln!(settings, "[[operations]]\n{operations}\nparameters = {{ id = \"{id}\", user = \"ben\" }}")?;
    let settings = settings.path().to_str().context("a path")?;
    let document = format!("http://{}/v1/openapi.json", server.address());
    let bearer = format!("Authorization: Bearer {token}");
    let run = ["run", &document, "-H", &bearer, "-c", CHECKS, "--exclude-path-regex", LEFT_OUT];
    // The seed makes each run ask the same.
    let how = ["--phases", "coverage,fuzzing", "-n", "20", "--seed", "1", "--continue-on-failure", "--warnings", "off"];
    for before in [&[][..], &["--config-file", settings]] {
        let report = schemathesis(&[before, &run, &how].concat()).await?;
        ensure!(report.contains(" passed"), "nothing was asked:\n{report}");
    }
    ensure!(server.is_running()?, "the server has crashed");
    Ok(())
}

/// The same of what takes an administrator's token, which may do all of it.
#[tokio::test]
async fn no_answer_to_administrators_is_missing_in_the_document() -> Result<()> {
    let server = ServerProcess::start_with(env!("CARGO_BIN_EXE_lockstep"), ServerOptions::limits(&FAST)).await?;
    let token = server.token("ana", "phone", "main").await?;
    let group = json!({"kind": "group", "members": []});
    let group = post(server.address(), "/v1/conversations", &token, &group).await?;
    let id = group["id"].as_str().context("a conversation has an id")?;
    let admin = server.administer(&["token", "service", "--name", "operator", "--scope", "admin"]).await?;
    let authorization = format!("Authorization: Bearer {token}");
    let devices = ask(server.address(), "GET", "/v1/devices", &[&authorization], None).await?.json();
    let device = devices["devices"][0]["id"].as_str().context("a device has an id")?;
    let mut settings = tempfile::NamedTempFile::with_suffix(".toml")?;
    for (path, parameter, value) in [
        ("users", "id", "ana"),
        ("devices", "id", device),
        ("connections/", "device", device),
        ("conversations", "id", id),
    ] {
        let operations = format!("include-path-regex = \"^/v1/admin/{path}\"");
        writeln!(settings, "[[operations]]\n{operations}\nparameters = {{ {parameter} = \"{value}\" }}")?;
    }
    let settings = settings.path().to_str().context("a path")?;
    let document = format!("http://{}/v1/openapi.json", server.address());
    let bearer = format!("Authorization: Bearer {admin}");
    let run = ["run", &document, "-H", &bearer, "-c", CHECKS, "--include-path-regex", "^/v1/admin/"];
    let how = ["--phases", "coverage,fuzzing", "-n", "20", "--seed", "1", "--continue-on-failure", "--warnings", "off"];
    for before in [&[][..], &["--config-file", settings]] {
        let report = schemathesis(&[before, &run, &how].concat()).await?;
        ensure!(report.contains(" passed"), "nothing was asked:\n{report}");
    }
    ensure!(server.is_running()?, "the server has crashed");
    Ok(())
}
