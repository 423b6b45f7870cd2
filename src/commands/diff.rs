//! `diff`: two looks at a cluster, each a bundle, a report, or the live cluster, and what changed between them.

use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::time::Instant;

use futures::future::join_all;
use serde_json::Value;

use super::asking::{Asked, Question};
use super::opening::{Target, open, or_interrupt, recording, target};
use super::progress::Progress;
use crate::cli::{Cli, Diff};
use crate::diagnosis::ask;
use crate::diff::human::render;
use crate::diff::look::{Look, SeenReport};
use crate::diff::state::state;
use crate::diff::{Document, compare};
use crate::exit::{Exit, Failed};
use crate::fix::apply::unseen;
use crate::report::FailOn;
use crate::screen::Screen;

/// A report is a few hundred kilobytes; more is something else.
const REPORT_BYTES: u64 = 256 << 20;
/// What stands for standard input.
const STDIN: &str = "-";
/// Within the first lines of every report.
const API_GROUP: &str = "rookdoctor.dev/";

pub(super) fn run(cli: &Cli, flags: &Diff, screen: &Screen) -> Result<Exit, Failed> {
    let question = Question::of(cli)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let progress = Progress::start(screen);
    let looks = runtime.block_on(or_interrupt(both_sides(cli, flags, &question, &progress)));
    runtime.shutdown_background();
    progress.clear();
    let (old, new) = looks?;
    let document = compare(old, new, cli.choice.fail_on.unwrap_or(FailOn::Warning));
    let human = |document: &Document| render(document, screen.width, cli.output.verbose);
    super::print(screen, cli.output.output, &document, human)?;
    Ok(document.exit())
}

async fn both_sides(
    cli: &Cli,
    flags: &Diff,
    question: &Question,
    progress: &Progress,
) -> Result<(Vec<Look>, Vec<Look>), Failed> {
    let old = side(cli, Some(&flags.old), question, progress).await?;
    let new = side(cli, flags.new.as_deref(), question, progress).await?;
    Ok((old, new))
}

/// Every cluster of one side; without a path, of the cluster that the flags name.
async fn side(cli: &Cli, path: Option<&Path>, question: &Question, progress: &Progress) -> Result<Vec<Look>, Failed> {
    let target = match path {
        None => target(cli)?,
        Some(path) => match report(path)? {
            Some(reports) => {
                let from = path.display().to_string();
                let state = Err("a report does not hold them".to_owned());
                let look = |report| Look { from: from.clone(), report, state: state.clone() };
                return Ok(reports.into_iter().map(look).collect());
            }
            None => recording(Some(path), None)?.map_or_else(|| target(cli), |it| Ok(Target::Recorded(it)))?,
        },
    };
    looks(target, path, question, progress).await
}

/// The reports in a file; none if it is something else, such as a bundle.
fn report(path: &Path) -> Result<Option<Vec<SeenReport>>, Failed> {
    let name = path.display();
    let failed = |error: io::Error| Failed::unseen(anyhow::anyhow!("cannot read {name}: {error}"));
    let mut bytes = Vec::new();
    if path == Path::new(STDIN) {
        io::stdin().take(REPORT_BYTES).read_to_end(&mut bytes).map_err(failed)?;
    } else {
        if !fs::metadata(path).map_err(failed)?.is_file() {
            return Ok(None);
        }
        let mut file = fs::File::open(path).map_err(failed)?;
        let mut start = [0; 512];
        let read = file.read(&mut start).map_err(failed)?;
        // Some tools record a cluster as text, too.
        if !String::from_utf8_lossy(&start[..read]).contains(API_GROUP) {
            return Ok(None);
        }
        bytes.extend_from_slice(&start[..read]);
        file.take(REPORT_BYTES).read_to_end(&mut bytes).map_err(failed)?;
    }
    let wrong = |why: String| {
        let hint = "Name a bundle, or what `kubectl rookdoctor -o json` printed";
        Failed::unseen(anyhow::anyhow!("{name} is not a report: {why}. {hint}"))
    };
    let text = std::str::from_utf8(&bytes).map_err(|error| wrong(error.to_string()))?;
    let document = parse(text).map_err(wrong)?;
    Ok(Some(SeenReport::read_all(&document).map_err(wrong)?))
}

fn parse(text: &str) -> Result<Value, String> {
    match text.trim_start().starts_with('{') {
        true => serde_json::from_str(text).map_err(|error| error.to_string()),
        false => serde_saphyr::from_str(text).map_err(|error| error.to_string()),
    }
}

/// Diagnoses each cluster of a source, and asks for what a report does not hold.
async fn looks(
    target: Target,
    path: Option<&Path>,
    question: &Question,
    progress: &Progress,
) -> Result<Vec<Look>, Failed> {
    let started = Instant::now();
    let opened = open(target, question.scope.timeout).await?;
    let Asked { diagnoses, reports } = question.ask(&opened, started, progress).await?;
    let from = match path {
        Some(path) => path.display().to_string(),
        None => opened.context.clone().unwrap_or_else(|| "the live cluster".to_owned()),
    };
    let (source, timeout) = (opened.source(), question.scope.timeout);
    let states = join_all(diagnoses.iter().map(async |diagnosis| {
        let cluster = diagnosis.cluster.as_ref().ok_or("no CephCluster was seen")?;
        ask(source, cluster, timeout, state).await.map_err(|gap| unseen(&gap).to_string())
    }));
    let states = states.await;
    let seen = reports.iter().zip(states).map(|(report, state)| {
        // Both sides are read as a report is, so that they tell the same in the same words.
        let report = SeenReport::read(&serde_json::to_value(report)?).map_err(anyhow::Error::msg)?;
        Ok(Look { from: from.clone(), report, state })
    });
    seen.collect::<anyhow::Result<_>>().map_err(Failed::from)
}
