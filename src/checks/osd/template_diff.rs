//! What differs between two pod templates.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

/// One field that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// `spec.tolerations[node.kubernetes.io/unreachable].tolerationSeconds`
    pub path: String,
    pub from: String,
    pub to: String,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} -> {}", self.path, self.from, self.to)
    }
}

/// Every field that differs. The hash that Kubernetes adds to each ReplicaSet does not count, nor does the
/// order of elements that have a name.
pub(super) fn changes(before: &Value, after: &Value) -> Vec<Change> {
    let mut found = Vec::new();
    compare("", before, after, &mut found);
    found.retain(|change| !change.path.ends_with("pod-template-hash"));
    found
}

fn compare(path: &str, before: &Value, after: &Value, found: &mut Vec<Change>) {
    match (before, after) {
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                compare(&path, before.get(key).unwrap_or(&Value::Null), after.get(key).unwrap_or(&Value::Null), found);
            }
        }
        (Value::Array(a), Value::Array(b)) if are_named(a) && are_named(b) => {
            let named = |items: &'_ [Value], key: &str| items.iter().find(|item| name(item) == Some(key)).cloned();
            for key in a.iter().chain(b).filter_map(name).collect::<BTreeSet<_>>() {
                let [before, after] = [a, b].map(|items| named(items, key).unwrap_or_default());
                compare(&format!("{path}[{key}]"), &before, &after, found);
            }
        }
        _ if before == after => {}
        _ => found.push(Change { path: path.to_owned(), from: short(before), to: short(after) }),
    }
}

/// What tells an element of a list from its neighbours.
fn name(item: &Value) -> Option<&str> {
    ["mountPath", "name", "key"].iter().find_map(|key| item.get(key)?.as_str())
}

fn are_named(items: &[Value]) -> bool {
    items.iter().map(name).collect::<Option<BTreeSet<_>>>().is_some_and(|names| names.len() == items.len())
}

fn short(value: &Value) -> String {
    let text = if value.is_null() { "(absent)".to_owned() } else { value.to_string() };
    if text.chars().count() <= 80 { text } else { text.chars().take(80).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_differs_is_told() {
        let template = |seconds: i64, hash: &str, first: &str, second: &str| {
            json!({
                "metadata": {"labels": {"pod-template-hash": hash}},
                "spec": {
                    "containers": [{"name": first}, {"name": second}],
                    "tolerations": [{"key": "node.kubernetes.io/unreachable", "tolerationSeconds": seconds}],
                },
            })
        };
        let found = changes(&template(5, "a", "osd", "log"), &template(30, "b", "log", "osd"));
        let lines: Vec<_> = found.iter().map(Change::to_string).collect();
        assert_eq!(lines, ["spec.tolerations[node.kubernetes.io/unreachable].tolerationSeconds 5 -> 30"]);
    }

    #[test]
    fn what_comes_and_goes_is_a_change() {
        let found = changes(&json!({"env": [{"name": "A", "value": "1"}]}), &json!({"env": []}));
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].path.as_str(), found[0].to.as_str()), ("env[A]", "(absent)"));
    }
}
