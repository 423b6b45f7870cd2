//! Secrets in YAML and JSON, field by field.

use serde_json::{Map, Value};

use super::names::{Class, class};
use super::values::is_secret;
use super::{REDACTED, forms};

/// Strings that are JSON or YAML themselves are looked into so deep.
const DEPTH: usize = 8;
/// Fields that name what a `value` beside them is of.
const NAMES: [&str; 3] = ["name", "key", "option"];
const VALUES: [&str; 2] = ["value", "val"];

/// A structured text without its secrets, in the form that it had; none if it is not structured, or has none.
pub fn rewritten(text: &[u8], depth: usize) -> Option<Vec<u8>> {
    let start = text.trim_ascii_start();
    if depth > DEPTH || start.is_empty() {
        return None;
    }
    if start.starts_with(b"{") || start.starts_with(b"[") {
        return by_lines(text, depth).or_else(|| whole_json(text, depth)).or_else(|| yaml(text, depth));
    }
    yaml(text, depth)
}

/// JSON with an item in each line, in a list or on its own; none if it is not of that form or has no secret.
pub fn by_lines(text: &[u8], depth: usize) -> Option<Vec<u8>> {
    let is_item = |line: &[u8]| item(line).is_some();
    if !text.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).take(3).any(is_item) {
        return None;
    }
    let of_secrets = text.split(|byte| *byte == b'\n').next().is_some_and(|line| forms::contains(line, b"SecretList"));
    let mut changed = false;
    let mut out = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let new = super::look(line).is_suspicious().then(|| item(line)).flatten().and_then(|(mut value, rest)| {
            let length = line.len() - rest;
            let redacted = walk(&mut value, of_secrets, depth);
            redacted.then(|| [&serde_json::to_vec(&value).unwrap_or_default(), &line[length..]].concat())
        });
        changed |= new.is_some();
        out.extend_from_slice(new.as_deref().unwrap_or(line));
    }
    changed.then_some(out)
}

/// The object that fills a line, and how long what follows it is: a comma and the line break.
fn item(line: &[u8]) -> Option<(Value, usize)> {
    let text = line.trim_ascii_end();
    let text = text.strip_suffix(b",").unwrap_or(text);
    if !text.starts_with(b"{") || !text.ends_with(b"}") {
        return None;
    }
    Some((serde_json::from_slice(text).ok()?, line.len() - text.len()))
}

fn whole_json(text: &[u8], depth: usize) -> Option<Vec<u8>> {
    let mut value: Value = serde_json::from_slice(text).ok()?;
    if !walk(&mut value, false, depth) {
        return None;
    }
    let is_pretty = text.trim_ascii().contains(&b'\n');
    let mut out = if is_pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) }.ok()?;
    out.extend_from_slice(&text[text.trim_ascii_end().len()..]);
    Some(out)
}

fn yaml(text: &[u8], depth: usize) -> Option<Vec<u8>> {
    let mut documents = crate::facts::yaml::documents(text).ok()?;
    let is_structured = documents.iter().any(|document| document.is_object() || document.is_array());
    let mut changed = false;
    for document in &mut documents {
        changed |= walk(document, false, depth);
    }
    if !(is_structured && changed) {
        return None;
    }
    let mut out = String::new();
    for document in &documents {
        if text.starts_with(b"---") || documents.len() > 1 {
            out.push_str("---\n");
        }
        // What a writer of YAML gets wrong is written as JSON, which is YAML too.
        let yaml = serde_saphyr::to_string(document).ok();
        let same = |yaml: &String| serde_saphyr::from_str::<Value>(yaml).is_ok_and(|read| read == *document);
        out.push_str(&yaml.filter(same).unwrap_or_else(|| format!("{document}\n")));
    }
    Some(out.into_bytes())
}

/// Takes the secrets out of a value; says whether there were any.
fn walk(value: &mut Value, of_secrets: bool, depth: usize) -> bool {
    match value {
        Value::Object(fields) => object(fields, of_secrets, depth),
        Value::Array(items) => {
            let flags = flags(items);
            items.iter_mut().fold(flags, |changed, item| walk(item, of_secrets, depth) | changed)
        }
        Value::String(text) => string(text, depth),
        _ => false,
    }
}

