//! The log of every container: the first byte chooses the cluster.

#![no_main]

mod common;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let [cluster, log @ ..] = input else { return };
    let mut tree = common::cluster(*cluster);
    let logs = tree.below("namespaces/").map(|(path, _)| path.to_owned());
    let logs: Vec<String> = logs.filter(|path| path.ends_with(".log")).collect();
    logs.iter().for_each(|path| tree.write(path, log.to_vec()));
    common::run(tree);
});
