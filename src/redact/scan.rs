//! Secrets in text that are known by the name before them: `name=value`, `"name": "value"`, `name: value`,
//! `--name value`, and a name and its value in fields of their own.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use super::Found;
use super::cursor::{Cursor, Place, Separator};
use super::names::{Class, class};
use super::values::{is_secret, is_secret_in_prose};

static STEMS: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    let stems = ["pass", "pwd", "secret", "token", "credential", "key", "auth", "luks", "dockerc"];
    AhoCorasick::builder().ascii_case_insensitive(true).prefilter(false).build(stems).ok()
});

/// Finds every value whose name says that it is secret.
pub fn find(text: &[u8], found: &mut Found) {
    let Some(stems) = STEMS.as_ref() else { return };
    let mut done = 0;
    // The same few names stand in a text many times.
    let mut known: HashMap<&[u8], Class> = HashMap::new();
    for stem in stems.find_iter(text) {
        if stem.start() < done {
            continue;
        }
        let name = name_around(text, stem.range(), done);
        done = name.end;
        found.needs_objects |= is_kind(text, &name);
        let class = *known.entry(&text[with_path(text, &name)]).or_insert_with_key(|name| class(name));
        if class != Class::Open {
            value_of(text, name, class, found);
        }
    }
}

/// Whether this is the kind of an object, so that its `data` matters.
fn is_kind(text: &[u8], name: &Range<usize>) -> bool {
    let before = &text[name.start.saturating_sub(16)..name.start];
    let before = before.trim_ascii_end();
    let before = before.strip_suffix(b"\"").unwrap_or(before).trim_ascii_end();
    matches!(&text[name.clone()], b"Secret" | b"SecretList")
        && (before.ends_with(b"kind:") || before.ends_with(b"kind\":") || before.ends_with(b"kind\\\":\\"))
}

/// The whole name that a stem is part of. The `n` of an escaped line break is none of it.
fn name_around(text: &[u8], stem: Range<usize>, done: usize) -> Range<usize> {
    let part = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.".contains(byte);
    let before = text[done..stem.start].iter().rev().take_while(|byte| part(byte)).count();
    let after = text[stem.end..].iter().take_while(|byte| part(byte)).count();
    let mut start = stem.start - before;
    let slashes = text[..start].iter().rev().take_while(|byte| **byte == b'\\').count();
    if slashes > 0 && start < stem.start && b"nrt".contains(&text[start]) {
        start += 1;
    }
    start..stem.end + after
}

/// The name with the path before it: `checksum/secret` is no secret, `mgr/dashboard/password` is one.
fn with_path(text: &[u8], name: &Range<usize>) -> Range<usize> {
    let near = &text[name.start.saturating_sub(64)..name.start];
    if !near.ends_with(b"/") {
        return name.clone();
    }
    let part = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-./".contains(byte);
    name.start - near.iter().rev().take_while(|byte| part(byte)).count()..name.end
}

/// Looks for the value that belongs to a name.
fn value_of(text: &[u8], name: Range<usize>, class: Class, found: &mut Found) {
    let mut cursor = Cursor { text, at: name.end };
    let is_quoted = cursor.quote().is_some();
    cursor.blanks();
    if let Some(separator) = cursor.separator() {
        cursor.blanks();
        let place = place(text, &name, is_quoted, separator);
        return put(cursor.value(&name, place), class, place, text, found);
    }
    let is_flag = text[name.start] == b'-' || is_option_path(text, name.start);
    let mut after = Cursor { text, at: name.end };
    if is_flag && after.go_to_next_word() {
        let value = after.value(&name, Place::Word);
        if value.as_ref().is_some_and(|value| !text[value.clone()].starts_with(b"-")) {
            put(value, class, Place::Word, text, found);
        }
    }
    if class > Class::Key {
        found.needs_objects = true;
        let mut after = Cursor { text, at: name.end };
        if after.go_to_value_field() {
            put(after.value(&name, Place::Field), class, Place::Field, text, found);
        }
    }
}

fn put(value: Option<Range<usize>>, class: Class, place: Place, text: &[u8], found: &mut Found) {
    let Some(range) = value else { return };
    let value = &text[range.clone()];
    let yes = if place == Place::Prose { is_secret_in_prose(class, value) } else { is_secret(class, value) };
    let is_klog = class == Class::Secret && value.iter().filter(|byte| **byte == b'/').count() == 1 && {
        let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-./".contains(byte);
        value.iter().all(plain)
    };
    if yes && !is_klog {
        found.secrets.push(range);
    }
}

fn place(text: &[u8], name: &Range<usize>, is_quoted: bool, separator: Separator) -> Place {
    let before = &text[name.start.saturating_sub(64)..name.start];
    let is_tag = before.ends_with(b"<");
    let line = before.iter().rposition(|byte| *byte == b'\n').map_or(before, |at| &before[at + 1..]);
    let starts_text = name.start <= 64 && line.len() == name.start || line.len() < before.len();
    let lead = line.trim_ascii_start();
    match separator {
        Separator::Tag if is_tag => Place::Tag,
        Separator::Tag => Place::Prose,
        _ if starts_text && lead.iter().all(|byte| b"- \"'".contains(byte)) && !is_quoted => Place::Line,
        _ if is_quoted || separator == Separator::Equals || text[name.start] == b'-' => Place::Field,
        _ if lead.trim_ascii_end().last().is_none_or(|byte| b"{[(,&?|\"'`\\/".contains(byte)) => Place::Field,
        _ => Place::Prose,
    }
}

/// Whether a name ends the path of an option of the mgr, whose value follows: `config set mgr mgr/x/password y`.
fn is_option_path(text: &[u8], start: usize) -> bool {
    let before = &text[start.saturating_sub(64)..start];
    let path = before.iter().rev().take_while(|byte| !byte.is_ascii_whitespace() && !b"\"'".contains(byte)).count();
    let path = &before[before.len() - path..];
    [&b"mgr/"[..], b"dm-crypt/", b"rgw/"].iter().any(|first| path.starts_with(first))
}
