//! What somebody decided to live with: one line each, and below it what follows from it and counts all the same.

use std::collections::BTreeSet;

use super::page::{Ink, Page};
use super::{Look, tree};
use crate::lang::Text;
use crate::report::{Finding, Report, Suppressions, Unread, Unused};
use crate::say;

/// What a foreign recording cannot hold is worth a line only for those who ask.
const NOT_CAPTURED: &str = "not-captured";

/// Draws all suppressed findings with what hangs below them, and adds that to what was shown.
/// Whether there was anything.
pub(super) fn draw<'r>(page: &mut Page, report: &'r Report, shown: &mut BTreeSet<&'r str>, look: Look) -> bool {
    let all: Vec<&Finding> = report.findings.iter().filter(|finding| finding.suppressed.is_some()).collect();
    let Suppressions { unused, unread } = &report.suppressions;
    let unread: Vec<&Unread> = unread.iter().filter(|it| look.verbose || it.why != NOT_CAPTURED).collect();
    if all.is_empty() && unused.is_empty() && unread.is_empty() {
        return false;
    }
    page.heading(&say!("SUPPRESSED ({})", all.len()).told(report.lang));
    for &finding in &all {
        let told = finding.suppressed.as_ref().map(|it| it.told().told(report.lang)).unwrap_or_default();
        let first = [(Ink::Dim, "- "), (Ink::Bold, finding.code.as_str()), (Ink::Plain, " ")];
        page.hang(&first, Ink::Plain, &format!("{}: {told}", finding.object()));
        shown.insert(finding.id.as_str());
        if finding.causes.is_empty() && tree::below(report, finding).iter().any(|id| counts(report, id, shown)) {
            let left = say!("what follows from it is not suppressed, and counts");
            page.hang(&[(Ink::Plain, "  ")], Ink::Warning, &left.told(report.lang));
            tree::draw(page, report, finding, shown, look);
        }
    }
    for Unused { code, object, suppression } in unused {
        let told = say!("matches nothing: {} {}: {}", code, object, suppression.told());
        page.hang(&[(Ink::Dim, "- ")], Ink::Dim, &told.told(report.lang));
    }
    for Unread { from, message, .. } in unread {
        let told = say!("not read, so nothing is suppressed by it: {}: {}", from, message);
        page.hang(&[(Ink::Unknown, "? ")], Ink::Plain, &told.told(report.lang));
    }
    true
}

fn counts(report: &Report, id: &str, shown: &BTreeSet<&str>) -> bool {
    !shown.contains(id) && report.finding(id).is_some_and(Finding::counts)
}

/// `2 suppressed`
pub(in crate::report) fn counted(report: &Report) -> Option<Text> {
    let count = report.findings.iter().filter(|finding| finding.suppressed.is_some()).count();
    (count > 0).then(|| say!("{} suppressed", count))
}

/// What is wrong where every root cause is suppressed.
pub(super) fn left(report: &Report) -> Option<Text> {
    match report.findings.iter().filter(|finding| finding.counts()).count() {
        0 => None,
        1 => Some(say!("1 finding follows from what is suppressed")),
        count => Some(say!("{} findings follow from what is suppressed", count)),
    }
}
