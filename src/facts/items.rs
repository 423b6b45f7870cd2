//! The objects of a file, found without holding them: a light index says what each is and where it lies, and only
//! the chosen ones are parsed, one by one.

use std::ops::Range;

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::body::{Body, Packer, Parts};
use super::peek::{Lean, Loose, Outline};
use super::select::{Select, labels_match};
use super::yaml::{self, Cut};

/// A text of at most this many bytes is parsed whole.
const SMALL: usize = 64 << 10;

/// The objects of one file, in its order.
#[derive(Debug, Default)]
pub(super) struct Items {
    pub entries: Vec<Entry>,
    /// What the items of a list of one kind leave out.
    defaults: Option<Defaults>,
    /// The objects as JSON, where the file is not: then the entries lie in this, not in the file.
    converted: Option<Body>,
}

#[derive(Debug)]
struct Defaults {
    kind: String,
    version: Value,
}

/// What is known of an object that is not parsed. A field that is not a text counts as absent.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub kind: Option<Box<str>>,
    pub ns: Option<Box<str>>,
    pub name: Box<str>,
    labels: Box<[(Box<str>, Box<str>)]>,
    node: Box<str>,
    type_: Box<str>,
    reason: Box<str>,
    range: Range<usize>,
}

impl Entry {
    fn new(outline: Outline, defaults: Option<&Defaults>, range: Range<usize>) -> Self {
        let default = |defaults: &Defaults| Some(defaults.kind.as_str().into());
        let text = |text: Option<Box<str>>| text.unwrap_or_default();
        Self {
            kind: outline.kind.unwrap_or_else(|| defaults.and_then(default)),
            ns: outline.ns,
            name: text(outline.name),
            labels: outline.labels.into_boxed_slice(),
            node: text(outline.node),
            type_: text(outline.type_),
            reason: text(outline.reason),
            range,
        }
    }

    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.iter().find(|(there, _)| **there == *key).map(|(_, value)| value.as_ref())
    }

    /// Whether the object may be among the selected; only the object itself tells of fields that are not kept.
    pub fn may_match(&self, select: &Select) -> bool {
        labels_match(&select.label, |key| self.label(key))
            && select.fields_match(|path| {
                let known = match path {
                    "metadata.name" => self.name.as_ref(),
                    "metadata.namespace" => self.ns.as_deref().unwrap_or_default(),
                    "spec.nodeName" => self.node.as_ref(),
                    "type" => self.type_.as_ref(),
                    "reason" => self.reason.as_ref(),
                    _ => return None,
                };
                Some(known.into())
            })
    }

    /// Of a pod, what only says who wrote a field is dropped, as it is half of a large list; of other kinds it is
    /// evidence.
    fn is_lean(&self) -> bool {
        self.kind.as_deref() == Some("Pod")
    }
}

impl Items {
    /// Finds the objects of a text. Lists are unrolled, and their items get the kind and version that a list of
    /// one kind leaves out.
    pub fn find(bytes: &[u8]) -> Result<Self, String> {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err("the file is empty".into());
        }
        let text = std::str::from_utf8(bytes).map_err(|error| format!("not UTF-8 text: {error}"))?;
        match Self::of_json(text) {
            Some(items) => Ok(items),
            None => Self::of_yaml(text),
        }
    }

    fn of_yaml(text: &str) -> Result<Self, String> {
        if let Some(cut) = Cut::of(text.trim_start_matches('\u{feff}')).filter(|_| text.len() > SMALL) {
            let mut converter = Converter::default();
            if cut.each(&mut |object| converter.add(object)).is_ok() {
                return Ok(converter.finish());
            }
        }
        let mut converter = Converter::default();
        yaml::each_object(text, &mut |object| converter.add(object))?;
        Ok(converter.finish())
    }

    /// The objects of a JSON text, which stay where they are. `None` for what is anything else.
    fn of_json(text: &str) -> Option<Self> {
        let json = text.trim_start_matches('\u{feff}').trim_start();
        if !json.starts_with('{') {
            return None;
        }
        let base = text.len() - json.len();
        let list: List = serde_json::from_str(json).ok()?;
        let (Some(kind), Some(items)) = (list.kind.as_deref().and_then(|kind| kind.strip_suffix("List")), list.items)
        else {
            let entry = Entry::new(outline(json)?, None, base..text.len());
            return Some(Self { entries: vec![entry], ..Self::default() });
        };
        let version = list.api_version.unwrap_or_default();
        let defaults = (!kind.is_empty()).then(|| Defaults { kind: kind.to_owned(), version });
        let entry = |item: &&RawValue| {
            let at = item.get().as_ptr() as usize - text.as_ptr() as usize;
            let outline = outline(item.get())?;
            Some(Entry::new(outline, defaults.as_ref(), at..at + item.get().len()))
        };
        let entries = items.unwrap_or_default().iter().map(entry).collect::<Option<_>>()?;
        Some(Self { entries, defaults, converted: None })
    }

    /// A reader of the objects; `body` is that of the file.
    pub fn reader<'b>(&'b self, body: &'b Body) -> Result<Reader<'b>, String> {
        Ok(Reader { items: self, parts: self.converted.as_ref().unwrap_or(body).parts()? })
    }
}

