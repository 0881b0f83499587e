//! Between tor's events and the gateway's: cells become messages, messages become cells. Pure.
use crate::gateway::core::codec;
use crate::gateway::core::message::{Message, RefusalCode};
use crate::gateway::port::{CircuitId, Counted, Event, Hop};
use crate::tor::cell::{Outbox, Reassembler};
use crate::tor::event::{Counters, Role, Service, TorEvent};
use std::collections::HashMap;

/// Circuits with messages under way, ours and those through us.
const MAX_CIRCUITS: usize = 65_536;
/// Hops of a circuit, as `MW_MAX_HOPS` says.
const MAX_HOPS: u32 = 8;
/// Unreadable cells of one circuit that are answered; more are dropped in silence.
const MAX_ANSWERS: u8 = 8;

#[derive(Debug, Default)]
struct Talk {
    inbox: Reassembler,
    outbox: Outbox,
    answered: u8,
}

/// The messages under way on all circuits of a process.
#[derive(Debug, Default)]
pub struct Cells {
    talks: HashMap<CircuitId, HashMap<u32, Talk>>,
}

impl Cells {
    /// What an event of tor means to the gateway, if anything.
    pub fn event(&mut self, now: u64, event: TorEvent) -> Option<Event> {
        // Talk begins with the circuit and ends with it: a reply that comes later finds nothing to leave behind.
        if let TorEvent::Circuit { circ, .. } = &event
            && (self.talks.len() < MAX_CIRCUITS || self.talks.contains_key(circ))
        {
            self.talks.entry(*circ).or_default();
        }
        Some(match event {
            TorEvent::Circuit { circ, role: Role::Origin, token, hops, .. } => {
                // A hop without an identity could not be told from another: the path is unknown from there on.
                let path = hops.into_iter().map_while(hop).collect();
                Event::Built { circ, token, path }
            }
            TorEvent::Circuit { circ, role: Role::Relay, hops, .. } => {
                // `prev_is_client` is of the time when the circuit was made; a relay that the consensus names since has
                // an identity here, a client never has.
                let mut hops = hops.into_iter();
                let prev = hops.next().and_then(|h| h.rsa);
                Event::Passing { circ, prev, next: hops.next().and_then(hop) }
            }
            TorEvent::Begin { circ, set, idle } => Event::Begin { circ, set, idle },
            TorEvent::Cell { circ, hop, body, own, peer, .. } => return self.cell(now, circ, hop, &body, own, peer),
            TorEvent::State { circ, state, own, .. } => {
                Event::State { circ, state: state_number(state), own: counted(own) }
            }
            TorEvent::Watch { circ, hop, own } => Event::Watched { circ, hop, own: counted(own) },
            TorEvent::Counters { circ, hop, own, .. } => Event::Counters { circ, hop, own: counted(own) },
            TorEvent::Closed { circ, hop: 0, token, own, .. } => {
                self.talks.remove(&circ);
                Event::Closed { circ, token, own: counted(own) }
            }
            TorEvent::Closed { circ, hop, own, .. } => Event::Counters { circ, hop, own: counted(own) },
            TorEvent::LaunchFailed { token, .. } => Event::LaunchFailed { token },
            TorEvent::Bootstrap(progress) => Event::Tor { up: progress.percent == 100 },
            TorEvent::Ready | TorEvent::Stream(_) | TorEvent::Exited { .. } => return None,
        })
    }

    fn cell(
        &mut self,
        now: u64,
        circ: CircuitId,
        hop: u32,
        body: &[u8],
        own: Counters,
        peer: Counters,
    ) -> Option<Event> {
        let talk = self.talk(circ, hop)?;
        let decoded = match talk.inbox.push(now, body) {
            Ok(None) => return None,
            Ok(Some(bytes)) => codec::decode(&bytes).map_err(|e| e.answer().map(|refusal| refusal.code)),
            Err(_) => Err(Some(RefusalCode::MALFORMED)),
        };
        match decoded {
            Ok(message) => Some(Event::Message { circ, hop, message, own: counted(own), peer: counted(peer) }),
            Err(Some(code)) if talk.answered < MAX_ANSWERS => {
                talk.answered += 1;
                Some(Event::Garbage { circ, hop, code })
            }
            Err(_) => None,
        }
    }

    /// The cells of a message; none when the circuit is gone or the message is too long.
    pub fn bodies(&mut self, circ: CircuitId, hop: u32, message: &Message) -> Vec<Vec<u8>> {
        let bytes = codec::encode(message);
        self.talk(circ, hop).and_then(|talk| talk.outbox.bodies(&bytes).ok()).unwrap_or_default()
    }

    fn talk(&mut self, circ: CircuitId, hop: u32) -> Option<&mut Talk> {
        if hop > MAX_HOPS {
            return None;
        }
        Some(self.talks.get_mut(&circ)?.entry(hop).or_default())
    }
}

fn hop(hop: crate::tor::event::Hop) -> Option<Hop> {
    Some(Hop { relay: hop.rsa?, nickname: hop.nickname, speaks: hop.speaks })
}

fn counted(counters: Counters) -> Counted {
    Counted { inward: counters.in_cells, outward: counters.out_cells }
}

fn state_number(state: Service) -> u8 {
    match state {
        Service::Open => 0,
        Service::Trickle => 1,
        Service::Stopped => 2,
    }
}
