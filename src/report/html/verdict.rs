//! What is the matter, in one look: the verdict, what cluster, and how it was seen.

use maud::{Markup, html};

use super::{Part, words};
use crate::check::Text;
use crate::lang::clauses;
use crate::report::human::{blindness, bytes, causes, counted, full_name, minute};
use crate::report::{CheckStatus, Report, SourceKind, Verdict};
use crate::say;

pub(super) fn name(report: &Report) -> String {
    report.cluster.as_ref().map_or_else(|| words::told(&say!("no CephCluster was seen")), full_name)
}

/// What the window is called.
pub(super) fn title(report: &Report) -> String {
    words::told(&say!("{}: {}", name(report), words::verdict(report.verdict).word))
}

/// The top of the page.
pub(super) fn banner(parts: &[Part<'_>]) -> Markup {
    match parts {
        [part] => html! {
            div.banner.(words::verdict(part.report.verdict).class) {
                h1 { (words::verdict(part.report.verdict).badge()) " " span.name { (name(part.report)) } }
                (summary(part))
            }
        },
        _ => html! {
            div.banner {
                h1 { (say!("{} Ceph clusters", parts.len())) }
                ul.clusters {
                    @for part in parts {
                        li {
                            (words::verdict(part.report.verdict).badge()) " "
                            a href={ "#" (part.anchor("cluster")) } { (name(part.report)) }
                            span.lead { " " (lead(part.report)) }
                        }
                    }
                }
            }
        },
    }
}

/// The beginning of one cluster among several.
pub(super) fn of_several(part: &Part<'_>) -> Markup {
    let word = words::verdict(part.report.verdict);
    html! {
        div.banner.(word.class) {
            h2 id=(part.anchor("cluster")) { (word.badge()) " " span.name { (name(part.report)) } }
            (summary(part))
        }
    }
}

fn summary(part: &Part<'_>) -> Markup {
    html! {
        p.lead { (lead(part.report)) }
        (facts(part.report))
        @if let Some(recording) = &part.report.recording {
            p.note { (say!("Read as {}: {}", recording.format, recording.lacks)) }
        }
    }
}

/// `1 root cause (OVN007), 12 consequences; 1 check could not look`
fn lead(report: &Report) -> String {
    let said: Vec<Text> = [causes(report), blindness(report), counted(report)].into_iter().flatten().collect();
    match (said.is_empty(), report.verdict) {
        (false, _) => words::told(&say!("{}", clauses(said))),
        (true, Verdict::Healthy) => words::told(&say!("Every check was answered, and nothing is wrong.")),
        (true, _) => words::told(&say!("See what could not be seen, below.")),
    }
}

fn facts(report: &Report) -> Markup {
    let cluster = report.cluster.as_ref();
    let of = |name: Text, value: Option<&String>| value.map(|value| (name, html! { (value) }));
    let seen = html! { time datetime=(report.observed_at.to_string()) { (minute(report.observed_at)) } };
    let kind = cluster.map(|cluster| match (cluster.source, cluster.external) {
        (SourceKind::Bundle, false) => say!("recorded"),
        (SourceKind::Bundle, true) => say!("recorded, external"),
        (SourceKind::Live, false) => say!("live"),
        (SourceKind::Live, true) => say!("live, external"),
    });
    let facts = [
        of(say!("Rook"), cluster.and_then(|it| it.rook_version.as_ref())),
        of(say!("Ceph"), cluster.and_then(|it| it.ceph_version.as_ref())),
        of(say!("Kubernetes"), cluster.and_then(|it| it.kubernetes_version.as_ref())),
        of(say!("Operator in"), cluster.map(|it| &it.operator_namespace)),
        of(say!("FSID"), cluster.and_then(|it| it.fsid.as_ref())),
        kind.map(|kind| (say!("Source"), html! { (kind) })),
        Some((say!("Seen"), seen)),
        Some((say!("Checks"), html! { (counts(report)) })),
    ];
    html! {
        dl.facts {
            @for (name, value) in facts.into_iter().flatten() {
                div { dt { (name) } dd { (value) } }
            }
        }
    }
}

/// `149: 3 found, 106 passed, 40 do not apply`
fn counts(report: &Report) -> Text {
    let count = |status| report.checks.iter().filter(|check| check.status == status).count();
    say!(
        "{}: {} found, {} unknown, {} passed, {} do not apply",
        report.checks.len(),
        count(CheckStatus::Found),
        count(CheckStatus::Unknown),
        count(CheckStatus::Passed),
        count(CheckStatus::NotApplicable)
    )
}

/// Who made the page, when, and at what cost.
pub(super) fn footer(parts: &[Part<'_>]) -> Markup {
    html! {
        @for report in parts.iter().map(|part| part.report) {
            @let stats = &report.stats;
            @let seconds = format!("{}.{}", stats.duration_ms / 1000, stats.duration_ms % 1000 / 100);
            p {
                (say!(
                    "{}: made by kubectl-rookdoctor {} at {}, {} reads, {}, in {} s. Exit status {}.",
                    name(report), report.tool.version, report.generated_at.strftime("%Y-%m-%d %H:%M:%SZ"),
                    stats.requests, bytes(stats.bytes), seconds, report.exit_code
                ))
            }
        }
    }
}
