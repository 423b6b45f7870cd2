//! Lines of logs that mark something: of the operator, with the texts that its checks look for, and of monitors whose
//! log a check asked for. No other log is read for the story; the lines that findings quote come with these.

use super::events::clock;
use super::order::shape;
use super::sources::Sources;
use super::{MarkKind, Moment};
use crate::check::{ObjectRef, Text};
use crate::checks::mon::mon_failover_off::BLOCKED;
use crate::checks::opr::OPERATOR;
use crate::checks::opr::operator_cannot_reach_mons::{FAILURES, REFUSED, SUCCESSES, TIMEOUT};
use crate::checks::opr::reconcile_stalled::STEPS;
use crate::facts::{Log, LogLine, kinds};
use crate::say;

/// What the operator says of a monitor that it misses, replaces or has back.
const FAILOVER: &[&str] =
    &["waiting for timeout", "NOT found in quorum", "NOT found in ceph mon map", "marking mon", "Failing over monitor"];
const RECONCILE_FAILED: &[&str] = &["failed to reconcile", "failed to perform validation"];
/// What monitors say of elections and of health.
const ELECTIONS: &[&str] = &["calling monitor election", "is new leader", "won leader election"];
const WORSE: &[&str] = &["Health check failed", "Health check update", "clocks not synchronized", "clock skew"];
const BETTER: &[&str] = &["Health check cleared", "Cluster is now healthy"];

/// The moments, and a word on logs without times.
pub fn moments(sources: &Sources<'_>) -> (Vec<Moment>, Vec<Text>) {
    let (mut all, mut unstamped) = (Vec::new(), Vec::new());
    for ([ns, pod, container], log) in &sources.logs {
        let judge: fn(&str) -> Option<(MarkKind, bool)> = match *container {
            OPERATOR => of_operator,
            "mon" => of_monitor,
            _ => continue,
        };
        if !log.lines.is_empty() && log.lines.iter().all(|line| line.at.is_none()) {
            unstamped.push(say!("the lines of the log of {}/{}/{} bear no times", ns, pod, container));
        }
        let places = sources.places.get(&(*ns, *pod)).cloned().unwrap_or_default();
        let from = format!("log of {ns}/{pod}/{container}");
        let object = ObjectRef::new(kinds::POD, ns, pod);
        // Where the operator runs is of no account for what it says of others.
        let places = if *container == "mon" { places } else { Default::default() };
        let runs = runs(log, judge).into_iter();
        all.extend(runs.filter_map(|run| Some(run.moment(&from)?.about(object.clone()).at(places.clone()))));
    }
    (all, unstamped)
}

fn any(line: &str, texts: &[&str]) -> bool {
    texts.iter().any(|text| line.contains(text))
}

fn of_operator(line: &str) -> Option<(MarkKind, bool)> {
    if any(line, FAILOVER) || any(line, BLOCKED) {
        return Some((MarkKind::Failover, true));
    }
    if any(line, FAILURES) || any(line, RECONCILE_FAILED) || line.contains(REFUSED) || line.contains(TIMEOUT) {
        return Some((MarkKind::Operator, true));
    }
    (any(line, STEPS) || any(line, SUCCESSES)).then_some((MarkKind::Operator, false))
}

fn of_monitor(line: &str) -> Option<(MarkKind, bool)> {
    if any(line, WORSE) {
        return Some((MarkKind::Health, true));
    }
    if any(line, BETTER) {
        return Some((MarkKind::Health, false));
    }
    any(line, ELECTIONS).then_some((MarkKind::Failover, false))
}

/// The same said over and over, with nothing else to tell in between.
struct Run<'l> {
    first: &'l LogLine,
    last: &'l LogLine,
    count: usize,
    kind: MarkKind,
    bad: bool,
}

fn runs<'l>(log: &'l Log, judge: fn(&str) -> Option<(MarkKind, bool)>) -> Vec<Run<'l>> {
    let mut runs: Vec<Run<'l>> = Vec::new();
    for line in log.lines.iter().filter(|line| line.at.is_some()) {
        let Some((kind, bad)) = judge(&line.text) else { continue };
        let same =
            |run: &&mut Run<'_>| run.kind == kind && run.bad == bad && shape(&run.first.text) == shape(&line.text);
        // Two or three lines may alternate.
        match runs.iter_mut().rev().take(3).find(same) {
            Some(run) => (run.last, run.count) = (line, run.count + 1),
            None => runs.push(Run { first: line, last: line, count: 1, kind, bad }),
        }
    }
    runs
}

impl Run<'_> {
    fn moment(&self, from: &str) -> Option<Moment> {
        let (first, last) = (self.first.at?, self.last.at?);
        let text = said(&self.first.text);
        let what = match self.count {
            1 => say!("{}", text),
            count => say!("{} ({} times, until {})", text, count, clock(last, first)),
        };
        Some(Moment::new(first, self.kind, what, from).bad(self.bad).until(last))
    }
}

/// Without the time and the level that Rook writes before what it says: `2025-03-04 14:02:58.123456 I | op-mon: …`
pub fn said(line: &str) -> &str {
    let rest = line.split_once(" | ").filter(|(head, _)| head.len() <= 30 && head.starts_with("20"));
    rest.map_or(line, |(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(lines: &[(&str, &str)]) -> Log {
        let line = |(at, text): &(&str, &str)| LogLine { at: at.parse().ok(), text: (*text).to_owned() };
        Log { lines: lines.iter().map(line).collect() }
    }

    #[test]
    fn what_is_said_again_and_again_is_one_moment() {
        let (mon, wait) =
            ("op-mon: mon \"c\" not found in quorum, waiting for timeout", "seconds left) before failover");
        let first = format!("2025-06-30 10:00:00.000001 W | {mon} (599 {wait}");
        let second = format!("2025-06-30 10:00:45.000001 W | {mon} (554 {wait}");
        let log = log(&[
            ("2025-06-30T10:00:00Z", &first),
            ("2025-06-30T10:00:45Z", &second),
            ("2025-06-30T10:01:00Z", "nothing of note"),
            ("2025-06-30T10:10:00Z", "op-mon: Failing over monitor \"c\""),
            ("", "op-mon: Failing over monitor \"c\""),
        ]);
        let told: Vec<_> = runs(&log, of_operator).iter().map(|run| run.moment("x").unwrap().what.english()).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].starts_with("op-mon: mon \"c\" not found") && told[0].ends_with("(2 times, until 10:00:45Z)"));
    }

    #[test]
    fn lines_are_judged_by_what_checks_look_for() {
        assert_eq!(of_operator("op-mon: Monitors in quorum: [a b c]"), Some((MarkKind::Operator, false)));
        assert_eq!(of_operator("failed to get ceph status"), Some((MarkKind::Operator, true)));
        assert_eq!(of_operator("hello"), None);
        assert_eq!(of_monitor("Health check failed: 1/3 mons down (MON_DOWN)"), Some((MarkKind::Health, true)));
        assert_eq!(of_monitor("mon.a calling monitor election"), Some((MarkKind::Failover, false)));
    }
}
