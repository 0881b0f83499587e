//! Whose program is at the other end of a connection: only those of our own user may ask.
//!
//! A unix socket says it by itself; for TCP the kernel is asked (`crate::peer`).
use crate::gateway::transport::http::listen::Listen;
use crate::peer;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::OnceCell;

/// The other end of a connection.
#[derive(Clone, Debug)]
pub(super) enum Peer {
    /// The user id that the socket told, if it did.
    Unix(Option<u32>),
    /// Looked up once, at the first request.
    Tcp {
        /// The client's end.
        client: SocketAddr,
        /// Ours.
        server: SocketAddr,
        /// What was found.
        uid: Arc<OnceCell<Option<u32>>>,
    },
}

impl Peer {
    /// Does a program of `uid` ask? No when that cannot be told.
    pub async fn is(&self, uid: u32) -> bool {
        let found = match self {
            Peer::Unix(found) => *found,
            Peer::Tcp { client, server, uid } => {
                let (client, server) = (*client, *server);
                let look = move || peer::uid(client, server);
                *uid.get_or_init(async || tokio::task::spawn_blocking(look).await.ok().flatten()).await
            }
        };
        found == Some(uid)
    }
}

/// A listener that notes the other end of each connection.
pub(super) struct Door<L>(pub L);

impl Listen for Door<UnixListener> {
    type Stream = UnixStream;
    type Note = Peer;
    async fn next(&self) -> io::Result<(UnixStream, Option<IpAddr>, Peer)> {
        let (stream, _) = self.0.accept().await?;
        let uid = stream.peer_cred().ok().map(|who| who.uid());
        Ok((stream, None, Peer::Unix(uid)))
    }
}

impl Listen for Door<TcpListener> {
    type Stream = TcpStream;
    type Note = Peer;
    async fn next(&self) -> io::Result<(TcpStream, Option<IpAddr>, Peer)> {
        let (stream, client) = self.0.accept().await?;
        let server = stream.local_addr()?;
        Ok((stream, None, Peer::Tcp { client, server, uid: Arc::default() }))
    }
}
