//! The one binary.
fn main() -> anyhow::Result<std::process::ExitCode> {
    magicwave::cli::run()
}
