//! Step 0: everything that comes from outside (environment, paths, system packages), read once.
use crate::pins::System;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// Every variable that the recipe reads beyond those that cargo sets.
const VARIABLES: [&str; 9] = [
    "MAGICWAVE_CACHE",
    "MAGICWAVE_LIBTOR_DIR",
    "MAGICWAVE_TOR_CONFIGURE",
    "MAGICWAVE_TOR_SOURCE_DIR",
    "MAGICWAVE_TOR_VERSION",
    "CC",
    "HOME",
    "PKG_CONFIG_PATH",
    "XDG_CACHE_HOME",
];

/// Flags of tor's configure. Compression and the service manager are off so that the program links the same
/// libraries wherever it is built; hardening by compiler flags stays as tor sets it elsewhere (see `CFLAGS`).
const CONFIGURE: [&str; 10] = [
    "--disable-asciidoc",
    "--disable-unittests",
    "--disable-gcc-hardening",
    "--disable-system-torrc",
    "--disable-lzma",
    "--disable-zstd",
    "--disable-systemd",
    "--enable-silent-rules",
    "--prefix=/usr",
    "--sysconfdir=/etc",
];

/// Optimised as upstream's default, line tables only.
pub const CFLAGS: &str = "-O2 -g1";

/// What the recipe was asked to do.
pub struct Config {
    /// The package: where vendor/, patches/ and ffi/ lie.
    pub root: PathBuf,
    /// cargo's OUT_DIR.
    pub out: PathBuf,
    /// Compiled libraries are kept here across profiles and clones; None when there is no home directory.
    pub cache: Option<PathBuf>,
    /// MAGICWAVE_LIBTOR_DIR: a directory with a ready patched libtor.a and tor_api.h; nothing is compiled.
    pub libtor_dir: Option<PathBuf>,
    /// MAGICWAVE_TOR_SOURCE_DIR: an unpacked, unpatched tor; used instead of the vendored tarball, without its hash.
    pub source_dir: Option<PathBuf>,
    /// MAGICWAVE_TOR_VERSION: another release of vendor/UPSTREAM.toml than the first.
    pub version: Option<String>,
    /// C compiler.
    pub cc: String,
    /// All flags of configure, MAGICWAVE_TOR_CONFIGURE (blank-separated) last.
    pub configure: Vec<String>,
    /// MAKEFLAGS for make: cargo's job server, or -j.
    pub makeflags: String,
    /// Build and target triple.
    pub host: String,
    /// See `host`.
    pub target: String,
}

fn path(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn text(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

impl Config {
    /// Reads the environment and tells cargo what the recipe depends on.
    pub fn from_env() -> Result<Config, String> {
        for name in VARIABLES {
            println!("cargo::rerun-if-env-changed={name}");
        }
        let root = path("CARGO_MANIFEST_DIR").ok_or("cargo sets no CARGO_MANIFEST_DIR")?;
        for name in ["build.rs", "ffi", "patches/tor", "vendor/UPSTREAM.toml"] {
            if root.join(name).exists() {
                println!("cargo::rerun-if-changed={name}");
            }
        }
        let cache = path("MAGICWAVE_CACHE").or_else(|| {
            path("XDG_CACHE_HOME")
                .or_else(|| path("HOME").map(|home| home.join(".cache")))
                .map(|dir| dir.join("magicwave"))
        });
        let mut configure: Vec<String> = CONFIGURE.map(String::from).to_vec();
        configure.extend(text("MAGICWAVE_TOR_CONFIGURE").unwrap_or_default().split_whitespace().map(String::from));
        Ok(Config {
            out: path("OUT_DIR").ok_or("cargo sets no OUT_DIR")?,
            cache,
            libtor_dir: path("MAGICWAVE_LIBTOR_DIR"),
            source_dir: path("MAGICWAVE_TOR_SOURCE_DIR"),
            version: text("MAGICWAVE_TOR_VERSION"),
            cc: text("CC").unwrap_or_else(|| "gcc".into()),
            configure,
            makeflags: text("CARGO_MAKEFLAGS")
                .unwrap_or_else(|| format!("-j{}", text("NUM_JOBS").unwrap_or_else(|| "1".into()))),
            host: text("HOST").unwrap_or_default(),
            target: text("TARGET").unwrap_or_default(),
            root,
        })
    }
}

/// One error that names every missing system package and the command that installs them.
pub fn check_system(config: &Config, system: &System) -> Result<(), String> {
    if config.host != config.target {
        return Err(format!(
            "tor is compiled for the machine it is built on ({}), not for {}: give a prebuilt library by MAGICWAVE_LIBTOR_DIR",
            config.host, config.target
        ));
    }
    let mut missing: Vec<&str> = Vec::new();
    for (program, package) in &system.programs {
        let program = if program == "gcc" { config.cc.split_whitespace().next().unwrap_or("gcc") } else { program };
        if !on_path(program) {
            missing.push(package);
        }
    }
    for (module, package) in &system.modules {
        if pkg_config(&["--exists", module]).is_none() {
            missing.push(package);
        }
    }
    if !has_libclang() {
        missing.push("libclang-dev");
    }
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!(
        "these system packages are missing: {0}\ninstall them: apt-get install -y {0}\n(or build without tor: --no-default-features)",
        missing.join(" ")
    ))
}

/// Versions of compiler and libraries: another one makes another libtor.a.
pub fn toolchain(config: &Config, system: &System) -> String {
    let mut words = config.cc.split_whitespace();
    let cc = words.next().unwrap_or("gcc");
    let version = Command::new(cc).args(words).arg("--version").output().map(|run| run.stdout).unwrap_or_default();
    let mut text = String::from_utf8_lossy(&version).lines().next().unwrap_or_default().to_string();
    for module in system.modules.keys() {
        text += &format!(" {module}={}", pkg_config(&["--modversion", module]).unwrap_or_default());
    }
    text + " " + &config.target
}

fn pkg_config(args: &[&str]) -> Option<String> {
    let run = Command::new("pkg-config").args(args).output().ok()?;
    run.status.success().then(|| String::from_utf8_lossy(&run.stdout).trim().to_string())
}

fn on_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    program.contains('/') && Path::new(program).exists()
        || env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// bindgen loads libclang at run time from LIBCLANG_PATH, llvm-config's or the usual directories.
fn has_libclang() -> bool {
    if env::var_os("LIBCLANG_PATH").is_some() || on_path("llvm-config") {
        return true;
    }
    let names =
        |dir: &Path| fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect::<Vec<_>>();
    let is_libclang = |file: &PathBuf| {
        file.file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.starts_with("libclang") && name.contains(".so"))
    };
    let mut dirs: Vec<PathBuf> = ["/usr/lib", "/usr/lib64", "/usr/local/lib"].map(PathBuf::from).to_vec();
    dirs.extend(names(Path::new("/usr/lib")).into_iter().filter(|dir| {
        let name = dir.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.ends_with("-linux-gnu") || name.starts_with("llvm-")
    }));
    dirs.into_iter().any(|dir| names(&dir).iter().chain(&names(&dir.join("lib"))).any(is_libclang))
}
