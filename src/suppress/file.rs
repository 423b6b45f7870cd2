//! Reads decisions from YAML or JSON, and says of each mistake where it is and what to do.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::{Entry, pattern};
use crate::lookup;

/// Longest file, in bytes; a ConfigMap is never longer.
pub const AT_MOST: u64 = 1 << 20;
/// The version that is read.
const API: &str = "rookdoctor.dev/v1";
const KIND: &str = "Suppressions";
/// What the time of an entry may be called instead.
const NEVER: &str = "never";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    api_version: Option<String>,
    kind: Option<String>,
    items: Option<Vec<Spanned<Item>>>,
}

/// All may be missing here, so that one look tells all mistakes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    code: Option<String>,
    object: Option<String>,
    reason: Option<String>,
    expires: Option<String>,
    by: Option<String>,
}

/// Reads decisions; `from` is how reports call their place. All mistakes are told, or all entries returned.
pub fn parse(text: &str, from: &str) -> Result<Vec<Entry>, Vec<String>> {
    if text.len() as u64 > AT_MOST {
        return Err(vec![format!("it is longer than {AT_MOST} bytes: leave out what has expired")]);
    }
    // Tabs indent JSON, and are none in YAML: compact JSON reads the same in both.
    let compact = text.trim_start().starts_with('{').then(|| serde_json::from_str::<serde_json::Value>(text).ok());
    let text = match compact.flatten() {
        Some(value) if text.contains('\t') => value.to_string(),
        _ => text.to_owned(),
    };
    let file: File = serde_saphyr::from_str(&text).map_err(|error| vec![error.without_snippet().to_string()])?;
    match (file.api_version.as_deref(), file.kind.as_deref()) {
        (Some(API), Some(KIND)) => {}
        (Some(API) | None, kind) => {
            let kind = kind.unwrap_or("missing");
            return Err(vec![format!("its kind is {kind:.40}: write apiVersion: {API} and kind: {KIND}")]);
        }
        (Some(version), _) => return Err(vec![format!("its apiVersion is {version:.40}, and {API} is known")]),
    }
    let Some(items) = file.items else { return Err(vec!["it has no items: write items: []".into()]) };
    let mut entries = Vec::new();
    let mut mistakes = Vec::new();
    let mut known: BTreeMap<(&str, String), String> = BTreeMap::new();
    for (at, item) in items.into_iter().enumerate() {
        let place = format!("item {} in line {}", at + 1, item.referenced.line());
        match entry(item.value, from) {
            Ok(entry) => {
                if let Some(before) = known.insert((entry.code, entry.object.clone()), place.clone()) {
                    let Entry { code, object, .. } = &entry;
                    mistakes.push(format!("{place}: {code} of {object} is in {before}, too: leave one of them"));
                }
                entries.push(entry);
            }
            Err(why) => mistakes.push(format!("{place}: {why}")),
        }
    }
    if mistakes.is_empty() { Ok(entries) } else { Err(mistakes) }
}

fn entry(item: Item, from: &str) -> Result<Entry, String> {
    let given = |field: Option<String>| field.filter(|text| !text.trim().is_empty());
    let code = given(item.code).ok_or("code is missing: name a check, such as MON002")?;
    let check = lookup::check(code.trim()).map_err(|error| error.to_string())?;
    let object = given(item.object).ok_or(
        "object is missing: write what the finding's id says after its code, such as Node/w1, or \"**\" for any",
    )?;
    let pattern = pattern(&object).map_err(|error| format!("object {object:?} is no pattern: {error}"))?;
    let reason = given(item.reason).ok_or("reason is missing: say why this may be")?;
    let expires = given(item.expires).ok_or("expires is missing: write a date, such as 2026-01-31, or never")?;
    let Until(expires) = until(&expires)?;
    Ok(Entry { code: check.code, object, pattern, reason, by: given(item.by), expires, from: from.to_owned() })
}

/// The last moment of a decision; none for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Until(pub Option<Timestamp>);

