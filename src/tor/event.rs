//! What tor tells its host: the events of `ffi/magicwave_tor.h` as a Rust enum, those of the control socket, and the
//! end of the process's tor. Pure; nothing here is taken from C.
use crate::redact::Sensitive;
use std::fmt;

/// A circuit of this process; never used twice in it.
pub type CircuitId = u64;

/// Relay cells of one (circuit, hop), payment cells left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Towards the origin.
    pub in_cells: u64,
    /// Away from the origin.
    pub out_cells: u64,
}

impl Counters {
    /// Both directions; stops at the largest number.
    pub fn total(self) -> u64 {
        self.in_cells.saturating_add(self.out_cells)
    }
}

/// Which end of a circuit we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// We built it.
    Origin,
    /// We carry it.
    Relay,
}

/// Service state of a circuit at a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Inside its free window or what was paid, or best effort.
    Open,
    /// Used up: cells pass at the trickle rate.
    Trickle,
    /// Grace is over: only payment cells pass.
    Stopped,
}

/// A relay on a path, as tor knows it. A path says who talks to whom, so none of it gets into a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Hop {
    /// RSA identity digest, None = unknown.
    pub rsa: Option<[u8; 20]>,
    /// ed25519 identity, None = unknown.
    pub ed25519: Option<[u8; 32]>,
    /// Empty = unknown.
    pub nickname: String,
    /// Printable address, empty = unknown.
    pub address: Sensitive<String>,
    /// OR port, 0 = unknown.
    pub port: u16,
    /// The consensus says that it understands payment cells.
    pub speaks: bool,
}

impl fmt::Debug for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hop {{ […], speaks: {} }}", self.speaks)
    }
}

/// Where a stream of a SOCKS client stands (control-spec, STREAM events).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamStatus {
    /// A request came in.
    New,
    /// Sent to the exit.
    Sent,
    /// The target was rewritten.
    Remap,
    /// The exit is connected.
    Succeeded,
    /// It failed for good.
    Failed,
    /// It is over.
    Closed,
    /// Taken off its circuit, may be tried on another.
    Detached,
}

/// A stream of a SOCKS client changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamEvent {
    /// Names the stream; never used twice.
    pub id: u64,
    /// Where it stands.
    pub status: StreamStatus,
    /// The circuit that it rides, None while it has none.
    pub circ: Option<CircuitId>,
    /// host:port as the client asked.
    pub target: Sensitive<String>,
    /// What the client authenticated as: ties a stream to who opened it.
    pub socks_username: Option<Sensitive<String>>,
}

/// One thing that happened inside tor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TorEvent {
    /// The main loop runs; the network is not there yet.
    Ready,
    /// A circuit became known or changed.
    Circuit {
        /// Its number.
        circ: CircuitId,
        /// Our end.
        role: Role,
        /// Of `TorHandle::launch`, 0 for a circuit that tor built for itself.
        token: u64,
        /// Relay: the channel to the previous hop, never used twice.
        channel: u64,
        /// Origin: the whole path. Relay: previous hop, then next hop when there is one.
        hops: Vec<Hop>,
        /// Relay: the previous hop is no relay, so we are the guard.
        prev_is_client: bool,
        /// Origin: tor's CIRCUIT_PURPOSE_*.
        purpose: u32,
    },
    /// Origin: its first stream was begun; payment cells may be sent from now on.
    Begin {
        /// Which circuit.
        circ: CircuitId,
        /// The conflux set that it is a leg of.
        set: Option<u64>,
        /// A leg that carries nothing yet: this comes once more when it does.
        idle: bool,
    },
    /// A payment cell arrived.
    Cell {
        /// On which circuit.
        circ: CircuitId,
        /// Our end.
        role: Role,
        /// Origin: who spoke, 1 = guard. Relay: 0, it came from the origin.
        hop: u32,
        /// At most 472 bytes.
        body: Vec<u8>,
        /// Our own count for (circ, hop).
        own: Counters,
        /// Origin: the speaker's count when it encrypted the cell.
        peer: Counters,
    },
    /// Relay: the circuit's service state changed.
    State {
        /// Which circuit.
        circ: CircuitId,
        /// Its new state.
        state: Service,
        /// Our own count.
        own: Counters,
        /// Cells held for it.
        held: u64,
    },
    /// The counters reached what `TorHandle::watch` asked for.
    Watch {
        /// Which circuit.
        circ: CircuitId,
        /// Which hop, 0 at a relay.
        hop: u32,
        /// Our own count.
        own: Counters,
    },
    /// The circuit is gone. At an origin one event per speaking hop; the last one has hop 0.
    Closed {
        /// Which circuit.
        circ: CircuitId,
        /// Our end.
        role: Role,
        /// See above.
        hop: u32,
        /// Of `TorHandle::launch`, or 0.
        token: u64,
        /// Final count for (circ, hop).
        own: Counters,
        /// tor's END_CIRC_REASON_*, 0 = none.
        reason: u32,
    },
    /// Answer to `TorHandle::query`.
    Counters {
        /// Which circuit.
        circ: CircuitId,
        /// Our end.
        role: Role,
        /// Origin: 1..n, one event each. Relay: 0.
        hop: u32,
        /// Our own count.
        own: Counters,
        /// Relay: service state.
        state: Service,
        /// Relay: cells held.
        held: u64,
        /// Relay: the origin sent a payment cell on this circuit.
        said_hello: bool,
    },
    /// A launch failed before there was a circuit.
    LaunchFailed {
        /// Of `TorHandle::launch`.
        token: u64,
        /// tor's END_CIRC_REASON_*; its internal ones are negative there, so 2^32 - 2 here is "no path".
        reason: u32,
    },
    /// How far tor is.
    Bootstrap(Bootstrap),
    /// A SOCKS client's stream changed.
    Stream(StreamEvent),
    /// `tor_run_main` returned; nothing follows. A second tor in this process is not possible.
    Exited {
        /// tor's exit status.
        status: i32,
    },
}

/// Progress of the bootstrap (control-spec, STATUS_CLIENT BOOTSTRAP).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bootstrap {
    /// 0 to 100.
    pub percent: u8,
    /// e.g. `conn_done`.
    pub tag: String,
    /// For a person.
    pub summary: String,
}
