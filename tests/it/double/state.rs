//! How the cluster is changed. Every change makes a new state; who reads keeps the one that he began with.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use rookdoctor::facts::archive::Tree;
use rookdoctor::facts::bundle::Bundle;
use rookdoctor::serve::resources::Resource;
use rookdoctor::serve::state::State;
use serde_json::{Value, json};

/// A cluster that is being changed. All that is done to it becomes visible at once.
pub struct Changed<'s> {
    resources: &'s [Resource],
    tree: Tree,
    pub(super) version: u64,
    now: Timestamp,
    /// Who owns pods that changed: namespace, plural and name. Their status has to follow.
    pub(super) owners: BTreeSet<(String, String, String)>,
}

/// The versions of what is written are above those of whatever was recorded.
const WRITTEN: u64 = 1_000_000_000;

/// Where an object is: its namespace is empty if it has none.
#[derive(Clone)]
pub(super) struct Spot<'s> {
    pub resource: &'s Resource,
    pub ns: String,
    pub name: String,
}

impl<'s> Changed<'s> {
    pub(super) fn new(state: &State, resources: &'s [Resource]) -> Self {
        Self {
            resources,
            tree: state.bundle.tree().clone(),
            version: state.version,
            now: state.now,
            owners: BTreeSet::new(),
        }
    }

    pub(super) fn into_state(self) -> State {
        let version = self.version.max(WRITTEN) + 1;
        State::new(Bundle::from_tree(self.tree).unwrap(), version).at(self.now)
    }

    /// The files as they are now.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The time on the server's clock, as objects write it.
    pub fn now(&self) -> String {
        self.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// Puts a file of the recording in, in place of any at this path.
    pub fn write(&mut self, path: &str, bytes: impl Into<Vec<u8>>) {
        self.tree.write(path, bytes.into());
    }

    /// Takes away what lies at this path and below.
    pub fn erase(&mut self, path: &str) {
        // Refused only where nothing lies there.
        if let Ok(tree) = self.tree.overlay(&Tree::default(), &[path.to_owned()]) {
            self.tree = tree;
        }
    }

    /// Makes all that lies below a path as it is in another tree, such as a healthy one.
    pub fn restore(&mut self, from: &Tree, below: &str) {
        let paths: Vec<String> = self.tree.below(below).map(|(path, _)| path.to_owned()).collect();
        self.tree = self.tree.overlay(&Tree::default(), &paths).unwrap();
        for (path, file) in from.below(below) {
            self.tree.write(path, file.bytes().unwrap().into_owned());
        }
    }

    /// The object of this name. The plural may be followed by its group: `deployments.apps`.
    pub fn object(&self, ns: &str, plural: &str, name: &str) -> Option<Value> {
        self.get(&self.spot(ns, plural, name))
    }

    /// Changes an object; there must be one.
    pub fn edit(&mut self, ns: &str, plural: &str, name: &str, edit: impl FnOnce(&mut Value)) {
        let spot = self.spot(ns, plural, name);
        let mut object = self.get(&spot).unwrap_or_else(|| panic!("there is no {plural} {ns}/{name}"));
        edit(&mut object);
        self.put(&spot, object);
    }

    /// Takes an object away, if it is there.
    pub fn remove(&mut self, ns: &str, plural: &str, name: &str) {
        self.take(&self.spot(ns, plural, name));
    }

    pub(super) fn spot(&self, ns: &str, plural: &str, name: &str) -> Spot<'s> {
        let is_it = |resource: &&Resource| resource.plural == plural || resource.name() == plural;
        let resource = self.resources.iter().find(is_it).unwrap_or_else(|| panic!("{plural} are not served"));
        Spot { resource, ns: ns.to_owned(), name: name.to_owned() }
    }

    /// Every object of a kind in one namespace.
    pub(super) fn all(&self, ns: &str, plural: &str) -> Vec<Value> {
        let spot = self.spot(ns, plural, "");
        let mut found = BTreeMap::new();
        for path in spot.files(&self.tree) {
            for object in objects(&self.tree, &path) {
                let name = name_of(&object).to_owned();
                found.entry(name).or_insert_with(|| spot.whole(object));
            }
        }
        found.into_values().collect()
    }

    pub(super) fn get(&self, spot: &Spot<'_>) -> Option<Value> {
        let files = spot.files(&self.tree).into_iter();
        let mut found = files.flat_map(|path| objects(&self.tree, &path));
        found.find(|object| name_of(object) == spot.name).map(|object| spot.whole(object))
    }

