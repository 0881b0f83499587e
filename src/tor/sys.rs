//! The binding: declarations generated from `ffi/magicwave_tor.h` and tor's `tor_api.h`, and safe calls of them.
#![allow(unsafe_code)]
use super::policy::Policy;
use crate::config::StockClients;
use crate::error::{Error, Result};
use std::ffi::{CString, c_char, c_int};
use std::os::fd::{FromRawFd, OwnedFd};

/// As generated; names are those of the headers.
#[allow(
    missing_docs,
    non_camel_case_types,
    non_upper_case_globals,
    dead_code,
    clippy::all,
    clippy::undocumented_unsafe_blocks
)]
pub mod raw {
    include!(concat!(env!("OUT_DIR"), "/tor_bindings.rs"));
}

/// Most bytes of a payment cell's body.
pub const BODY_MAX: usize = raw::MW_BODY_MAX as usize;
/// Most hops of a path.
pub const HOPS_MAX: usize = raw::MW_MAX_HOPS as usize;

/// A configured tor that has not run yet. A process may run one.
pub struct Main {
    config: *mut raw::tor_main_configuration_t,
    // Both are read by tor as long as it runs.
    _words: Vec<CString>,
    _argv: Vec<*mut c_char>,
}

// SAFETY: the pointers are owned by this value alone and are used by one thread at a time (`run` takes it whole).
unsafe impl Send for Main {}

impl Main {
    /// tor with this command line; `args` do not include the program's name.
    pub fn new(args: &[String]) -> Result<Main> {
        let bad = |_| Error::never("MW-TOR-1", "an argument for tor holds a NUL character; remove it");
        let words: Vec<CString> = std::iter::once("tor")
            .chain(args.iter().map(String::as_str))
            .map(CString::new)
            .collect::<Result<_, _>>()
            .map_err(bad)?;
        let count = c_int::try_from(words.len()).map_err(|_| Error::never("MW-TOR-1", "too many arguments for tor"))?;
        let mut argv: Vec<*mut c_char> = words.iter().map(|word| word.as_ptr().cast_mut()).collect();
        argv.push(std::ptr::null_mut());
        // SAFETY: takes nothing; the result is checked.
        let config = unsafe { raw::tor_main_configuration_new() };
        // SAFETY: `config` comes from the call above (null is answered by -1), argv and its words live as long as it.
        if unsafe { raw::tor_main_configuration_set_command_line(config, count, argv.as_mut_ptr()) } != 0 {
            return Err(Error::later("MW-TOR-2", "no memory to start tor"));
        }
        Ok(Main { config, _words: words, _argv: argv })
    }

