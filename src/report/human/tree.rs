//! What a root cause explains, as a tree: every finding once, below the nearest of its causes.

use std::collections::BTreeSet;

use super::page::{Ink, Page};
use super::{Look, severity};
use crate::lang::Lang;
use crate::report::{Finding, Report};
use crate::{plural, say};

/// Lines of a tree; more are counted, not shown.
const LINES: usize = 60;

/// Draws the consequences of a root, and adds them to what was shown; at length with what to do about each.
pub(super) fn draw<'r>(
    page: &mut Page,
    report: &'r Report,
    root: &'r Finding,
    shown: &mut BTreeSet<&'r str>,
    look: Look,
) {
    let total = below(report, root).len();
    if total == 0 {
        return;
    }
    page.label(&plural!(total, "Explains 1 finding", "Explains {} findings").told(report.lang));
    let mut tree = Tree { page, report, shown, drawn: 0, verbose: look.verbose };
    tree.branch(root, "    ");
    let more = tree.drawn.saturating_sub(LINES);
    if more > 0 {
        page.line("    ", Ink::Dim, &say!("and {} more; -o json has them all", more).told(report.lang));
    }
}

struct Tree<'p, 'r> {
    page: &'p mut Page,
    report: &'r Report,
    shown: &'p mut BTreeSet<&'r str>,
    /// Lines that were drawn, or would have been.
    drawn: usize,
    verbose: bool,
}

impl<'r> Tree<'_, 'r> {
    fn branch(&mut self, cause: &'r Finding, trunk: &str) {
        let effects = nearest(self.report, cause);
        let (before, fresh): (Vec<&Finding>, Vec<&Finding>) =
            effects.into_iter().partition(|effect| self.shown.contains(effect.id.as_str()));
        // Siblings are claimed first: each hangs below its nearest cause, not below a sibling.
        self.shown.extend(fresh.iter().map(|effect| effect.id.as_str()));
        for (at, effect) in fresh.iter().enumerate() {
            let last = before.is_empty() && at + 1 == fresh.len();
            self.leaf(cause, effect, trunk, last);
            self.branch(effect, &format!("{trunk}{}", if last { "   " } else { "│  " }));
        }
        if !before.is_empty() && self.grow() {
            let mut codes: Vec<&str> = before.iter().map(|effect| effect.code.as_str()).collect();
            codes.dedup();
            let first = format!("{trunk}└─ ");
            self.page.hang(
                &[(Ink::Dim, &first)],
                Ink::Dim,
                &say!("also {} (see above)", codes.join(", ")).told(self.report.lang),
            );
        }
    }

    /// Whether there is room for one line more.
    fn grow(&mut self) -> bool {
        self.drawn += 1;
        self.drawn <= LINES
    }

    fn leaf(&mut self, cause: &Finding, effect: &Finding, trunk: &str, last: bool) {
        if !self.grow() {
            return;
        }
        let (ink, mark) = severity(effect.severity);
        let because = effect.causes.iter().find(|link| link.finding == cause.id).map(|link| link.because.as_str());
        let lang = self.report.lang;
        let summary = match because {
            // Nothing but the cluster is nothing to tell.
            Some(because) if because != say!("same cluster").told(lang) => {
                say!("{} (by {})", effect.summary, because).told(lang)
            }
            _ => effect.summary.clone(),
        };
        let fork = format!("{trunk}{}", if last { "└─ " } else { "├─ " });
        let first = [(Ink::Dim, fork.as_str()), (ink, mark), (Ink::Plain, " "), (ink, &effect.code), (Ink::Plain, " ")];
        let indent = " ".repeat(mark.chars().count() + effect.code.len() + 2);
        let rest = format!("{trunk}{}{indent}", if last { "   " } else { "│  " });
        self.page.hang_below(&first, &[(Ink::Dim, &rest)], Ink::Plain, &format!("{summary}{}", note(effect, lang)));
        if self.verbose {
            let below = [(Ink::Dim, rest.as_str())];
            self.page.hang_below(&below, &below, Ink::Dim, &say!("remedy: {}", effect.remedy.summary).told(lang));
            for command in &effect.remedy.commands {
                self.page.hang_unwrapped(&below, Ink::Command, command);
            }
        }
    }
}

/// Whether it is, or was, suppressed.
fn note(effect: &Finding, lang: Lang) -> String {
    match (&effect.suppressed, effect.expired_note()) {
        (Some(_), _) => say!(" (suppressed)").told(lang),
        (None, Some(note)) => say!(" ({})", note).told(lang),
        (None, None) => String::new(),
    }
}

/// Direct consequences that no other consequence leads to: the transitive reduction.
fn nearest<'r>(report: &'r Report, cause: &Finding) -> Vec<&'r Finding> {
    let direct: Vec<&Finding> = cause.consequences.iter().filter_map(|id| report.finding(id)).collect();
    let farther: BTreeSet<&str> = direct.iter().flat_map(|effect| below(report, effect)).collect();
    direct.into_iter().filter(|effect| !farther.contains(effect.id.as_str())).collect()
}

/// Ids of everything that this finding explains, directly or not.
pub(super) fn below<'r>(report: &'r Report, cause: &'r Finding) -> BTreeSet<&'r str> {
    let mut seen = BTreeSet::new();
    let mut open: Vec<&str> = cause.consequences.iter().map(String::as_str).collect();
    while let Some(id) = open.pop() {
        if seen.insert(id) {
            open.extend(report.finding(id).into_iter().flat_map(|finding| &finding.consequences).map(String::as_str));
        }
    }
    seen
}
