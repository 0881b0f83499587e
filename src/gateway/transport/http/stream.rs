//! A response body that flows as far as it is paid for.
use super::site::SiteGateway;
use crate::gateway::core::message::Id;
use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep};

/// The most that is counted and handed on at once.
const PIECE: usize = 16 * 1024;
/// How often a held body looks for new credit.
const LOOK: Duration = Duration::from_millis(100);

/// Why a body ended early.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The web server behind went away.
    #[error("the web server behind ended its answer early: {0}")]
    Upstream(#[from] hyper::Error),
    /// Credit was used up and no payment came.
    #[error("the credit of the session is used up")]
    Unpaid,
}

/// Passes the upstream's body on as credit allows, holds it without credit, and ends it after `hold`.
pub(super) struct Metered<G> {
    inner: Incoming,
    gateway: Arc<G>,
    session: Id,
    /// Taken from upstream and not yet granted.
    waiting: Bytes,
    hold: Duration,
    held: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl<G: SiteGateway> Metered<G> {
    pub(super) fn new(inner: Incoming, gateway: Arc<G>, session: Id, hold: Duration) -> Self {
        Metered { inner, gateway, session, waiting: Bytes::new(), hold, held: None }
    }

    /// A piece that is paid for; Pending while there is no credit, so that what was granted is flushed meanwhile.
    fn granted(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, BodyError>> {
        loop {
            let wanted = self.waiting.len().min(PIECE);
            let granted = self.gateway.served(self.session, wanted as u64);
            let granted = usize::try_from(granted).unwrap_or(wanted).min(wanted);
            if granted > 0 {
                self.held = None;
                return Poll::Ready(Ok(self.waiting.split_to(granted)));
            }
            let hold = self.hold;
            let (until, look) =
                self.held.get_or_insert_with(|| (Instant::now() + hold, Box::pin(sleep(LOOK.min(hold)))));
            ready!(look.as_mut().poll(cx));
            if Instant::now() >= *until {
                return Poll::Ready(Err(BodyError::Unpaid));
            }
            look.set(sleep(LOOK));
        }
    }
}

impl<G: SiteGateway> Body for Metered<G> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        while this.waiting.is_empty() {
            match ready!(Pin::new(&mut this.inner).poll_frame(cx)) {
                // Trailers are hop-by-hop for us: their announcement was stripped.
                Some(Ok(frame)) => this.waiting = frame.into_data().unwrap_or_default(),
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => return Poll::Ready(None),
            }
        }
        this.granted(cx).map(|piece| Some(piece.map(Frame::data)))
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = SizeHint::new();
        hint.set_lower(self.waiting.len() as u64);
        hint
    }
}
