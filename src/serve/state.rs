//! The cluster at one moment, and its lists, each read once.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::OnceCell;

use super::resources::{Resource, place};
use crate::facts::bundle::Bundle;
use crate::facts::{Answer, Fact, Kind, Select, Source, Why};

/// The cluster at one moment.
pub struct State {
    pub bundle: Bundle,
    /// Grows with every change.
    pub version: u64,
    /// What the server's clock says.
    pub now: Timestamp,
    /// Lists that were asked for, by resource: of all namespaces, or what is known of one.
    listings: Mutex<BTreeMap<Asked, Arc<OnceCell<Listed>>>>,
}

/// The resource, and the namespace if it is about one.
type Asked = (String, Option<String>);

/// Every object of a resource, or why there is none.
type Listed = Result<Arc<Listing>, Why>;

/// Objects in the order of the server: by namespace and name.
#[derive(Debug, Default)]
struct Listing {
    objects: Vec<Value>,
    /// What had to be skipped to read them.
    flaws: Vec<Why>,
}

/// The objects of one namespace, or of all. Not a copy: whoever holds it holds the whole list.
#[derive(Clone, Debug)]
pub struct Part {
    listing: Arc<Listing>,
    range: Range<usize>,
    /// What had to be skipped to read them: there may be more than these.
    pub flaws: Vec<Why>,
}

impl Part {
    pub fn objects(&self) -> &[Value] {
        self.listing.objects.get(self.range.clone()).unwrap_or_default()
    }
}

impl State {
    /// The clock stands where the recording ended.
    pub fn new(bundle: Bundle, version: u64) -> Self {
        Self { version, now: bundle.now(), bundle, listings: Mutex::default() }
    }

    /// The same, at another time.
    pub fn at(self, now: Timestamp) -> Self {
        Self { now, ..self }
    }

    /// Every object of a resource, in one namespace or in all.
    pub async fn listing(self: &Arc<Self>, resource: &Resource, ns: Option<&str>) -> Result<Part, Why> {
        let whole = self.listed(resource, None).await;
        let Some(ns) = ns else {
            return whole.map(|listing| Part {
                range: 0..listing.objects.len(),
                flaws: listing.flaws.clone(),
                listing,
            });
        };
        // A namespace may be unknown although others are known, or empty although others could not be read.
        let flaws = self.listed(resource, Some(ns)).await?.flaws.clone();
        let listing = whole.unwrap_or_default();
        let from = listing.objects.partition_point(|object| namespace(object) < ns);
        let to = listing.objects.partition_point(|object| namespace(object) <= ns);
        Ok(Part { listing, range: from..to, flaws })
    }

    /// A list of all namespaces; or what is known of one, without its objects.
    async fn listed(self: &Arc<Self>, resource: &Resource, ns: Option<&str>) -> Listed {
        let key = (resource.name(), ns.map(str::to_owned));
        let cell = {
            let mut listings = self.listings.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(listings.entry(key).or_default())
        };
        let (state, known) = (Arc::clone(self), resource.known);
        let (group, plural, ns) = (resource.group.clone(), resource.plural.clone(), ns.map(str::to_owned));
        let read = || async {
            // The pods of a large cluster take seconds to parse; others are answered meanwhile.
            let read = tokio::task::spawn_blocking(move || match known {
                Some(kind) => state.known(kind, ns),
                None => state.others(&group, &plural, ns.as_deref()),
            });
            let read = read.await.unwrap_or_else(|error| Err(Why::Unreachable(error.to_string())));
            read.map(Arc::new)
        };
        cell.get_or_init(read).await.clone()
    }

    /// Objects of a kind that the program itself reads.
    fn known(&self, kind: Kind, ns: Option<String>) -> Result<Listing, Why> {
        let select = if ns.is_some() { Select::label(NONE) } else { Select::all() };
        let fact = Fact::List { kind, ns, select };
        let reading = futures::executor::block_on(self.bundle.fetch(&fact))?;
        match reading.answer {
            Answer::Objects(objects) => Ok(Listing { objects, flaws: reading.flaws }),
            _ => Err(Why::Malformed("a list is not a list".into())),
        }
    }

    /// Objects of any other kind. As for those, an empty file means none and no file means unknown, unless the
    /// manifest says that the kind was read.
    fn others(&self, group: &str, plural: &str, ns: Option<&str>) -> Result<Listing, Why> {
        // They are dropped unread wherever a recording has them.
        if (group, plural) == ("", "secrets") {
            return Err(Why::NotCaptured);
        }
        let (mut found, mut flaws, mut is_captured) = (BTreeMap::new(), Vec::new(), false);
        for (path, file) in self.bundle.tree().below("") {
            let Some((of, ..)) = place(path).filter(|(_, at, name)| *at == group && *name == plural) else { continue };
            if ns.is_some() && ns != of {
                continue;
            }
            is_captured = true;
            match file.objects() {
                Ok(objects) if ns.is_none() => objects.iter().cloned().for_each(|mut object| {
                    if let (Some(ns), Some(metadata)) = (of, object.get_mut("metadata").and_then(Value::as_object_mut))
                    {
                        metadata.entry("namespace").or_insert_with(|| ns.into());
                    }
                    found.entry((namespace(&object).to_owned(), name(&object).to_owned())).or_insert(object);
                }),
                Ok(_) => {}
                Err(why) => flaws.push(Why::Malformed(format!("{path}: {why}"))),
            }
        }
        if !is_captured {
            let resource = if group.is_empty() { plural.to_owned() } else { format!("{plural}.{group}") };
            self.bundle.absent(&resource)?;
        }
        match flaws.first() {
            Some(why) if found.is_empty() => Err(why.clone()),
            _ => Ok(Listing { objects: found.into_values().collect(), flaws }),
        }
    }
}

/// A selector that no object can match: what is known of a list can be asked without its objects.
const NONE: &str = "none,!none";

/// The namespace of an object, empty if it has none.
pub fn namespace(object: &Value) -> &str {
    object.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default()
}

pub fn name(object: &Value) -> &str {
    object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
}
