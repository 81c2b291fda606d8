//! The OpenAPI document and the routes say the same.

mod support;

use lockstep_model::Code;
use serde_json::Value;
use std::collections::BTreeSet;
use support::{House, exchange, request};

/// Method and path of each operation.
type Operations = BTreeSet<(String, String)>;

fn documented(document: &Value) -> Operations {
    let items = document["paths"].as_object().unwrap().iter();
    items
        .flat_map(|(path, item)| item.as_object().unwrap().keys().map(|method| (method.to_uppercase(), path.clone())))
        .collect()
}

/// What the server says that its paths take, when it is asked with a method that none takes.
async fn routed(house: &House) -> Operations {
    let mut found = Operations::new();
    for path in lockstep_gateway::paths() {
        let filled = path.replace(['{', '}'], "");
        let answer = exchange(house.address(), &request("BREW", &filled, &[], "")).await;
        assert_eq!(answer.status, 405, "{path}: {answer:?}");
        for method in answer.header("allow").unwrap().split(',').map(str::trim).filter(|method| *method != "HEAD") {
            assert!(found.insert((method.to_owned(), path.clone())), "{method} {path} is routed twice");
        }
    }
    found
}

#[tokio::test]
async fn every_route_is_documented_and_nothing_else() {
    let house = House::start().await;
    let answer = exchange(house.address(), &request("GET", "/v1/openapi.json", &[], "")).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    let document = answer.json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."), "{}", document["openapi"]);
    let (documented, routed) = (documented(&document), routed(&house).await);
    let undocumented: Vec<_> = routed.difference(&documented).collect();
    assert!(undocumented.is_empty(), "annotate with utoipa::path and name in rest/openapi/mod.rs: {undocumented:?}");
    let nowhere: Vec<_> = documented.difference(&routed).collect();
    assert!(nowhere.is_empty(), "documented, but no route leads there: {nowhere:?}");
    house.running.stop().await.unwrap();
}

const PAGE: &str = include_str!("../../../docs/rest.md");

fn in_backticks(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// What stands in backticks as method and path, without parameters of the query.
fn operations_in(text: &str) -> Operations {
    let quoted = in_backticks(text).filter_map(|words| words.split_once(' '));
    let is_method = |method: &str| method.bytes().all(|letter| letter.is_ascii_uppercase());
    let operations = quoted.filter(|(method, path)| is_method(method) && path.starts_with('/'));
    operations.map(|(method, path)| (method.to_owned(), path.split('?').next().unwrap().to_owned())).collect()
}

#[tokio::test]
async fn the_page_of_the_docs_has_the_same_operations() {
    let house = House::start().await;
    let document = exchange(house.address(), &request("GET", "/v1/openapi.json", &[], "")).await.json();
    assert_eq!(operations_in(PAGE), documented(&document));
    let mut compared = 0;
    for row in PAGE.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = row.trim_matches('|').split('|').collect();
        let codes = in_backticks(cells[cells.len() - 1]).filter_map(|name| name.parse::<Code>().ok());
        let codes: Vec<_> = codes.map(Code::name).collect();
        for (method, path) in operations_in(cells[0]) {
            let operation = &document["paths"][&path][method.to_lowercase()];
            let documented: Vec<_> = operation["x-codes"].as_array().into_iter().flatten().collect();
            for code in &codes {
                assert!(documented.iter().any(|documented| *documented == code), "{method} {path} lacks {code}");
                compared += 1;
            }
        }
    }
    assert!(compared >= 60, "{compared}");
    house.running.stop().await.unwrap();
}

#[tokio::test]
async fn every_operation_with_a_token_tells_its_refusals() {
    let house = House::start().await;
    let document = exchange(house.address(), &request("GET", "/v1/openapi.json", &[], "")).await.json();
    let mut with_token = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let what = format!("{method} {path}: {operation:#}");
            assert!(operation["summary"].as_str().is_some_and(|summary| !summary.is_empty()), "{what}");
            if operation["security"].is_null() {
                continue;
            }
            with_token += 1;
            for (status, answer) in operation["responses"].as_object().unwrap() {
                let is_problem = !answer["content"]["application/problem+json"].is_null();
                assert_eq!(is_problem, status.as_str() >= "400", "{what}");
            }
            assert!(
                operation["responses"]["401"]["description"].as_str().unwrap().contains("`token_expired`"),
                "{what}"
            );
        }
    }
    assert!(with_token >= 7, "{with_token}");
    house.running.stop().await.unwrap();
}

#[tokio::test]
async fn the_page_shows_every_operation_and_loads_nothing() {
    let house = House::start().await;
    let page = exchange(house.address(), &request("GET", "/docs", &[], "")).await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
    for (method, path) in routed(&house).await {
        assert!(page.body.contains(&format!("<code>{method} {path}</code></h3>")), "{method} {path}");
    }
    for loads in ["<script", "<link", "<img", "src=", "@import", "url("] {
        assert!(!page.body.contains(loads), "{loads}");
    }
    house.running.stop().await.unwrap();
}
