//! What befalls chain messages on their way: kept back, lost, said twice, overtaken, late.
use super::world::{CLIENT, SITE, World};
use magicwave::gateway::core::message::{Id, Message};
use magicwave::gateway::port::{CircuitId, Counted, Event, SiteAsk};

/// What happens to the messages of one kind between the client and one party, as long as the weather lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// None arrives.
    Withheld,
    /// The first is lost; its repeats arrive.
    LostOnce,
    /// Each arrives twice.
    Twice,
    /// Each arrives after the next message that anybody says.
    Overtaken,
    /// Each arrives so many seconds later.
    Late(u64),
}

/// How a message goes its way.
#[derive(Clone)]
pub enum Leg {
    /// From the `k`th of a circuit to the client.
    Inward { circ: CircuitId, k: usize },
    /// From the client to a relay.
    Outward { circ: CircuitId, hop: u32, to: usize },
    /// From the client to the site.
    Ask { exchange: u64, session: Option<Id> },
    /// From the site to the client.
    Reply { exchange: u64 },
}

/// A fault, where it strikes, and what it keeps.
pub struct Weather {
    pub far: usize,
    pub kind: u8,
    pub fault: Fault,
    /// Is it over? What was kept still arrives at its time.
    pub over: bool,
    /// So many messages it met.
    pub met: usize,
    kept: Vec<(u64, Leg, Vec<Message>)>,
}

impl Weather {
    pub fn new(far: usize, kind: u8, fault: Fault) -> Weather {
        Weather { far, kind, fault, over: false, met: 0, kept: Vec::new() }
    }
}

impl World {
    /// Messages go their way, as the weather allows. `far`: the party that is not the client.
    pub(super) fn convey(&mut self, far: usize, leg: Leg, messages: Vec<Message>) {
        let now = self.now;
        let Some(weather) = &mut self.weather else { return self.arrive(leg, messages) };
        let struck = !weather.over && weather.far == far && messages.iter().any(|m| m.kind() == weather.kind);
        let overtaken: Vec<_> = if weather.fault == Fault::Overtaken { weather.kept.split_off(0) } else { vec![] };
        weather.met += usize::from(struck);
        let (fault, first) = (weather.fault, weather.met == 1);
        let arrives = match fault {
            _ if !struck => 1,
            Fault::LostOnce => usize::from(!first),
            Fault::Twice => 2,
            // What overtakes something is not overtaken itself.
            Fault::Overtaken if !overtaken.is_empty() => 1,
            Fault::Overtaken => {
                weather.kept.push((now, leg.clone(), messages.clone()));
                0
            }
            Fault::Late(secs) => {
                weather.kept.push((now + secs * 1000, leg.clone(), messages.clone()));
                0
            }
            Fault::Withheld => 0,
        };
        for _ in 0..arrives {
            self.arrive(leg.clone(), messages.clone());
        }
        if arrives == 0 {
            // Who asks a site and hears nothing does not wait for ever.
            if let Leg::Ask { exchange, .. } | Leg::Reply { exchange } = leg {
                self.event(CLIENT, Event::Http { exchange, messages: vec![] });
            }
        }
        for (_, leg, messages) in overtaken {
            self.arrive(leg, messages);
        }
    }

    /// What was kept until now arrives.
    pub(super) fn late_arrivals(&mut self) {
        let now = self.now;
        let Some(weather) = &mut self.weather else { return };
        // What nothing overtook comes in its time.
        let due = |at: u64| if weather.fault == Fault::Overtaken { at + 10_000 <= now } else { at <= now };
        let (come, stay): (Vec<_>, Vec<_>) = weather.kept.drain(..).partition(|(at, ..)| due(*at));
        weather.kept = stay;
        for (_, leg, messages) in come {
            self.arrive(leg, messages);
        }
        self.drain();
    }

    /// Is anything still on its way?
    pub fn on_its_way(&self) -> usize {
        self.weather.as_ref().map_or(0, |weather| weather.kept.len())
    }

    fn arrive(&mut self, leg: Leg, messages: Vec<Message>) {
        match leg {
            Leg::Inward { circ, k } => messages.into_iter().for_each(|m| self.towards_origin(circ, k, m)),
            Leg::Outward { circ, hop, to } => {
                let Some(route) = self.routes.get(&circ).filter(|_| self.setup.speaks[to]) else { return };
                let own = route.counted[hop as usize - 1];
                for message in messages {
                    self.event(to, Event::Message { circ, hop: 0, message, own, peer: Counted::default() });
                }
            }
            Leg::Ask { exchange, session } => {
                for message in messages {
                    self.event(SITE, Event::Site { call: exchange, ask: SiteAsk::Message { session, message } });
                }
            }
            Leg::Reply { exchange } => self.event(CLIENT, Event::Http { exchange, messages }),
        }
    }
}