    /// Writes an object to every place where it lies, or else among those of its kind, under a new version.
    pub(super) fn put(&mut self, spot: &Spot<'_>, mut object: Value) -> Value {
        self.version = self.version.max(WRITTEN) + 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.touch(spot, &object);
        let mut places = 0;
        for path in spot.files(&self.tree) {
            let mut there = objects(&self.tree, &path);
            if let Some(old) = there.iter_mut().find(|old| name_of(old) == spot.name) {
                *old = object.clone();
                self.store(&path, there);
                places += 1;
            }
        }
        if places == 0 {
            let base = spot.base();
            let lists = ENDINGS.map(|ending| format!("{base}{ending}")).into_iter();
            let list = lists.into_iter().find(|path| self.tree.file(path).is_some_and(|file| file.objects().is_ok()));
            let alone = self.tree.below(&format!("{base}/")).next().is_some();
            match list {
                Some(list) => self.store(&list, [objects(&self.tree, &list), vec![object.clone()]].concat()),
                None if alone => self.store(&format!("{base}/{}.yaml", spot.name), vec![object.clone()]),
                None => self.store(&format!("{base}.yaml"), vec![object.clone()]),
            }
        }
        object
    }

    /// Takes an object away wherever it lies, a pod with all that was recorded of it.
    pub(super) fn take(&mut self, spot: &Spot<'_>) {
        if let Some(object) = self.get(spot) {
            self.touch(spot, &object);
        }
        for path in spot.files(&self.tree) {
            let mut there = objects(&self.tree, &path);
            let before = there.len();
            there.retain(|object| name_of(object) != spot.name);
            if there.len() == before {
                continue;
            }
            if there.is_empty() && !spot.is_list(&path) {
                self.erase(&path);
            } else {
                self.store(&path, there);
            }
        }
        if spot.resource.name() == "pods" {
            self.erase(&format!("namespaces/{}/pods/{}", spot.ns, spot.name));
        }
        // That there are none left is known, too.
        if spot.files(&self.tree).is_empty() {
            self.store(&format!("{}.yaml", spot.base()), Vec::new());
        }
    }

    fn touch(&mut self, spot: &Spot<'_>, object: &Value) {
        let owner = controller(object).filter(|_| spot.resource.name() == "pods");
        if let Some((kind, name)) = owner {
            self.owners.insert((spot.ns.clone(), format!("{}s.apps", kind.to_lowercase()), name.to_owned()));
        }
    }

    fn store(&mut self, path: &str, objects: Vec<Value>) {
        let alone = path.rsplit('/').next().is_some_and(|file| {
            let name = file.rsplit_once('.').map_or(file, |(name, _)| name);
            objects.len() == 1 && name == name_of(&objects[0])
        });
        let body =
            if alone { objects[0].clone() } else { json!({"apiVersion": "v1", "kind": "List", "items": objects}) };
        self.tree.write(path, serde_json::to_vec(&body).unwrap());
    }
}

const ENDINGS: [&str; 3] = [".yaml", ".yml", ".json"];

impl Spot<'_> {
    /// The path of the kind's file or folder.
    fn base(&self) -> String {
        let Resource { group, plural, .. } = self.resource;
        let group = if group.is_empty() { "core" } else { group };
        match self.resource.namespaced {
            true => format!("namespaces/{}/{group}/{plural}", self.ns),
            false => format!("cluster-scoped-resources/{group}/{plural}"),
        }
    }

    fn is_list(&self, path: &str) -> bool {
        path.strip_prefix(&self.base()).is_some_and(|rest| ENDINGS.contains(&rest))
    }

    /// Every file that may hold the object, in the order in which a bundle reads them.
    fn files(&self, tree: &Tree) -> Vec<String> {
        let below = |prefix: &str| -> Vec<String> {
            let paths = tree.below(prefix).map(|(path, _)| path.to_owned());
            paths.filter(|path| ENDINGS.iter().any(|ending| path.ends_with(ending))).collect()
        };
        let base = self.base();
        let mut files: Vec<String> = ENDINGS.map(|ending| format!("{base}{ending}")).to_vec();
        files.retain(|path| tree.file(path).is_some());
        files.extend(below(&format!("{base}/")));
        match self.resource.name().as_str() {
            "pods" => files.extend(below(&format!("namespaces/{}/pods/", self.ns))),
            "namespaces" => files.extend(below(&format!("namespaces/{0}/{0}.", self.name))),
            _ => {}
        }
        files
    }

    /// An object with what its place says of it.
    fn whole(&self, mut object: Value) -> Value {
        let Some(fields) = object.as_object_mut() else { return object };
        fields.entry("kind").or_insert_with(|| self.resource.kind.as_str().into());
        fields.entry("apiVersion").or_insert_with(|| self.resource.api_version().into());
        if self.resource.namespaced {
            object["metadata"]["namespace"] = self.ns.as_str().into();
        }
        object
    }
}

/// The objects of a file; one that cannot be read stays as it is.
fn objects(tree: &Tree, path: &str) -> Vec<Value> {
    tree.file(path).and_then(|file| file.objects().ok()).unwrap_or_default().to_vec()
}

pub(super) fn name_of(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// Kind and name of the controller that owns an object.
pub(super) fn controller(object: &Value) -> Option<(&str, &str)> {
    let owners = object["metadata"]["ownerReferences"].as_array()?;
    let owner = owners.iter().find(|owner| owner["controller"] == true)?;
    Some((owner["kind"].as_str()?, owner["name"].as_str()?))
}
