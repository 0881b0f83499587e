//! Keys that must exist before the first node starts: every torrc names the authorities by them.
use super::child;
use super::state::{NodeView, io};
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// tor-gencert makes a 3072-bit RSA key: a second or two, more on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the programs that we do not bring along are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tools {
    /// The distribution's tor.
    pub tor: PathBuf,
    /// Comes with it.
    pub tor_gencert: PathBuf,
    /// Web server; only looked for when one is wanted.
    pub nginx: Option<PathBuf>,
}

impl Tools {
    /// Looks in PATH and the system's directories; one error that lists all that is missing.
    pub fn find(web: bool) -> Result<Self> {
        let (tor, gencert, nginx) = (find("tor"), find("tor-gencert"), find("nginx"));
        let mut missing = Vec::new();
        if tor.is_none() || gencert.is_none() {
            missing.push("tor");
        }
        if web && nginx.is_none() {
            missing.push("nginx-light");
        }
        match (tor, gencert) {
            (Some(tor), Some(tor_gencert)) if missing.is_empty() => Ok(Tools { tor, tor_gencert, nginx }),
            _ => {
                let names = missing.join(" ");
                let text = format!("the devnet needs {names}: apt-get install --no-install-recommends {names}");
                Err(Error::never("MW-NET-8", text))
            }
        }
    }
}

/// A program by name, in PATH and in the directories that a normal user's PATH leaves out.
fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin", "/usr/bin", "/sbin"].map(PathBuf::from));
    dirs.map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// Makes an authority's keys under its data directory; its v3 identity.
pub async fn make_authority(tools: &Tools, node: &NodeView) -> Result<String> {
    let keys = node.dir.join("data").join("keys");
    std::fs::create_dir_all(&keys).map_err(|e| io("make", &keys, &e))?;
    let certificate = keys.join("authority_certificate");
    let mut command = Command::new(&tools.tor_gencert);
    command.args(["--create-identity-key", "--passphrase-fd", "0", "-m", "12", "-a"]);
    command.arg(format!("127.0.0.1:{}", node.dir_port.unwrap_or_default()));
    command.arg("-i").arg(keys.join("authority_identity_key"));
    command.arg("-s").arg(keys.join("authority_signing_key"));
    command.arg("-c").arg(&certificate);
    run(command).await?;
    let text = std::fs::read_to_string(&certificate).map_err(|e| io("read", &certificate, &e))?;
    let ident = text.lines().find_map(|line| line.strip_prefix("fingerprint "));
    ident.map(|hex| hex.trim().to_owned()).ok_or_else(|| failed("tor-gencert", "no fingerprint in the certificate"))
}

/// Makes a relay's identity keys under its data directory; its RSA fingerprint.
pub async fn make_relay(tools: &Tools, node: &NodeView) -> Result<String> {
    let data = node.dir.join("data");
    let mut command = Command::new(&tools.tor);
    command.args(["--list-fingerprint", "--ignore-missing-torrc", "--quiet", "-f"]).arg(Path::new("/dev/null"));
    command.args(["--defaults-torrc", "/dev/null", "--ORPort", "1", "--Nickname", &node.name]);
    command.arg("--DataDirectory").arg(&data);
    let output = run(command).await?;
    // "nickname XXXX XXXX …"
    let hex: String = output.split_once(' ').map(|(_, rest)| rest).unwrap_or_default().split_whitespace().collect();
    if hex.len() == 40 && hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        Ok(hex)
    } else {
        Err(failed("tor --list-fingerprint", &output))
    }
}

fn failed(program: &str, why: &str) -> Error {
    Error::never("MW-NET-9", format!("{program} failed: {}", why.trim()))
}

/// Runs a short program with an empty pass phrase on its standard input; its standard output. It ends with us, however
/// we end.
async fn run(command: Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let said = child::run(command, b"\n", PATIENCE).await.map_err(|e| failed(&name, &e.to_string()))?;
    if !said.status.success() {
        return Err(failed(&name, &String::from_utf8_lossy(&said.stderr)));
    }
    Ok(String::from_utf8_lossy(&said.stdout).into_owned())
}
