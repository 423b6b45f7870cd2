//! `publish`: diagnoses, and leaves the result where the cluster's people and their metrics look.

use std::time::{Duration, Instant};

use super::asking::Question;
use super::diagnose::{human, replace};
use super::opening::{interruptible, open, target};
use super::print;
use super::progress::Progress;
use crate::cli::{Cli, Publish};
use crate::exit::{Exit, Failed};
use crate::publish::push::Gateway;
use crate::publish::{Published, publish};
use crate::report::prometheus::prometheus;
use crate::report::{Document, FailOn};
use crate::screen::Screen;

/// For writing the ConfigMap and the Events.
const WRITE_AT_MOST: Duration = Duration::from_secs(45);

pub(super) fn run(cli: &Cli, flags: &Publish, screen: &Screen) -> Result<Exit, Failed> {
    let mut question = Question::of(cli)?;
    let target = target(cli)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let progress = Progress::start(screen);
    let (place, told) = (flags.configmap.clone(), progress.clone());
    // What the report says of itself is not what this run ends with: by default it ends well when it was published.
    if question.fail_on == FailOn::Never {
        question.fail_on = FailOn::Warning;
    }
    let work = async move {
        let started = Instant::now();
        let opened = open(target, question.scope.timeout).await?;
        let asked = question.ask(&opened, started, &told).await?;
        let looks: Vec<_> = asked.diagnoses.into_iter().zip(asked.reports).collect();
        let published = match opened.live() {
            Some(live) => in_time(publish(live, &place, &looks)).await,
            None => failed("the report was not published: there is no connection to the cluster".into()),
        };
        Ok((looks.into_iter().map(|(_, report)| report).collect(), published))
    };
    let ended = runtime.block_on(interruptible(work));
    progress.clear();
    let (reports, mut published) = ended?;
    let document = Document::new(reports);
    let namespace = cli.source.namespace.as_deref();
    runtime.block_on(measure(flags, namespace, &document, &mut published))?;
    // Requests that never end must not hold the answer back.
    runtime.shutdown_background();
    print(screen, cli.output.output, &document, |document| human(cli, screen, document))?;
    tell(screen, &published);
    let found = if cli.choice.fail_on.is_some_and(|it| it != FailOn::Never) { document.exit() } else { Exit::Healthy };
    Ok(if published.failures.is_empty() { found } else { found.worse(Exit::Unknown) })
}

async fn in_time(publishing: impl Future<Output = Published>) -> Published {
    let late = |_| failed(format!("not all was published: no end within {} s", WRITE_AT_MOST.as_secs()));
    tokio::time::timeout(WRITE_AT_MOST, publishing).await.unwrap_or_else(late)
}

fn failed(why: String) -> Published {
    Published { failures: vec![why], ..Published::default() }
}

/// The metrics, also of a cluster that could not be reached: that is what an alert must know.
async fn measure(
    flags: &Publish,
    namespace: Option<&str>,
    document: &Document,
    published: &mut Published,
) -> anyhow::Result<()> {
    if flags.metrics_file.is_none() && flags.push.is_none() {
        return Ok(());
    }
    let metrics = prometheus(document)?;
    if let Some(path) = &flags.metrics_file {
        match replace(path, &metrics) {
            Ok(()) => published.done.push(format!("wrote the metrics to {}", path.display())),
            Err(error) => published.failures.push(format!("the metrics were not written: {error:#}")),
        }
    }
    if let Some(gateway) = &flags.push {
        push(gateway, namespace, metrics, published).await;
    }
    Ok(())
}

async fn push(gateway: &Gateway, namespace: Option<&str>, metrics: String, published: &mut Published) {
    let address = gateway.address();
    match gateway.push(namespace, metrics).await {
        Ok(()) => published.done.push(format!("pushed the metrics to {address}")),
        Err(why) => published.failures.push(format!("the metrics were not pushed to {address}: {why}")),
    }
}

/// What was done is no result that a program reads from standard output.
fn tell(screen: &Screen, published: &Published) {
    published.done.iter().for_each(|line| screen.complain(line));
    published.notes.iter().for_each(|line| screen.complain(&format!("note: {line}")));
    published.failures.iter().for_each(|line| screen.complain(&format!("error: {line}")));
}
