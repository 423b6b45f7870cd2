//! The report as the data of a ConfigMap, which holds 1 MiB.

use std::borrow::Cow;

use super::memory::{self, Root};
use crate::report::markdown::markdown;
use crate::report::{CheckStatus, Document, Finding, Report};

/// The annotation that says what was too large.
pub const LEFT_OUT: &str = "rookdoctor.dev/left-out";
/// Longest texts of the keys. With the memory they stay below the 1,048,576 bytes that the API server takes.
const REPORT_AT_MOST: usize = 700_000;
const SUMMARY_AT_MOST: usize = 150_000;

/// Of more findings than these the summary has only the first root causes.
const MANY: usize = 400;
const FIRST: usize = 50;

/// What to write.
#[derive(Debug)]
pub(super) struct Content {
    pub data: Vec<(&'static str, String)>,
    /// What was too large, in words.
    pub left_out: Vec<&'static str>,
    pub memory_only: bool,
}

/// The report, its summary, and what is told with it.
pub(super) fn content(document: &Document, open: &[Root]) -> anyhow::Result<Content> {
    let (report, mut left_out) = report(document)?;
    let (brief, is_whole) = brief(document);
    let whole = markdown(&brief);
    let summary = cut(&whole);
    if summary.len() < whole.len() || !is_whole {
        left_out.push("a part of summary.md");
    }
    let data = vec![("report.json", report), ("summary.md", summary.into_owned()), (memory::KEY, memory::text(open)?)];
    Ok(Content { data, left_out, memory_only: false })
}

/// Only what is told.
pub(super) fn memory_only(open: &[Root]) -> anyhow::Result<Content> {
    Ok(Content { data: vec![(memory::KEY, memory::text(open)?)], left_out: Vec::new(), memory_only: true })
}

/// The name of what goes, and how it is taken out.
type Step = (&'static str, fn(&mut Report));

/// What goes first when there is too much, in this order.
const STEPS: &[Step] = &[
    ("checks that passed or do not apply", |report| {
        report.checks.retain(|check| matches!(check.status, CheckStatus::Found | CheckStatus::Unknown));
    }),
    ("tables", |report| report.overviews.clear()),
    ("evidence of consequences", |report| {
        for_consequences(report, |finding| finding.evidence.clear());
    }),
    ("evidence of root causes", |report| report.findings.iter_mut().for_each(|finding| finding.evidence.clear())),
    ("what could not be seen", |report| {
        report.unknowns.clear();
        report.checks.iter_mut().for_each(|check| check.blind.clear());
    }),
    ("consequences", |report| {
        let roots = std::mem::take(&mut report.root_causes);
        report.findings.retain(|finding| roots.contains(&finding.id));
        report.findings.iter_mut().for_each(|finding| finding.consequences.clear());
        report.root_causes = roots;
    }),
    ("objects and commands of root causes", |report| {
        for finding in &mut report.findings {
            finding.objects.truncate(1);
            finding.at.truncate(1);
            finding.remedy.commands.clear();
        }
    }),
];

fn for_consequences(report: &mut Report, act: impl Fn(&mut Finding)) {
    let roots = &report.root_causes;
    report.findings.iter_mut().filter(|finding| !roots.contains(&finding.id)).for_each(act);
}

/// The JSON of the report, and what had to be left out of it.
fn report(document: &Document) -> anyhow::Result<(String, Vec<&'static str>)> {
    let mut reports = document.reports().to_vec();
    let mut left_out = Vec::new();
    let text = |reports: &[Report]| -> anyhow::Result<Option<String>> {
        let text = serde_json::to_string(&Document::new(reports.to_vec()))? + "\n";
        Ok((text.len() <= REPORT_AT_MOST).then_some(text))
    };
    for (name, step) in STEPS {
        if let Some(text) = text(&reports)? {
            return Ok((text, left_out));
        }
        reports.iter_mut().for_each(step);
        left_out.push(*name);
    }
    let mut most = reports.iter().map(|report| report.root_causes.len()).max().unwrap_or_default();
    let mut cut = false;
    loop {
        if let Some(text) = text(&reports)? {
            left_out.extend(cut.then_some("root causes of less weight"));
            return Ok((text, left_out));
        }
        anyhow::ensure!(most > 0, "it is too large, even without its findings");
        most /= 2;
        cut = true;
        for report in &mut reports {
            report.root_causes.truncate(most);
            let roots = &report.root_causes;
            report.findings.retain(|finding| roots.contains(&finding.id));
        }
    }
}

/// What a person reads to its end: of very many findings the first root causes only. Whether that is all.
fn brief(document: &Document) -> (Document, bool) {
    let mut reports = document.reports().to_vec();
    let mut is_whole = true;
    for report in reports.iter_mut().filter(|report| report.findings.len() > MANY) {
        report.root_causes.truncate(FIRST);
        let roots = &report.root_causes;
        report.findings.retain(|finding| roots.contains(&finding.id));
        is_whole = false;
    }
    (Document::new(reports), is_whole)
}

/// As many whole lines as fit.
fn cut(text: &str) -> Cow<'_, str> {
    const MARK: &str = "\n… (more in report.json)\n";
    if text.len() <= SUMMARY_AT_MOST {
        return Cow::Borrowed(text);
    }
    let mut end = SUMMARY_AT_MOST - MARK.len();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let end = text[..end].rfind('\n').unwrap_or(end);
    Cow::Owned(format!("{}{MARK}", &text[..end]))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;
    use crate::check::{Evidence, Finding, ObjectRef, Remedy};
    use crate::checks::osd;
    use crate::diagnosis::{Diagnosis, Outcome, Placed, Status};
    use crate::facts::{Cluster, Cost, kinds};
    use crate::report::{FailOn, Run, SourceKind};
    use crate::say;

    /// What the API server takes.
    const MIB: usize = 1 << 20;

    /// So many root causes with one consequence each, all with so much evidence and so many objects.
    fn document(roots: usize, evidence: usize, objects: usize) -> Document {
        let check = &osd::osd_down::CHECK;
        let placed = |at: usize| {
            let object = ObjectRef::new(kinds::POD, "rook-ceph", &format!("osd-{at}"));
            let mut finding = Finding::warning(object.clone(), say!("{}", "x".repeat(900)), Remedy::advice(say!("y")));
            finding.objects = vec![object.clone(); objects];
            let is_root = at < roots;
            Placed {
                id: format!("{}/Pod/rook-ceph/osd-{at}", check.code),
                check,
                finding: finding.evidence(vec![Evidence::field(&object, "spec", "z".repeat(300)); evidence]),
                causes: if is_root { Vec::new() } else { vec![(at - roots, crate::say!("node a"))] },
                consequences: if is_root { vec![at + roots] } else { Vec::new() },
                not_ruled_out: Vec::new(),
            }
        };
        let outcome = |status| Outcome { check, status, reason: None, blind: Vec::new(), touched: BTreeSet::new() };
        let diagnosis = Diagnosis {
            left_out: Vec::new(),
            cluster: Some(Cluster { ns: "a".into(), name: "b".into(), operator_ns: "a".into(), external: false }),
            object: None,
            operator_version: None,
            outcomes: vec![outcome(Status::Found), outcome(Status::Passed)],
            findings: (0..2 * roots).map(placed).collect(),
            roots: (0..roots).collect(),
            overviews: Vec::new(),
            story: None,
            suppressions: Ok(None),
            rounds: 1,
        };
        let run = Run {
            generated_at: jiff::Timestamp::UNIX_EPOCH,
            observed_at: jiff::Timestamp::UNIX_EPOCH,
            fail_on: FailOn::Warning,
            source: SourceKind::Live,
            context: None,
            kubernetes_version: None,
            cost: Cost::default(),
            duration: Duration::ZERO,
        };
        Document::new(vec![Report::new(&diagnosis, &run)])
    }

    #[test]
    fn whatever_is_found_fits_and_what_went_is_told_in_its_order() {
        for (roots, evidence, objects, left_out) in
            [(3, 2, 1, 0), (100, 8, 1, 3), (200, 15, 1, 4), (500, 1, 1, 6), (500, 1, 100, 7), (1500, 1, 1, 8)]
        {
            let document = document(roots, evidence, objects);
            let open: Vec<Root> = document.reports()[0]
                .root_causes
                .iter()
                .map(|id| Root { cluster: "a/b".into(), id: id.clone() })
                .collect();
            let content = content(&document, &open).unwrap();
            let size: usize = content.data.iter().map(|(_, text)| text.len()).sum();
            assert!(size < MIB, "{size}");
            let left: Vec<&str> =
                content.left_out.iter().copied().filter(|what| !what.contains("summary.md")).collect();
            assert_eq!(left.len(), left_out, "{roots} {evidence} {objects}: {left:?}");
            assert!(left.iter().zip(STEPS).all(|(left, (step, _))| left == step));
            let report: serde_json::Value = serde_json::from_str(&content.data[0].1).unwrap();
            assert_eq!(report["kind"], "Diagnosis");
            let found = report["findings"].as_array().unwrap().len();
            assert!(found >= report["rootCauses"].as_array().unwrap().len().min(200) && found > 0);
            assert_eq!(content.data[0].1.len() * 3 > REPORT_AT_MOST, left_out > 0, "no more is left out than must be");
        }
    }

    #[test]
    fn a_summary_is_cut_between_lines() {
        let line = "é".repeat(100) + "\n";
        let long = line.repeat(2000);
        let cut = cut(&long);
        assert!(cut.len() <= SUMMARY_AT_MOST && cut.ends_with("é\n… (more in report.json)\n"), "{}", cut.len());
    }
}
