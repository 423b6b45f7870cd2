//! From the command line to an opened cluster, live or recorded.

use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use anyhow::Context;
use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;

use crate::cli::{Cli, Source as SourceFlags};
use crate::diagnosis::{Diagnosis, Scope};
use crate::examples;
use crate::exit::Failed;
use crate::facts::bundle::Bundle;
use crate::facts::layout::Format;
use crate::facts::live::{Live, Options, connect};
use crate::facts::{Cost, Fact, Reading, Source, Why};
use crate::lookup;
use crate::report::SourceKind;

/// What to diagnose.
pub(super) enum Target {
    Recorded(Recording),
    Live(Box<Options>),
}

/// A recorded cluster, not opened yet.
pub(super) type Recording = Box<dyn FnOnce() -> Result<Bundle, Failed> + Send>;

/// An opened source and what is known of it.
pub(super) struct Opened {
    cluster: Reached,
    pub kind: SourceKind,
    pub context: Option<String>,
    /// The namespace of the context.
    pub namespace: Option<String>,
}

enum Reached {
    Live(Box<Live>),
    Recorded(Box<Bundle>),
    Not(Unconnected),
}

impl Opened {
    pub fn source(&self) -> &dyn Source {
        match &self.cluster {
            Reached::Live(live) => live.as_ref(),
            Reached::Recorded(bundle) => bundle.as_ref(),
            Reached::Not(unconnected) => unconnected,
        }
    }

    /// The same connection with nothing remembered; none if there is no connection.
    pub fn anew(&self) -> Option<Self> {
        let Reached::Live(live) = &self.cluster else { return None };
        let (context, namespace) = (self.context.clone(), self.namespace.clone());
        Some(Self { cluster: Reached::Live(Box::new(live.anew())), kind: self.kind, context, namespace })
    }

    /// Whether looking again later may show something else.
    pub fn may_change(&self) -> bool {
        match &self.cluster {
            Reached::Live(_) => true,
            Reached::Recorded(_) => false,
            Reached::Not(unconnected) => unconnected.may_pass,
        }
    }

    /// Who wrote the recording, if it is one of another tool.
    pub fn format(&self) -> Option<Format> {
        match &self.cluster {
            Reached::Recorded(bundle) => bundle.format(),
            Reached::Live(_) | Reached::Not(_) => None,
        }
    }

    /// The cluster itself, which can be changed; a recording cannot.
    pub fn live(&self) -> Option<&Live> {
        match &self.cluster {
            Reached::Live(live) => Some(live),
            Reached::Recorded(_) | Reached::Not(_) => None,
        }
    }
}

pub(super) fn target(cli: &Cli) -> Result<Target, Failed> {
    let recorded = recording(cli.source.bundle.as_deref(), cli.choice.example.as_deref())?;
    Ok(recorded.map_or_else(|| Target::Live(Box::new(options(&cli.source))), Target::Recorded))
}

/// The recorded cluster that is meant, if one is.
pub(super) fn recording(bundle: Option<&Path>, example: Option<&str>) -> Result<Option<Recording>, Failed> {
    if let Some(name) = example {
        let example = examples::find(name).ok_or_else(|| Failed::usage(no_example(name)))?;
        let open = || Bundle::from_archive(example.name, example.archive).map_err(Failed::from);
        return Ok(Some(Box::new(open)));
    }
    let Some(path) = bundle.map(Path::to_owned) else { return Ok(None) };
    Ok(Some(Box::new(move || Bundle::open(&path).map_err(Failed::unseen))))
}

fn no_example(name: &str) -> anyhow::Error {
    let near = lookup::near(name, examples::ALL.iter().map(|example| example.name));
    anyhow::anyhow!("no example is called \"{name}\"{}; see `kubectl rookdoctor examples`", lookup::hint(&near))
}

pub(crate) fn options(flags: &SourceFlags) -> Options {
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
        never_ask: false,
    }
}

