//! One finding: what it says, how that is known, what to do, and what it hangs together with.

use maud::{Markup, html};

use super::{Part, commands, words};
use crate::check::Text;
use crate::report::human::{Look, alike};
use crate::report::{Evidence, Finding, Report};
use crate::say;

/// Evidence that is shown at once; the rest is folded.
const EVIDENCE: usize = 6;

/// A root cause, unfolded.
pub(super) fn whole(part: &Part<'_>, at: usize) -> Markup {
    let finding = &part.report.findings[at];
    html! {
        article.finding.whole.(words::severity(finding.severity).class)
            id=(part.finding(at)) tabindex="-1" data-severity=(finding.severity.word()) data-area=(finding.area) {
            (part.heading(1, None, &title(finding)))
            (body(part, at))
        }
    }
}

/// Another finding, folded to its first line.
pub(super) fn folded(part: &Part<'_>, at: usize) -> Markup {
    let finding = &part.report.findings[at];
    html! {
        details.finding.(words::severity(finding.severity).class)
            id=(part.finding(at)) data-severity=(finding.severity.word()) data-area=(finding.area) {
            summary { (part.heading(1, None, &title(finding))) }
            div.inside { (body(part, at)) }
        }
    }
}

fn title(finding: &Finding) -> Markup {
    html! {
        span.what {
            (words::severity(finding.severity).badge())
            " " code.code { (finding.code) }
            " " span.name { (finding.name) }
            @if finding.suppressed.is_some() { " " span.badge.none { (say!("suppressed")) } }
        }
        " " span.summary { (finding.summary) }
    }
}

fn body(part: &Part<'_>, at: usize) -> Markup {
    let finding = &part.report.findings[at];
    html! {
        @if let Some(since) = finding.since { p.note { (say!("since")) " " (words::time(since, part.report)) } }
        @if let Some(suppression) = &finding.suppressed { p.note { (say!("suppressed: {}", suppression.told())) } }
        @if let Some(note) = finding.expired_note() { p.note { (note) } }
        @if finding.unexplained {
            p.note { (say!("A symptom without a cause: none of the checks found what leads to it.")) }
        }
        @if !finding.not_ruled_out.is_empty() {
            p.note {
                (say!("Not ruled out as its cause, because they could not look: {}", finding.not_ruled_out.join(", ")))
            }
        }
        @if !finding.evidence.is_empty() {
            (part.heading(2, None, &html! { (say!("Evidence")) }))
            (evidence(&finding.evidence, part.report))
        }
        (part.heading(2, None, &html! { (say!("Remedy")) }))
        (commands::remedy(finding))
        (relations(part, at))
        p.more {
            (say!("The page of this check:")) " " code { "kubectl rookdoctor explain " (finding.code) }
        }
    }
}

/// The same words from several places are told once.
fn evidence(all: &[Evidence], report: &Report) -> Markup {
    let groups = alike(all, Look { width: 0, verbose: false, quiet: false });
    let (first, rest) = groups.split_at(groups.len().min(EVIDENCE));
    let list = |groups: &[(&Evidence, usize)]| {
        html! { ul.evidence { @for (one, same) in groups { (quote(one, *same, report)) } } }
    };
    html! {
        (list(first))
        @if !rest.is_empty() {
            details.rest { summary { (say!("and {} more", rest.len())) } (list(rest)) }
        }
    }
}

fn quote(one: &Evidence, same: usize, report: &Report) -> Markup {
    html! {
        li {
            span.from {
                (one.from)
                @if let Some(field) = &one.field { " · " span.field { (field) } }
                @if let Some(at) = one.at { " · " (words::time(at, report)) }
            }
            @if !one.excerpt.is_empty() { blockquote { (one.excerpt) } }
            @if same > 0 { p.note { (say!("and the same from {} more", same)) } }
        }
    }
}

/// Links of one kind that are shown at once.
const RELATED: usize = 8;

/// Links to the nearest causes and effects, with where they meet.
fn relations(part: &Part<'_>, at: usize) -> Markup {
    let causes: Vec<(usize, &str)> =
        part.links.causes(at).into_iter().map(|cause| (cause, because(part, cause, at))).collect();
    let effects: Vec<(usize, &str)> =
        part.links.effects(at).iter().map(|&effect| (effect, because(part, at, effect))).collect();
    html! { (related(part, &say!("Follows from"), &causes)) (related(part, &say!("Leads to"), &effects)) }
}

fn because<'p>(part: &'p Part<'_>, cause: usize, effect: usize) -> &'p str {
    part.links.direct.get(&(cause, effect)).map_or("", String::as_str)
}

fn related(part: &Part<'_>, title: &Text, others: &[(usize, &str)]) -> Markup {
    if others.is_empty() {
        return html! {};
    }
    let (first, rest) = others.split_at(others.len().min(RELATED));
    let list = |others: &[(usize, &str)]| {
        html! {
            ul.related {
                @for (at, because) in others { li { (reference(part, *at)) " " span.because { (because) } } }
            }
        }
    };
    html! {
        (part.heading(2, None, &html! { (title) }))
        (list(first))
        @if !rest.is_empty() {
            details.rest { summary { (say!("and {} more", rest.len())) } (list(rest)) }
        }
    }
}

/// A link to a finding.
pub(super) fn reference(part: &Part<'_>, at: usize) -> Markup {
    let finding = &part.report.findings[at];
    html! {
        (words::severity(finding.severity).sign()) " "
        a href={ "#" (part.finding(at)) } { code { (finding.code) } " " (finding.summary) }
    }
}
