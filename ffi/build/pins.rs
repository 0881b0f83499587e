//! Step 1: the pin. Which release, and is the file beside it that very release?
use crate::config::Config;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// One row of vendor/UPSTREAM.toml; how to fetch it is scripts/vendor's business.
#[derive(Deserialize)]
pub struct Pin {
    name: String,
    /// e.g. `0.4.9.11`
    pub version: String,
    file: String,
    sha256: String,
}

/// What the machine must have, as (what to look for, Debian package).
#[derive(Deserialize)]
pub struct System {
    /// Programs on the path.
    pub programs: BTreeMap<String, String>,
    /// Modules of pkg-config.
    pub modules: BTreeMap<String, String>,
}

/// vendor/UPSTREAM.toml.
#[derive(Deserialize)]
pub struct Upstream {
    source: Vec<Pin>,
    /// See [`System`].
    pub system: System,
}

impl Upstream {
    /// Reads the list.
    pub fn read(config: &Config) -> Result<Upstream, String> {
        let list = config.root.join("vendor/UPSTREAM.toml");
        let text = fs::read_to_string(&list).map_err(|error| format!("{}: {error}", list.display()))?;
        toml::from_str(&text).map_err(|error| format!("{}: {error}", list.display()))
    }

    /// The release of tor to build: the first one listed, or the one that was asked for.
    pub fn tor(&self, config: &Config) -> Result<&Pin, String> {
        let mut pins = self.source.iter().filter(|pin| pin.name == "tor");
        match &config.version {
            None => pins.next().ok_or_else(|| "vendor/UPSTREAM.toml pins no tor".to_string()),
            Some(wanted) => pins
                .find(|pin| pin.version == *wanted)
                .ok_or_else(|| format!("MAGICWAVE_TOR_VERSION={wanted} is not pinned in vendor/UPSTREAM.toml")),
        }
    }
}

impl Pin {
    /// The vendored tarball, its hash checked.
    pub fn tarball(&self, config: &Config) -> Result<PathBuf, String> {
        let file = config.root.join("vendor").join(&self.file);
        println!("cargo::rerun-if-changed={}", file.display());
        let bytes = fs::read(&file).map_err(|_| {
            format!(
                "the source of tor {} is not there (vendor/{}): run scripts/vendor once, then build again\n(or build without tor: --no-default-features)",
                self.version, self.file
            )
        })?;
        let got = sha256(&bytes);
        if got == self.sha256 {
            Ok(file)
        } else {
            Err(format!(
                "vendor/{} is not the pinned file: sha256 {got}, the pin is {}; run scripts/vendor to fetch it again",
                self.file, self.sha256
            ))
        }
    }

    /// What identifies the source in a stamp.
    pub fn identity(&self) -> String {
        format!("{} {} {}", self.name, self.version, self.sha256)
    }
}

/// sha256 in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Every file under `dir`, relative, sorted.
pub fn walk(dir: &Path) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::new()];
    while let Some(relative) = open.pop() {
        let full = dir.join(&relative);
        for entry in fs::read_dir(&full).map_err(|error| format!("{}: {error}", full.display()))? {
            let entry = entry.map_err(|error| format!("{}: {error}", full.display()))?;
            let kind = entry.file_type().map_err(|error| format!("{}: {error}", full.display()))?;
            let path = relative.join(entry.file_name());
            if kind.is_dir() {
                open.push(path);
            } else if kind.is_file() {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
