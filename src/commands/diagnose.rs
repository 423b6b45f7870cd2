//! `diagnose`: opens the source, asks every check, prints the report.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::opening::{Target, interruptible, is_there, open, scope, target};
use super::progress::Progress;
use crate::check::Check;
use crate::cli::Cli;
use crate::diagnosis::{Diagnosis, Scope, diagnose};
use crate::exit::{Exit, Failed};
use crate::lookup;
use crate::overview;
use crate::report::human::{Look, render};
use crate::report::{Document, FailOn, Report, Run};
use crate::screen::Screen;

pub(super) fn run(cli: &Cli, screen: &Screen) -> Result<Exit, Failed> {
    let checks = lookup::select(&cli.choice.only, &cli.choice.skip).map_err(Failed::usage)?;
    let target = target(cli)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let progress = Progress::start(screen);
    let mut scope = scope(&cli.source);
    if cli.output.verbose {
        scope.overviews = overview::of(&checks);
    }
    let asked = ask(target, checks, scope, cli.choice.fail_on, progress.clone());
    let reports = runtime.block_on(interruptible(asked));
    // Requests that never end must not hold the answer back.
    runtime.shutdown_background();
    progress.clear();
    let document = Document::new(reports?);
    let look = Look { width: screen.width, verbose: cli.output.verbose, quiet: cli.output.quiet };
    super::print(screen, cli.output.output, &document, |document| {
        document.reports().iter().map(|report| render(report, look)).collect::<Vec<_>>().join("\n")
    })?;
    Ok(document.exit())
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
    Ok(diagnoses.iter().map(|diagnosis: &Diagnosis| Report::new(diagnosis, &run)).collect())
}
