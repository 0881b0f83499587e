//! Step 2: an unpacked, patched tree in OUT_DIR, touching only files that changed so that make stays incremental.
use crate::config::Config;
use crate::pins::{Pin, sha256, walk};
use crate::series::Series;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the pristine tree comes from.
pub enum Source {
    /// The vendored tarball.
    Tarball {
        /// Its hash was checked.
        file: PathBuf,
        /// Goes into the stamp.
        identity: String,
        /// e.g. `0.4.9.11`
        release: String,
    },
    /// MAGICWAVE_TOR_SOURCE_DIR.
    Tree {
        /// Never built in, only copied.
        dir: PathBuf,
        /// Hash over its files.
        identity: String,
        /// From its configure script.
        release: String,
    },
}

/// Files of the build system. Generated ones are made newest by `settle`, so that make never asks for automake.
const GENERATED: [&str; 4] = ["aclocal.m4", "Makefile.in", "configure", "orconfig.h.in"];

impl Source {
    /// The tree that was asked for, or the pinned tarball.
    pub fn find(config: &Config, pin: &Pin) -> Result<Source, String> {
        let Some(dir) = config.source_dir.clone() else {
            let file = pin.tarball(config)?;
            return Ok(Source::Tarball { file, identity: pin.identity(), release: pin.version.clone() });
        };
        println!("cargo::rerun-if-changed={}", dir.display());
        if dir.join("config.status").exists() {
            return Err("MAGICWAVE_TOR_SOURCE_DIR was built in already; give a clean tree (make distclean)".into());
        }
        let mut text = String::new();
        for file in walk(&dir)? {
            let content = fs::read(dir.join(&file)).map_err(|error| format!("{}: {error}", file.display()))?;
            text += &format!("{} {}\n", file.display(), sha256(&content));
        }
        let script = fs::read_to_string(dir.join("configure"))
            .map_err(|error| format!("MAGICWAVE_TOR_SOURCE_DIR: {}: {error}", dir.join("configure").display()))?;
        let release = script
            .lines()
            .find_map(|line| line.strip_prefix("PACKAGE_VERSION='"))
            .and_then(|rest| rest.strip_suffix('\''))
            .ok_or("MAGICWAVE_TOR_SOURCE_DIR: configure names no PACKAGE_VERSION")?;
        Ok(Source::Tree { identity: sha256(text.as_bytes()), release: release.to_string(), dir })
    }

    /// Goes into the stamp.
    pub fn identity(&self) -> &str {
        match self {
            Source::Tarball { identity, .. } | Source::Tree { identity, .. } => identity,
        }
    }

    /// tor's version.
    pub fn release(&self) -> &str {
        match self {
            Source::Tarball { release, .. } | Source::Tree { release, .. } => release,
        }
    }

    fn unpack(&self, into: &Path) -> Result<(), String> {
        fresh(into)?;
        let mut command = match self {
            Source::Tarball { file, .. } => {
                let mut command = Command::new("tar");
                command.args(["-xzf"]).arg(file).args(["--strip-components=1", "--no-same-owner", "-C"]);
                command
            }
            Source::Tree { dir, .. } => {
                let mut command = Command::new("cp");
                command.args(["-R", "--preserve=mode"]).arg(dir.join("."));
                command
            }
        };
        let run = command.arg(into).output().map_err(|error| format!("unpacking tor: {error}"))?;
        if run.status.success() {
            Ok(())
        } else {
            Err(format!("unpacking tor: {}", String::from_utf8_lossy(&run.stderr)))
        }
    }
}

/// A staged tree.
pub struct Tree {
    /// Where.
    pub dir: PathBuf,
    /// configure must run (again).
    pub configure: bool,
}

fn fresh(dir: &Path) -> Result<(), String> {
    if dir.exists() {
        fs::remove_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    }
    fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))
}

/// Brings `OUT_DIR/tor` to "pristine + series + our files". `recipe` is the identity of flags and toolchain: when it
/// differs from the last run's, or when a file of the build system changed, the tree starts anew.
pub fn stage(config: &Config, source: &Source, series: &Series, recipe: &str) -> Result<Tree, String> {
    let dir = config.out.join("tor");
    let [recipe_note, series_note] = ["tor.recipe", "tor.series"].map(|name| config.out.join(name));
    let same = |note: &Path, text: &str| fs::read_to_string(note).is_ok_and(|old| old == text);
    let warm = same(&recipe_note, recipe) && dir.join("Makefile").exists();
    let mut configure = !warm;
    if !warm || !same(&series_note, &series.patch_hash()) {
        let _ = fs::remove_file(&series_note);
        let next = config.out.join("tor.next");
        source.unpack(&next)?;
        series.apply(config, &next)?;
        let changed = if warm { differing(&next, &dir)? } else { Vec::new() };
        configure |= changed.iter().any(|file| of_build_system(file));
        if configure {
            let _ = fs::remove_file(&recipe_note);
            fresh(&dir)?;
            fs::rename(&next, &dir).map_err(|error| format!("{}: {error}", dir.display()))?;
            settle(&dir)?;
        } else {
            for file in changed {
                fs::copy(next.join(&file), dir.join(&file)).map_err(|error| format!("{}: {error}", file.display()))?;
            }
            fs::remove_dir_all(&next).map_err(|error| format!("{}: {error}", next.display()))?;
        }
        fs::write(&series_note, series.patch_hash()).map_err(|error| error.to_string())?;
    }
    series.copy_payment(&dir)?;
    Ok(Tree { dir, configure })
}

/// To be called when configure ran through.
pub fn configured(config: &Config, recipe: &str) -> Result<(), String> {
    fs::write(config.out.join("tor.recipe"), recipe).map_err(|error| error.to_string())
}

fn differing(next: &Path, dir: &Path) -> Result<Vec<PathBuf>, String> {
    let files = walk(next)?;
    Ok(files.into_iter().filter(|file| fs::read(next.join(file)).ok() != fs::read(dir.join(file)).ok()).collect())
}

fn of_build_system(file: &Path) -> bool {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.starts_with("configure") || name.ends_with(".am") || name.ends_with(".m4") || name.ends_with(".in")
}

/// Makes the generated files of the build system newer than what they were generated from.
fn settle(dir: &Path) -> Result<(), String> {
    let now = std::time::SystemTime::now();
    for name in GENERATED {
        let file = fs::File::options().append(true).open(dir.join(name)).map_err(|error| format!("{name}: {error}"))?;
        file.set_modified(now).map_err(|error| format!("{name}: {error}"))?;
    }
    Ok(())
}
