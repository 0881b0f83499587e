//! Build recipe; its words are the files in ffi/build/, in the order in which they are used.
//!
//! Only the feature `node` builds C: tor from its pinned release, our series of patches and our own files. Nothing
//! here talks to a network; `scripts/vendor` brings the sources.
#[cfg(feature = "node")]
#[path = "ffi/build/bind.rs"]
mod bind;
#[cfg(feature = "node")]
#[path = "ffi/build/compile.rs"]
mod compile;
#[cfg(feature = "node")]
#[path = "ffi/build/config.rs"]
mod config;
#[cfg(feature = "node")]
#[path = "ffi/build/pins.rs"]
mod pins;
#[cfg(feature = "node")]
#[path = "ffi/build/series.rs"]
mod series;
#[cfg(feature = "node")]
#[path = "ffi/build/stage.rs"]
mod stage;

#[cfg(feature = "node")]
fn main() {
    if let Err(text) = build() {
        for line in text.lines() {
            println!("cargo::error={line}");
        }
    }
}

#[cfg(feature = "node")]
fn build() -> Result<(), String> {
    let config = config::Config::from_env()?;
    let series = series::Series::read(&config)?;
    let lib = match &config.libtor_dir {
        Some(dir) => compile::Libtor::prebuilt(dir)?,
        None => {
            let upstream = pins::Upstream::read(&config)?;
            config::check_system(&config, &upstream.system)?;
            let source = stage::Source::find(&config, upstream.tor(&config)?)?;
            let toolchain = config::toolchain(&config, &upstream.system);
            compile::libtor(&config, &toolchain, &source, &series)?
        }
    };
    bind::generate(&config, &lib)?;
    bind::link(&config, &lib)?;
    println!("cargo::rustc-env=MAGICWAVE_SERIES={}", series.describe());
    println!("cargo::rustc-env=MAGICWAVE_TOR_RELEASE={}", lib.release);
    Ok(())
}

#[cfg(not(feature = "node"))]
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
}
