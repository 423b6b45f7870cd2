//! What the targets share: the recorded clusters of the program, and the whole diagnosis of a changed one.

use std::sync::LazyLock;

use rookdoctor::checks;
use rookdoctor::diagnosis::{Scope, diagnose};
use rookdoctor::examples;
use rookdoctor::facts::archive::Tree;
use rookdoctor::facts::bundle::Bundle;

/// The recorded clusters, opened once.
#[allow(dead_code, reason = "not every target starts from one")]
pub static CLUSTERS: LazyLock<Vec<Tree>> = LazyLock::new(|| {
    let open = |example: &examples::Example| Tree::from_archive(example.name, example.archive);
    examples::ALL.iter().map(|example| open(example).expect("an example is readable")).collect()
});

/// One of the recorded clusters.
#[allow(dead_code, reason = "not every target starts from one")]
pub fn cluster(choice: u8) -> Tree {
    CLUSTERS[usize::from(choice) % CLUSTERS.len()].clone()
}

/// Asks every check. What cannot be opened is an error and no crash.
pub fn run(tree: Tree) {
    let Ok(bundle) = Bundle::from_tree(tree) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(diagnose(&bundle, checks::ALL, &Scope::default(), &|_, _| {}));
}
