//! `suppress`: prints an entry for `--suppressions` or the ConfigMap. Never writes.

use serde::Serialize;

use crate::cli::{Format, Suppress};
use crate::exit::Failed;
use crate::report::{ApiVersion, json};
use crate::screen::Screen;
use crate::suppress::{Entry, parse};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    api_version: ApiVersion,
    kind: &'static str,
    items: Vec<Item>,
}

#[derive(Serialize)]
struct Item {
    code: String,
    object: String,
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    expires: String,
}

pub(super) fn run(flags: &Suppress, format: Format, screen: &Screen) -> Result<(), Failed> {
    let (code, object) = match flags.finding.split_once('/') {
        Some((code, object)) => (code, object),
        None => (flags.finding.as_str(), "**"),
    };
    let item = Item {
        code: code.to_owned(),
        object: object.to_owned(),
        reason: flags.reason.clone(),
        by: flags.by.clone(),
        expires: flags.until.0.map_or_else(|| "never".to_owned(), |at| at.to_string()),
    };
    let mut document = Document { api_version: ApiVersion::V1, kind: "Suppressions", items: vec![item] };
    // What is printed is read back: a mistake is found here, and not later by nobody.
    let code = read_back(&document)?.code;
    document.items.iter_mut().for_each(|item| code.clone_into(&mut item.code));
    let text = json::yaml(&document)?;
    super::print(screen, format, &document, |_| text)?;
    Ok(())
}

fn read_back(document: &Document) -> Result<Entry, Failed> {
    let wrong = |mistakes: Vec<String>| Failed::usage(anyhow::anyhow!("{}", mistakes.join("; ")));
    let mut entries = parse(&json::json(document)?, "").map_err(wrong)?;
    entries.pop().ok_or_else(|| Failed::usage(anyhow::anyhow!("no entry was made")))
}
