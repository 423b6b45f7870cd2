//! What changed between two looks at a cluster: findings that came, went and stayed, and what differs in versions,
//! nodes, daemons and Ceph's own state.
//!
//! Pure: both looks are data. Not knowing is an answer here, too: what one of the two could not see did not go.

pub mod human;
pub mod look;
pub mod state;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use self::look::{Look, SeenCheck, SeenFinding};
use self::state::{Known, Things};
use crate::check::Severity;
use crate::exit::Exit;
use crate::report::{ApiVersion, CheckStatus, FailOn};

/// What `diff -o json` prints.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    pub api_version: ApiVersion,
    pub kind: &'static str,
    pub exit_code: u8,
    /// One for each CephCluster.
    pub items: Vec<Difference>,
    /// CephClusters that only one side has.
    pub unpaired: Vec<String>,
}

/// What changed in one cluster.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// `namespace/name`; empty if neither side saw a CephCluster.
    pub cluster: String,
    pub old: Side,
    pub new: Side,
    pub came: Vec<Came>,
    pub went: Vec<Went>,
    pub stayed: Vec<Stayed>,
    /// Checks that were answered on one side only.
    pub sight: Vec<Sight>,
    pub changes: Vec<Change>,
    /// What could not be compared, and why.
    pub not_compared: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Side {
    pub from: String,
    pub observed_at: Timestamp,
    pub verdict: String,
}