    /// Our end of a socket on which tor obeys; tor exits when it is closed. At most one.
    pub fn control_socket(&mut self) -> Result<OwnedFd> {
        // SAFETY: `config` is valid and tor does not run yet.
        let fd = unsafe { raw::tor_main_configuration_setup_control_socket(self.config) };
        if fd < 0 {
            return Err(Error::later("MW-TOR-2", "no socket to talk with tor: are there too many open files?"));
        }
        // SAFETY: a fresh descriptor that nobody else owns.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// Runs tor on the calling thread until it ends; its exit status. tor may also end the whole process by itself.
    pub fn run(self) -> i32 {
        // SAFETY: `config` is valid; argv and its words are kept by `self`.
        let status = unsafe { raw::tor_run_main(self.config) };
        // Not freed: tor closed its end of the control socket already, and freeing would close that number once more,
        // which may by now be somebody else's. The process ends soon after.
        std::mem::forget(self);
        status
    }
}

/// The name and version of the linked tor, e.g. `tor 0.4.9.11`.
pub fn version() -> String {
    // SAFETY: takes nothing, returns a static string.
    let text = unsafe { raw::tor_api_get_provider_version() };
    if text.is_null() {
        return String::from("tor");
    }
    // SAFETY: a static NUL-terminated string.
    unsafe { std::ffi::CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// As C wants it.
pub fn c_policy(policy: &Policy) -> raw::mw_policy_t {
    let limits = &policy.limits;
    raw::mw_policy_t {
        enabled: 1,
        relay_enabled: u32::from(policy.relay),
        stock_clients: match limits.stock_clients {
            StockClients::BestEffort => raw::MW_STOCK_BEST_EFFORT,
            StockClients::PaidOnly => raw::MW_STOCK_PAID_ONLY,
        },
        free_cells: limits.free_cells,
        free_cells_address: limits.free_cells_address,
        free_cells_channel: limits.free_cells_channel,
        free_refill_ms: limits.free_refill_ms,
        base_cells: limits.base_cells,
        trickle_bytes: limits.trickle_bytes,
        grace_ms: limits.grace_ms,
        max_held_cells: limits.max_held_cells,
        max_held_total: limits.max_held_total,
    }
}

/// What the C side counted, for status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Events that the host did not take.
    pub events_dropped: u64,
    /// Commands that did not fit into the queue.
    pub commands_dropped: u64,
    /// Payment cells.
    pub cells_sent: u64,
    /// Payment cells.
    pub cells_received: u64,
    /// Payment cells that were malformed, unexpected or too long.
    pub cells_invalid: u64,
    /// Cells held now.
    pub held_now: u64,
    /// Most cells ever held.
    pub held_peak: u64,
    /// All relay cells of our own circuits, both ways.
    pub cells_own: u64,
}

fn answer(code: c_int) -> Result<()> {
    match code {
        raw::MW_OK => Ok(()),
        raw::MW_FULL => Err(Error::later("MW-TOR-3", "tor's queue of commands is full; try again in a moment")),
        raw::MW_DOWN => Err(Error::later("MW-TOR-4", "tor does not run, or payments are off")),
        _ => Err(Error::never("MW-TOR-5", "tor refuses this command: its arguments are out of range")),
    }
}

/// Queue one payment cell: origin to `hop` (1..), relay to the origin (0). The body is at most [`BODY_MAX`] bytes.
pub fn send(circ: u64, hop: u32, body: &[u8]) -> Result<()> {
    // SAFETY: pointer and length are of one slice; the callee copies.
    answer(unsafe { raw::mw_send(circ, hop, body.as_ptr(), body.len()) })
}

/// Relay: so many cells (in + out, cumulative) are paid for; never lowers.
pub fn grant(circ: u64, cells: u64) -> Result<()> {
    // SAFETY: plain numbers.
    answer(unsafe { raw::mw_grant(circ, cells) })
}

/// Ask for one `Watch` event when in + out of (circ, hop) reaches `cells`.
pub fn watch(circ: u64, hop: u32, cells: u64) -> Result<()> {
    // SAFETY: plain numbers.
    answer(unsafe { raw::mw_watch(circ, hop, cells) })
}

/// Ask for `Counters` events.
pub fn query(circ: u64) -> Result<()> {
    // SAFETY: a plain number.
    answer(unsafe { raw::mw_query(circ) })
}

/// Build a circuit that ends at the relay with this RSA identity.
pub fn launch(token: u64, rsa: &[u8; 20], one_hop: bool) -> Result<()> {
    let flags = if one_hop { raw::MW_LAUNCH_ONE_HOP } else { 0 };
    // SAFETY: the callee reads 20 bytes and copies them.
    answer(unsafe { raw::mw_launch(token, rsa.as_ptr(), flags) })
}

/// Close a circuit.
pub fn close(circ: u64) -> Result<()> {
    // SAFETY: a plain number.
    answer(unsafe { raw::mw_close(circ) })
}

/// Attach no new stream to a circuit of ours, nor to the other legs of its conflux set.
pub fn abandon(circ: u64) -> Result<()> {
    // SAFETY: a plain number.
    answer(unsafe { raw::mw_abandon(circ) })
}

/// Replace the policy of a running tor; `relay` keeps its first value.
pub fn set_policy(policy: &Policy) -> Result<()> {
    let policy = c_policy(policy);
    // SAFETY: the callee copies it.
    answer(unsafe { raw::mw_set_policy(&policy) })
}

/// What the C side counted so far.
pub fn stats() -> Stats {
    let mut out = raw::mw_stats_t::default();
    // SAFETY: the callee fills it.
    unsafe { raw::mw_stats(&mut out) };
    Stats {
        events_dropped: out.events_dropped,
        commands_dropped: out.commands_dropped,
        cells_sent: out.cells_sent,
        cells_received: out.cells_received,
        cells_invalid: out.cells_invalid,
        held_now: out.held_now,
        held_peak: out.held_peak,
        cells_own: out.cells_own,
    }
}
