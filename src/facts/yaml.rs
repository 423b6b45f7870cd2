//! YAML and JSON as they lie in a bundle, within bounds.

use serde_json::Value;

/// Every document of a text. JSON is taken as such, since a large list is read many times faster that way.
pub fn documents(bytes: &[u8]) -> Result<Vec<Value>, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| format!("not UTF-8 text: {error}"))?;
    let text = text.trim_start_matches('\u{feff}');
    if text.trim_start().starts_with(['{', '['])
        && let Ok(value) = serde_json::from_str(text)
    {
        return Ok(vec![value]);
    }
    serde_saphyr::from_multiple_with_options(text, limits()).map_err(|error| error.to_string())
}

/// Every object of a text: lists are unrolled, and their items get the kind and version that a list of
/// one kind leaves out. What only says who wrote a field is dropped of pods, as it is half of a large list; of
/// other kinds it is evidence.
pub fn objects(bytes: &[u8]) -> Result<Vec<Value>, String> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err("the file is empty".into());
    }
    let mut objects = Vec::new();
    for document in documents(bytes)? {
        unroll(document, &mut objects)?;
    }
    for object in objects.iter_mut().filter(|object| object.get("kind").is_some_and(|kind| kind == "Pod")) {
        if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
            metadata.remove("managedFields");
        }
    }
    Ok(objects)
}

fn unroll(mut document: Value, objects: &mut Vec<Value>) -> Result<(), String> {
    // Support bundles write the items of a list without the list.
    if let Value::Array(items) = document {
        return items.into_iter().try_for_each(|item| unroll(item, objects));
    }
    let Some(map) = document.as_object_mut() else { return Err("a document is not an object".into()) };
    let kind = map.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    let Some(item_kind) = kind.strip_suffix("List").filter(|_| map.contains_key("items")) else {
        objects.push(document);
        return Ok(());
    };
    let version = map.get("apiVersion").cloned().unwrap_or_default();
    let items = match map.remove("items") {
        Some(Value::Array(items)) => items,
        Some(Value::Null) | None => Vec::new(),
        Some(_) => return Err(format!("the items of a {kind} are not a list")),
    };
    for mut item in items {
        let Some(fields) = item.as_object_mut() else { return Err(format!("an item of a {kind} is not an object")) };
        if !item_kind.is_empty() {
            fields.entry("kind").or_insert_with(|| item_kind.into());
            fields.entry("apiVersion").or_insert_with(|| version.clone());
        }
        objects.push(item);
    }
    Ok(())
}

/// The parser's own limits are made for configuration files; the pods of a large cluster are 100 MB.
fn limits() -> serde_saphyr::Options {
    serde_saphyr::options! {
        with_snippet: false,
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 100_000 },
        budget: serde_saphyr::budget! {
            max_depth: 128,
            max_nodes: 16_000_000,
            max_events: 40_000_000,
            max_total_scalar_bytes: 256 << 20,
            max_aliases: 1_000,
            max_anchors: 1_000,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_are_unrolled() {
        let yaml = "---\napiVersion: v1\nkind: PodList\nitems:\n- metadata: {name: a, managedFields: [x]}\n---\n\
                    apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Node, metadata: {name: b}}\n---\n\
                    kind: Pod\nmetadata: {name: 'on'}\n";
        let read = objects(yaml.as_bytes()).unwrap();
        assert_eq!(read[0], json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}));
        assert_eq!(read[1]["kind"], "Node");
        assert_eq!(read[2]["metadata"]["name"], "on");
        assert_eq!(objects(br#"{"kind":"PodList","items":null}"#).unwrap(), Vec::<Value>::new());
    }

    #[test]
    fn what_is_broken_says_so() {
        assert!(objects(b"  \n").unwrap_err().contains("empty"));
        assert!(objects(b"a: [1, 2\nb: }").is_err());
        assert!(objects(b"- 1\n- 2\n").unwrap_err().contains("not an object"));
        assert!(objects(&[0xff, 0xfe, b'a']).unwrap_err().contains("UTF-8"));
        let bomb = format!("a: &a [x,x,x,x,x,x,x,x]\n{}", laughs(12));
        assert!(objects(bomb.as_bytes()).is_err());
    }

    fn laughs(levels: usize) -> String {
        let name = |level: usize| char::from(b'a' + level as u8);
        let line = |level: usize| format!("{0}: &{0} [{1}]\n", name(level + 1), format!("*{},", name(level)).repeat(9));
        (0..levels).map(line).collect()
    }
}