/// What may be a list, as far as it is needed to take it apart.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct List<'t> {
    kind: Option<String>,
    api_version: Option<Value>,
    /// Whether there are items, and which; what is null has none.
    #[serde(borrow, deserialize_with = "present")]
    items: Option<Option<Vec<&'t RawValue>>>,
}

fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// What is known of an object from a look over it. All of it is looked over: what cannot be parsed later is found
/// now.
fn outline(json: &str) -> Option<Outline> {
    json.starts_with('{').then_some(())?;
    serde_json::from_str(json).ok().map(|Loose(outline)| outline)
}

/// Writes objects down as JSON.
#[derive(Default)]
struct Converter {
    packer: Packer,
    entries: Vec<Entry>,
}

impl Converter {
    fn add(&mut self, mut object: Value) -> Result<(), String> {
        let failed = |error: serde_json::Error| error.to_string();
        let Loose(outline) = Loose::deserialize(&object).map_err(failed)?;
        let mut entry = Entry::new(outline, None, 0..0);
        if entry.is_lean() {
            drop_managed_fields(&mut object);
        }
        let start = self.packer.size();
        serde_json::to_writer(&mut self.packer, &object).map_err(failed)?;
        entry.range = start..self.packer.size();
        self.entries.push(entry);
        Ok(())
    }

    fn finish(self) -> Items {
        Items { entries: self.entries, defaults: None, converted: Some(self.packer.into_body()) }
    }
}

/// Parses objects of a file one by one.
pub(super) struct Reader<'b> {
    items: &'b Items,
    parts: Parts<'b>,
}

impl Reader<'_> {
    /// The object of an entry; cheapest in their order.
    pub fn read(&mut self, at: usize) -> Result<Value, String> {
        let entry = self.items.entries.get(at).ok_or("there is no such object")?;
        let json = self.parts.get(entry.range.clone())?;
        let mut object = if entry.is_lean() { lean(&json)? } else { parse(&json)? };
        if let (Some(defaults), Some(fields)) = (&self.items.defaults, object.as_object_mut()) {
            fields.entry("kind").or_insert_with(|| defaults.kind.as_str().into());
            fields.entry("apiVersion").or_insert_with(|| defaults.version.clone());
        }
        Ok(object)
    }
}

fn parse(json: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(json).map_err(|error| error.to_string())
}

/// A pod without its managedFields.
fn lean(json: &[u8]) -> Result<Value, String> {
    if let Ok(object) = serde_json::Deserializer::from_slice(json).deserialize_map(Lean) {
        return Ok(Value::Object(object));
    }
    let mut object = parse(json)?;
    drop_managed_fields(&mut object);
    Ok(object)
}

