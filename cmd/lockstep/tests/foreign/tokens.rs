//! Others check access tokens with the server's public keys, and issue tokens that it takes for theirs.

use crate::clients::Client;
use crate::page;
use anyhow::{Context, Result, ensure};
use lockstep_testkit::{Answer, ServerOptions, ServerProcess, ask};
use serde_json::{Value, json};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const ALGORITHMS: [&str; 4] = ["HS256", "RS256", "ES256", "EdDSA"];
const SECRET: &str = "a secret that has at least 32 characters";

#[tokio::test]
async fn pyjwt_checks_tokens_and_issues_them() -> Result<()> {
    let check = [page::REST.block("With PyJWT:", "python")?, include_str!("clients/check.py")].join("\n");
    checks_and_issues(Client::Pyjwt, &check, include_str!("clients/issue.py")).await
}

#[tokio::test]
async fn jose_checks_tokens_and_issues_them() -> Result<()> {
    let check = [page::REST.block("With jose:", "js")?, include_str!("clients/check.js")].join("\n");
    checks_and_issues(Client::Jose, &check, include_str!("clients/issue.js")).await
}

async fn checks_and_issues(client: Client, check: &str, issue: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let place = folder.path().to_str().context("a path")?;
    let mut issuing = client.start(issue, &[("FOLDER", place), ("SECRET", SECRET)])?;
    let issued: Value = serde_json::from_str(&issuing.line().await?)?;
    issuing.end().await?;
    let options =
        ServerOptions { settings: vec![("accounts.issuers", issuers(folder.path())?)], ..ServerOptions::default() };
    let server = ServerProcess::start_with(env!("CARGO_BIN_EXE_lockstep"), options).await?;
    let check = page::with(check, &[("http://127.0.0.1:8080", &server.url())])?;

    let (ana, ben) = (server.token("ana", "phone", "main").await?, server.token("ben", "phone", "main").await?);
    let service = server.administer(&["token", "service", "--name", "billing", "--scope", "publish:*"]).await?;
    let other = ServerProcess::start(env!("CARGO_BIN_EXE_lockstep")).await?.token("ana", "phone", "main").await?;
    let mut tokens = vec![ana.clone(), changed(&ana, &ben)?, service.trim().to_owned(), other];
    for algorithm in ALGORITHMS {
        tokens.push(exchange(&server, algorithm, &issued[algorithm]).await.context(algorithm)?);
    }

    let mut checking = client.start(&check, &[("TOKENS", &tokens.join(",")), ("NO_PROXY", "*")])?;
    let mut subjects = Vec::new();
    for _ in &tokens {
        let claims: Value = serde_json::from_str(&checking.line().await?)?;
        ensure!(claims.is_null() || claims["device"].is_string(), "{claims}");
        subjects.push(claims["sub"].clone());
    }
    checking.end().await?;
    let of_others = ["hs256-ana", "rs256-ana", "es256-ana", "eddsa-ana"];
    let expected = json!([["ana", null, null, null], of_others]);
    ensure!(json!([subjects[..4], subjects[4..]]) == expected, "{subjects:?}");
    Ok(())
}

/// The setting that names them all.
fn issuers(folder: &Path) -> Result<String> {
    let secret = folder.join("secret");
    fs::write(&secret, SECRET)?;
    fs::set_permissions(&secret, Permissions::from_mode(0o600))?;
    let issuer = |algorithm: &str| {
        let file = if algorithm == "HS256" {
            format!("secret_file = {secret:?}")
        } else {
            format!("jwks_file = {:?}", folder.join(algorithm))
        };
        let prefix = format!("{}-", algorithm.to_lowercase());
        format!(
            "{{issuer = \"https://{algorithm}.example\", audience = \"chat\", algorithm = \"{algorithm}\", {file}, \
             user_prefix = \"{prefix}\", create_users = true}}"
        )
    };
    Ok(format!("[{}]", ALGORITHMS.map(issuer).join(", ")))
}

/// Shows the server an issuer's tokens, and returns the access token that the good one is exchanged for.
async fn exchange(server: &ServerProcess, algorithm: &str, issued: &Value) -> Result<String> {
    let token = |name: &str| issued[name].as_str().with_context(|| format!("{name} is not in {issued}"));
    let refused = [
        ("changed", changed(token("ana")?, token("ben")?)?, "token_invalid"),
        ("stranger", token("stranger")?.to_owned(), "token_invalid"),
        ("elsewhere", token("elsewhere")?.to_owned(), "token_invalid"),
        ("expired", token("expired")?.to_owned(), "token_expired"),
    ];
    for (name, token, code) in refused {
        let answer = sign_in(server, &token).await?;
        ensure!((answer.status, &*answer.code()) == (401, code), "{name}: {answer:?}");
    }
    let answer = sign_in(server, token("ana")?).await?;
    let session = answer.json();
    let user = format!("{}-ana", algorithm.to_lowercase());
    ensure!(answer.status == 201 && session["user"] == user, "{answer:?}");
    Ok(session["access_token"].as_str().context("a session has a token")?.to_owned())
}

async fn sign_in(server: &ServerProcess, token: &str) -> Result<Answer> {
    let request = json!({"token": token, "device": {"name": "phone"}});
    ask(server.address(), "POST", "/v1/sessions/external", &[], Some(&request)).await
}

/// A token that says what another one says.
fn changed(token: &str, other: &str) -> Result<String> {
    let (_, signature) = token.rsplit_once('.').context("a token has a signature")?;
    let (said, _) = other.rsplit_once('.').context("a token has a signature")?;
    Ok(format!("{said}.{signature}"))
}
