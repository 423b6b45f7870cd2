//! Several contexts at a glance, one line each, below their reports.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use super::page::{Ink, Page};
use super::{count, verdict_of};
use crate::report::{CheckStatus, Report};
use crate::say;

/// The table.
pub fn summary(reports: &[Report], width: usize) -> String {
    let lang = reports.first().map(|report| report.lang).unwrap_or_default();
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    let head = [say!("context"), say!("cluster"), say!("verdict"), say!("first root cause"), say!("unknown")];
    table.set_header(head.map(|cell| cell.told(lang)));
    for report in reports {
        let (_, mark, word) = verdict_of(report);
        let cluster = report.cluster.as_ref().map(|it| format!("{}/{}", it.namespace, it.name)).unwrap_or_default();
        let root = report.root_causes.first().and_then(|id| report.finding(id));
        let root = root.map(|root| format!("{} {}", root.code, root.name)).unwrap_or_default();
        let unknown = count(report, CheckStatus::Unknown).to_string();
        let context = report.context.clone().unwrap_or_default();
        table.add_row([context, cluster, format!("{mark} {word}"), root, unknown]);
    }
    for (at, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if at == 4 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut page = Page::new(width);
    page.line("", Ink::Bold, &say!("ALL CONTEXTS").told(lang));
    let inks = std::iter::once(Ink::Dim).chain(reports.iter().map(|report| verdict_of(report).0));
    table.lines().zip(inks).for_each(|(line, ink)| page.line("", ink, line.trim_end()));
    page.finish()
}
