//! Steps 5 and 6: Rust declarations of the ABI and of tor's public API, and what to link.
use crate::compile::Libtor;
use crate::config::Config;

/// Libraries that libtor.a needs, in link order.
const LIBRARIES: [&str; 8] = ["event", "ssl", "crypto", "z", "seccomp", "cap", "m", "pthread"];

/// Writes OUT_DIR/tor_bindings.rs: our ABI and tor_api.h, by allow-list.
pub fn generate(config: &Config, lib: &Libtor) -> Result<(), String> {
    bindgen::Builder::default()
        .header(config.root.join("ffi/magicwave_tor.h").to_string_lossy())
        .header(lib.dir.join("tor_api.h").to_string_lossy())
        .allowlist_function("mw_.*|tor_main_configuration_.*|tor_run_main|tor_api_get_provider_version")
        .allowlist_type("mw_.*|tor_main_configuration_t")
        .allowlist_var("MW_.*")
        .default_macro_constant_type(bindgen::MacroTypeVariation::Unsigned)
        .generate_comments(false)
        .derive_default(true)
        .generate()
        .map_err(|error| format!("bindgen: {error}"))?
        .write_to_file(config.out.join("tor_bindings.rs"))
        .map_err(|error| format!("tor_bindings.rs: {error}"))
}

/// Tells cargo what to link. `-bundle` keeps the archive out of our .rlib: it is large, and only programs need it.
pub fn link(_config: &Config, lib: &Libtor) -> Result<(), String> {
    println!("cargo::rustc-link-search=native={}", lib.dir.display());
    println!("cargo::rustc-link-lib=static:-bundle=tor");
    for name in LIBRARIES {
        println!("cargo::rustc-link-lib=dylib={name}");
    }
    Ok(())
}
