//! YAML and JSON as they lie in a bundle, within bounds.

use serde_json::{Map, Value};

/// Every document of a text. JSON is taken as such, since a large list is read many times faster that way.
pub fn documents(bytes: &[u8]) -> Result<Vec<Value>, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| format!("not UTF-8 text: {error}"))?;
    let text = text.trim_start_matches('\u{feff}');
    if text.trim_start().starts_with(['{', '['])
        && let Ok(value) = serde_json::from_str(text)
    {
        return Ok(vec![value]);
    }
    parse(text)
}

/// Hands on every object of a text, one by one: lists are unrolled, and their items get the kind and version that a
/// list of one kind leaves out.
pub fn each_object(text: &str, take: &mut Take<'_>) -> Result<(), String> {
    documents(text.as_bytes())?.into_iter().try_for_each(|document| unroll(document, take))
}

/// What is done with an object; an error ends the reading.
pub type Take<'t> = dyn FnMut(Value) -> Result<(), String> + 't;

fn unroll(mut document: Value, take: &mut Take<'_>) -> Result<(), String> {
    // Support bundles write the items of a list without the list.
    if let Value::Array(items) = document {
        return items.into_iter().try_for_each(|item| unroll(item, take));
    }
    let Some(map) = document.as_object_mut() else { return Err("a document is not an object".into()) };
    let items = if list_kind(map).is_some() { map.remove("items") } else { None };
    let Some(items) = items else { return take(document) };
    let kind = list_kind(map).unwrap_or_default();
    let items = match items {
        Value::Array(items) => items,
        Value::Null => Vec::new(),
        _ => return Err(format!("the items of a {kind}List are not a list")),
    };
    items.into_iter().try_for_each(|item| take(with_defaults(item, map)?))
}

/// `Pod` of a `PodList`; empty for a list of several kinds.
fn list_kind(document: &Map<String, Value>) -> Option<&str> {
    document.get("kind")?.as_str()?.strip_suffix("List")
}

/// An item of a list, with what the list says for all.
fn with_defaults(mut item: Value, list: &Map<String, Value>) -> Result<Value, String> {
    let kind = list_kind(list).unwrap_or_default();
    let Some(fields) = item.as_object_mut() else { return Err(format!("an item of a {kind}List is not an object")) };
    if !kind.is_empty() {
        fields.entry("kind").or_insert_with(|| kind.into());
        fields.entry("apiVersion").or_insert_with(|| list.get("apiVersion").cloned().unwrap_or_default());
    }
    Ok(item)
}

/// A list in the plain shape that tools write: `items:` on a line of its own, and below it items that begin with
/// `- ` at one indent. It is cut at the items, so that each is parsed by itself and a large list is never held.
pub struct Cut<'t> {
    list: Map<String, Value>,
    items: Vec<&'t str>,
    indent: usize,
}

impl<'t> Cut<'t> {
    /// Cuts a list, if it has exactly that shape. Whether the items are well formed each shows when it is parsed:
    /// what spans several of them is not.
    pub fn of(text: &'t str) -> Option<Self> {
        if ODD.iter().any(|odd| text.contains(odd)) {
            return None;
        }
        let start = if text.starts_with(ITEMS) { 0 } else { text.find(&format!("\n{ITEMS}"))? + 1 };
        let below = &text[start + ITEMS.len()..];
        let indent = below.len() - below.trim_start_matches(' ').len();
        let mut items = Vec::new();
        let (mut at, mut item) = (0, 0);
        let end = loop {
            let line = below[at..].split_inclusive('\n').next().unwrap_or_default();
            let inner = line.trim_start_matches(' ');
            let depth = line.len() - inner.len();
            let is_blank = inner.is_empty() || inner == "\n";
            if depth == indent && inner.starts_with("- ") {
                items.extend((at > 0).then(|| &below[item..at]));
                item = at;
            } else if line.is_empty() || (depth == 0 && !is_blank) {
                break at;
            } else if depth <= indent && !is_blank {
                return None;
            }
            at += line.len();
        };
        items.extend((end > 0).then(|| &below[item..end]));
        if items.iter().any(|item| !item.get(indent..).is_some_and(|item| item.starts_with("- "))) {
            return None;
        }
        // Each part stands for itself, so that nothing begins in one and ends in another.
        let mut list = fields(text[..start].strip_prefix("---\n").unwrap_or(&text[..start]))?;
        for (key, value) in fields(&below[end..])? {
            if list.insert(key, value).is_some() {
                return None;
            }
        }
        (list_kind(&list).is_some() && !list.contains_key("items")).then_some(Self { list, items, indent })
    }

    /// Hands on the items. After an error the text is to be parsed whole: it may be that the cut was wrong.
    pub fn each(self, take: &mut Take<'_>) -> Result<(), String> {
        let mut text = String::new();
        for item in self.items {
            text.clear();
            text.push_str(item);
            text.replace_range(self.indent..=self.indent, " ");
            let mut documents = parse(&text)?;
            let (Some(item), true) = (documents.pop(), documents.is_empty()) else { return Err("not one item".into()) };
            take(with_defaults(item, &self.list)?)?;
        }
        Ok(())
    }
}

const ITEMS: &str = "items:\n";
/// What some take for the end of a line, or for nothing at the start of a text.
const ODD: [&str; 5] = ["\r", "\u{85}", "\u{2028}", "\u{2029}", "\u{feff}"];

