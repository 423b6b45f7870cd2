//! What goes out to a bundle: secrets are gone, all else is as it was.

use std::io::Read;
use std::process::Command;

use flate2::read::MultiGzDecoder;
use rookdoctor::examples;
use rookdoctor::facts::archive::Tree;
use rookdoctor::redact;

use crate::double::{Double, Faults};
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

/// The whole way: a cluster full of secrets, the command, the bytes of its archive.
#[test]
fn an_archive_holds_no_secret() {
    let planted = plants::planted(&support::base("story7-mon-down-one"));
    let there = planted.below("").filter_map(|(_, file)| plants::any_found(&file.bytes().ok()?));
    assert!(there.count() > 50, "nothing was planted");
    let double = Double::serve(planted, Faults::none());
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-rookdoctor"));
    command.env_clear().env("LANG", "C.UTF-8").env("HOME", "/nonexistent").env("KUBECONFIG", double.kubeconfig());
    let output = command.current_dir(folder.path()).args(["capture", "--all", "-f", "all.tar.gz"]).output().unwrap();
    let packed = std::fs::read(folder.path().join("all.tar.gz"));
    let packed = packed.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    let mut archive = Vec::new();
    MultiGzDecoder::new(packed.as_slice()).read_to_end(&mut archive).unwrap();
    let text = String::from_utf8_lossy(&archive);
    assert!(text.matches(redact::REDACTED).count() > 1000, "hardly anything was planted and taken out again");
    assert_eq!(plants::any_found(&archive), None);
    for said in [&output.stdout, &output.stderr] {
        assert_eq!(plants::any_found(said), None);
    }
}
