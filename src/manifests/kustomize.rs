//! A folder for kustomize: a file for each object, and the list of them.

use std::fs;
use std::path::Path;

use anyhow::Context;
use serde_json::{Value, json};

/// Writes into a new folder, or an empty one: nothing is overwritten. Returns the names of the files.
pub fn write(folder: &Path, files: &[(String, String)]) -> anyhow::Result<()> {
    let told = || format!("cannot write to {}", folder.display());
    fs::create_dir_all(folder).with_context(told)?;
    let is_empty = fs::read_dir(folder).with_context(told)?.next().is_none();
    anyhow::ensure!(is_empty, "{} is not empty: name a new folder", folder.display());
    for (name, text) in files {
        fs::write(folder.join(name), text).with_context(told)?;
    }
    Ok(())
}

/// `role-rookdoctor-read-kube-system.yaml`
pub fn file_name(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (kind, name, ns) = (text("/kind").to_lowercase(), text("/metadata/name"), text("/metadata/namespace"));
    let ns = if ns.is_empty() { String::new() } else { format!("-{ns}") };
    format!("{kind}-{name}{ns}.yaml")
}

/// The `kustomization.yaml` of these files.
pub fn kustomization(files: &[String]) -> Value {
    json!({"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": files})
}

/// What one must know before building on it.
pub const ABOUT: &str = "An overlay may patch, label, and choose the image. It must not set a namespace or a prefix for all: the roles \
     belong to several namespaces, and the ConfigMap is found by its name. --into chooses the namespace.";
