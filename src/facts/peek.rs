//! Looks over an object without building it: what an index keeps of it, or all of it without what nobody reads.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// What an index keeps of an object. What is not of the expected type counts as absent.
#[derive(Debug, Default)]
pub(super) struct Outline {
    /// Whether there is a kind, and which.
    pub kind: Option<Option<Box<str>>>,
    pub ns: Option<Box<str>>,
    pub name: Option<Box<str>>,
    pub labels: Vec<(Box<str>, Box<str>)>,
    pub node: Option<Box<str>>,
    pub type_: Option<Box<str>>,
    pub reason: Option<Box<str>>,
}

/// A part of an object that takes what it wants and passes over the rest, whatever it is.
pub(super) trait Part<'t>: Default {
    fn text(&mut self, _text: &str) {}

    fn field<M: MapAccess<'t>>(&mut self, _key: &str, map: &mut M) -> Result<(), M::Error> {
        pass_over(map)
    }
}

/// Reads a part from any value.
pub(super) struct Loose<P>(pub P);

/// Reads a value that nobody wants, as strictly as if it were wanted.
fn pass_over<'t, M: MapAccess<'t>>(map: &mut M) -> Result<(), M::Error> {
    map.next_value::<Loose<Nothing>>().map(drop)
}

#[derive(Default)]
struct Nothing;

impl Part<'_> for Nothing {}

#[derive(Default)]
struct Text(Option<Box<str>>);

impl Part<'_> for Text {
    fn text(&mut self, text: &str) {
        self.0 = Some(text.into());
    }
}

fn text<'t, M: MapAccess<'t>>(map: &mut M) -> Result<Option<Box<str>>, M::Error> {
    map.next_value::<Loose<Text>>().map(|Loose(Text(text))| text)
}

impl<'t> Part<'t> for Outline {
    fn field<M: MapAccess<'t>>(&mut self, key: &str, map: &mut M) -> Result<(), M::Error> {
        match key {
            "kind" => self.kind = Some(text(map)?),
            "type" => self.type_ = text(map)?,
            "reason" => self.reason = text(map)?,
            "metadata" => {
                let Loose(Metadata { ns, name, labels }) = map.next_value()?;
                (self.ns, self.name, self.labels) = (ns, name, labels);
            }
            "spec" => self.node = map.next_value::<Loose<Spec>>()?.0.0,
            _ => pass_over(map)?,
        }
        Ok(())
    }
}

#[derive(Default)]
struct Metadata {
    ns: Option<Box<str>>,
    name: Option<Box<str>>,
    labels: Vec<(Box<str>, Box<str>)>,
}

impl<'t> Part<'t> for Metadata {
    fn field<M: MapAccess<'t>>(&mut self, key: &str, map: &mut M) -> Result<(), M::Error> {
        match key {
            "namespace" => self.ns = text(map)?,
            "name" => self.name = text(map)?,
            "labels" => self.labels = map.next_value::<Loose<Labels>>()?.0.0,
            _ => pass_over(map)?,
        }
        Ok(())
    }
}

#[derive(Default)]
struct Labels(Vec<(Box<str>, Box<str>)>);

impl<'t> Part<'t> for Labels {
    fn field<M: MapAccess<'t>>(&mut self, key: &str, map: &mut M) -> Result<(), M::Error> {
        let value = text(map)?;
        // The last of two wins, whatever it is.
        self.0.retain(|(there, _)| **there != *key);
        self.0.extend(value.map(|value| (key.into(), value)));
        Ok(())
    }
}

#[derive(Default)]
struct Spec(Option<Box<str>>);

impl<'t> Part<'t> for Spec {
    fn field<M: MapAccess<'t>>(&mut self, key: &str, map: &mut M) -> Result<(), M::Error> {
        match key {
            "nodeName" => self.0 = text(map)?,
            _ => pass_over(map)?,
        }
        Ok(())
    }
}

impl<'t, P: Part<'t>> Deserialize<'t> for Loose<P> {
    fn deserialize<D: Deserializer<'t>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LooseVisitor(PhantomData)).map(Self)
    }
}

struct LooseVisitor<P>(PhantomData<P>);