fn drop_managed_fields(object: &mut Value) {
    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        metadata.remove("managedFields");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Every object, as a reader of the file gets them.
    fn objects(bytes: &[u8]) -> Result<Vec<Value>, String> {
        let body = Body::hold(bytes.to_vec());
        all(&Items::find(bytes)?, &body)
    }

    fn all(items: &Items, body: &Body) -> Result<Vec<Value>, String> {
        let mut reader = items.reader(body)?;
        (0..items.entries.len()).map(|at| reader.read(at)).collect()
    }

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

    #[test]
    fn json_reads_the_same_where_it_lies() {
        let deep = format!(r#"{{"kind":"List","items":[{}1{}]}}"#, r#"{"a":"#.repeat(100), "}".repeat(100));
        for text in [
            r#"{"kind":"PodList","apiVersion":"v1","items":[{"metadata":{"name":"a","managedFields":[1]}},{"kind":null}]}"#,
            r#"{"items":[{"kind":"Pod","metadata":5},{"kind":5,"metadata":{"managedFields":[]}}],"kind":"PodList"}"#,
            r#"{"kind":"List","items":[{"kind":"Pod","metadata":{"managedFields":[],"name":"a"}},{"kind":"Node"}]}"#,
            r#"{"kind":"PodList","items":null}"#,
            r#"{"kind":"PodList"}"#,
            r#"{"kind":"PodList","items":{}}"#,
            r#"{"kind":"PodList","items":[[]]}"#,
            r#"{"kind":"PodList","items":[{"a":1e999}]}"#,
            r#"{"kind":"PodList","items":[{"a":"\ud800"}]}"#,
            r#"{"kind":"Thing","items":[1]}"#,
            r#"{"kind":7,"items":[1]}"#,
            r#"{"kind":"PodList","kind":"List","items":[{"a":1}]}"#,
            r#"{"kind":"Pod","metadata":{"name":"a","managedFields":[]},"x":0.1,"y":18446744073709551615}"#,
            r#"[{"kind":"Pod"}]"#,
            "\u{feff} {\"kind\":\"PodList\",\"items\":[ {\"a\":\"\u{e9}\"} ]}\n",
            "{\"kind\":\"Pod\"}\n---\n{\"kind\":\"Node\"}\n",
            "{kind: Pod, metadata: {name: a}}",
            "{\"kind\":\"Pod\"",
            &deep,
        ] {
            let mut converter = Converter::default();
            let converted = yaml::each_object(text, &mut |object| converter.add(object));
            let converted = converted.and_then(|()| all(&converter.finish(), &Body::hold(Vec::new())));
            assert_eq!(objects(text.as_bytes()), converted, "{text}");
        }
    }

    /// What is seen of an object that is not parsed is what it says once it is.
    #[test]
    fn an_entry_selects_as_its_object_does() {
        let text = r#"{"kind":"List","items":[
            {"kind":"Event","metadata":{"name":"a","namespace":"n","labels":{"x":"1","y":2}},"type":"Warning","reason":"R"},
            {"kind":"Pod","metadata":{"name":"b","labels":[]},"spec":{"nodeName":"w1"},"type":5,"status":{"phase":"Running"}},
            {"kind":"Pod","metadata":null}]}"#;
        let body = Body::hold(text.as_bytes().to_vec());
        let items = Items::find(text.as_bytes()).unwrap();
        let objects = all(&items, &body).unwrap();
        let selects = [
            ("", ""),
            ("x=1", ""),
            ("y", ""),
            ("!y", ""),
            ("", "type!=Normal"),
            ("", "type=Warning,reason=R"),
            ("", "spec.nodeName=w1"),
            ("", "spec.nodeName!=w1,metadata.namespace=n"),
            ("", "metadata.name=b"),
            ("", "status.phase=Running"),
        ];
        for (label, field) in selects {
            let select = Select { label: label.into(), field: field.into() };
            for (entry, object) in items.entries.iter().zip(&objects) {
                let exact = !field.contains("status");
                assert!(entry.may_match(&select) == select.matches(object) || !exact, "{select}: {object}");
                assert!(entry.may_match(&select) || !select.matches(object), "{select}: {object}");
            }
        }
    }
}