pub(super) fn scope(flags: &SourceFlags) -> Scope {
    Scope {
        namespace: flags.namespace.clone(),
        operator_namespace: flags.operator_namespace.clone(),
        cluster_name: flags.cluster_name.clone(),
        timeout: flags.timeout,
        ..Scope::default()
    }
}

pub(super) async fn open(target: Target, at_most: Duration) -> Result<Opened, Failed> {
    let options = match target {
        Target::Recorded(open) => {
            let cluster = Reached::Recorded(Box::new(open()?));
            return Ok(Opened { cluster, kind: SourceKind::Bundle, context: None, namespace: None });
        }
        Target::Live(options) => options,
    };
    let unconnected = |why, may_pass| Opened {
        kind: SourceKind::Live,
        context: options.context.clone(),
        namespace: None,
        cluster: Reached::Not(Unconnected { why, may_pass }),
    };
    Ok(match tokio::time::timeout(at_most, connect(&options)).await {
        Ok(Ok(live)) => Opened {
            kind: SourceKind::Live,
            context: Some(live.context().to_owned()),
            namespace: Some(live.default_namespace().to_owned()),
            cluster: Reached::Live(Box::new(live)),
        },
        Ok(Err(error)) => {
            let why = Why::Unreachable(format!("{}: {error}; {}", error.stage(), error.next_step()));
            unconnected(why, error.may_pass())
        }
        Err(_) => unconnected(Why::Timeout, true),
    })
}

/// A live cluster, for commands that have no use for any other.
pub(super) async fn connected(options: &Options, at_most: Duration) -> Result<Live, Failed> {
    match tokio::time::timeout(at_most, connect(options)).await {
        Ok(Ok(live)) => Ok(live),
        Ok(Err(error)) => Err(Failed::unseen(anyhow::anyhow!("{error}; {}", error.next_step()))),
        Err(_) => Err(Failed::unseen(anyhow::anyhow!(
            "no connection within {} s; check the way to the server, or raise --timeout",
            at_most.as_secs()
        ))),
    }
}

/// A name that no CephCluster has is a mistake, and not a cluster without findings.
pub(super) fn is_there(scope: &Scope, diagnoses: &[Diagnosis]) -> Result<(), Failed> {
    let seen = diagnoses.iter().find(|diagnosis| !diagnosis.left_out.is_empty());
    match (&scope.cluster_name, seen) {
        (Some(name), Some(seen)) => {
            let seen = seen.left_out.join(", ");
            Err(Failed::unseen(anyhow::anyhow!("no CephCluster is named {name:?}; there is {seen}")))
        }
        _ => Ok(()),
    }
}

/// Ends at once when the user interrupts. For what only reads.
pub(super) async fn or_interrupt<T>(work: impl Future<Output = Result<T, Failed>>) -> Result<T, Failed> {
    tokio::select! {
        done = work => done,
        Ok(()) = tokio::signal::ctrl_c() => Err(Failed::interrupted()),
    }
}

/// Ends at once when the user interrupts, whatever is under way, be it waiting or thinking.
pub(super) async fn interruptible<T: Send + 'static>(
    work: impl Future<Output = Result<T, Failed>> + Send + 'static,
) -> Result<T, Failed> {
    let mut interrupt = pin!(tokio::signal::ctrl_c());
    // The first poll is what installs the handler: it must be there before anything can take long.
    let _ = futures::poll!(&mut interrupt);
    let mut task = tokio::spawn(work);
    tokio::select! {
        done = &mut task => done.context("the work ended early")?,
        Ok(()) = &mut interrupt => {
            task.abort();
            Err(Failed::interrupted())
        }
    }
}

/// A cluster to which there is no connection: every question has the same answer, and the report tells it.
struct Unconnected {
    why: Why,
    /// Trying again later may help.
    may_pass: bool,
}

impl Source for Unconnected {
    fn fetch<'a>(&'a self, _fact: &'a Fact) -> BoxFuture<'a, Result<Reading, Why>> {
        async { Err(self.why.clone()) }.boxed()
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