/// A date is meant to its end, in UTC.
pub fn until(text: &str) -> Result<Until, String> {
    let text = text.trim();
    if text.eq_ignore_ascii_case(NEVER) {
        return Ok(Until(None));
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(Until(Some(at)));
    }
    let end = |date: Date| {
        let next = date.tomorrow().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp();
        next.checked_sub(SignedDuration::from_secs(1)).ok()
    };
    let date: Option<Date> = (text.len() == "2026-01-31".len()).then(|| text.parse().ok()).flatten();
    let last = date.and_then(end);
    let wrong =
        || format!("{text:.40?} is no date such as 2026-01-31, no time such as 2026-01-31T18:00:00Z, and not never");
    Ok(Until(Some(last.ok_or_else(wrong)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(items: &str) -> String {
        format!("apiVersion: rookdoctor.dev/v1\nkind: Suppressions\nitems:\n{items}")
    }

    #[test]
    fn entries_are_read_from_yaml_and_json() {
        let yaml = file(
            "- code: mon-out-of-quorum\n  object: Pod/*/*\n  reason: |\n    a rack moves\n  by: ann\n  expires: 2026-01-31\n",
        );
        let json = "{\n\t\"apiVersion\": \"rookdoctor.dev/v1\",\n\t\"kind\": \"Suppressions\",\n\t\"items\": [\n\t\t{\"code\": \
                    \"MON002\", \"object\": \"Pod/*/*\", \"reason\": \"a rack moves\", \"by\": \"ann\", \"expires\": \"2026-01-31\"}]}";
        for text in [yaml.as_str(), json] {
            let entries = parse(text, "f").unwrap_or_else(|mistakes| panic!("{mistakes:?}: {text}"));
            let [entry] = &entries[..] else { panic!("{entries:?}") };
            assert_eq!((entry.code, entry.reason.trim(), entry.by.as_deref()), ("MON002", "a rack moves", Some("ann")));
            let at = |text: &str| text.parse::<Timestamp>().unwrap();
            assert!(!entry.is_over(at("2026-01-31T23:59:59Z")) && entry.is_over(at("2026-02-01T00:00:00Z")));
        }
        assert!(parse(&file(" []"), "f").unwrap().is_empty());
    }

    #[test]
    fn every_mistake_is_told_with_its_place_and_what_to_do() {
        let good = "- {code: MON002, object: a, reason: r, expires: never}\n";
        for (text, part) in [
            (file("- {code: MON002, object: a, expires: never}\n"), "item 1 in line 4: reason is missing: say why"),
            (file("- {code: MON002, object: a, reason: ' ', expires: never}\n"), "reason is missing"),
            (file("- {code: MON002, object: a, reason: r}\n"), "expires is missing: write a date"),
            (file("- {code: MON002, object: a, reason: r, expires: soon}\n"), "\"soon\" is no date"),
            (file("- {code: MON002, object: a, reason: r, expires: 2026-02-30}\n"), "\"2026-02-30\" is no date"),
            (file("- {code: MON002, reason: r, expires: never}\n"), "object is missing"),
            (file("- {code: MON002, object: 'a[', reason: r, expires: never}\n"), "object \"a[\" is no pattern"),
            (file("- {object: a, reason: r, expires: never}\n"), "code is missing"),
            (file("- {code: MON999, object: a, reason: r, expires: never}\n"), "no check or area is called \"MON999\""),
            (file("- {code: OSD015, object: a, reason: r, expires: never}\n"), "now asked by CEPH006"),
            (file(&format!("{good}{good}")), "item 2 in line 5: MON002 of a is in item 1 in line 4, too"),
            (file("- {code: MON002, objekt: a, reason: r, expires: never}\n"), "line 4"),
            ("kind: Suppressions\nitems: []\n".into(), "write apiVersion: rookdoctor.dev/v1"),
            ("apiVersion: rookdoctor.dev/v1\nkind: Diagnosis\nitems: []\n".into(), "its kind is Diagnosis"),
            ("apiVersion: rookdoctor.dev/v9\nkind: Suppressions\nitems: []\n".into(), "and rookdoctor.dev/v1 is known"),
            ("apiVersion: rookdoctor.dev/v1\nkind: Suppressions\n".into(), "it has no items"),
            (String::new(), ""),
            ("x".repeat((AT_MOST + 1) as usize), "longer than"),
        ] {
            let mistakes = parse(&text, "f").err().unwrap_or_else(|| panic!("{text:.200} is taken"));
            assert!(mistakes.join("; ").contains(part), "{part}: {mistakes:?}");
        }
        let two =
            parse(&file("- {code: MON002, object: a, expires: never}\n- {code: X, object: a}\n"), "f").unwrap_err();
        assert_eq!(two.len(), 2, "{two:?}");
    }
}