/// A finding as both lists show it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    pub id: String,
    pub code: String,
    pub name: String,
    pub severity: Severity,
    /// Nothing else explains it.
    pub is_root: bool,
    pub summary: String,
    /// Somebody decided to live with it: it counts for no exit status.
    pub suppressed: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Came {
    #[serde(flatten)]
    pub finding: Told,
    /// Its check could not look before: it may have been there.
    pub unseen_before: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Went {
    #[serde(flatten)]
    pub finding: Told,
    /// Its check cannot look now: it may still be there.
    pub unseen_now: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stayed {
    #[serde(flatten)]
    pub finding: Told,
    /// What it was called before, if a pod with another name has it now.
    pub id_before: Option<String>,
    pub severity_before: Severity,
    pub suppressed_before: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sight {
    pub code: String,
    pub name: String,
    pub before: CheckStatus,
    pub now: CheckStatus,
    pub reason: Option<String>,
}

/// One value that differs. Nothing on one side means that the thing was not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// `versions`, `nodes`, `daemons`, `ceph`
    pub area: &'static str,
    pub what: String,
    /// `status`, `image`, `restarts`, …; empty if the thing itself came or went.
    pub attribute: &'static str,
    pub old: Option<String>,
    pub new: Option<String>,
}

/// Compares every cluster of two looks.
pub fn compare(old: Vec<Look>, new: Vec<Look>, fail_on: FailOn) -> Document {
    let (pairs, unpaired) = pairs(old, new);
    let items: Vec<Difference> = pairs.iter().map(|(old, new)| difference(old, new)).collect();
    let ended = items.iter().fold(Exit::Healthy, |worst, item| worst.worse(item.exit()));
    let ended = if unpaired.is_empty() { ended } else { ended.worse(Exit::Unknown) };
    let exit = match (fail_on, ended) {
        (FailOn::Never, _) | (FailOn::Critical, Exit::Warning) => Exit::Healthy,
        (_, ended) => ended,
    };
    Document { api_version: ApiVersion::V1, kind: "DifferenceList", exit_code: exit.code(), items, unpaired }
}

impl Document {
    pub fn exit(&self) -> Exit {
        let all = [Exit::Critical, Exit::Warning, Exit::Unknown];
        all.into_iter().find(|exit| exit.code() == self.exit_code).unwrap_or(Exit::Healthy)
    }
}

impl Difference {
    /// Only what got worse counts: what is over is good news, what stays was known, and what is suppressed is lived
    /// with as long as it is.
    fn exit(&self) -> Exit {
        let came = self.came.iter().map(|came| &came.finding);
        let got_worse =
            |it: &&Stayed| it.finding.severity > it.severity_before || (it.suppressed_before && !it.finding.suppressed);
        let rose = self.stayed.iter().filter(got_worse).map(|it| &it.finding);
        match came.chain(rose).filter(|it| !it.suppressed).map(|it| it.severity).max() {
            Some(Severity::Critical) => Exit::Critical,
            Some(Severity::Warning) => Exit::Warning,
            _ if self.sight.iter().any(|sight| sight.now == CheckStatus::Unknown) => Exit::Unknown,
            _ => Exit::Healthy,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.came.is_empty() && self.went.is_empty() && self.changes.is_empty() && self.sight.is_empty()
    }
}

/// The same cluster on both sides, by its name; what is left alone on each side is taken for the same.
fn pairs(mut old: Vec<Look>, new: Vec<Look>) -> (Vec<(Look, Look)>, Vec<String>) {
    let (mut pairs, mut left) = (Vec::new(), Vec::new());
    for look in new {
        match old.iter().position(|before| before.cluster_name() == look.cluster_name()) {
            Some(at) => pairs.push((old.remove(at), look)),
            None => left.push(look),
        }
    }
    if old.len() == 1 && left.len() == 1 {
        pairs.extend(old.pop().zip(left.pop()));
    }
    let only = |look: &Look| format!("{} is only in {}", look.cluster_name(), look.from);
    let unpaired = old.iter().chain(&left).map(only).collect();
    (pairs, unpaired)
}

fn difference(old: &Look, new: &Look) -> Difference {
    let mut came: Vec<&SeenFinding> = new.report.findings.iter().collect();
    let mut stayed = Vec::new();
    let mut went = Vec::new();
    for before in &old.report.findings {
        match same(before, &came) {
            Some(at) => {
                let now = came.remove(at);
                stayed.push(Stayed {
                    finding: new.report.told(now),
                    id_before: (now.id != before.id).then(|| before.id.clone()),
                    severity_before: before.severity,
                    suppressed_before: before.suppressed.is_some(),
                });
            }
            None => went.push(before),
        }
    }
    let blind = |look: &Look, code: &str| look.report.status_of(code) == Some(CheckStatus::Unknown);
    let mut difference = Difference {
        cluster: new.cluster_name(),
        old: side(old),
        new: side(new),
        came: came
            .into_iter()
            .map(|it| Came { unseen_before: blind(old, &it.code), finding: new.report.told(it) })
            .collect(),
        went: went
            .into_iter()
            .map(|it| Went { unseen_now: blind(new, &it.code), finding: old.report.told(it) })
            .collect(),
        stayed,
        sight: sight(&old.report.checks, &new.report.checks),
        changes: Vec::new(),
        not_compared: Vec::new(),
    };
    states(&mut difference, old, new);
    difference
}

fn side(look: &Look) -> Side {
    Side { from: look.from.clone(), observed_at: look.report.observed_at, verdict: look.report.verdict.clone() }
}

/// The same finding among these: of the same name, or of the same code at the same place. A pod that was made anew
/// has another name and the same fault.
fn same(before: &SeenFinding, among: &[&SeenFinding]) -> Option<usize> {
    let meets = |now: &&SeenFinding| now.code == before.code && now.at.iter().any(|at| before.at.contains(at));
    let named = among.iter().position(|now| now.id == before.id);
    named.or_else(|| among.iter().position(meets))
}

/// Checks that can look no more, and those that can look again.
fn sight(old: &[SeenCheck], new: &[SeenCheck]) -> Vec<Sight> {
    let before: BTreeMap<&str, CheckStatus> = old.iter().map(|check| (check.code.as_str(), check.status)).collect();
    let changed = new.iter().filter_map(|check| {
        let before = *before.get(check.code.as_str())?;
        let turned = (before == CheckStatus::Unknown) != (check.status == CheckStatus::Unknown);
        turned.then(|| Sight {
            code: check.code.clone(),
            name: check.name.clone(),
            before,
            now: check.status,
            reason: check.reason.clone(),
        })
    });
    changed.collect()
}

fn states(difference: &mut Difference, old: &Look, new: &Look) {
    difference.changes = changes("versions", &old.report.versions(), &new.report.versions());
    let (Ok(before), Ok(now)) = (&old.state, &new.state) else {
        for look in [old, new] {
            if let Err(why) = &look.state {
                difference.not_compared.push(format!("nodes, daemons and Ceph's state: {}: {why}", look.from));
            }
        }
        return;
    };
    for ((area, before), (_, now)) in before.areas().into_iter().zip(now.areas()) {
        match (before, now) {
            (Known::Seen(before), Known::Seen(now)) => difference.changes.extend(changes(area, before, now)),
            (before, now) => {
                let why = [(old, before), (new, now)].into_iter().filter_map(|(look, known)| match known {
                    Known::Seen(_) => None,
                    Known::Not(why) => Some(format!("{area}: {}: {why}", look.from)),
                });
                difference.not_compared.extend(why);
            }
        }
    }
}

/// What differs between two sets of things.
fn changes(area: &'static str, old: &Things, new: &Things) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut change = |what: &str, attribute, old: Option<&String>, new: Option<&String>| {
        changes.push(Change { area, what: what.to_owned(), attribute, old: old.cloned(), new: new.cloned() });
    };
    for (what, before) in old {
        let Some(now) = new.get(what) else {
            change(what, "", before.values().next(), None);
            continue;
        };
        for (attribute, before) in before {
            match now.get(attribute) {
                Some(now) if now == before => {}
                now => change(what, attribute, Some(before), now),
            }
        }
        for (attribute, now) in now.iter().filter(|(attribute, _)| !before.contains_key(*attribute)) {
            change(what, attribute, None, Some(now));
        }
    }
    for (what, now) in new.iter().filter(|(what, _)| !old.contains_key(*what)) {
        change(what, "", None, now.values().next());
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::look::SeenReport;
    use super::*;
    use serde_json::{Value, json};

    fn finding(id: &str, severity: &str, at: &str) -> Value {
        json!({"id": id, "code": id.split('/').next(), "name": "n", "severity": severity, "summary": "s", "at": [at]})
    }

    fn look(findings: &[Value], checks: &[(&str, &str)]) -> Look {
        let checks: Vec<Value> =
            checks.iter().map(|(code, status)| json!({"code": code, "name": "n", "status": status})).collect();
        let report = json!({"apiVersion": "rookdoctor.dev/v1", "kind": "Diagnosis", "verdict": "warning",
            "observedAt": "2026-01-01T00:00:00Z", "findings": findings, "checks": checks, "rootCauses": []});
        Look { from: "x".into(), report: SeenReport::read(&report).unwrap(), state: Err("a report".into()) }
    }

    #[test]
    fn findings_come_go_and_stay() {
        let old = look(
            &[
                finding("MON002/Pod/a/x-1", "warning", "daemon:mon.a"),
                finding("NODE001/Node/w1", "critical", "node:w1"),
            ],
            &[("MON002", "found"), ("NODE001", "found"), ("OSD001", "unknown")],
        );
        let new = look(
            &[
                finding("MON002/Pod/a/x-2", "critical", "daemon:mon.a"),
                finding("OSD001/Deployment/a/o", "warning", "daemon:osd.1"),
            ],
            &[("MON002", "found"), ("NODE001", "unknown"), ("OSD001", "found")],
        );
        let document = compare(vec![old], vec![new], FailOn::Warning);
        let it = &document.items[0];
        assert_eq!(it.stayed[0].id_before.as_deref(), Some("MON002/Pod/a/x-1"));
        assert_eq!(
            (it.stayed[0].severity_before, it.stayed[0].finding.severity),
            (Severity::Warning, Severity::Critical)
        );
        assert!(it.came[0].unseen_before && it.went[0].unseen_now);
        assert_eq!(it.sight.len(), 2);
        // A fault that got worse counts like one that came.
        assert_eq!(document.exit(), Exit::Critical);
    }

    #[test]
    fn good_news_is_no_failure() {
        let old = look(&[finding("MON002/Pod/a/x", "critical", "daemon:mon.a")], &[("MON002", "found")]);
        let well = look(&[], &[("MON002", "passed")]);
        assert_eq!(compare(vec![old], vec![well], FailOn::Warning).exit(), Exit::Healthy);
        let old = look(&[finding("MON002/Pod/a/x", "critical", "daemon:mon.a")], &[("MON002", "found")]);
        let blind = look(&[], &[("MON002", "unknown")]);
        let document = compare(vec![old], vec![blind], FailOn::Warning);
        assert!(document.items[0].went[0].unseen_now);
        assert_eq!(document.exit(), Exit::Unknown);
    }

    #[test]
    fn values_are_compared_by_name() {
        let thing =
            |pairs: &[(&'static str, &str)]| pairs.iter().map(|&(key, value)| (key, value.to_owned())).collect();
        let old = Things::from([
            ("w1".to_owned(), thing(&[("status", "Ready"), ("boot", "1")])),
            ("w2".to_owned(), thing(&[("status", "Ready")])),
        ]);
        let new = Things::from([
            ("w1".to_owned(), thing(&[("status", "NotReady"), ("boot", "1")])),
            ("w3".to_owned(), thing(&[("status", "Ready")])),
        ]);
        let told: Vec<_> = changes("nodes", &old, &new)
            .into_iter()
            .map(|it| format!("{} {} {:?} {:?}", it.what, it.attribute, it.old.as_deref(), it.new.as_deref()))
            .collect();
        assert_eq!(
            told,
            [r#"w1 status Some("Ready") Some("NotReady")"#, r#"w2  Some("Ready") None"#, r#"w3  None Some("Ready")"#]
        );
    }
}
