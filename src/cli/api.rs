//! `magicwave api …`
use clap::Subcommand;
use std::io::Write;
use std::process::ExitCode;

/// Arguments of the verb.
#[derive(clap::Args)]
#[command(arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Print the API's description (OpenAPI 3.1, JSON)
    Openapi,
}

/// Runs the verb; no daemon is asked.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.verb {
        Verb::Openapi => {
            let text = serde_json::to_string_pretty(&crate::api::document())?;
            writeln!(std::io::stdout(), "{text}")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
