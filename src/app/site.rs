//! The http front of a site: asks the gateway, and counts what it serves against what is covered.
use super::calls::Calls;
use super::world::send_back;
use crate::config::Site as SiteKeys;
use crate::error::{Error, Result};
use crate::gateway::core::message::{Id, Message, RefusalCode};
use crate::gateway::port::{Answer, Event, SiteAsk};
use crate::gateway::transport::http::required::Required;
use crate::gateway::transport::http::site::{Admission, Site, SiteConfig, SiteGateway};
use crate::units::Price;
use std::collections::HashMap;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Sessions whose credit is known here; the gateway has a limit of its own.
const MAX_SESSIONS: usize = 8_192;

#[derive(Clone, Copy, Debug, Default)]
struct Credit {
    covered: u64,
    served: u64,
}

struct Front {
    events: SyncSender<Event>,
    calls: Arc<Calls>,
    credit: Mutex<HashMap<Id, Credit>>,
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
    let front = Arc::new(Front { events, calls, credit: Mutex::new(HashMap::new()) });
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
        answer.await.unwrap_or(Answer::Failed(RefusalCode::SHUTTING_DOWN))
    }

    fn cover(&self, session: Id, covered: u64) {
        let Ok(mut credit) = self.credit.lock() else { return };
        if credit.len() < MAX_SESSIONS || credit.contains_key(&session) {
            let entry = credit.entry(session).or_default();
            entry.covered = entry.covered.max(covered);
        }
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
        if answers.iter().any(|m| matches!(m, Message::Delivered(_)))
            && let Answer::Serve { session, covered } = self.ask(SiteAsk::Require { session: known, need: 0 }).await
        {
            self.cover(session, covered);
        }
        answers
    }

    async fn require(&self, session: Option<Id>, _price: Price, need: Option<u64>) -> Admission {
        match self.ask(SiteAsk::Require { session, need: need.unwrap_or(1) }).await {
            Answer::Serve { session, covered } => {
                self.cover(session, covered);
                Admission::Serve(session)
            }
            Answer::Pay { offer, request } => Admission::Pay(Box::new(Required { offer: *offer, request: *request })),
            Answer::Failed(code) => Admission::Refuse(code),
            _ => Admission::Refuse(RefusalCode::INTERNAL),
        }
    }

    fn served(&self, session: Id, bytes: u64) -> u64 {
        let taken = {
            let Ok(mut credit) = self.credit.lock() else { return 0 };
            let Some(entry) = credit.get_mut(&session) else { return 0 };
            let taken = bytes.min(entry.covered.saturating_sub(entry.served));
            entry.served = entry.served.saturating_add(taken);
            taken
        };
        // Never waits: when the gateway is that far behind, nothing is served until it has caught up.
        if taken > 0 && self.events.try_send(Event::Served { session, bytes: taken }).is_err() {
            if let Ok(mut credit) = self.credit.lock()
                && let Some(entry) = credit.get_mut(&session)
            {
                entry.served = entry.served.saturating_sub(taken);
            }
            return 0;
        }
        taken
    }

    fn forget(&self, session: Id) {
        if let Ok(mut credit) = self.credit.lock() {
            credit.remove(&session);
        }
    }
}
