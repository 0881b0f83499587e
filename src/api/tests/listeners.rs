//! News over the WebSocket.
use super::feed::{News, Topic};
use super::*;
use crate::api::ws::Listen as Wish;
use futures::{SinkExt, StreamExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Request};

type Listener = WebSocketStream<TcpStream>;

fn request(served: &Served, protocols: Option<&str>, bearer: bool) -> Request<()> {
    let mut request = format!("ws://{}/api/ws", served.port).into_client_request().expect("a request");
    if let Some(list) = protocols {
        request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_str(list).expect("a header"));
    }
    if bearer {
        let value = format!("Bearer {}", served.token);
        request.headers_mut().insert("authorization", HeaderValue::from_str(&value).expect("a header"));
    }
    request
}

async fn open(served: &Served, request: Request<()>) -> Result<Listener, u16> {
    let stream = TcpStream::connect(served.port).await.expect("connects");
    match tokio_tungstenite::client_async(request, stream).await {
        Ok((listener, _)) => Ok(listener),
        Err(tokio_tungstenite::tungstenite::Error::Http(answer)) => Err(answer.status().as_u16()),
        Err(e) => panic!("{e}"),
    }
}

async fn listening(served: &Served, wish: &Wish) -> Listener {
    let mut listener = open(served, request(served, None, true)).await.expect("opens");
    let text = serde_json::to_string(wish).expect("JSON");
    listener.send(Message::text(text)).await.expect("sends");
    assert!(matches!(hear(&mut listener).await, Some(News::Listening { .. })));
    listener
}

