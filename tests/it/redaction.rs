//! What goes out to a bundle: secrets are gone, all else is as it was.

use rookdoctor::examples;
use rookdoctor::facts::archive::Tree;
use rookdoctor::redact;

use crate::{plants, support};

#[test]
fn no_secret_of_any_kind_survives_in_any_place() {
    let mut failures = Vec::new();
    for plant in plants::all() {
        for (path, content) in plants::places(&plant) {
            assert!(plants::found(&plant, &content).is_some(), "{} was not planted in {path}", plant.kind);
            let out = redact::file(&path, content);
            if let Some(form) = plants::found(&plant, &out) {
                failures.push(format!(
                    "{} as {} in {path}: {form}\n{}",
                    plant.kind,
                    plant.name,
                    String::from_utf8_lossy(&out)
                ));
            }
            let again = redact::file(&path, out.clone());
            if again != out {
                let text = [&out, &again].map(|text| String::from_utf8_lossy(text).into_owned());
                failures.push(format!("{} in {path}: not the same twice: {text:?}", plant.kind));
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} survive; the first:\n{}",
        failures.len(),
        failures[..failures.len().min(12)].join("\n")
    );
}

/// What of the recorded clusters is said to be secret: nothing, so each file comes back as it was.
#[test]
fn a_recorded_cluster_comes_back_as_it_was() {
    let mut changed = Vec::new();
    for example in examples::ALL {
        let tree: Tree = support::base(example.name);
        for (path, file) in tree.below("") {
            let Ok(bytes) = file.bytes() else { continue };
            let out = redact::file(path, bytes.to_vec());
            if out != *bytes {
                let (a, b) = (String::from_utf8_lossy(&bytes).into_owned(), String::from_utf8_lossy(&out).into_owned());
                let lines = a.lines().zip(b.lines()).find(|(a, b)| a != b);
                changed.push(format!("{}/{path}: {lines:?}", example.name));
            }
        }
    }
    assert!(changed.is_empty(), "{} changed:\n{}", changed.len(), changed.join("\n"));
}

/// Neither does it change what is said of a cluster that is full of secrets.
#[test]
fn a_cluster_full_of_secrets_has_the_same_diagnosis_without_them() {
    for example in ["healthy-csi-operator", "story7-mon-down-one"] {
        let planted = plants::planted(&support::base(example));
        let logs = planted.below("namespaces/").filter(|(path, _)| path.ends_with(".log"));
        assert!(logs.count() > 3, "{example}: nothing was planted");
        let mut clean = Tree::default();
        for (path, file) in planted.below("") {
            let Ok(bytes) = file.bytes() else { continue };
            let out = redact::file(path, bytes.to_vec());
            assert_eq!(plants::any_found(&out), None, "{example}: survives in {path}");
            clean.write(path, out);
        }
        let [before, after] = [planted, clean].map(|tree| support::told(&support::run(&support::bundle(tree))));
        assert_eq!(before, after, "{example}");
    }
}
