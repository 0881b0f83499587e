//! The callback on tor's thread (invariant 3): copy, bounded `try_send`, return; nothing unwinds into C.
//!
//! When the queue is full, payment cells are dropped first: a quarter of its slots is kept for what changes a
//! circuit's life, so that its reader does not go on believing in circuits that are gone. A panic poisons payments:
//! every later event is refused, everything passes unpaid, tor routes on.
#![allow(unsafe_code)]
use super::event::{Counters, Hop, Role, Service, TorEvent};
use super::guard::Guard;
use super::policy::Policy;
use super::sys::{self, BODY_MAX, HOPS_MAX, raw};
use crate::error::{Error, Result};
use crate::redact::Sensitive;
use std::ffi::{c_char, c_void};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;

/// Events that wait for their reader; about 5 MiB when all of them are full cells.
pub const QUEUE: usize = 8_192;

/// What the callback knows; it lives as long as the process.
pub struct Host {
    take: Box<dyn Fn(TorEvent) -> bool + Send + Sync>,
    poisoned: AtomicBool,
    dropped: AtomicU64,
    policy: Mutex<Policy>,
    guard: Option<Guard>,
}

impl Host {
    /// A host that hands events to `take`, which returns false when it could not.
    pub fn new(policy: Policy, take: impl Fn(TorEvent) -> bool + Send + Sync + 'static) -> Host {
        Host {
            take: Box::new(take),
            poisoned: AtomicBool::new(false),
            dropped: AtomicU64::new(0),
            policy: Mutex::new(policy),
            guard: None,
        }
    }

    /// With a guard before tor's entry ports.
    pub fn guarded(self, guard: Option<Guard>) -> Host {
        Host { guard, ..self }
    }

    /// True after a panic on tor's thread: payments are off until the process starts anew.
    pub fn poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Relaxed)
    }

    /// Events that were dropped on this side.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Change the policy of the running tor; refused once payments are poisoned.
    pub fn set_policy(&self, policy: Policy) -> Result<()> {
        if self.poisoned() {
            return Err(Error::later("MW-TOR-6", "payments broke inside this process; restart it"));
        }
        sys::set_policy(&policy)?;
        if let Ok(mut kept) = self.policy.lock() {
            *kept = policy;
        }
        Ok(())
    }
}

/// A bounded queue as the taker of a host's events.
pub fn queue(sender: mpsc::Sender<TorEvent>) -> impl Fn(TorEvent) -> bool + Send + Sync + 'static {
    move |event| {
        let kept = sender.max_capacity() / 4;
        let minor = matches!(event, TorEvent::Cell { .. } | TorEvent::Stream(_));
        (!minor || sender.capacity() > kept) && sender.try_send(event).is_ok()
    }
}

/// Registers the callback before tor runs. Once per process.
pub fn install(host: Host) -> Result<Arc<Host>> {
    let policy = match host.policy.lock() {
        Ok(policy) => sys::c_policy(&policy),
        Err(_) => return Err(Error::never("MW-TOR-6", "payments broke inside this process; restart it")),
    };
    let host = Arc::new(host);
    // tor keeps the pointer until the process ends, so this count is never given back.
    let kept = Arc::into_raw(Arc::clone(&host)).cast_mut().cast::<c_void>();
    // SAFETY: `event` matches mw_event_fn, `kept` points to a Host that lives for ever, the policy is copied.
    let installed = unsafe { raw::mw_install(Some(event), kept, &policy) } == 0;
    // SAFETY: `entry` matches mw_guard_fn, `kept` as above.
    if installed && (host.guard.is_none() || unsafe { raw::mw_guard(Some(entry), kept) } == 0) {
        Ok(host)
    } else {
        Err(Error::never("MW-TOR-7", "tor's hooks are installed already: one tor per process"))
    }
}

/// What C calls for each connection to an entry port, on tor's thread; 1 takes it.
extern "C" fn entry(host: *mut c_void, entry: *const raw::mw_entry_t) -> i32 {
    // SAFETY: `host` is the pointer that `install` gave away, never freed, and Host is Sync.
    let Some(host) = (unsafe { host.cast::<Host>().as_ref() }) else { return 0 };
    // SAFETY: the caller's entry is valid until we return (magicwave_tor.h).
    let Some(entry) = (unsafe { entry.as_ref() }) else { return 0 };
    let end = |ip: [u8; 16], port| SocketAddr::new(IpAddr::V6(Ipv6Addr::from(ip)), port);
    let (client, server) = (end(entry.client, entry.client_port), end(entry.server, entry.server_port));
    let takes = || host.guard.as_ref().is_some_and(|guard| guard.takes(client, server));
    i32::from(catch_unwind(AssertUnwindSafe(takes)).unwrap_or(false))
}

