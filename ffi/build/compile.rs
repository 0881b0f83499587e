//! Step 4: libtor.a, compiled once per stamp and kept in the cache across profiles and clones.
use crate::config::{CFLAGS, Config};
use crate::pins::sha256;
use crate::series::Series;
use crate::stage::{self, Source};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const API: &str = "src/feature/api/tor_api.h";

/// Libraries kept in the cache, about 11 MB each.
const CACHED: usize = 16;

/// A directory that holds `libtor.a` and `tor_api.h`.
pub struct Libtor {
    /// Where.
    pub dir: PathBuf,
    /// tor's version, or `prebuilt`.
    pub release: String,
}

impl Libtor {
    /// MAGICWAVE_LIBTOR_DIR: what a packager compiled from the same series.
    pub fn prebuilt(dir: &Path) -> Result<Libtor, String> {
        let lib = Libtor { dir: dir.to_path_buf(), release: "prebuilt".into() };
        for name in ["libtor.a", "tor_api.h"] {
            println!("cargo::rerun-if-changed={}", dir.join(name).display());
        }
        if lib.complete() {
            Ok(lib)
        } else {
            Err(format!("MAGICWAVE_LIBTOR_DIR={} must hold libtor.a and tor_api.h", dir.display()))
        }
    }

    fn complete(&self) -> bool {
        self.dir.join("libtor.a").is_file() && self.dir.join("tor_api.h").is_file()
    }
}

/// The library of this source, series and flags: from OUT_DIR, from the cache, or compiled now.
pub fn libtor(config: &Config, toolchain: &str, source: &Source, series: &Series) -> Result<Libtor, String> {
    let recipe =
        sha256([source.identity(), CFLAGS, &config.configure.join(" "), &config.cc, toolchain].join("\n").as_bytes());
    let stamp = sha256([recipe.as_str(), &series.patch_hash(), &series.payment_hash()].join("\n").as_bytes());
    let lib = Libtor { dir: config.out.join("lib"), release: source.release().to_string() };
    let note = config.out.join("lib.stamp");
    if lib.complete() && fs::read_to_string(&note).is_ok_and(|old| old == stamp) {
        return Ok(lib);
    }
    let _ = fs::remove_file(&note);
    let cached =
        config.cache.as_ref().map(|dir| Libtor { dir: dir.join("libtor").join(&stamp), release: String::new() });
    match &cached {
        Some(cached) if cached.complete() && place(&cached.dir, &lib.dir).is_ok() => {}
        _ => {
            let tree = compile(config, source, series, &recipe)?;
            place(&tree, &lib.dir)?;
            if let Some(cached) = &cached {
                match place(&lib.dir, &cached.dir) {
                    Ok(()) => prune(&cached.dir),
                    Err(text) => println!("cargo::warning=libtor.a was not cached: {text}"),
                }
            }
        }
    }
    fs::write(&note, &stamp).map_err(|error| format!("{}: {error}", note.display()))?;
    Ok(lib)
}

fn compile(config: &Config, source: &Source, series: &Series, recipe: &str) -> Result<PathBuf, String> {
    let tree = stage::stage(config, source, series, recipe)?;
    let log = Log(config.out.join("tor.log"));
    if tree.configure {
        let flags = format!("CFLAGS={CFLAGS} -ffile-prefix-map={}=tor", tree.dir.display());
        let cc = format!("CC={}", config.cc);
        let mut words: Vec<&str> = vec!["./configure", &cc, &flags];
        words.extend(config.configure.iter().map(String::as_str));
        log.run(config, &tree.dir, "sh", &words)?;
        stage::configured(config, recipe)?;
    }
    // Made anew, so that no object of a file that is gone stays in them.
    let archive = tree.dir.join("libtor.a");
    for stale in [&archive, &tree.dir.join("src/core/libtor-app.a")] {
        if stale.exists() {
            fs::remove_file(stale).map_err(|error| format!("{}: {error}", stale.display()))?;
        }
    }
    log.run(config, &tree.dir, "make", &["libtor.a"])?;
    let out = config.out.join("lib.made");
    fs::create_dir_all(&out).map_err(|error| format!("{}: {error}", out.display()))?;
    copy(&archive, &out.join("libtor.a"))?;
    copy(&tree.dir.join(API), &out.join("tor_api.h"))?;
    Ok(out)
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    fs::copy(from, to).map(|_| ()).map_err(|error| format!("{} -> {}: {error}", from.display(), to.display()))
}

/// Puts the two files of `from` into the directory `to`, which appears as a whole or not at all.
fn place(from: &Path, to: &Path) -> Result<(), String> {
    let parent = to.parent().ok_or("no parent directory")?;
    let part = parent.join(format!(".part-{}", std::process::id()));
    let made = (|| {
        fs::create_dir_all(&part).map_err(|error| format!("{}: {error}", part.display()))?;
        for name in ["libtor.a", "tor_api.h"] {
            copy(&from.join(name), &part.join(name))?;
        }
        if to.exists() {
            fs::remove_dir_all(to).map_err(|error| format!("{}: {error}", to.display()))?;
        }
        fs::rename(&part, to).map_err(|error| format!("{}: {error}", to.display()))
    })();
    if made.is_err() {
        let _ = fs::remove_dir_all(&part);
        // Somebody else was faster with the same stamp: that serves as well.
        if (Libtor { dir: to.to_path_buf(), release: String::new() }).complete() {
            return Ok(());
        }
    }
    made
}

/// Drops all but the newest libraries from the cache.
fn prune(newest: &Path) {
    let entries = newest.parent().and_then(|dir| fs::read_dir(dir).ok()).into_iter().flatten().flatten();
    let mut old: Vec<_> =
        entries.filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path()))).collect();
    old.sort();
    for (_, dir) in old.iter().rev().skip(CACHED) {
        // Somebody who copies from it right now compiles anew.
        let _ = fs::remove_dir_all(dir);
    }
}

/// Where the output of the C build goes; an error shows its end.
struct Log(PathBuf);

impl Log {
    fn run(&self, config: &Config, dir: &Path, program: &str, words: &[&str]) -> Result<(), String> {
        let fail = |error: std::io::Error| format!("{program}: {error}");
        let out = fs::File::create(&self.0).map_err(fail)?;
        let status = Command::new(program)
            .args(words)
            .current_dir(dir)
            .env("MAKEFLAGS", &config.makeflags)
            .env("LC_ALL", "C")
            // Set by cargo for its own build scripts; they would change tor's configure.
            .env_remove("HOST")
            .env_remove("TARGET")
            .env_remove("DEBUG")
            .env_remove("CFLAGS")
            .stdin(Stdio::null())
            .stdout(out.try_clone().map_err(fail)?)
            .stderr(out)
            .status()
            .map_err(fail)?;
        if status.success() {
            return Ok(());
        }
        let text = fs::read(&self.0).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(30)..].join("\n");
        Err(format!("{program} {}: {status}; the end of {}:\n{tail}", words.join(" "), self.0.display()))
    }
}