/// The next news; none at the end.
async fn hear(listener: &mut Listener) -> Option<News> {
    loop {
        let heard = tokio::time::timeout(Duration::from_secs(20), listener.next()).await.expect("in time");
        match heard? {
            Ok(Message::Text(text)) => return Some(serde_json::from_str(&text).expect("news")),
            Ok(Message::Close(_)) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

fn closed(circuit: u64) -> News {
    News::CircuitClosed { circuit, paid: amount::Amount(7) }
}

#[tokio::test]
async fn a_listener_hears_what_it_asked_for_and_nothing_from_before() {
    let served = Served::begin().await;
    served.feed.say(&closed(1));
    let mut all = listening(&served, &Wish::default()).await;
    let mut some = listening(&served, &Wish { listen: Some(vec![Topic::Requests]) }).await;
    let refused = News::Refused {
        at: 5,
        since: 5,
        count: 1,
        who: "relay1".into(),
        code: 9,
        text: "too dear".into(),
        by_us: true,
    };
    served.feed.say(&closed(2));
    served.feed.say(&refused);
    assert_eq!(hear(&mut all).await, Some(closed(2)));
    assert_eq!(hear(&mut all).await, Some(refused.clone()));
    assert_eq!(hear(&mut some).await, Some(refused));
    // Another wish takes the place of the first.
    some.send(Message::text(r#"{"listen":["circuits"]}"#)).await.expect("sends");
    some.send(Message::Ping("x".into())).await.expect("sends");
    while !matches!(some.next().await, Some(Ok(Message::Pong(_)))) {}
    served.feed.say(&closed(3));
    assert_eq!(hear(&mut some).await, Some(closed(3)));
}

#[tokio::test]
async fn a_listener_without_the_token_does_not_get_in_and_a_browser_may_name_it_as_a_protocol() {
    let served = Served::begin().await;
    assert_eq!(open(&served, request(&served, None, false)).await.err(), Some(401));
    assert_eq!(open(&served, request(&served, Some("magicwave.v1"), false)).await.err(), Some(401));
    assert_eq!(open(&served, request(&served, Some("magicwave.v1, magicwave.token.0"), false)).await.err(), Some(401));
    let list = format!("magicwave.v1, magicwave.token.{}", served.token);
    open(&served, request(&served, Some(&list), false)).await.expect("opens");
    // Nowhere else.
    let more = format!("sec-websocket-protocol: {list}\r\n");
    assert_eq!(served.ask("GET", "/api/status", &more, "").await.refusal(), (401, "MW-API-4".into()));
    let mut foreign = request(&served, Some(&list), false);
    foreign.headers_mut().insert("origin", HeaderValue::from_static("https://evil.example"));
    assert_eq!(open(&served, foreign).await.err(), Some(403));
}

#[tokio::test]
async fn who_says_nothing_or_nonsense_is_shown_out() {
    let served = Served::begin().await;
    let begun = std::time::Instant::now();
    let mut silent = open(&served, request(&served, None, true)).await.expect("opens");
    assert_eq!(hear(&mut silent).await, None);
    let took = begun.elapsed();
    assert!(took > Duration::from_secs(4) && took < Duration::from_secs(9), "{took:?}");
    for nonsense in [Message::text("{"), Message::text(r#"{"listen":["everything"]}"#), Message::binary(vec![0xff])] {
        let mut odd = open(&served, request(&served, None, true)).await.expect("opens");
        odd.send(nonsense).await.expect("sends");
        let heard = hear(&mut odd).await;
        assert!(matches!(heard, Some(News::NotUnderstood { ref code, .. }) if code == "MW-API-12"), "{heard:?}");
        assert_eq!(hear(&mut odd).await, None);
    }
    // Also one that is longer than any that makes sense; a far longer one is not even read.
    let mut long = open(&served, request(&served, None, true)).await.expect("opens");
    long.send(Message::text(format!("{{}}{}", " ".repeat(5_000)))).await.expect("sends");
    let heard = hear(&mut long).await;
    assert!(matches!(heard, Some(News::NotUnderstood { ref text, .. }) if text.contains("4096")), "{heard:?}");
    assert_eq!(hear(&mut long).await, None);
    let mut longer = open(&served, request(&served, None, true)).await.expect("opens");
    longer.send(Message::text("x".repeat(100_000))).await.expect("sends");
    assert_eq!(hear(&mut longer).await, None);
}

#[tokio::test]
async fn a_slow_listener_is_told_what_it_lost_and_goes_on() {
    let served = Served::begin().await;
    let mut slow = listening(&served, &Wish::default()).await;
    // More than its queue and all buffers on the way hold.
    let long = |at| News::Refused {
        at,
        since: at,
        count: 1,
        who: "x".repeat(60_000),
        code: 1,
        text: String::new(),
        by_us: true,
    };
    let said = 1_500;
    for at in 0..said {
        served.feed.say(&long(at));
        tokio::task::yield_now().await;
    }
    let (mut heard, mut lost) = (0, 0);
    loop {
        match hear(&mut slow).await.expect("goes on") {
            News::Lagged { lost: more } => lost += more,
            News::Refused { at, .. } => {
                heard += 1;
                if at + 1 == said {
                    break;
                }
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(lost > 0);
    assert_eq!(heard + lost, said, "each was heard or counted as lost");
    served.feed.say(&closed(9));
    assert_eq!(hear(&mut slow).await, Some(closed(9)));
}

#[tokio::test]
async fn silence_is_broken_within_fifteen_seconds() {
    let served = Served::begin().await;
    let mut listener = listening(&served, &Wish { listen: Some(vec![]) }).await;
    let begun = std::time::Instant::now();
    served.feed.say(&closed(1));
    assert!(matches!(hear(&mut listener).await, Some(News::Alive { .. })));
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn places_are_counted_and_come_back() {
    let served = Served::begin().await;
    let mut all = Vec::new();
    for _ in 0..feed::MAX_LISTENERS {
        all.push(listening(&served, &Wish::default()).await);
    }
    assert_eq!(open(&served, request(&served, None, true)).await.err(), Some(503));
    drop(all.pop());
    let end = std::time::Instant::now() + Duration::from_secs(10);
    while open(&served, request(&served, None, true)).await.is_err() {
        assert!(std::time::Instant::now() < end, "the place does not come back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
