//! GET /api/ws
use super::feed::{Feed, MAX_LISTENERS, News, Topic};
use super::guard::PROTOCOL;
use super::problem::Problem;
use super::{Api, State};
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, sleep_until, timeout};
use utoipa::ToSchema;

/// Its path, where alone a token may come in the list of protocols.
pub(super) const PATH: &str = "/api/ws";
/// A listener says within this time what it wants to hear.
const FIRST: Duration = Duration::from_secs(5);
/// After so much silence there is a sign of life: a browser's worker lives on messages that are at most 30 s apart.
const QUIET: Duration = Duration::from_secs(12);
/// Bytes of a message of a listener.
const MAX_MESSAGE: usize = 4 << 10;
/// Bytes of a message that is read to be refused in words; a longer one ends the connection as it comes.
const MAX_READ: usize = 64 << 10;

/// A listener's message: the first one within 5 s, later ones replace it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// What it wants to hear; without it everything.
    #[serde(default)]
    pub listen: Option<Vec<Topic>>,
}

impl Listen {
    fn wants(&self, topic: Option<Topic>) -> bool {
        match (&self.listen, topic) {
            (Some(wanted), Some(topic)) => wanted.contains(&topic),
            _ => true,
        }
    }
}

/// Live news over a WebSocket: messages as in the schema `News`, JSON texts.
///
/// The token comes in the Authorization header, or as `magicwave.token.TOKEN` in Sec-WebSocket-Protocol beside
/// `magicwave.v1`. The listener speaks first, within 5 s (schema `Listen`), else the connection is closed. There is a
/// message at least every 15 s. At most 16 listeners; one that is too slow hears `lagged`.
#[utoipa::path(get, path = PATH, responses((status = 101, description = "news follow", body = News)))]
pub(super) async fn get(
    State(api): State<Api>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let upgrade = upgrade.map_err(|e| Problem::new(e.status(), "MW-API-12", e.body_text()))?;
    let feed = api.backend.feed();
    let place = feed.place().ok_or_else(|| {
        let text = format!("{MAX_LISTENERS} programs listen already; end one of them");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "MW-API-20", text)
    })?;
    let upgrade = upgrade.protocols([PROTOCOL]).max_message_size(MAX_READ).max_frame_size(MAX_READ);
    let answer = upgrade.on_upgrade(async move |mut socket| {
        // An end of any kind is the listener's affair.
        let _ = talk(&mut socket, &feed).await;
        drop(place);
    });
    Ok(answer.into_response())
}

/// Until one side is gone.
async fn talk(socket: &mut WebSocket, feed: &Feed) -> Result<(), axum::Error> {
    let mut listen = match timeout(FIRST, socket.recv()).await {
        Ok(Some(Ok(message))) => match understood(&message) {
            Ok(listen) => listen.unwrap_or_default(),
            Err(why) => return refuse(socket, why).await,
        },
        Ok(None | Some(Err(_))) => return Ok(()),
        Err(_) => return close(socket, close_code::POLICY, "nothing was said within 5 s").await,
    };
    let mut news = feed.listen();
    socket.send(Message::Text(News::Listening { at: now_ms() }.text())).await?;
    let mut said = Instant::now();
    loop {
        let text: Utf8Bytes = tokio::select! {
            heard = news.recv() => match heard {
                Ok(heard) if listen.wants(heard.topic) => heard.text.clone(),
                Ok(_) => continue,
                Err(RecvError::Lagged(lost)) => News::Lagged { lost }.text(),
                Err(RecvError::Closed) => return close(socket, close_code::AWAY, "the daemon ends").await,
            },
            message = socket.recv() => match message {
                Some(Ok(message)) => match understood(&message) {
                    Ok(Some(other)) => { listen = other; continue }
                    Ok(None) => continue,
                    Err(why) => return refuse(socket, why).await,
                },
                None | Some(Err(_)) => return Ok(()),
            },
            () = sleep_until(said + QUIET) => News::Alive { at: now_ms() }.text(),
        };
        socket.send(Message::Text(text)).await?;
        said = Instant::now();
    }
}

/// What a listener wants; none for a message of the protocol's own.
fn understood(message: &Message) -> Result<Option<Listen>, String> {
    match message {
        Message::Text(text) if text.len() > MAX_MESSAGE => {
            Err(format!("a message of {} bytes; at most {MAX_MESSAGE} are read", text.len()))
        }
        Message::Text(text) => serde_json::from_str(text).map(Some).map_err(|e| e.to_string()),
        Message::Binary(_) => Err("messages are JSON texts".into()),
        Message::Ping(_) | Message::Pong(_) | Message::Close(_) => Ok(None),
    }
}

async fn refuse(socket: &mut WebSocket, text: String) -> Result<(), axum::Error> {
    socket.send(Message::Text(News::NotUnderstood { code: "MW-API-12".into(), text }.text())).await?;
    close(socket, close_code::POLICY, "not understood").await
}

async fn close(socket: &mut WebSocket, code: u16, reason: &'static str) -> Result<(), axum::Error> {
    socket.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}