/// What C calls, on tor's thread.
extern "C" fn event(host: *mut c_void, event: *const raw::mw_event_t) -> i32 {
    // SAFETY: `host` is the pointer that `install` gave away, never freed, and Host is Sync.
    let Some(host) = (unsafe { host.cast::<Host>().as_ref() }) else { return 1 };
    if host.poisoned() {
        return 1;
    }
    let work = || {
        // SAFETY: the caller's event is valid until we return (magicwave_tor.h).
        let taken = unsafe { copy(event) }.is_some_and(|event| (host.take)(event));
        if !taken {
            host.dropped.fetch_add(1, Ordering::Relaxed);
        }
        taken
    };
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(true) => 0,
        Ok(false) => 1,
        Err(_) => {
            poison(host);
            1
        }
    }
}

fn poison(host: &Host) {
    host.poisoned.store(true, Ordering::Relaxed);
    let policy = host.policy.try_lock().map(|policy| *policy).unwrap_or_else(|_| Policy::own_network());
    // Tells only the C side's queue; when that is full, the circuits that it holds stay as they are.
    let _ = sys::set_policy(&policy.let_all_pass());
}

/// Copies an event out of C's memory; None when it is nothing that the header allows.
///
/// # Safety
/// `event` is null or points to an event whose `hops` and `body` hold `n_hops` hops and `body_len` bytes.
unsafe fn copy(event: *const raw::mw_event_t) -> Option<TorEvent> {
    // SAFETY: valid or null by contract.
    let event = unsafe { event.as_ref() }?;
    let circ = event.circ;
    let (hop, token, reason, held) = (event.hop, event.token, event.reason, event.held_cells);
    let own = Counters { in_cells: event.in_cells, out_cells: event.out_cells };
    let role = match event.role {
        raw::MW_ROLE_ORIGIN => Some(Role::Origin),
        raw::MW_ROLE_RELAY => Some(Role::Relay),
        _ => None,
    };
    let state = match event.state {
        raw::MW_STATE_OPEN => Some(Service::Open),
        raw::MW_STATE_TRICKLE => Some(Service::Trickle),
        raw::MW_STATE_STOPPED => Some(Service::Stopped),
        _ => None,
    };
    Some(match event.kind {
        raw::MW_EV_READY => TorEvent::Ready,
        raw::MW_EV_CIRCUIT => {
            // SAFETY: by contract.
            let hops = unsafe { list(event.hops, event.n_hops, HOPS_MAX) }?.iter().map(copy_hop).collect();
            let (channel, purpose) = (event.channel, event.purpose);
            TorEvent::Circuit {
                circ,
                role: role?,
                token,
                channel,
                hops,
                prev_is_client: event.prev_is_client != 0,
                purpose,
            }
        }
        raw::MW_EV_BEGIN => {
            TorEvent::Begin { circ, set: Some(event.set).filter(|set| *set != 0), idle: event.idle != 0 }
        }
        raw::MW_EV_CELL => {
            // SAFETY: by contract.
            let body = unsafe { list(event.body, event.body_len, BODY_MAX) }?.to_vec();
            let peer = Counters { in_cells: event.peer_in_cells, out_cells: event.peer_out_cells };
            TorEvent::Cell { circ, role: role?, hop, body, own, peer }
        }
        raw::MW_EV_STATE => TorEvent::State { circ, state: state?, own, held },
        raw::MW_EV_WATCH => TorEvent::Watch { circ, hop, own },
        raw::MW_EV_CLOSED => TorEvent::Closed { circ, role: role?, hop, token, own, reason },
        raw::MW_EV_COUNTERS => {
            let said_hello = event.speaks_hello != 0;
            TorEvent::Counters { circ, role: role?, hop, own, state: state?, held, said_hello }
        }
        raw::MW_EV_LAUNCH_FAILED => TorEvent::LaunchFailed { token, reason },
        _ => return None,
    })
}

/// # Safety
/// `first` points to `count` items, or is null.
unsafe fn list<'a, T>(first: *const T, count: u32, most: usize) -> Option<&'a [T]> {
    let count = usize::try_from(count).ok().filter(|count| *count <= most)?;
    if count == 0 {
        return Some(&[]);
    }
    if first.is_null() {
        return None;
    }
    // SAFETY: not null, and that long by contract.
    Some(unsafe { std::slice::from_raw_parts(first, count) })
}

fn copy_hop(hop: &raw::mw_hop_t) -> Hop {
    Hop {
        rsa: Some(hop.rsa).filter(|id| id.iter().any(|byte| *byte != 0)),
        ed25519: Some(hop.ed).filter(|id| id.iter().any(|byte| *byte != 0)),
        nickname: text(&hop.nickname),
        address: Sensitive(text(&hop.address)),
        port: hop.port,
        speaks: hop.speaks != 0,
    }
}

fn text(field: &[c_char]) -> String {
    let bytes: Vec<u8> = field.iter().map(|c| c.to_ne_bytes()[0]).take_while(|byte| *byte != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests;
