//! One thing to read for a capture, and reading it.

use std::time::Duration;

use jiff::Timestamp;

use super::ceph::Command;
use crate::facts::bundle::LOG_LINES;
use crate::facts::live::{Line, Lines, Live, Resource};
use crate::facts::{Answer, Fact, Source, Why};

/// One thing to read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Read {
    /// Every object of a kind, in one namespace or in all: an object that is not in the file is known not to exist.
    List { of: Resource, ns: Option<String> },
    /// An object, a log, the answer of a Ceph command or of an admin socket, as the checks ask for it.
    Fact(Fact),
    /// A Ceph command that only people want.
    Ask { ns: String, command: &'static Command },
}

/// What a read brings.
pub enum Got {
    Lines(Lines),
    Line(Option<Line>),
    Text(Vec<u8>),
}

/// How much of each log is read.
#[derive(Clone, Copy, Debug)]
pub struct LogBounds {
    pub lines: usize,
    pub bytes: usize,
    /// Lines that are older are left out, beyond those that a diagnosis reads.
    pub since: Option<Duration>,
}

impl Read {
    /// Whether only people want it, so that a cluster without it lacks nothing.
    pub fn is_extra(&self) -> bool {
        match self {
            Self::List { of, .. } => !crate::facts::kinds::ALL.iter().any(|kind| kind.resource() == of.name()),
            Self::Fact(Fact::Socket { command, .. }) => *command != "mon_status",
            Self::Fact(_) => false,
            Self::Ask { .. } => true,
        }
    }

    /// What is read, in words.
    pub fn describe(&self) -> String {
        match self {
            Self::List { of, ns: Some(ns) } => format!("{} in {ns}", of.name()),
            Self::List { of, ns: None } => of.name(),
            Self::Fact(fact) => fact.to_string(),
            Self::Ask { ns, command } => format!("ceph {} in {ns}", command.line),
        }
    }

    pub async fn perform(&self, live: &Live, logs: LogBounds) -> Result<Got, Why> {
        match self {
            Self::List { of, ns } => live.lines(of, ns.as_deref()).await.map(Got::Lines),
            Self::Fact(Fact::Object { kind, ns, name }) => live.line(*kind, ns, name).await.map(Got::Line),
            Self::Fact(Fact::Log { ns, pod, container, previous }) => {
                let log = live.long_log((ns, pod, container), *previous, (logs.lines, logs.bytes)).await?;
                Ok(Got::Text(match logs.since {
                    Some(since) => recent(log, live.now(), since),
                    None => log,
                }))
            }
            Self::Fact(fact) => match live.fetch(fact).await?.answer {
                Answer::Text(text) => Ok(Got::Text(text)),
                _ => Err(Why::Malformed("the answer is no text".into())),
            },
            Self::Ask { ns, command } => {
                let words = command.words();
                live.ceph_answer(ns, &words, command.mgr, command.plain).await.map(Got::Text)
            }
        }
    }
}

/// A log from the first line that is young enough, but never less than a diagnosis reads.
fn recent(mut log: Vec<u8>, now: Timestamp, since: Duration) -> Vec<u8> {
    let Ok(oldest) = now.checked_sub(since) else { return log };
    let is_young = |line: &[u8]| {
        let stamp = line.split(|&byte| byte == b' ').next().and_then(|stamp| std::str::from_utf8(stamp).ok());
        stamp.and_then(|stamp| stamp.parse::<Timestamp>().ok()).is_some_and(|at| at >= oldest)
    };
    let lines: Vec<&[u8]> = log.split_inclusive(|&byte| byte == b'\n').collect();
    let young = lines.iter().position(|line| is_young(line)).unwrap_or(lines.len());
    let first = young.min(lines.len().saturating_sub(LOG_LINES));
    let old: usize = lines[..first].iter().map(|line| line.len()).sum();
    log.drain(..old);
    log
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::bundle::end_of_log;

    #[test]
    fn old_lines_go_except_those_that_a_diagnosis_reads() {
        let now: Timestamp = "2025-03-04T12:00:00Z".parse().unwrap();
        let start: Timestamp = "2025-03-04T00:00:00Z".parse().unwrap();
        let at = |minute: i64| start.checked_add(jiff::SignedDuration::from_mins(minute)).unwrap();
        let log = |lines: i64| -> Vec<u8> {
            (0..lines).map(|line| format!("{} line {line}\n", at(line / 10))).collect::<String>().into_bytes()
        };
        let kept = |lines, hours: u64| {
            let kept = recent(log(lines), now, Duration::from_secs(hours * 3600));
            assert_eq!(end_of_log(&kept), end_of_log(&log(lines)), "{lines} {hours}");
            kept.iter().filter(|byte| **byte == b'\n').count()
        };
        assert_eq!(kept(7200, 24), 7200);
        assert_eq!(kept(7200, 6), 3600);
        assert_eq!(kept(7200, 1), LOG_LINES);
        assert_eq!(kept(50, 1), 50);
    }
}
