//! The client against sites and proxies of any kind.
use super::*;

/// A server that answers every connection with the same bytes.
async fn parrot(answer: Vec<u8>) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let url = Url::parse(&format!("http://{}/", listener.local_addr().expect("bound"))).expect("a URL");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            let _ = stream.write_all(&answer).await;
        }
    });
    url
}

#[tokio::test]
async fn a_client_survives_whatever_a_site_answers() {
    let client = PayClient::new(Dial::Loopback, Duration::from_secs(5));
    let head =
        |extra: &str| format!("HTTP/1.1 200 OK\r\ncontent-type: {CONTENT_TYPE}\r\nconnection: close\r\n{extra}\r\n");
    let long = [head("content-length: 5000\r\n").into_bytes(), vec![1; 5000]].concat();
    let short = [head("content-length: 100\r\n").into_bytes(), vec![1; 5]].concat();
    let garbage = [head("content-length: 5\r\n").into_bytes(), vec![1; 5]].concat();
    let html = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi".to_vec();
    for (answer, code) in [
        (long, "MW-HTTP-11"),
        (short, "MW-HTTP-11"),
        (garbage, "MW-HTTP-11"),
        (html, "MW-HTTP-11"),
        (vec![0xff; 10_000], "MW-FETCH-5"),
        (vec![], "MW-FETCH-5"),
    ] {
        let url = parrot(answer).await;
        assert_eq!(client.message(&url, None, &deliver(1)).await.map_err(|e| e.code), Err(code));
    }
    let odd = format!("HTTP/1.1 402 Pay\r\n{REQUIRED_HEADER}: {}\r\ncontent-length: 0\r\n\r\n", "A".repeat(20_000));
    let response = client.send(&parrot(odd.into_bytes()).await, Method::GET, HeaderMap::new(), Bytes::new()).await;
    assert_eq!(required(&response.expect("a response")).map_err(|e| e.code), Err("MW-HTTP-1"));
    for url in ["https://127.0.0.1/", "ftp://127.0.0.1/", "http://192.0.2.1/", "http://example.com/"] {
        let url = Url::parse(url).expect("a URL");
        let sent = client.send(&url, Method::GET, HeaderMap::new(), Bytes::new()).await;
        assert_eq!(sent.err().map(|e| e.code), Some("MW-FETCH-1"), "{url}");
    }
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_named_as_such() {
    let free = TcpListener::bind("127.0.0.1:0").await.expect("bind").local_addr().expect("bound");
    let name = |text: &str| Sensitive(text.to_owned());
    let dial = Dial::Socks { proxy: free, user: name("user"), password: name("x") };
    let client = PayClient::new(dial, Duration::from_secs(5));
    let url = Url::parse("http://film.example/").expect("a URL");
    let sent = client.send(&url, Method::GET, HeaderMap::new(), Bytes::new()).await;
    assert_eq!(sent.err().map(|e| e.code), Some("MW-FETCH-2"));
}
