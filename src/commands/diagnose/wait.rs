//! `--wait`: looks again until the cluster is healthy, or the time is over. One report is the result: the last whole one.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use crate::commands::asking::Question;
use crate::commands::opening::{Opened, Target, open};
use crate::commands::progress::Progress;
use crate::exit::{Exit, Failed};
use crate::facts::live::Options;
use crate::report::clean::clean;
use crate::report::{CheckStatus, Document, Report};
use crate::screen::Screen;

/// The time of one look: that of a run without `--wait`.
const LOOK: Duration = Duration::from_secs(60);
/// Between two looks; longer and longer while nothing changes, since the API server has others to serve.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Longest line about what is still wrong.
const LINE: usize = 240;

/// What is waited for, and how long.
pub(super) struct Waiting {
    options: Options,
    question: Question,
    time: Duration,
    progress: Progress,
    /// Where what is still wrong is told.
    tell: Option<Screen>,
}

/// One look, and the connection that it was made by.
type Looked = (Opened, Result<Document, Failed>);

impl Waiting {
    /// `--timeout` is the time to wait here, and one look has the time of a run.
    pub fn new(options: Options, mut question: Question, progress: Progress, tell: Option<Screen>) -> Self {
        let time = question.scope.timeout;
        question.scope.timeout = time.min(LOOK);
        let options = Options { timeout: Some(question.scope.timeout), ..options };
        Self { options, question, time, progress, tell }
    }

    /// Ends as a single run would that saw what the last look saw.
    pub async fn until_healthy(self) -> Result<Document, Failed> {
        let deadline = Instant::now() + self.time;
        let (mut opened, mut answer) = self.look(None).await?;
        let mut wrong = String::new();
        let mut pause = FIRST_PAUSE;
        loop {
            if ended(&opened, &answer) {
                return answer;
            }
            let (still, line) = still_wrong(&answer);
            if still != wrong {
                self.complain(&format!("waiting: {line}"));
                (wrong, pause) = (still, FIRST_PAUSE);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            sleep(pause.min(left)).await;
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
            // What is cut off by the end says less than what was seen whole before.
            match timeout_at(deadline, self.look(Some(&opened))).await {
                Ok(looked) => (opened, answer) = looked?,
                Err(_) => {
                    self.complain("the time to wait is over (--timeout)");
                    return answer;
                }
            }
        }
    }

    /// Looks once, over the connection of before if there is one.
    async fn look(&self, before: Option<&Opened>) -> Result<Looked, Failed> {
        let started = std::time::Instant::now();
        let opened = match before.and_then(Opened::anew) {
            Some(opened) => opened,
            None => open(Target::Live(Box::new(self.options.clone())), self.question.scope.timeout).await?,
        };
        let asked = self.question.ask(&opened, started, &self.progress).await;
        Ok((opened, asked.map(|asked| Document::new(asked.reports))))
    }

    fn complain(&self, line: &str) {
        if let Some(screen) = &self.tell {
            self.progress.complain(screen, line);
        }
    }
}

/// Whether another look is of no use: all is well, or nothing can change without the user.
fn ended(opened: &Opened, answer: &Result<Document, Failed>) -> bool {
    match answer {
        _ if !opened.may_change() => true,
        Ok(document) => document.exit() == Exit::Healthy,
        // There may be no CephCluster of that name yet.
        Err(failed) => failed.exit != Exit::Unknown,
    }
}

/// What is still wrong: what tells it from another state, and one line for a person.
fn still_wrong(answer: &Result<Document, Failed>) -> (String, String) {
    let document = match answer {
        Ok(document) => document,
        Err(failed) => return (failed.to_string(), clean(&failed.to_string(), LINE)),
    };
    let wrong = document.reports().iter().filter(|report| report.exit() != Exit::Healthy);
    let (states, lines): (Vec<String>, Vec<String>) = wrong.map(|report| (state(report), line(report))).unzip();
    (states.join("\n"), clean(&lines.join("; "), LINE))
}

fn blind(report: &Report) -> usize {
    report.checks.iter().filter(|check| check.status == CheckStatus::Unknown).count()
}

/// Summaries count seconds and pods: the ids stay the same.
fn state(report: &Report) -> String {
    let name = report.cluster.as_ref().map(|it| format!("{}/{}", it.namespace, it.name));
    let blind = blind(report) > 0;
    format!("{name:?} {:?} {} {blind}", report.verdict, report.root_causes.join(" "))
}

fn line(report: &Report) -> String {
    let name = report.cluster.as_ref().map(|it| format!("{}/{}: ", it.namespace, it.name)).unwrap_or_default();
    let first = report.root_causes.first().and_then(|id| report.finding(id));
    let first = first.map(|root| format!("{} {}", root.code, root.summary));
    let more = match report.root_causes.len().saturating_sub(1) {
        0 => None,
        1 => Some("1 more root cause".to_owned()),
        more => Some(format!("{more} more root causes")),
    };
    let blind = match blind(report) {
        0 => None,
        1 => Some("1 check could not look".to_owned()),
        blind => Some(format!("{blind} checks could not look")),
    };
    let left = report.findings.iter().filter(|finding| finding.counts()).count();
    let left = first.is_none().then(|| format!("{left} findings follow from what is suppressed")).filter(|_| left > 0);
    format!("{name}{}", [left, first, more, blind].into_iter().flatten().collect::<Vec<_>>().join(", "))
}
