//! `diagnose`: opens the source, asks every check, prints the report.

mod contexts;
mod wait;

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use anstream::adapter::strip_str;
use anyhow::Context;
use futures::FutureExt;
use futures::future::BoxFuture;

use self::wait::Waiting;
use super::asking::Question;
use super::opening::{Target, interruptible, open, options, target};
use super::progress::Progress;
use crate::cli::{Cli, Format, Output};
use crate::exit::{Exit, Failed};
use crate::overview;
use crate::report::html::html;
use crate::report::human::{Look, render, summary};
use crate::report::junit::junit;
use crate::report::markdown::markdown;
use crate::report::prometheus::prometheus;
use crate::report::sarif::sarif;
use crate::report::{Document, json};
use crate::screen::Screen;

pub(super) fn run(cli: &Cli, screen: &Screen) -> Result<Exit, Failed> {
    let mut question = Question::of(cli)?;
    // A page has room for all of it.
    let whole = cli.output.output == Format::Html;
    if cli.output.verbose || whole {
        question.scope.overviews = overview::of(&question.checks);
    }
    question.scope.timeline = cli.choice.timeline || whole;
    question.lang = cli.output.language(screen);
    let progress = Progress::start(screen);
    let asked = asking(cli, question, progress.clone(), *screen);
    let asked = asked.inspect_err(|_| progress.clear())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let document = runtime.block_on(interruptible(asked));
    // Requests that never end must not hold the answer back.
    runtime.shutdown_background();
    progress.clear();
    let document = document?;
    deliver(cli, screen, &document)?;
    Ok(document.exit())
}

/// Prints the reports, or writes them to the file that was named.
fn deliver(cli: &Cli, screen: &Screen, document: &Document) -> anyhow::Result<()> {
    let Output { output, output_file, .. } = &cli.output;
    let text = match output {
        Format::Human => human(cli, screen, document),
        Format::Json => json::json(document)?,
        Format::Yaml => json::yaml(document)?,
        Format::Markdown => markdown(document),
        Format::Html => html(document),
        Format::Junit => junit(document)?,
        Format::Prometheus => prometheus(document)?,
        Format::Sarif => json::json(&sarif(document))?,
    };
    match (output_file, output) {
        // A file has no colours.
        (Some(path), _) => replace(path, &strip_str(&text).to_string()),
        (None, Format::Human) => Ok(screen.show(&text)?),
        (None, _) => Ok(screen.write(&text)?),
    }
}

pub(super) fn human(cli: &Cli, screen: &Screen, document: &Document) -> String {
    let look = Look { width: screen.width, verbose: cli.output.verbose, quiet: cli.output.quiet };
    let mut pages: Vec<String> = document.reports().iter().map(|report| render(report, look)).collect();
    if look.quiet {
        return pages.concat();
    }
    if document.is_of_contexts() {
        pages.push(summary(document.reports(), look.width));
    }
    pages.join("\n")
}

/// Writes the file beside its place and renames it: whoever reads it meets the old one or the new one, never a half.
pub(super) fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    let write = || -> std::io::Result<()> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        #[cfg_attr(not(unix), expect(unused_mut, reason = "permissions are a matter of Unix"))]
        let mut builder = tempfile::Builder::new();
        // Others read it, such as the collector of metrics.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
        let mut file = builder.tempfile_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.persist(path)?;
        Ok(())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// One look, several, or one at each of several clusters.
fn asking(
    cli: &Cli,
    question: Question,
    progress: Progress,
    screen: Screen,
) -> Result<BoxFuture<'static, Result<Document, Failed>>, Failed> {
    if !cli.source.connection.contexts.is_empty() {
        let names = contexts::chosen(&cli.source.connection)?;
        return Ok(contexts::ask(names, options(&cli.source), question, progress).boxed());
    }
    if cli.choice.wait {
        let tell = (!cli.output.quiet).then_some(screen);
        return Ok(Waiting::new(options(&cli.source), question, progress, tell).until_healthy().boxed());
    }
    Ok(ask(target(cli)?, question, progress).boxed())
}

async fn ask(target: Target, question: Question, progress: Progress) -> Result<Document, Failed> {
    let started = Instant::now();
    let opened = open(target, question.scope.timeout).await?;
    Ok(Document::new(question.ask(&opened, started, &progress).await?.reports))
}
