//! The local API over its unix socket, with a daemon behind it that only answers.
use futures::future::BoxFuture;
use magicwave::api::{Backend, bind, client, serve};
use magicwave::error::{Error, Result};
use magicwave::gateway::transport::http::client::{PayAnswer, PayCall};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

struct Fake;

impl Backend for Fake {
    fn status(&self) -> BoxFuture<'_, Result<Value>> {
        Box::pin(async { Ok(json!({"is": "status"})) })
    }
    fn payments(&self, limit: u32) -> BoxFuture<'_, Result<Value>> {
        Box::pin(async move { Ok(json!(limit)) })
    }
    fn events(&self, limit: u32) -> BoxFuture<'_, Result<Value>> {
        Box::pin(async move { Ok(json!(limit)) })
    }
    fn pay(&self, _: PayCall) -> BoxFuture<'_, PayAnswer> {
        Box::pin(async { PayAnswer::default() })
    }
    fn flush(&self) -> BoxFuture<'_, Result<Value>> {
        Box::pin(async { Err(Error::later("MW-APP-3", "the gateway is gone or stuck; look at its log")) })
    }
    fn close(&self) -> BoxFuture<'_, Result<Value>> {
        Box::pin(async { Ok(json!({"returning": [{"state": "retired", "amount": 7, "due_ms": 9}]})) })
    }
}

#[tokio::test]
async fn close_is_a_post_with_the_token_and_says_what_comes_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let socket = dir.path().join("api.sock");
    let (listener, token) = bind(&socket).expect("bound");
    let server = tokio::spawn(serve(listener, token, Arc::new(Fake)));
    let patience = Duration::from_secs(10);
    let call = |path, body| client::call::<Value>(&socket, path, body, patience);
    let closed = call("/api/close", Some(&Value::Null)).await.expect("an answer");
    assert_eq!(closed["returning"][0]["amount"], 7);
    assert_eq!(call("/api/close", None).await.expect_err("a GET closes nothing").code, "MW-API-2");
    assert!(call("/api/flush", Some(&Value::Null)).await.expect_err("an error").text.contains("MW-APP-3"));
    std::fs::write(dir.path().join("api.token"), "0".repeat(64)).expect("written");
    assert!(call("/api/close", Some(&Value::Null)).await.expect_err("no token").code == "MW-API-4");
    server.abort();
}
