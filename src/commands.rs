//! One file a command, thin: what each prints, and how it ends.

mod asking;
mod capture;
pub mod checks;
mod diagnose;
mod diff;
mod examples;
mod explain;
mod fix;
mod manifests;
pub(crate) mod opening;
mod progress;
mod publish;
mod rbac;
mod schema;
mod serve;
mod suppress;
mod version;

use serde::Serialize;

use crate::cli::{Cli, Command, Format};
use crate::exit::{Exit, Failed};
use crate::report::json;
use crate::screen::Screen;

/// Runs the command that the command line names; without one, diagnoses.
pub fn run(cli: &Cli, screen: &Screen) -> Result<Exit, Failed> {
    match &cli.command {
        None | Some(Command::Diagnose) => return diagnose::run(cli, screen),
        Some(Command::Fix(flags)) => return fix::run(cli, flags, screen),
        Some(Command::Capture(flags)) => return capture::run(cli, flags, screen),
        Some(Command::Serve(flags)) => return serve::run(cli, flags, screen),
        Some(Command::Manifests(flags)) => return manifests::run(cli, flags, screen),
        Some(Command::Publish(flags)) => return publish::run(cli, flags, screen),
        Some(Command::Rbac(flags)) => return rbac::run(cli, flags, screen),
        Some(Command::Diff(flags)) => return diff::run(cli, flags, screen),
        Some(Command::Explain { check }) => {
            explain::run(check, cli.output.output, cli.output.language(screen), screen)?
        }
        Some(Command::Checks) => checks::run(cli.output.output, screen)?,
        Some(Command::Suppress(flags)) => suppress::run(flags, cli.output.output, screen)?,
        Some(Command::Examples) => examples::run(cli.output.output, screen)?,
        Some(Command::Schema) => schema::run(cli.output.output, screen)?,
        Some(Command::Completion { shell }) => screen.write(&shell.script()?)?,
        Some(Command::Complete { words }) => screen.write(&crate::completion::answer(words)?)?,
        Some(Command::Man) => screen.write(&crate::completion::man()?)?,
        Some(Command::Version) => version::run(cli.output.output, screen)?,
    }
    Ok(Exit::Healthy)
}

/// Prints one thing in the format that was asked for.
fn print<T: Serialize>(
    screen: &Screen,
    format: Format,
    value: &T,
    human: impl FnOnce(&T) -> String,
) -> anyhow::Result<()> {
    match format {
        Format::Human => screen.show(&human(value))?,
        Format::Json => screen.write(&json::json(value)?)?,
        Format::Yaml => screen.write(&json::yaml(value)?)?,
        // The command line lets these through only for commands that print documents of their own.
        Format::Markdown | Format::Html | Format::Junit | Format::Prometheus | Format::Sarif => {
            anyhow::bail!("this is not printed in that format")
        }
    }
    Ok(())
}
