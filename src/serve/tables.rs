//! Tables as the server prints them.

use jiff::Timestamp;
use jsonpath_rust::parser::model::JpQuery;
use jsonpath_rust::parser::parse_json_path;
use jsonpath_rust::query::js_path_process;
use serde_json::{Value, json};

use super::printers::{self, Cells};
use super::resources::{Column, Resource};
use super::state::name;
use crate::facts::printed::duration;
use crate::facts::{Kind, kinds, printed};

/// What prints the rows of a resource.
pub enum Printer {
    /// Rows that checks read, too.
    Known(Kind, Vec<String>),
    Builtin(&'static str, Cells),
    /// The columns that a CRD names after the name; a path that cannot be read stays empty.
    Custom(Vec<(Column, Option<JpQuery>)>),
}

/// Columns of the known kinds that only `-o wide` shows.
const WIDE: [&str; 17] = [
    "IP",
    "Node",
    "Nominated Node",
    "Readiness Gates",
    "Internal-IP",
    "External-IP",
    "OS-Image",
    "Kernel-Version",
    "Container-Runtime",
    "Subobject",
    "Source",
    "First Seen",
    "Count",
    "Containers",
    "Images",
    "Selector",
    "VolumeMode",
];
/// The longest path of a column that is read.
const PATH: usize = 500;

impl Printer {
    pub fn of(resource: &Resource) -> Self {
        if let Some(kind) = resource.known
            && let Ok(table) = printed::table(kind, &[], Timestamp::UNIX_EPOCH)
        {
            return Self::Known(kind, table.columns);
        }
        if let Some((columns, cells)) =
            printers::printer(&resource.group, &resource.plural).filter(|_| !resource.is_custom)
        {
            return Self::Builtin(columns, cells);
        }
        if resource.columns.is_empty() {
            return Self::Builtin("Name, Age", printers::plain);
        }
        let columns = resource.columns.iter().cloned().map(|column| {
            let path = Some(&column.path).filter(|path| path.len() <= PATH);
            let path = path.and_then(|path| parse_json_path(&standard(path)).ok());
            (column, path)
        });
        Self::Custom(columns.collect())
    }

    /// The columns, as a table begins with them.
    pub fn definitions(&self) -> Vec<Value> {
        match self {
            // An event's own name is the one thing that a table of events shows only when it is wide.
            Self::Known(kind, columns) => {
                let is_wide = |name: &str| WIDE.contains(&name) || (*kind == kinds::EVENT && name == "Name");
                columns.iter().map(|name| column(name, is_wide(name))).collect()
            }
            Self::Builtin(columns, _) => {
                columns.split(", ").map(|name| column(name.trim_end_matches('*'), name.ends_with('*'))).collect()
            }
            Self::Custom(columns) => {
                let own = columns.iter().map(|(one, _)| {
                    json!({"name": one.name, "type": one.kind, "format": one.format, "description": one.description,
                        "priority": one.priority})
                });
                std::iter::once(column("Name", false)).chain(own).collect()
            }
        }
    }

    /// Ages are as of `now`.
    pub fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        match self {
            Self::Known(kind, _) => {
                printed::table(*kind, &[object], now).ok().and_then(|mut table| table.cells.pop()).unwrap_or_default()
            }
            Self::Builtin(_, cells) => cells(object, now),
            Self::Custom(columns) => {
                let cells = columns.iter().map(|(column, path)| {
                    let found = path.as_ref().and_then(|path| js_path_process(path, object).ok()).unwrap_or_default();
                    found.first().map_or(Value::Null, |found| cell(&column.kind, found.val, now))
                });
                std::iter::once(json!(name(object))).chain(cells).collect()
            }
        }
    }
}

fn column(name: &str, is_wide: bool) -> Value {
    let format = if name == "Name" { "name" } else { "" };
    json!({"name": name, "type": "string", "format": format, "description": name, "priority": u8::from(is_wide)})
}

