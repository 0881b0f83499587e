//! `magicwave fetch` through a proxy, with a daemon that pays or does not.
use super::*;
use magicwave::cli::fetch;

/// A SOCKS5 proxy with user names; passes every connection to `site` and remembers {user, host}.
async fn proxy(site: SocketAddr, seen: Arc<Mutex<Vec<(String, String)>>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(relay(stream, site, seen.clone()));
        }
    });
    address
}

async fn relay(
    mut stream: TcpStream,
    site: SocketAddr,
    seen: Arc<Mutex<Vec<(String, String)>>>,
) -> std::io::Result<()> {
    async fn field(stream: &mut TcpStream) -> std::io::Result<String> {
        let mut bytes = vec![0; usize::from(stream.read_u8().await?)];
        stream.read_exact(&mut bytes).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
    assert_eq!(stream.read_u8().await?, 5);
    assert!(field(&mut stream).await?.contains('\u{2}'), "no user name is offered");
    stream.write_all(&[5, 2]).await?;
    stream.read_u8().await?;
    let user = field(&mut stream).await?;
    field(&mut stream).await?;
    stream.write_all(&[1, 0]).await?;
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    assert_eq!(head, [5, 1, 0, 3], "a name, not an address");
    let host = field(&mut stream).await?;
    stream.read_u16().await?;
    seen.lock().expect("lock").push((user, host));
    stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
    copy_bidirectional(&mut stream, &mut TcpStream::connect(site).await?).await.map(|_| ())
}

/// A daemon whose `/api/pay` pays `amount` to the site, or refuses with a code.
async fn daemon(socket: &std::path::Path, client: PayClient, site: Url, answer: Result<u64, &'static str>) {
    let listener = UnixListener::bind(socket).expect("bind");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (client, site) = (client.clone(), site.clone());
            let service = service_fn(move |request: Request<Incoming>| {
                let (client, site) = (client.clone(), site.clone());
                async move {
                    assert_eq!((request.method(), request.uri().path()), (&Method::POST, "/api/pay"));
                    let body = request.into_body().collect().await.expect("a body").to_bytes();
                    let call: PayCall = serde_json::from_slice(&body).expect("a call");
                    assert!(call.isolation.starts_with("fetch-") && call.origin == "http://film.example");
                    let demand = Required::from_base64(&call.offer, &call.request).expect("a demand");
                    assert_eq!(call.session, session_header(&demand.offer));
                    let answer = match answer {
                        Ok(amount) => {
                            client.message(&site, Some(&call.session), &deliver(amount)).await.expect("paid");
                            PayAnswer { ok: true, amount: amount.to_string(), ..PayAnswer::default() }
                        }
                        Err(code) => PayAnswer { code: code.into(), text: "No.".into(), ..PayAnswer::default() },
                    };
                    let body = serde_json::to_vec(&answer).expect("json");
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(body))))
                }
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
}

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: fetch::Args,
}

/// What has the file's name before.
const KEPT: &[u8] = b"kept";

/// Runs `fetch` against a fresh world; returns its exit code, the file, and what the proxy saw.
async fn fetched(ahead: u64, answer: Option<Result<u64, &'static str>>) -> (String, Vec<u8>, Vec<(String, String)>) {
    let world = world(ahead, Duration::from_millis(50)).await;
    let dir = tempfile::tempdir().expect("a directory");
    let seen = Arc::default();
    let site = world.origin.socket_addrs(|| None).expect("an address")[0];
    let proxy = proxy(site, Arc::clone(&seen)).await;
    let (socket, file) = (dir.path().join("api"), dir.path().join("film"));
    let mut args = vec!["fetch".to_owned(), "http://film.example/paid/film".to_owned(), "--timeout=20".to_owned()];
    args.extend([format!("--socks={proxy}"), format!("--output={}", file.display())]);
    if let Some(answer) = answer {
        args.push(format!("--api={}", socket.display()));
        daemon(&socket, world.client.clone(), world.origin.clone(), answer).await;
    }
    std::fs::write(&file, KEPT).expect("written");
    let args = Cli::try_parse_from(args).expect("arguments").args;
    let code = tokio::task::spawn_blocking(|| fetch::run(args)).await.expect("no panic").expect("a code");
    let seen = seen.lock().expect("lock").clone();
    (format!("{code:?}"), std::fs::read(file).expect("a file"), seen)
}

fn exit(code: u8) -> String {
    format!("{:?}", ExitCode::from(code))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fetch_pays_what_a_site_asks_and_brings_the_whole_file() {
    let (code, file, seen) = fetched(0, Some(Ok(FILM as u64))).await;
    assert_eq!((code, file == film()), (exit(0), true));
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|(user, host)| *user == seen[0].0 && host == "film.example"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fetch_pays_again_and_resumes_where_its_credit_ended() {
    let (code, file, seen) = fetched(90_000, Some(Ok(90_000))).await;
    assert_eq!((code, file == film()), (exit(0), true));
    assert_eq!(seen.len(), 8, "four times asked to pay, four times served");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fetch_says_when_it_may_not_or_must_not_pay() {
    let (code, file, _) = fetched(0, Some(Err("budget_day"))).await;
    assert_eq!((code, &*file), (exit(5), KEPT), "a failure leaves what was there");
    let (code, ..) = fetched(0, None).await;
    assert_eq!(code, exit(5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fetch_stops_paying_a_site_that_takes_money_and_serves_nothing() {
    let (code, _, seen) = fetched(1000, Some(Ok(0))).await;
    assert_eq!(code, exit(5));
    assert_eq!(seen.len(), 4, "three payments, not more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_fetches_never_share_a_circuit() {
    let (first, second) = (fetched(0, Some(Ok(FILM as u64))).await.2, fetched(0, Some(Ok(FILM as u64))).await.2);
    assert_ne!(first[0].0, second[0].0);
}
