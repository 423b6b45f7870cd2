//! Label and field selectors: sent to the server as they are, applied to the objects of a bundle.

use std::borrow::Cow;
use std::fmt;

use serde_json::Value;

/// Which objects of a kind are asked for, in the API's own notation.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Select {
    pub label: String,
    pub field: String,
}

impl Select {
    /// Every object.
    pub fn all() -> Self {
        Self::default()
    }

    pub fn label(label: impl Into<String>) -> Self {
        Self { label: label.into(), field: String::new() }
    }

    pub fn field(field: impl Into<String>) -> Self {
        Self { label: String::new(), field: field.into() }
    }

    /// Whether this object would be in the server's answer.
    pub fn matches(&self, object: &Value) -> bool {
        labels_match(&self.label, |key| label_of(object, key)) && self.fields_match(|path| Some(field_of(object, path)))
    }

    /// Whether the fields are as selected; an absent one is the empty string. One that is not known, `None`, passes.
    pub(super) fn fields_match<'f>(&self, field: impl Fn(&str) -> Option<Cow<'f, str>>) -> bool {
        self.field.split(',').filter(|part| !part.is_empty()).all(|part| {
            let (path, wanted, equal) = match part.split_once("!=") {
                Some((path, wanted)) => (path, wanted, false),
                None => {
                    let (path, wanted) = part.split_once('=').unwrap_or((part, ""));
                    (path, wanted.trim_start_matches('='), true)
                }
            };
            field(path.trim()).is_none_or(|value| (value == wanted.trim()) == equal)
        })
    }
}

impl fmt::Display for Select {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.label.as_str(), self.field.as_str()) {
            ("", "") => Ok(()),
            (one, "") | ("", one) => write!(f, " ({one})"),
            (label, field) => write!(f, " ({label}; {field})"),
        }
    }
}

/// A label of an object.
fn label_of<'o>(object: &'o Value, key: &str) -> Option<&'o str> {
    object.pointer("/metadata/labels")?.get(key)?.as_str()
}

/// Whether a label selector (`a=b`, `a!=b`, `a`, `!a`, `a in (b,c)`, `a notin (b)`) matches these labels.
pub(super) fn labels_match<'l>(selector: &str, label: impl Fn(&str) -> Option<&'l str>) -> bool {
    requirements(selector).iter().all(|requirement| {
        let requirement = requirement.trim();
        if let Some((key, values)) = requirement.split_once(" notin ") {
            label(key.trim()).is_none_or(|value| !set(values).contains(&value))
        } else if let Some((key, values)) = requirement.split_once(" in ") {
            label(key.trim()).is_some_and(|value| set(values).contains(&value))
        } else if let Some((key, value)) = requirement.split_once("!=") {
            label(key.trim()) != Some(value.trim())
        } else if let Some((key, value)) = requirement.split_once('=') {
            label(key.trim()) == Some(value.trim_start_matches('=').trim())
        } else if let Some(key) = requirement.strip_prefix('!') {
            label(key.trim()).is_none()
        } else {
            label(requirement).is_some()
        }
    })
}

/// The value of a field that the server selects by; nothing if it has none.
fn field_of<'o>(object: &'o Value, path: &str) -> Cow<'o, str> {
    // What the server calls so is elsewhere in the object.
    let place = match path {
        "source" if object.get("involvedObject").is_some() => "source.component",
        "status.successful" => "status.succeeded",
        path => path,
    };
    match object.pointer(&format!("/{}", place.replace('.', "/"))) {
        Some(Value::String(text)) => text.into(),
        Some(value @ (Value::Bool(_) | Value::Number(_))) => value.to_string().into(),
        _ if ["spec.unschedulable", "spec.hostNetwork"].contains(&path) => "false".into(),
        _ => "".into(),
    }
}

/// Splits at the commas that are not within parentheses.
fn requirements(selector: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0usize, 0);
    for (at, character) in selector.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&selector[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&selector[start..]);
    parts.retain(|part| !part.trim().is_empty());
    parts
}

fn set(values: &str) -> Vec<&str> {
    values.trim().trim_start_matches('(').trim_end_matches(')').split(',').map(str::trim).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn selectors_match_as_the_server_does() {
        let pod = json!({"metadata": {"labels": {"app": "rook-ceph-osd", "osd": "3"}}, "spec": {"nodeName": "w1", "hostNetwork": true}, "status": {"succeeded": 2}});
        for (label, field, expected) in [
            ("", "", true),
            ("app=rook-ceph-osd", "", true),
            ("app==rook-ceph-osd,osd=3", "", true),
            ("app=rook-ceph-mon", "", false),
            ("osd", "", true),
            ("!osd", "", false),
            ("!mon", "", true),
            ("app in (rook-ceph-mon, rook-ceph-osd),osd!=4", "", true),
            ("app notin (rook-ceph-mon)", "", true),
            ("app notin (rook-ceph-osd)", "", false),
            ("", "spec.nodeName=w1", true),
            ("", "spec.nodeName!=w1", false),
            ("", "type!=Normal", true),
            ("", "spec.unschedulable=false", true),
            ("", "spec.unschedulable=true", false),
            ("", "spec.hostNetwork=true,status.successful=2", true),
            ("", "spec.hostNetwork=false", false),
        ] {
            let select = Select { label: label.into(), field: field.into() };
            assert_eq!(select.matches(&pod), expected, "{select}");
        }
    }
}
