//! `diagnose`: opens the source, asks every check, prints the report.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anstream::adapter::strip_str;
use anyhow::Context;
use jiff::Timestamp;

use super::opening::{Target, interruptible, is_there, open, scope, target};
use super::progress::Progress;
use crate::check::Check;
use crate::cli::{Cli, Format, Output};
use crate::diagnosis::{Diagnosis, Scope, diagnose};
use crate::exit::{Exit, Failed};
use crate::lookup;
use crate::overview;
use crate::report::html::html;
use crate::report::human::{Look, render};
use crate::report::junit::junit;
use crate::report::markdown::markdown;
use crate::report::prometheus::prometheus;
use crate::report::sarif::sarif;
use crate::report::{Document, FailOn, Report, Run, json};
use crate::screen::Screen;

pub(super) fn run(cli: &Cli, screen: &Screen) -> Result<Exit, Failed> {
    let checks = lookup::select(&cli.choice.only, &cli.choice.skip).map_err(Failed::usage)?;
    let target = target(cli)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let progress = Progress::start(screen);
    let mut scope = scope(&cli.source);
    // A page has room for all of it.
    if cli.output.verbose || cli.output.output == Format::Html {
        scope.overviews = overview::of(&checks);
    }
    let asked = ask(target, checks, scope, cli.choice.fail_on, progress.clone());
    let reports = runtime.block_on(interruptible(asked));
    // Requests that never end must not hold the answer back.
    runtime.shutdown_background();
    progress.clear();
    let document = Document::new(reports?);
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

fn human(cli: &Cli, screen: &Screen, document: &Document) -> String {
    let look = Look { width: screen.width, verbose: cli.output.verbose, quiet: cli.output.quiet };
    document.reports().iter().map(|report| render(report, look)).collect::<Vec<_>>().join("\n")
}

/// Writes the file beside its place and renames it: whoever reads it meets the old one or the new one, never a half.
fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    let write = || -> std::io::Result<()> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
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

async fn ask(
    target: Target,
    checks: Vec<&'static Check>,
    mut scope: Scope,
    fail_on: Option<FailOn>,
    progress: Progress,
) -> Result<Vec<Report>, Failed> {
    let started = Instant::now();
    let opened = open(target, scope.timeout).await?;
    // Connecting is part of the time that the user gave.
    scope.timeout = scope.timeout.saturating_sub(started.elapsed()).max(Duration::from_secs(1));
    if let Some(namespace) = &opened.namespace {
        scope.fallback_namespace.clone_from(namespace);
    }
    let source = opened.source();
    let diagnoses = diagnose(source, &checks, &scope, &|round, facts| progress.round(round, facts)).await;
    is_there(&scope, &diagnoses)?;
    let run = Run {
        generated_at: Timestamp::now(),
        observed_at: source.now(),
        fail_on: fail_on.unwrap_or(FailOn::Warning),
        source: opened.kind,
        context: opened.context.clone(),
        kubernetes_version: source.server_version(),
        cost: source.cost(),
        duration: started.elapsed(),
    };
    let report = |diagnosis: &Diagnosis| Report::new(diagnosis, &run).recorded_as(opened.format());
    Ok(diagnoses.iter().map(report).collect())
}