fn object(fields: &mut Map<String, Value>, of_secrets: bool, depth: usize) -> bool {
    let kind = fields.get("kind").and_then(Value::as_str).unwrap_or_default();
    let is_secret = kind == "Secret" || (of_secrets && kind.is_empty());
    let of_secrets = kind == "SecretList" || (of_secrets && !is_secret);
    let is_entity = ["entity", "entity_name", "caps", "client_id"].iter().any(|name| fields.contains_key(*name));
    let mut changed = pair(fields);
    for (name, value) in fields.iter_mut() {
        let class = class(name.as_bytes());
        let all = is_secret && matches!(name.as_str(), "data" | "stringData");
        let class = if is_entity && name == "key" { Class::Password } else { class };
        changed |= if all { every(value) } else { by_class(value, class) };
        changed |= walk(value, of_secrets, depth);
    }
    let names: Vec<String> = fields.keys().filter(|name| super::look(name.as_bytes()).has_secrets()).cloned().collect();
    for name in names {
        let clean = String::from_utf8_lossy(&super::text(name.as_bytes().to_vec())).into_owned();
        if let Some(value) = fields.remove(&name).filter(|_| clean != name) {
            fields.insert(clean, value);
            changed = true;
        }
    }
    changed
}

/// `{name: PASSWORD, value: x}`, as variables, options and audited commands have it.
fn pair(fields: &mut Map<String, Value>) -> bool {
    let names = NAMES.iter().filter_map(|name| fields.get(*name)?.as_str());
    let Some(class) = names.map(|name| class(name.as_bytes())).max() else { return false };
    VALUES.iter().fold(false, |changed, name| match fields.get_mut(*name) {
        Some(value) if class > Class::Key => by_class(value, class) | changed,
        _ => changed,
    })
}

/// Redacts what a name says is secret: a text, a number for a password, or each of a list.
fn by_class(value: &mut Value, class: Class) -> bool {
    let yes = match value {
        Value::String(text) => is_secret(class, text.as_bytes()),
        Value::Number(_) => class == Class::Password,
        Value::Array(items) if class > Class::Key => {
            return items
                .iter_mut()
                .fold(false, |changed, item| (!item.is_object() && by_class(item, class)) | changed);
        }
        _ => false,
    };
    if yes {
        *value = REDACTED.into();
    }
    yes
}

/// Every value of a Secret.
fn every(value: &mut Value) -> bool {
    match value {
        Value::Object(fields) => fields.values_mut().fold(false, |changed, value| every(value) | changed),
        Value::Array(items) => items.iter_mut().fold(false, |changed, value| every(value) | changed),
        Value::Null => false,
        Value::String(text) if text.is_empty() || text == REDACTED || text.ends_with(" bytes long") => false,
        _ => {
            *value = REDACTED.into();
            true
        }
    }
}

/// A flag whose value is the next item of the list.
fn flags(items: &mut [Value]) -> bool {
    let mut changed = false;
    for at in 1..items.len() {
        let Some(flag) = items[at - 1].as_str() else { continue };
        let is_flag = flag.starts_with('-') && !flag.contains(char::is_whitespace);
        let class = if is_flag || flag.starts_with("mgr/") { class(flag.as_bytes()) } else { Class::Open };
        let value = items[at].as_str().unwrap_or_default();
        // `--key` in a command line is a key unless it is a file or a name.
        let is_plain = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=_-".contains(&byte));
        let class = if flag == "--key" && is_plain && !value.starts_with('/') { Class::Secret } else { class };
        if !value.starts_with('-') {
            changed |= by_class(&mut items[at], class);
        }
    }
    changed
}

/// A text in a field: JSON or YAML of its own, or plain.
fn string(text: &mut String, depth: usize) -> bool {
    let Some(new) = super::rewritten(text.as_bytes(), depth + 1) else { return false };
    *text = String::from_utf8_lossy(&new).into_owned();
    true
}
