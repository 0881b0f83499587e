//! The document, the routes and the answers say the same.
use super::super::feed::News;
use super::*;
use serde_json::{Value, json};

#[path = "../../../tests/devnet/common/schema.rs"]
mod schema;

fn text() -> Value {
    serde_json::to_value(document()).expect("JSON")
}

/// A query or a body that makes sense there.
fn sample(method: &str, path: &str) -> (&'static str, String) {
    match (method, path) {
        ("POST", "/api/pay") => {
            ("", json!({"origin": "x", "isolation": "x", "offer": "x", "request": "x", "session": "x"}).to_string())
        }
        ("PUT", "/api/budgets") => {
            let target = json!({"site": "shop.example"});
            ("", json!({"set_rule": {"target": target, "mode": "ask", "day": "100"}}).to_string())
        }
        ("GET", "/api/history") => ("?from=0&to=86400000&bin=3600000", String::new()),
        ("GET", "/api/payments") => ("?limit=2&service=http&site=shop.example%3A80&since=3", String::new()),
        ("GET", _) => ("", String::new()),
        _ => ("", "{}".into()),
    }
}

#[tokio::test]
async fn every_documented_path_answers_as_the_document_says() {
    let served = Served::begin().await;
    let document = text();
    let more = format!("{}content-type: application/json\r\n", served.bearer());
    for (method, path) in every_route().into_iter().filter(|(_, path)| path != ws::PATH) {
        let (query, body) = sample(method, &path);
        let said = served.ask(method, &format!("{path}{query}"), &more, &body).await;
        assert_eq!(said.status, 200, "{method} {path}: {}", said.body);
        let answer: Value = serde_json::from_str(&said.body).expect("JSON");
        let faults = schema::faults(&document, method, &path, &answer);
        assert!(faults.is_empty(), "{method} {path}: {faults:?} in {answer}");
    }
    // The check can fail.
    assert!(!schema::faults(&document, "POST", "/api/close", &json!({"returning": [{"amount": 7}]})).is_empty());
    assert!(!schema::faults(&document, "POST", "/api/flush", &json!({"flushing": true, "more": 1})).is_empty());
}

#[tokio::test]
async fn the_served_document_is_the_one_that_the_verb_prints() {
    let served = Served::begin().await;
    let said = served.ask("GET", "/api/openapi.json", &served.bearer(), "").await;
    let answer: Value = serde_json::from_str(&said.body).expect("JSON");
    assert_eq!(answer, text());
    assert!(answer["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")), "{}", answer["openapi"]);
    let source = include_str!("../mod.rs");
    assert!(!source.contains(".route("), "a route that is added another way is in no document");
    let refusal = answer.pointer("/paths/~1api~1pay/post/responses/default/content/application~1json/schema/$ref");
    assert_eq!(refusal, Some(&json!("#/components/schemas/Refused")));
}

#[test]
fn the_page_for_callers_names_every_path_and_every_message() {
    let page = include_str!("../../../docs/api.md");
    for (method, path) in every_route() {
        assert!(page.contains(&format!("{method} {path}")), "docs/api.md has no {method} {path}");
    }
    for news in every_news() {
        let name = serde_json::to_value(&news).expect("JSON")["event"].as_str().expect("a name").to_owned();
        assert!(page.contains(&format!("`{name}`")), "docs/api.md has no message {name}");
    }
}

fn every_news() -> Vec<News> {
    let (at, who, text) = (1, "relay1".to_owned(), "x".to_owned());
    vec![
        News::Listening { at },
        News::Alive { at },
        News::Lagged { lost: 3 },
        News::NotUnderstood { code: "MW-API-12".into(), text: text.clone() },
        News::Request(fake::request()),
        News::Refused { at, since: at, count: 1, who, code: 9, text, by_us: true },
        News::PaymentBegun(fake::payment()),
        News::PaymentComplete(fake::payment()),
        News::PaymentFailed(fake::payment()),
        News::State(fake::account()),
        News::Balance { paying: balance::Paying::default(), earning: balance::Earning::default() },
        News::Link(fake::line()),
        News::CircuitOpened { circuit: 4, hops: vec!["relay1".into()] },
        News::CircuitClosed { circuit: 4, paid: amount::Amount(8) },
    ]
}

#[test]
fn every_message_of_the_websocket_has_its_form_in_the_document() {
    let document = text();
    for news in every_news() {
        let said: Value = serde_json::from_str(&news.text()).expect("JSON");
        let faults = schema::faults_of(&document, "News", &said);
        assert!(faults.is_empty(), "{faults:?} in {said}");
        assert_eq!(serde_json::from_value::<News>(said).expect("reads"), news);
    }
    assert!(!schema::faults_of(&document, "News", &json!({"event": "gossip"})).is_empty());
    assert!(schema::faults_of(&document, "Listen", &json!({"listen": ["payments"]})).is_empty());
    assert!(!schema::faults_of(&document, "Listen", &json!({"listen": ["gossip"]})).is_empty());
}

#[test]
fn amounts_are_digits_in_a_string_and_nothing_else() {
    let read = |text: &str| serde_json::from_str::<amount::Amount>(text).map(|amount| amount.0);
    assert_eq!(read("\"0\"").expect("reads"), 0);
    assert_eq!(read("\"18446744073709551615\"").expect("reads"), u64::MAX);
    for odd in ["1", "\"\"", "\"-1\"", "\"+1\"", "\"1.0\"", "\" 1\"", "\"18446744073709551616\"", "\"1e3\"", "null"] {
        assert!(read(odd).is_err(), "{odd}");
    }
    assert_eq!(serde_json::to_string(&amount::Amount(1 << 60)).expect("JSON"), "\"1152921504606846976\"");
}