impl<'t, P: Part<'t>> Visitor<'t> for LooseVisitor<P> {
    type Value = P;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<P, E> {
        Ok(P::default())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<P, E> {
        Ok(P::default())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<P, E> {
        Ok(P::default())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<P, E> {
        Ok(P::default())
    }

    fn visit_unit<E: Error>(self) -> Result<P, E> {
        Ok(P::default())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<P, E> {
        let mut part = P::default();
        part.text(text);
        Ok(part)
    }

    fn visit_seq<S: SeqAccess<'t>>(self, mut items: S) -> Result<P, S::Error> {
        while items.next_element::<Loose<Nothing>>()?.is_some() {}
        Ok(P::default())
    }

    fn visit_map<M: MapAccess<'t>>(self, mut map: M) -> Result<P, M::Error> {
        let mut part = P::default();
        while let Some(Key(key)) = map.next_key()? {
            part.field(&key, &mut map)?;
        }
        Ok(part)
    }
}

/// A key, borrowed where it can be.
struct Key<'t>(Cow<'t, str>);

impl<'t> Deserialize<'t> for Key<'t> {
    fn deserialize<D: Deserializer<'t>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'t> Visitor<'t> for KeyVisitor {
            type Value = Key<'t>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E: Error>(self, key: &'t str) -> Result<Key<'t>, E> {
                Ok(Key(Cow::Borrowed(key)))
            }

            fn visit_str<E: Error>(self, key: &str) -> Result<Key<'t>, E> {
                Ok(Key(Cow::Owned(key.to_owned())))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

/// Builds an object without its `metadata.managedFields`, which are not even allocated.
pub(super) struct Lean;

impl<'t> Visitor<'t> for Lean {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'t>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut object = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = if key == "metadata" { map.next_value_seed(LeanMetadata)? } else { map.next_value()? };
            object.insert(key, value);
        }
        Ok(object)
    }
}

struct LeanMetadata;

impl<'t> DeserializeSeed<'t> for LeanMetadata {
    type Value = Value;

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'t> Visitor<'t> for LeanMetadata {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("metadata")
    }

    fn visit_map<M: MapAccess<'t>>(self, mut map: M) -> Result<Value, M::Error> {
        let mut metadata = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if key == "managedFields" {
                map.next_value::<IgnoredAny>()?;
            } else {
                metadata.insert(key, map.next_value()?);
            }
        }
        Ok(Value::Object(metadata))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_outline_is_what_a_parsed_object_says() {
        let pod = json!({"kind": "Pod", "metadata": {"name": "a", "namespace": "b", "labels": {"x": "1", "y": 2},
            "ownerReferences": [{"kind": "Job", "name": "no"}]}, "spec": {"nodeName": "w1", "x": {"nodeName": "no"}}});
        let Loose(outline): Loose<Outline> = serde_json::from_str(&pod.to_string()).unwrap();
        let text = |text: &str| Some(Box::from(text));
        assert_eq!((outline.kind, outline.ns, outline.name), (Some(text("Pod")), text("b"), text("a")));
        assert_eq!((outline.labels, outline.node), (vec![("x".into(), "1".into())], text("w1")));
        let odd = r#"{"kind": null, "metadata": [], "spec": 5, "type": {}, "reason": ["x"]}"#;
        let Loose(outline): Loose<Outline> = serde_json::from_str(odd).unwrap();
        assert!(outline.kind == Some(None) && outline.name.is_none() && outline.reason.is_none());
        let twice = r#"{"metadata": {"name": "a", "labels": {"x": "1", "x": "2"}}, "metadata": {"labels": {"x": "1", "x": 2}}}"#;
        let Loose(outline): Loose<Outline> = serde_json::from_str(twice).unwrap();
        assert!(outline.name.is_none() && outline.labels.is_empty());
    }

    #[test]
    fn what_could_not_be_parsed_is_not_passed_over() {
        for broken in [r#"{"x": 1e999}"#, r#"{"x": "\ud800"}"#, r#"{"x": [1, {"y": "\q"}]}"#, r#"{"x": 1} x"#] {
            assert!(serde_json::from_str::<Value>(broken).is_err(), "{broken}");
            assert!(serde_json::from_str::<Loose<Outline>>(broken).is_err(), "{broken}");
        }
    }
}
