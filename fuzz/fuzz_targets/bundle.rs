//! The bytes of an archive, packed or not: opened, read and diagnosed.

#![no_main]

mod common;

use libfuzzer_sys::fuzz_target;
use rookdoctor::facts::archive::Tree;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(tree) = Tree::from_archive("fuzz", bytes) {
        for (_, file) in tree.below("") {
            drop(file.objects());
        }
        common::run(tree);
    }
});
