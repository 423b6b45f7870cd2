//! `schema`: the JSON Schema of the report.

use crate::cli::Format;
use crate::report::json;
use crate::screen::Screen;

pub(super) fn run(format: Format, screen: &Screen) -> anyhow::Result<()> {
    // A schema has no form for people: JSON is what every tool reads.
    let format = if format == Format::Human { Format::Json } else { format };
    super::print(screen, format, &json::schema(), ToString::to_string)
}