/// The fields beside the items: lines of their own, without document markers and comments.
fn fields(text: &str) -> Option<Map<String, Value>> {
    let is_plain = |line: &str| line.is_empty() || line.starts_with(|c: char| c == ' ' || c.is_ascii_alphanumeric());
    if !text.lines().all(is_plain) {
        return None;
    }
    if text.bytes().all(|byte| matches!(byte, b' ' | b'\n')) {
        return Some(Map::new());
    }
    // Fields that are indented go on where others are not.
    if text.trim_start_matches('\n').starts_with(' ') {
        return None;
    }
    let mut documents = parse(text).ok()?;
    match (documents.pop(), documents.is_empty()) {
        (Some(Value::Object(fields)), true) => Some(fields),
        _ => None,
    }
}

fn parse(text: &str) -> Result<Vec<Value>, String> {
    serde_saphyr::from_multiple_with_options(text, limits()).map_err(|error| error.to_string())
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
    use proptest::prelude::*;

    fn whole(text: &str) -> Result<Vec<Value>, String> {
        let mut objects = Vec::new();
        each_object(text, &mut |object| {
            objects.push(object);
            Ok(())
        })?;
        Ok(objects)
    }

    /// `None` if it is not cut, or not to be trusted.
    fn cut(text: &str) -> Option<Vec<Value>> {
        let mut objects = Vec::new();
        let mut take = |object| {
            objects.push(object);
            Ok(())
        };
        Cut::of(text)?.each(&mut take).ok()?;
        Some(objects)
    }

    const PLAIN: &str = "apiVersion: v1\nitems:\n- metadata:\n    name: a\n  spec:\n    args:\n    - -x\n    - |\n      items:\n      \
        - y\n\n- kind: Pod\n  metadata: {name: 'on'}\nkind: PodList\nmetadata:\n  resourceVersion: \"\"\n";

    #[test]
    fn a_plain_list_is_cut() {
        assert_eq!(cut(PLAIN), Some(whole(PLAIN).unwrap()));
        assert_eq!(cut(PLAIN).unwrap().len(), 2);
        let deeper = PLAIN
            .replace("\n- ", "\n  - ")
            .replace("\n  metadata: {", "\n    metadata: {")
            .replace("\n  spec", "\n    spec");
        assert_eq!(cut(&deeper), Some(whole(&deeper).unwrap()));
        assert_eq!(cut(&format!("---\n{PLAIN}")), Some(whole(PLAIN).unwrap()));
        assert_eq!(cut("items:\nkind: PodList\n"), Some(Vec::new()));
    }

    #[test]
    fn what_is_not_plain_is_not_cut() {
        for text in [
            "items:\n- a: 1\n",
            "kind: PodList\nitems: []\n",
            "kind: PodList\nitems:\n- a: \"x\n- b: y\"\n",
            "kind: PodList\nitems:\n- a: &a 1\n- b: *a\n",
            "kind: PodList\nitems:\n- a: 1\n---\nkind: Pod\n",
            "kind: PodList\nitems:\n- a: 1\nitems:\n- b: 1\n",
            "kind: PodList\nitems:\n- a: [1,\n- 2]\n",
            "kind: PodList\nitems:\n- a: 1\n  b\n- c: 1\n",
            "kind: PodList\nx: \"\nitems:\n- a: 1\n\"\nitems: []\n",
            "kind: PodList\nitems:\n- a: 1\r- c: 1\n",
            "kind: PodList\nitems:\n\u{85}",
            "kind: PodList\nitems:\n- a: 1\n\tapiVersion: v1\n",
            "  x: |\nitems:\nkind: PodList\n",
            "   \n  x: |\nitems:\nkind: PodList\n",
            "kind: PodList\nitems:\n- a: 1\n-\n",
            "kind: PodList\nitems:\n- 1\n",
        ] {
            assert_eq!(cut(text), None, "{text}");
        }
    }

    /// Lines that lists are made of, and lines that lead astray.
    const LINES: [&str; 40] = [
        "kind: PodList\n",
        "kind: List\n",
        "apiVersion: v1\n",
        "items:\n",
        "items:\n",
        "- metadata:\n",
        "- a: 1\n",
        "- b: x\n",
        "- kind: Pod\n",
        "  - c: 1\n",
        "  - d: 2\n",
        "    name: a\n",
        "    name: \"a\n",
        "  \"\n",
        "\"\n",
        "  b: '\n",
        "- '\n",
        "  x: |\n",
        "    text\n",
        "  y: >-\n",
        "     - z\n",
        "\n",
        "   \n",
        "- |\n",
        "  [\n",
        "- [\n",
        "]\n",
        "- {a: 1}\n",
        "  *x : 1\n",
        "- &x\n",
        "  z: &x 1\n",
        "# remark\n",
        "  # remark\n",
        "---\n",
        "...\n",
        "metadata:\n",
        "  resourceVersion: \"\"\n",
        "\t- a\n",
        "-\n",
        "  ? a\n",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5_000))]
        #[test]
        fn a_cut_list_is_the_whole(
            lines in proptest::collection::vec(0..LINES.len(), 0..12),
            odd in proptest::option::of((0..200usize, prop::sample::select(vec!["\r", "\u{85}", "\u{2028}", "\u{feff}", "\t", "'", "\"", "- "]))),
            head: bool,
        ) {
            let mut text: String = lines.iter().map(|line| LINES[*line]).collect();
            if head {
                text.insert_str(0, "kind: PodList\nitems:\n");
            }
            if let Some((at, odd)) = odd {
                let at = text.len().min(at);
                text.insert_str(at, odd);
            }
            if let Some(objects) = cut(&text) {
                prop_assert_eq!(Ok(objects), whole(&text), "{}", text);
            }
        }
    }
}
