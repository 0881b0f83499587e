//! Serves http on a listener within stated bounds: connections in all and per address, time for a head, pauses of a
//! body, and how long nobody may take what we write.
use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, Sleep, sleep};

/// Bytes that hyper buffers per connection and direction.
pub const BUFFER: usize = 64 * 1024;

/// What a listener allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Connections, at most. A further one takes the place of the oldest that has sent no whole request yet; when
    /// there is none it waits in the listener's queue.
    pub connections: usize,
    /// Connections of one address, at most; not for the loopback, where all of tor's visitors come from.
    pub per_address: usize,
    /// From the beginning, or the last response, to the end of a request's head.
    pub head: Duration,
    /// A request's body may pause so long.
    pub body: Duration,
    /// What we write may lie unread so long.
    pub write: Duration,
}

/// A listener of streams.
pub trait Listen {
    /// Of one connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// What every request of a connection carries among its extensions.
    type Note: Clone + Send + Sync + 'static;
    /// The next connection, the address that counts for `Bounds::per_address`, and the note.
    fn next(&self) -> impl Future<Output = io::Result<(Self::Stream, Option<IpAddr>, Self::Note)>> + Send;
}

impl Listen for TcpListener {
    type Stream = tokio::net::TcpStream;
    type Note = ();
    async fn next(&self) -> io::Result<(Self::Stream, Option<IpAddr>, ())> {
        let (stream, peer) = self.accept().await?;
        Ok((stream, Some(peer.ip().to_canonical()).filter(|ip| !ip.is_loopback()), ()))
    }
}

/// Serves until the listener fails; drop the future to end it and all its connections.
pub async fn serve<L, S, B>(listener: L, bounds: Bounds, service: S) -> io::Result<()>
where
    L: Listen,
    S: Service<Request<Timed<Incoming>>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let room = Arc::new(Semaphore::new(bounds.connections.clamp(1, Semaphore::MAX_PERMITS)));
    let peers = Peers::default();
    let mut connections = JoinSet::new();
    // Those that were never heard: number (by age), and how to end them.
    let mut silent: BTreeMap<u64, (AbortHandle, Arc<AtomicBool>)> = BTreeMap::new();
    for number in 0u64.. {
        let (stream, peer, note) = loop {
            match listener.next().await {
                Ok(accepted) => break accepted,
                Err(error) if transient(&error) => sleep(Duration::from_millis(100)).await,
                Err(error) => return Err(error),
            }
        };
        while connections.try_join_next().is_some() {}
        silent.retain(|_, (task, heard)| !task.is_finished() && !heard.load(Ordering::Acquire));
        let Some(peer) = peers.enter(peer, bounds.per_address) else { continue };
        if room.available_permits() == 0
            && let Some((_, (task, _))) = silent.pop_first()
        {
            task.abort();
        }
        let Ok(permit) = room.clone().acquire_owned().await else { return Ok(()) };
        let heard = Arc::new(AtomicBool::new(false));
        let service = Hearing { inner: service.clone(), heard: heard.clone(), pause: bounds.body, note };
        let task = connections.spawn(async move {
            let _counted = (permit, peer);
            let mut server = hyper::server::conn::http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(bounds.head).max_buf_size(BUFFER);
            let stream = Pressed { inner: stream, patience: bounds.write, stuck: None };
            if let Err(error) = server.serve_connection(TokioIo::new(stream), service).with_upgrades().await {
                tracing::debug!(%error, "a connection ended");
            }
        });
        silent.insert(number, (task, heard));
    }
    Ok(())
}

/// An accept that failed for one connection or for want of descriptors, not for good.
fn transient(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, WouldBlock};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted | WouldBlock)
        || matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

