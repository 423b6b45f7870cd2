//! The tree from the ground up: every area, every check in it, how it ended and why.

use maud::{Markup, html};

use super::words::{self, Word};
use super::{Part, Section};
use crate::check::{Area, Severity};
use crate::lang::phrase;
use crate::report::human::area_of;
use crate::report::{Check, CheckStatus, Report};
use crate::say;

pub(super) fn section(part: &Part<'_>) -> Option<Section> {
    let areas = Area::ALL.iter().filter_map(|&area| Some((area, checks_of(part.report, area)?)));
    let body = html! { @for (area, checks) in areas { (branch(part, area, &checks)) } };
    let title = say!("The tree, from the ground up");
    (!part.report.checks.is_empty()).then_some(Section { name: "tree", title, count: None, body })
}

/// None if no check of the area was selected.
fn checks_of(report: &Report, area: Area) -> Option<Vec<&Check>> {
    let checks: Vec<&Check> = report.checks.iter().filter(|check| area_of(&check.code) == Some(area)).collect();
    (!checks.is_empty()).then_some(checks)
}

fn branch(part: &Part<'_>, area: Area, checks: &[&Check]) -> Markup {
    let count = |status| checks.iter().filter(|check| check.status == status).count();
    let [found, unknown] = [CheckStatus::Found, CheckStatus::Unknown].map(count);
    let [passed, not] = [CheckStatus::Passed, CheckStatus::NotApplicable].map(count);
    html! {
        details.area {
            summary {
                (part.heading(1, None, &html! {
                    (state(part.report, area, checks).sign()) " "
                    code { (area.prefix()) } " " span.title { (phrase(area.title())) }
                }))
                " " span.counts {
                    @if found > 0 { span.found { (say!("{} found", found)) } " " }
                    @if unknown > 0 { span.unknown { (say!("{} unknown", unknown)) } " " }
                    @if passed > 0 { span { (say!("{} passed", passed)) } " " }
                    @if not > 0 { span { (say!("{} do not apply", not)) } }
                }
            }
            table.checks {
                caption.unseen { (say!("Checks of {}", area.prefix())) }
                thead {
                    tr {
                        th scope="col" { (say!("Status")) }
                        th scope="col" { (say!("Check")) }
                        th scope="col" { (say!("Findings, or the reason")) }
                    }
                }
                tbody { @for check in checks { (row(part, area, check)) } }
            }
        }
    }
}

/// The worst that is known of an area.
fn state(report: &Report, area: Area, checks: &[&Check]) -> Word {
    let here = report.findings.iter().filter(|it| it.area == area.prefix() && it.suppressed.is_none());
    let worst = here.map(|it| it.severity).max();
    let any = |status| checks.iter().any(|check| check.status == status);
    match worst {
        Some(severity @ (Severity::Critical | Severity::Warning)) => words::severity(severity),
        _ if any(CheckStatus::Unknown) => words::status(CheckStatus::Unknown),
        None if any(CheckStatus::Passed) => words::status(CheckStatus::Passed),
        // All that was found is suppressed.
        None if any(CheckStatus::Found) => words::status(CheckStatus::Found),
        None => words::status(CheckStatus::NotApplicable),
        _ => words::status(CheckStatus::Passed),
    }
}

fn row(part: &Part<'_>, area: Area, check: &Check) -> Markup {
    html! {
        tr.check data-area=(area.prefix()) {
            td { (words::status(check.status).badge()) }
            th scope="row" { code { (check.code) } " " (check.name) }
            td {
                @if let Some(reason) = &check.reason { (reason) }
                @if check.status == CheckStatus::Found { (found(part, check)) }
                @if check.status != CheckStatus::Unknown && !check.blind.is_empty() {
                    p.note { (say!("It could not see: {}", check.blind.join(", "))) }
                }
            }
        }
    }
}

fn found(part: &Part<'_>, check: &Check) -> Markup {
    let of_check = |(_, finding): &(usize, &crate::report::Finding)| finding.code == check.code;
    html! {
        ul.plain {
            @for (at, finding) in part.report.findings.iter().enumerate().filter(of_check) {
                li {
                    (words::severity(finding.severity).sign()) " "
                    a href={ "#" (part.finding(at)) } { (finding.summary) }
                }
            }
        }
    }
}
