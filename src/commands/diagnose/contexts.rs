//! `--contexts`: several Kubernetes clusters at once, each with a report of its own, whether it was reached or not.

use std::time::Instant;

use anyhow::Context;
use futures::StreamExt;
use futures::stream;

use crate::cli::Connection;
use crate::commands::asking::Question;
use crate::commands::opening::{Target, open};
use crate::commands::progress::Progress;
use crate::exit::Failed;
use crate::facts::live::{Options, known};
use crate::lookup;
use crate::report::{Document, Report};

/// Clusters that are looked at together.
const AT_ONCE: usize = 16;

/// The contexts that were named, each once. A name that the kubeconfig does not have is found out before anything is
/// asked.
pub(super) fn chosen(connection: &Connection) -> Result<Vec<String>, Failed> {
    let known = known(connection.kubeconfig.as_deref())
        .map_err(|error| Failed::unseen(anyhow::anyhow!("{error}; {}", error.next_step())))?;
    let mut chosen: Vec<String> = Vec::new();
    for name in connection.contexts.iter().map(|name| name.trim()).filter(|name| !name.is_empty()) {
        if !known.contexts.iter().any(|known| known == name) {
            let near = lookup::near(name, known.contexts.iter().map(String::as_str));
            let hint = lookup::hint(&near);
            let see = "see `kubectl config get-contexts`";
            return Err(Failed::usage(anyhow::anyhow!("the kubeconfig has no context {name:?}{hint}; {see}")));
        }
        if !chosen.iter().any(|chosen| chosen == name) {
            chosen.push(name.to_owned());
        }
    }
    if chosen.is_empty() {
        return Err(Failed::usage(anyhow::anyhow!("--contexts names none: give their names with commas")));
    }
    Ok(chosen)
}

/// Asks all of them.
pub(super) async fn ask(
    names: Vec<String>,
    options: Options,
    question: Question,
    progress: Progress,
) -> Result<Document, Failed> {
    let one = |context: String| {
        // Several credentials plugins at once cannot ask at one terminal: what they say is part of the report.
        let options = Options { context: Some(context), never_ask: true, ..options.clone() };
        tokio::spawn(ask_one(options, question.clone(), progress.clone()))
    };
    let asked: Vec<_> = stream::iter(names).map(one).buffered(AT_ONCE).collect().await;
    let mut reports = Vec::new();
    for one in asked {
        reports.extend(one.context("the look at a context ended early")??);
    }
    Ok(Document::of_contexts(reports))
}

async fn ask_one(options: Options, question: Question, progress: Progress) -> Result<Vec<Report>, Failed> {
    let started = Instant::now();
    let opened = open(Target::Live(Box::new(options)), question.scope.timeout).await?;
    // Not every cluster has a CephCluster of the name that may have been given: its report says what it has.
    Ok(question.ask_whatever_is_there(&opened, started, &progress).await.reports)
}