/// A value as a column of this type shows it; one of another type is left out.
fn cell(kind: &str, value: &Value, now: Timestamp) -> Value {
    match (kind, value) {
        ("date", Value::String(at)) => at.parse().map_or(json!("<invalid>"), |at| json!(duration(at, now))),
        ("integer", Value::Number(number)) => {
            let whole = number.as_i64().or_else(|| number.as_f64().map(|number| number as i64));
            json!(whole)
        }
        ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) | ("string", Value::String(_)) => value.clone(),
        ("string", value) if !value.is_null() => json!(value.to_string()),
        _ => Value::Null,
    }
}

/// A path as CRDs write it (`.metadata.labels.app\.kubernetes\.io/name`) in the notation of RFC 9535.
fn standard(path: &str) -> String {
    let mut standard = "$".to_owned();
    let mut rest = path.trim();
    while !rest.is_empty() {
        if rest.starts_with('[') {
            let end = end_of_brackets(rest);
            standard.push_str(&rest[..end].replace("\\.", "."));
            rest = &rest[end..];
            continue;
        }
        if let Some(deep) = rest.strip_prefix("..") {
            standard.push_str("..");
            rest = deep;
        } else {
            rest = rest.strip_prefix('.').unwrap_or(rest);
        }
        let (mut name, mut end, mut escaped) = (String::new(), rest.len(), false);
        for (at, c) in rest.char_indices() {
            if !escaped && (c == '.' || c == '[') {
                end = at;
                break;
            }
            if escaped || c != '\\' {
                name.push(c);
            }
            escaped = !escaped && c == '\\';
        }
        match name.as_str() {
            "" => {}
            "*" => standard.push_str("[*]"),
            name => standard.push_str(&format!("['{}']", name.replace('\\', "\\\\").replace('\'', "\\'"))),
        }
        rest = &rest[end..];
    }
    standard
}

/// Where the brackets that a text begins with end; brackets in quotes do not count.
fn end_of_brackets(text: &str) -> usize {
    let (mut depth, mut quote) = (0usize, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '[') => depth += 1,
            (None, ']') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at + c.len_utf8();
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(kind: &str, path: &str) -> Value {
        let object = json!({
            "metadata": {"name": "x", "creationTimestamp": "2026-01-01T00:00:00Z",
                "labels": {"app.kubernetes.io/name": "rook", "foo-bar": "b"}},
            "spec": {"replicas": 3, "ratio": 1.5, "on": false, "disks": [{"name": "sda"}, {"name": "sdb"}]},
            "status": {"conditions": [{"type": "Progressing", "status": "False"}, {"type": "Ready", "status": "True"}]},
        });
        let column = json!({"name": "Column", "type": kind, "jsonPath": path});
        let resource = Resource { is_custom: true, columns: vec![Column::new(&column)], ..Resource::default() };
        let mut cells = Printer::of(&resource).cells(&object, "2026-01-01T00:05:00Z".parse().unwrap());
        assert_eq!(cells[0], "x");
        cells.remove(1)
    }

    #[test]
    fn columns_of_crds_are_printed_as_the_server_prints_them() {
        for (kind, path, expected) in [
            ("string", ".status.conditions[?(@.type==\"Ready\")].status", json!("True")),
            ("string", ".status.conditions[?(@.type=='Ready')].status", json!("True")),
            ("string", ".metadata.labels.app\\.kubernetes\\.io/name", json!("rook")),
            ("string", ".metadata.labels['app\\.kubernetes\\.io/name']", json!("rook")),
            ("string", ".metadata.labels.foo-bar", json!("b")),
            ("string", ".spec.disks[*].name", json!("sda")),
            ("string", ".spec.disks[1].name", json!("sdb")),
            ("string", ".spec.disks", json!("[{\"name\":\"sda\"},{\"name\":\"sdb\"}]")),
            ("string", ".spec.replicas", json!("3")),
            ("integer", ".spec.replicas", json!(3)),
            ("integer", ".spec.ratio", json!(1)),
            ("number", ".spec.ratio", json!(1.5)),
            ("boolean", ".spec.on", json!(false)),
            ("integer", ".spec.on", Value::Null),
            ("date", ".metadata.creationTimestamp", json!("5m")),
            ("date", ".metadata.name", json!("<invalid>")),
            ("string", ".status.nothing", Value::Null),
            ("string", ".status.conditions[?(@", Value::Null),
        ] {
            assert_eq!(shown(kind, path), expected, "{kind} {path}");
        }
    }
}
