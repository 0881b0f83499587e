//! The http front of a site: asks the gateway, and counts what it serves against what is covered.
use super::calls::Calls;
use super::world::send_back;
use crate::config::Site as SiteKeys;
use crate::error::{Error, Result};
use crate::gateway::core::message::{Id, Message, RefusalCode};
use crate::gateway::port::{Answer, Event, SiteAsk};
use crate::gateway::transport::http::credit::Credits;
use crate::gateway::transport::http::required::Required;
use crate::gateway::transport::http::site::{Admission, Site, SiteConfig, SiteGateway};
use crate::units::Price;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

struct Front {
    events: SyncSender<Event>,
    calls: Arc<Calls>,
    credit: Mutex<Credits>,
}

/// Serves visitors at `keys.listen` until it is aborted.
pub async fn serve(
    keys: &SiteKeys,
    price: Price,
    network: [u8; 8],
    events: SyncSender<Event>,
    calls: Arc<Calls>,
) -> Result<JoinHandle<()>> {
    let listener = TcpListener::bind(keys.listen).await.map_err(|e| {
        Error::later(
            "MW-SITE-1",
            format!("cannot listen at {}: {e}. Is another program there? Change site.listen.", keys.listen),
        )
    })?;
    let paid = keys.paid_paths.iter().map(|prefix| (prefix.clone(), price)).collect();
    let front = Arc::new(Front { events, calls, credit: Mutex::default() });
    let site = Site::new(SiteConfig::new(keys.upstream, paid, network), front)?;
    Ok(tokio::spawn(async move {
        if let Err(e) = site.serve(listener, std::future::pending()).await {
            tracing::error!(code = e.code, "the site stops: {e}");
        }
    }))
}

impl Front {
    async fn ask(&self, ask: SiteAsk) -> Answer {
        let Some((call, answer)) = self.calls.open() else { return Answer::Failed(RefusalCode::BUSY) };
        send_back(&self.events, Event::Site { call, ask }).await;
        answer.await.unwrap_or(Answer::Failed(RefusalCode::INTERNAL))
    }

    fn credit(&self) -> MutexGuard<'_, Credits> {
        // Nothing panics while it is held; and what is in it is asked for again.
        self.credit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks whether a response of `need` bytes may be served, and remembers how far.
    async fn ask_credit(&self, session: Option<Id>, need: u64) -> Answer {
        let answer = self.ask(SiteAsk::Require { session, need }).await;
        if let Answer::Serve { session, covered, served, paid } = answer {
            self.credit().cover(session, covered, served, paid);
        }
        answer
    }
}

impl SiteGateway for Front {
    async fn message(&self, session: Id, message: Message) -> Vec<Message> {
        let known = (session != Id::default()).then_some(session);
        let answers = match self.ask(SiteAsk::Message { session: known, message }).await {
            Answer::Messages(messages) => messages,
            Answer::Failed(code) => vec![Message::Refusal(code.refuse(Id::default()))],
            _ => vec![Message::Refusal(RefusalCode::INTERNAL.refuse(Id::default()))],
        };
        // A response that is held goes on as soon as the payment is credited.
        if answers.iter().any(|m| matches!(m, Message::Delivered(_))) {
            self.ask_credit(known, 0).await;
        }
        answers
    }

    async fn require(&self, session: Option<Id>, _price: Price, need: Option<u64>) -> Admission {
        match self.ask_credit(session, need.unwrap_or(1)).await {
            Answer::Serve { session, .. } => Admission::Serve(session),
            Answer::Pay { offer, request } => Admission::Pay(Box::new(Required { offer: *offer, request: *request })),
            Answer::Failed(code) => Admission::Refuse(code),
            _ => Admission::Refuse(RefusalCode::INTERNAL),
        }
    }

    fn served(&self, session: Id, bytes: u64) -> u64 {
        let taken = self.credit().serve(&session, bytes);
        // Never waits: when the gateway is that far behind, nothing is served until it has caught up.
        if taken > 0 && self.events.try_send(Event::Served { session, bytes: taken }).is_err() {
            self.credit().give_back(&session, taken);
            return 0;
        }
        taken
    }

    fn forget(&self, session: Id) {
        self.credit().forget(&session);
    }
}
