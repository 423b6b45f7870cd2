//! Tables of what there is: what Rook should have made, the verdict on each device, who has which port.

use maud::{Markup, html};

use super::{Part, Section};
use crate::check::Text;
use crate::report::Overview;
use crate::say;

/// Rows that are shown at once; a longer table is folded.
const ROWS: usize = 30;

pub(super) fn sections(part: &Part<'_>) -> Vec<Section> {
    let full = part.report.overviews.iter().filter(|it| !it.rows.is_empty() || !it.blind.is_empty());
    full.map(section).collect()
}

fn section(overview: &Overview) -> Section {
    let (name, title) = match overview.name.as_str() {
        "inventory" => ("inventory", say!("Inventory: what Rook should have made")),
        "devices" => ("devices", say!("Devices")),
        "ports" => ("ports", say!("Ports of the nodes")),
        _ => ("table", say!("{}", overview.title)),
    };
    let table = html! { @if !overview.rows.is_empty() { (sideways(&title, table(overview, &title))) } };
    let count = overview.rows.len();
    let body = html! {
        @if count > ROWS { details.rest { summary { (say!("{} rows", count)) } (table) } } @else { (table) }
        @for blind in &overview.blind { p.note { (say!("Not seen: {}", blind)) } }
    };
    Section { name, title, count: Some(count), body }
}

fn table(overview: &Overview, title: &Text) -> Markup {
    html! {
        table.wide {
            caption.unseen { (title) }
            thead { tr { @for column in &overview.columns { th scope="col" { (column) } } } }
            tbody {
                @for row in &overview.rows {
                    tr {
                        @for (at, cell) in row.iter().enumerate() {
                            @if at == 0 { th scope="row" { (cell) } } @else { td { (cell) } }
                        }
                    }
                }
            }
        }
    }
}

/// What may be wider than the window moves sideways by itself, by keys as well, and not the whole page.
pub(super) fn sideways(label: &Text, inside: Markup) -> Markup {
    html! { div.sideways role="group" aria-label=(label) tabindex="0" { (inside) } }
}
