//! What the diagnosis itself knows the time of: since when a finding stands, and what it quotes.

use super::logs::said;
use super::{MarkKind, Moment};
use crate::check::{Evidence, Severity};
use crate::diagnosis::Placed;
use crate::say;

/// Findings that are context only tell of what is well.
pub fn moments(findings: &[Placed]) -> Vec<Moment> {
    let is_told = |placed: &Placed| placed.finding.severity > Severity::Info && !placed.check.about_sight;
    let told = findings.iter().enumerate().filter(|(_, placed)| is_told(placed));
    told.flat_map(|(at, placed)| of_finding(at, placed)).collect()
}

fn of_finding(at: usize, placed: &Placed) -> Vec<Moment> {
    let Placed { check, finding, .. } = placed;
    let complete = |moment: Moment| {
        let moment = Moment { finding: Some(at), ..moment.at(finding.at.iter().cloned()) };
        finding.objects.first().map_or(moment.clone(), |object| moment.about(object.clone()))
    };
    let from = format!("{} {}", check.code, check.name);
    let since =
        finding.since.map(|since| Moment::new(since, MarkKind::Finding, finding.summary.clone(), from).bad(true));
    let evidence = finding.evidence.iter().filter_map(quoted);
    since.into_iter().chain(evidence).map(complete).collect()
}

/// Events and lines of logs are quoted because they tell of trouble. A field only shows how things were then.
fn quoted(evidence: &Evidence) -> Option<Moment> {
    let kind = kind(&evidence.from);
    let what = match kind {
        MarkKind::Event | MarkKind::Log => say!("{}", said(&evidence.excerpt)),
        _ => say!("{} {}: {}", evidence.from, evidence.field, evidence.excerpt),
    };
    let moment = Moment::new(evidence.at?, kind, what, &evidence.from).bad(kind != MarkKind::Finding);
    Some(Moment { quote: true, ..moment })
}

/// By the words with which evidence says where it is from.
fn kind(from: &str) -> MarkKind {
    match from.split(' ').next() {
        Some("event") => MarkKind::Event,
        Some("log") => MarkKind::Log,
        _ => MarkKind::Finding,
    }
}
