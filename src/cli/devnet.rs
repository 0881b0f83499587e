//! `magicwave devnet`: a private network on this machine.
use super::{devnet_bench, devnet_demo, devnet_ledger, devnet_look, devnet_replay, devnet_up};
use clap::{Parser, Subcommand};
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// A private tor network on the loopback with relays that are paid, a web server and a ledger.
#[derive(Parser)]
#[command(arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Bring a network up and hold it until Ctrl-C
    Up(devnet_up::Args),
    /// End a network
    Down(devnet_look::DownArgs),
    /// Say what runs and how far it is; exit status 3 when nothing runs
    Status(devnet_look::StatusArgs),
    /// Show what the nodes say
    Logs(devnet_look::LogsArgs),
    /// Show the main job: a paid download, payments on the ledger, and what happens to who does not pay
    Demo(devnet_demo::Args),
    /// Measure a paid network of ours beside an unpatched one
    Bench(devnet_bench::Args),
    /// Serve a test ledger with Horizon's paths
    Ledger(devnet_ledger::Args),
    /// Apply recorded transactions to the test ledger and compare the results
    Replay(devnet_replay::Args),
}

/// Where a network lies.
#[derive(clap::Args)]
pub struct StateDir {
    /// Directory of the network; one network in each [default: magicwave-devnet-UID in the temporary directory]
    #[arg(long = "state", value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl StateDir {
    /// The directory, absolute.
    pub fn path(&self) -> anyhow::Result<PathBuf> {
        let default = || std::env::temp_dir().join(format!("magicwave-devnet-{}", nix::unistd::geteuid()));
        Ok(std::path::absolute(self.dir.clone().unwrap_or_else(default))?)
    }
}

/// A command that works where it is pasted: this very program, a verb, and the network's directory.
pub(super) fn command(verb: &str, dir: &Path) -> std::io::Result<String> {
    let program = std::env::current_exe()?;
    Ok(format!("{} devnet {verb} --state {}", quoted(&program), quoted(dir)))
}

/// A path as a shell takes it.
pub(super) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@,".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// Runs a verb of `magicwave devnet`.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let done = match args.verb {
        Verb::Up(args) => devnet_up::run(args),
        Verb::Down(args) => devnet_look::down(args),
        Verb::Status(args) => devnet_look::status(args),
        Verb::Logs(args) => devnet_look::logs(args),
        Verb::Demo(args) => devnet_demo::run(args),
        Verb::Bench(args) => devnet_bench::run(args),
        Verb::Ledger(args) => devnet_ledger::run(args),
        Verb::Replay(args) => devnet_replay::run(args),
    };
    match done {
        // Whoever read our output, `head` for one, has seen enough.
        Err(e) if e.downcast_ref::<Error>().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe) => Ok(ExitCode::SUCCESS),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_is_shown_can_be_pasted_into_a_shell() {
        assert_eq!(quoted(Path::new("/tmp/net-1")), "/tmp/net-1");
        assert_eq!(quoted(Path::new("/tmp/a b")), "'/tmp/a b'");
        assert_eq!(quoted(Path::new("/tmp/it's")), r"'/tmp/it'\''s'");
    }
}
