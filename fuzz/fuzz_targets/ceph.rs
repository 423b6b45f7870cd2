//! The answer of a Ceph command: the first byte chooses the cluster, the second the command.

#![no_main]

mod common;

use libfuzzer_sys::fuzz_target;
use rookdoctor::facts::{Answer, CephCommand, Fact, Store};

const FOLDER: &str = "must_gather_commands_json_output";

fuzz_target!(|input: &[u8]| {
    let [cluster, command, answer @ ..] = input else { return };
    let command = CephCommand::ALL[usize::from(*command) % CephCommand::ALL.len()];
    let fact = Fact::Ceph { ns: "a".to_owned(), command };
    let mut store = Store::default();
    store.put(fact.clone(), Ok(Answer::Text(answer.to_vec()).into()));
    // What is refused at once reaches no check.
    if store.why(&fact).is_some() {
        return;
    }
    let mut tree = common::cluster(*cluster);
    let line = format!("ceph_{}_--format_json-pretty", command.words().join("_"));
    let files = tree.below("ceph/namespaces/").map(|(path, _)| path.to_owned());
    let paths: Vec<String> = files.filter(|path| path.ends_with(&format!("{FOLDER}/{line}"))).collect();
    paths.iter().for_each(|path| tree.write(path, answer.to_vec()));
    common::run(tree);
});
