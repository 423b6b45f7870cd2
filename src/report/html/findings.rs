//! The findings: root causes at length, what follows from them folded, and what is worth knowing.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::{Part, Section, card};
use crate::say;

pub(super) fn roots(part: &Part<'_>) -> Option<Section> {
    let roots = &part.links.roots;
    let title = if roots.len() == 1 { say!("Root cause") } else { say!("Root causes") };
    let count = (roots.len() > 1).then_some(roots.len());
    let body = html! { @for &at in roots { (card::whole(part, at)) } (nothing()) };
    (!roots.is_empty()).then_some(Section { name: "roots", title, count, body })
}

pub(super) fn consequences(part: &Part<'_>) -> Option<Section> {
    let roots: BTreeSet<usize> = part.links.roots.iter().copied().collect();
    let explained = |at: &usize| !part.report.findings[*at].causes.is_empty() && !roots.contains(at);
    folded(part, explained, "consequences", say!("Consequences"))
}

/// What no root cause explains, and what is none.
pub(super) fn beside(part: &Part<'_>) -> Option<Section> {
    let roots: BTreeSet<usize> = part.links.roots.iter().copied().collect();
    let alone = |at: &usize| part.report.findings[*at].causes.is_empty() && !roots.contains(at);
    folded(part, alone, "beside", say!("Worth knowing"))
}

/// The worst first, and otherwise from the ground up.
fn folded(
    part: &Part<'_>,
    belongs: impl Fn(&usize) -> bool,
    name: &'static str,
    title: crate::check::Text,
) -> Option<Section> {
    let mut those: Vec<usize> = (0..part.report.findings.len()).filter(belongs).collect();
    those.sort_by_key(|&at| std::cmp::Reverse(part.report.findings[at].severity));
    let body = html! { @for &at in &those { (card::folded(part, at)) } (nothing()) };
    (!those.is_empty()).then_some(Section { name, title, count: Some(those.len()), body })
}

/// What stands where the filters leave nothing.
fn nothing() -> Markup {
    html! { p.nothing hidden { (say!("Nothing here matches the filters.")) } }
}
