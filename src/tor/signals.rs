//! The process's signals, handed on to the tor inside it.
use super::control::Signal;
use super::daemon::TorHandle;
use std::io::Write;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// How long a tor that was told to halt may take before the process ends without it.
const HALT_LIMIT: Duration = Duration::from_secs(15);

/// HUP, INT, TERM, USR1 and USR2 mean what they mean to tor. The second INT or TERM stops at once; when even that is
/// not obeyed in time, the process ends as if it were killed.
pub async fn forward(tor: TorHandle) -> std::io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut user1 = signal(SignalKind::user_defined1())?;
    let mut user2 = signal(SignalKind::user_defined2())?;
    let mut stopping = false;
    loop {
        let wanted = tokio::select! {
            Some(()) = hangup.recv() => Signal::Reload,
            Some(()) = interrupt.recv() => Signal::Shutdown,
            Some(()) = terminate.recv() => Signal::Halt,
            Some(()) = user1.recv() => Signal::Dump,
            Some(()) = user2.recv() => Signal::Debug,
        };
        let stop = matches!(wanted, Signal::Shutdown | Signal::Halt);
        let wanted = if stop && stopping { Signal::Halt } else { wanted };
        stopping |= stop;
        let sent = tor.signal(wanted);
        if wanted == Signal::Halt {
            let tor = tor.clone();
            tokio::spawn(async move {
                if sent.is_ok() && tokio::time::timeout(HALT_LIMIT, tor.wait()).await.is_ok() {
                    return;
                }
                let _ = writeln!(std::io::stderr(), "tor did not stop when told to; ending without it");
                std::process::exit(1);
            });
        }
    }
}
