//! `diagnose`: opens the source, asks every check, prints the report.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;

use super::progress::Progress;
use crate::check::Check;
use crate::cli::{Cli, Source as SourceFlags};
use crate::diagnosis::{Diagnosis, Scope, diagnose};
use crate::examples;
use crate::exit::{Exit, Failed};
use crate::facts::bundle::Bundle;
use crate::facts::live::{Options, connect};
use crate::facts::{Cost, Fact, Reading, Source, Why};
use crate::lookup;
use crate::overview;
use crate::report::human::{Look, render};
use crate::report::{Document, FailOn, Report, Run, SourceKind};
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

/// Ends at once when the user interrupts, whatever is under way.
async fn interruptible(
    asked: impl Future<Output = Result<Vec<Report>, Failed>> + Send + 'static,
) -> Result<Vec<Report>, Failed> {
    let mut interrupt = pin!(tokio::signal::ctrl_c());
    // The first poll is what installs the handler: it must be there before anything can take long.
    let _ = futures::poll!(&mut interrupt);
    let mut task = tokio::spawn(asked);
    tokio::select! {
        reports = &mut task => reports.context("the diagnosis ended early")?,
        Ok(()) = &mut interrupt => {
            task.abort();
            Err(Failed::interrupted())
        }
    }
}

/// What to diagnose.
enum Target {
    Recorded(Box<dyn FnOnce() -> Result<Bundle, Failed> + Send>),
    Live(Box<Options>),
}

/// An opened source and what is known of it.
struct Opened {
    source: Arc<dyn Source>,
    kind: SourceKind,
    context: Option<String>,
    /// The namespace of the context.
    namespace: Option<String>,
}

fn target(cli: &Cli) -> Result<Target, Failed> {
    if let Some(name) = &cli.choice.example {
        let example = examples::find(name).ok_or_else(|| Failed::usage(no_example(name)))?;
        let open = || Bundle::from_archive(example.name, example.archive).map_err(Failed::from);
        return Ok(Target::Recorded(Box::new(open)));
    }
    if let Some(path) = cli.source.bundle.clone() {
        let open = move || Bundle::open(&path).map_err(Failed::unseen);
        return Ok(Target::Recorded(Box::new(open)));
    }
    Ok(Target::Live(Box::new(options(&cli.source))))
}

fn no_example(name: &str) -> anyhow::Error {
    let near = lookup::near(name, examples::ALL.iter().map(|example| example.name));
    anyhow::anyhow!("no example is called \"{name}\"{}; see `kubectl rookdoctor examples`", lookup::hint(&near))
}

fn options(flags: &SourceFlags) -> Options {
    let connection = &flags.connection;
    Options {
        kubeconfig: connection.kubeconfig.clone(),
        context: connection.context.clone(),
        cluster: connection.cluster.clone(),
        user: connection.user.clone(),
        server: connection.server.clone(),
        certificate_authority: connection.certificate_authority.clone(),
        insecure_skip_tls_verify: connection.insecure_skip_tls_verify,
        tls_server_name: connection.tls_server_name.clone(),
        token: connection.token.clone(),
        as_: connection.as_user.clone(),
        as_group: connection.as_group.clone(),
        namespace: flags.namespace.clone(),
        request_timeout: connection.request_timeout.filter(|time| *time < crate::cli::NO_LIMIT),
        timeout: Some(flags.timeout),
    }
}

fn scope(flags: &SourceFlags) -> Scope {
    Scope {
        namespace: flags.namespace.clone(),
        operator_namespace: flags.operator_namespace.clone(),
        cluster_name: flags.cluster_name.clone(),
        timeout: flags.timeout,
        ..Scope::default()
    }
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
    let source = opened.source.as_ref();
    let diagnoses = diagnose(source, &checks, &scope, &|round, facts| progress.round(round, facts)).await;
    if let (Some(name), Some(seen)) = (&scope.cluster_name, diagnoses.iter().find(|it| !it.left_out.is_empty())) {
        let seen = seen.left_out.join(", ");
        return Err(Failed::unseen(anyhow::anyhow!("no CephCluster is named {name:?}; there is {seen}")));
    }
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

async fn open(target: Target, at_most: Duration) -> Result<Opened, Failed> {
    let options = match target {
        Target::Recorded(open) => {
            let source = Arc::new(open()?);
            return Ok(Opened { source, kind: SourceKind::Bundle, context: None, namespace: None });
        }
        Target::Live(options) => options,
    };
    let unconnected = |why| Opened {
        kind: SourceKind::Live,
        context: options.context.clone(),
        namespace: None,
        source: Arc::new(Unconnected(why)),
    };
    Ok(match tokio::time::timeout(at_most, connect(&options)).await {
        Ok(Ok(live)) => Opened {
            kind: SourceKind::Live,
            context: Some(live.context().to_owned()),
            namespace: Some(live.default_namespace().to_owned()),
            source: Arc::new(live),
        },
        Ok(Err(error)) => unconnected(Why::Unreachable(format!("{}: {error}; {}", error.stage(), error.next_step()))),
        Err(_) => unconnected(Why::Timeout),
    })
}

/// A cluster to which there is no connection: every question has the same answer, and the report tells it.
struct Unconnected(Why);

impl Source for Unconnected {
    fn fetch<'a>(&'a self, _fact: &'a Fact) -> BoxFuture<'a, Result<Reading, Why>> {
        async { Err(self.0.clone()) }.boxed()
    }

    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn cost(&self) -> Cost {
        Cost::default()
    }

    fn server_version(&self) -> Option<String> {
        None
    }
}
