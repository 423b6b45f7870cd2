//! What a diagnosis asks, and of which opened cluster; the same for all commands that diagnose.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::opening::{Opened, is_there, scope};
use super::progress::Progress;
use crate::check::Check;
use crate::cli::Cli;
use crate::diagnosis::{Diagnosis, Scope, diagnose};
use crate::exit::Failed;
use crate::lang::Lang;
use crate::lookup;
use crate::report::{FailOn, Report, Run};
use crate::suppress::{self, Entry};

/// What is asked, and what counts.
#[derive(Clone)]
pub(super) struct Question {
    pub checks: Vec<&'static Check>,
    pub scope: Scope,
    pub fail_on: FailOn,
    /// Decisions beside those that a cluster holds itself.
    suppressions: Vec<Entry>,
    /// What the report is told in.
    pub lang: Lang,
}

/// What came of it: a report of each diagnosis.
pub(super) struct Asked {
    pub diagnoses: Vec<Diagnosis>,
    pub reports: Vec<Report>,
}

impl Question {
    /// What the command line asks.
    pub fn of(cli: &Cli) -> Result<Self, Failed> {
        Ok(Self {
            checks: lookup::select(&cli.choice.only, &cli.choice.skip).map_err(Failed::usage)?,
            scope: scope(&cli.source),
            fail_on: cli.choice.fail_on.unwrap_or(FailOn::Warning),
            suppressions: cli.choice.suppressions.as_deref().map_or_else(|| Ok(Vec::new()), suppressions)?,
            lang: Lang::English,
        })
    }

    /// Asks a cluster that was opened since then: connecting is part of the time that the user gave.
    pub async fn ask(&self, opened: &Opened, started: Instant, progress: &Progress) -> Result<Asked, Failed> {
        let asked = self.ask_whatever_is_there(opened, started, progress).await;
        is_there(&self.scope, &asked.diagnoses)?;
        Ok(asked)
    }

    /// The same where a CephCluster of another name than the one that was asked for is no mistake.
    pub async fn ask_whatever_is_there(&self, opened: &Opened, started: Instant, progress: &Progress) -> Asked {
        let mut scope = self.scope.clone();
        scope.timeout = scope.timeout.saturating_sub(started.elapsed()).max(Duration::from_secs(1));
        if let Some(namespace) = &opened.namespace {
            scope.fallback_namespace.clone_from(namespace);
        }
        let source = opened.source();
        let tell = |round, facts| progress.round(round, facts);
        let diagnoses = diagnose(source, &self.checks, &scope, &tell).await;
        let run = Run {
            generated_at: Timestamp::now(),
            observed_at: source.now(),
            fail_on: self.fail_on,
            source: opened.kind,
            context: opened.context.clone(),
            kubernetes_version: source.server_version(),
            cost: source.cost(),
            duration: started.elapsed(),
        };
        let report = |diagnosis: &Diagnosis| {
            Report::told(diagnosis, &run, &self.suppressions, self.lang).recorded_as(opened.format())
        };
        let reports = diagnoses.iter().map(report).collect();
        Asked { diagnoses, reports }
    }
}

/// The decisions in a file. One that is not understood hides nothing and ends the run: the user meant something.
fn suppressions(path: &Path) -> Result<Vec<Entry>, Failed> {
    let from = path.display().to_string();
    let wrong = |why: String| Failed::usage(anyhow::anyhow!("--suppressions {from}: {why}"));
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(suppress::AT_MOST + 1).read_to_string(&mut text));
    read.map_err(|error| wrong(error.to_string()))?;
    suppress::parse(&text, &from).map_err(|mistakes| wrong(mistakes.join("; ")))
}
