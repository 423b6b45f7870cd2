//! `checks`: the catalogue.

pub mod markdown;

use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets};
use serde::Serialize;

use crate::check::{Area, Check};
use crate::cli::Format;
use crate::report::human::{Ink, Page};
use crate::screen::Screen;

/// A check as the catalogue lists it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    code: &'static str,
    name: &'static str,
    area: &'static str,
    reads: Vec<&'static str>,
    /// The tool can mend what it finds, where that is safe.
    can_fix: bool,
}

pub(super) fn run(format: Format, screen: &Screen) -> anyhow::Result<()> {
    if format == Format::Markdown {
        return Ok(screen.write(&markdown::catalogue())?);
    }
    let entries: Vec<Entry> = crate::checks::ALL.iter().map(|check| entry(check)).collect();
    super::print(screen, format, &entries, |entries| human(entries, screen.width))
}

fn entry(check: &Check) -> Entry {
    Entry {
        code: check.code,
        name: check.name,
        area: check.area.prefix(),
        reads: reads(check),
        can_fix: check.fix.is_some(),
    }
}

/// What a check reads ahead, in words; what it opens on suspicion is not known before.
pub(super) fn reads(check: &Check) -> Vec<&'static str> {
    check.needs.iter().map(|row| row.describe()).collect()
}

fn human(entries: &[Entry], width: usize) -> String {
    let mut page = Page::new(width);
    for (at, area) in Area::ALL.iter().enumerate() {
        let entries = entries.iter().filter(|entry| entry.area == area.prefix());
        if at > 0 {
            page.blank();
        }
        page.line("", Ink::Bold, &format!("{}  {}", area.prefix(), area.title()));
        for line in table(entries, width).lines() {
            page.line("  ", Ink::Plain, line.trim_end());
        }
    }
    page.blank();
    page.line("", Ink::Dim, "kubectl rookdoctor explain CODE tells more of one");
    page.finish()
}

/// The first reads; `explain` has them all.
fn summary(reads: &[&str]) -> String {
    const FEW: usize = 4;
    match reads.len().checked_sub(FEW) {
        None | Some(0) => reads.join(", "),
        Some(more) => format!("{} and {more} more", reads[..FEW].join(", ")),
    }
}

fn table<'e>(entries: impl Iterator<Item = &'e Entry>, width: usize) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(u16::try_from(width).unwrap_or(120).saturating_sub(2));
    table.add_rows(entries.map(|entry| [entry.code.to_owned(), entry.name.to_owned(), summary(&entry.reads)]));
    let fixed = |width| ColumnConstraint::Absolute(Width::Fixed(width));
    table.set_constraints([fixed(9), fixed(31)]);
    for column in table.column_iter_mut() {
        column.set_padding((0, 1));
    }
    table
}