/// Connections by address; as many entries as there are connections at most.
#[derive(Clone, Default)]
struct Peers(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One connection of an address, until it is dropped.
struct Peer(Option<(Peers, IpAddr)>);

impl Peers {
    fn enter(&self, ip: Option<IpAddr>, most: usize) -> Option<Peer> {
        let Some(ip) = ip else { return Some(Peer(None)) };
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = table.get(&ip).copied().unwrap_or(0);
        if count >= most {
            return None;
        }
        table.insert(ip, count + 1);
        Some(Peer(Some((self.clone(), ip))))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let Some((peers, ip)) = &self.0 else { return };
        let mut table = peers.0.lock().unwrap_or_else(PoisonError::into_inner);
        match table.get(ip).copied() {
            Some(count) if count > 1 => drop(table.insert(*ip, count - 1)),
            _ => drop(table.remove(ip)),
        }
    }
}

/// Notes that a whole head came, hands the connection's note on, and times the body.
#[derive(Clone)]
struct Hearing<S, N> {
    inner: S,
    heard: Arc<AtomicBool>,
    pause: Duration,
    note: N,
}

impl<S, N> Service<Request<Incoming>> for Hearing<S, N>
where
    S: Service<Request<Timed<Incoming>>>,
    N: Clone + Send + Sync + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;
    fn call(&self, mut request: Request<Incoming>) -> S::Future {
        request.extensions_mut().insert(self.note.clone());
        self.heard.store(true, Ordering::Release);
        self.inner.call(request.map(|inner| Timed { inner, pause: self.pause, since: None }))
    }
}

/// A request's body that fails when it pauses for too long.
pub struct Timed<B> {
    inner: B,
    pause: Duration,
    since: Option<Pin<Box<Sleep>>>,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

impl<B: Body<Data = Bytes, Error: Into<Failure>> + Unpin> Body for Timed<B> {
    type Data = Bytes;
    type Error = Failure;
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(cx) {
            this.since = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let pause = this.pause;
        let timer = this.since.get_or_insert_with(|| Box::pin(sleep(pause)));
        timer.as_mut().poll(cx).map(|()| Some(Err("the body of the request stands still".into())))
    }
    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }
    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A stream that fails when the other side does not take what is written.
struct Pressed<S> {
    inner: S,
    patience: Duration,
    stuck: Option<Pin<Box<Sleep>>>,
}

impl<S> Pressed<S> {
    fn judge<T>(&mut self, cx: &mut Context<'_>, done: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if done.is_ready() {
            self.stuck = None;
            return done;
        }
        let until = Instant::now() + self.patience;
        let timer = self.stuck.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        timer.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Pressed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Pressed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.judge(cx, done)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.inner).poll_flush(cx);
        self.judge(cx, done)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.judge(cx, done)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.judge(cx, done)
    }
    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt, Full};
    use hyper::service::service_fn;
    use std::convert::Infallible;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    async fn serving(connections: usize, head_ms: u64) -> std::net::SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let bounds = Bounds {
            connections,
            per_address: 2,
            head: Duration::from_millis(head_ms),
            body: Duration::from_millis(200),
            write: Duration::from_secs(5),
        };
        let service = service_fn(|request: Request<Timed<Incoming>>| async move {
            let whole = request.into_body().collect().await.is_ok();
            let answer = if whole { "whole" } else { "broken" };
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(answer.as_bytes()))))
        });
        tokio::spawn(serve(listener, bounds, service));
        address
    }

    async fn said(address: std::net::SocketAddr, text: &str) -> String {
        let mut stream = TcpStream::connect(address).await.expect("connects");
        stream.write_all(text.as_bytes()).await.expect("writes");
        let mut bytes = Vec::new();
        let end = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut bytes)).await;
        let _ = end.expect("the server ends the connection");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[tokio::test]
    async fn half_a_head_and_half_a_body_end_in_time() {
        let address = serving(8, 200).await;
        assert!(!said(address, "GET / HTTP/1.1\r\nhost: x\r\n").await.contains("whole"));
        assert!(said(address, "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhalf").await.contains("broken"));
        assert!(said(address, "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.contains("whole"));
    }

    #[tokio::test]
    async fn half_requests_do_not_shut_out_a_whole_one() {
        let address = serving(4, 60_000).await;
        let mut half = Vec::new();
        for _ in 0..12 {
            let mut stream = TcpStream::connect(address).await.expect("connects");
            stream.write_all(b"GET / HTT").await.expect("writes");
            half.push(stream);
        }
        assert!(said(address, "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.contains("whole"));
    }

    #[test]
    fn an_address_has_a_limit_and_gets_its_places_back() {
        let peers = Peers::default();
        let ip = Some(IpAddr::from([192, 0, 2, 1]));
        let (first, _second) = (peers.enter(ip, 2).expect("room"), peers.enter(ip, 2).expect("room"));
        assert!(peers.enter(ip, 2).is_none());
        assert!(peers.enter(Some(IpAddr::from([192, 0, 2, 2])), 2).is_some() && peers.enter(None, 0).is_some());
        drop(first);
        assert!(peers.enter(ip, 2).is_some());
    }
}
