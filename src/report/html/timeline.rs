//! What happened, in order, with what the trouble begins with.

use maud::{Markup, html};

use super::{Part, Section, tables};
use crate::report::timeline::{Line, folded, label};
use crate::report::{Report, Timeline};
use crate::say;

pub(super) fn section(part: &Part<'_>) -> Option<Section> {
    let timeline = part.report.timeline.as_ref()?;
    let lines = folded(timeline, false);
    let title = say!("Timeline (UTC)");
    let body = html! {
        @if !lines.is_empty() { (tables::sideways(&title, table(part.report, &lines))) }
        (missing(timeline))
    };
    (!lines.is_empty() || !timeline.blind.is_empty()).then_some(Section {
        name: "timeline",
        title,
        count: Some(lines.len()),
        body,
    })
}

fn table(report: &Report, lines: &[Line<'_>]) -> Markup {
    html! {
        table.wide.timeline {
            caption.unseen { (say!("Timeline (UTC)")) }
            thead {
                tr {
                    th scope="col" { (say!("time")) }
                    th scope="col" { (say!("kind")) }
                    th scope="col" { (say!("what")) }
                }
            }
            tbody { @for line in lines { (row(report, line)) } }
        }
    }
}

fn row(report: &Report, line: &Line<'_>) -> Markup {
    let Line { mark, more, last } = line;
    let time = mark.at.strftime("%F %TZ").to_string();
    html! {
        tr.bad[mark.bad].first[mark.first_bad] {
            th scope="row" { time datetime=(mark.at.to_string()) { (time) } }
            td { (label(mark, report.lang)) }
            td {
                @if mark.first_bad { span.badge.critical { (say!("first bad")) } " " }
                @else if mark.bad { span.sign.warning { span aria-hidden="true" { "▲" } span.unseen { (say!("bad")) } } " " }
                @if *more > 0 { (say!("{} (and {} alike, until {})", mark.what, more, last.strftime("%F %TZ"))) }
                @else { (mark.what) }
                div.source { (say!("from {}", mark.from)) }
            }
        }
    }
}

/// What may be missing from it.
fn missing(timeline: &Timeline) -> Markup {
    html! {
        @if timeline.left_out > 0 {
            p.note { (say!("marks left out, or without a time: {}", timeline.left_out)) }
        }
        @for blind in &timeline.blind { p.note { (say!("not seen: {}", blind)) } }
    }
}
