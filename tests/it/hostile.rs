//! Bundles that are damaged, or made to do damage: what is wrong is named by its path, what depends on it is unknown,
//! and the rest is diagnosed.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::LazyLock;

use flate2::Compression;
use flate2::write::GzEncoder;
use rookdoctor::diagnosis::{Diagnosis, Status};
use rookdoctor::facts::archive::{LOG_BYTES, Tree};
use serde_json::json;
use tar::{EntryType, Header};

use crate::support;

/// A cluster with one root cause, and a file that it does not depend on.
const CLUSTER: &str = "story7-mon-down-one";
const ROOT: &str = "NODE011/Node/agate-3";
const CLAIMS: &str = "namespaces/apps/core/persistentvolumeclaims.yaml";
const LOG: &str = "namespaces/apps/pods/postgres-0/postgres/postgres/logs/current.log";
const MANIFEST: &str = "rookdoctor/manifest.yaml";

type Files = BTreeMap<String, Vec<u8>>;

fn files() -> Files {
    let tree = support::base(CLUSTER);
    tree.below("").map(|(path, file)| (path.to_owned(), file.bytes().unwrap().into_owned())).collect()
}

fn entry(kind: EntryType, path: &str, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o644);
    let name = path.as_bytes();
    header.as_gnu_mut().unwrap().name[..name.len().min(100)].copy_from_slice(&name[..name.len().min(100)]);
    header.set_cksum();
    header
}

/// An archive of these files, the one of the claims last, and what is added at its end.
fn archive(files: &Files, add: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let last = |path: &&String| path.as_str() == CLAIMS;
    for path in files.keys().filter(|path| !last(path)).chain(files.keys().filter(last)) {
        let content = files[path].as_slice();
        archive.append_data(&mut entry(EntryType::Regular, "", content.len() as u64), path, content).unwrap();
    }
    add(&mut archive);
    archive.into_inner().unwrap()
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

fn folder(files: &Files) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    folder
}

/// How many forms of an archive there are.
const FORMS: usize = 4;

/// The archive as a file on disk, packed and not, and in memory.
fn opened(archive: &[u8]) -> Vec<Tree> {
    let folder = tempfile::tempdir().unwrap();
    let open = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        Tree::open(&path).unwrap()
    };
    vec![
        open("x.tar", archive),
        open("x.tar.gz", &packed(archive)),
        Tree::from_archive("x", archive).unwrap(),
        Tree::from_archive("x", &packed(archive)).unwrap(),
    ]
}

fn diagnose(tree: Tree) -> Diagnosis {
    support::run(&support::bundle(tree))
}

/// The cluster without damage.
static WELL: LazyLock<Diagnosis> = LazyLock::new(|| diagnose(support::base(CLUSTER)));

fn roots(diagnosis: &Diagnosis) -> Vec<&str> {
    diagnosis.roots.iter().map(|&at| diagnosis.findings[at].id.as_str()).collect()
}

/// The codes of the checks that are blind, with what they say of it.
fn blind(diagnosis: &Diagnosis) -> BTreeMap<&str, String> {
    let outcomes = diagnosis.outcomes.iter().filter(|outcome| !outcome.blind.is_empty());
    outcomes.map(|outcome| (outcome.check.code, format!("{:?}", outcome.blind))).collect()
}

/// The root cause is found, some check that passed is blind and says why, no blind check passes, and nothing is found
/// that the undamaged cluster does not have.
fn is_diagnosed_but(tree: Tree, why: &str) {
    let damaged = diagnose(tree);
    assert_eq!(roots(&damaged), [ROOT], "{}", support::outline(&damaged));
    let blind = blind(&damaged);
    assert!(blind.values().any(|blind| blind.contains(why)), "{why}: {blind:?}");
    assert!(damaged.outcomes.iter().all(|outcome| outcome.blind.is_empty() || outcome.status != Status::Passed));
    let finds = |diagnosis: &Diagnosis| diagnosis.findings.iter().map(|one| one.id.clone()).collect::<Vec<_>>();
    assert!(finds(&damaged).iter().all(|id| finds(&WELL).contains(id)), "{}", support::outline(&damaged));
}

/// The same diagnosis as of the undamaged cluster.
fn is_the_same(tree: Tree) {
    assert_eq!(support::outline(&diagnose(tree)), support::outline(&WELL));
}

#[test]
fn an_archive_that_ends_early_is_diagnosed_as_far_as_it_goes() {
    let files = files();
    let whole = archive(&files, |_| {});
    let body = files[CLAIMS].len().div_ceil(512) * 512;
    // Two blocks of zeros end an archive.
    let start = whole.len() - 1024 - body;
    for (cut, form) in [start - 512, start - 100, start + 1, start + body / 2, start + body - 1, start + body]
        .into_iter()
        .zip((0..FORMS).cycle())
    {
        let mut trees = opened(&whole[..cut]);
        // Every form of an archive that lacks nothing but its end, and of others one each.
        let trees = if cut == start + body { trees } else { vec![trees.swap_remove(form)] };
        for tree in trees {
            assert!(tree.cut().is_some_and(|why| why.contains("cut off")), "{cut}");
            is_diagnosed_but(tree, "cut off");
        }
    }
}

#[test]
fn a_packed_archive_that_ends_early_passes_nothing() {
    let packed = packed(&archive(&files(), |_| {}));
    for cut in [packed.len() / 4, packed.len() / 2, packed.len() - 9, packed.len() - 1] {
        let tree = Tree::from_archive("x", &packed[..cut]).unwrap();
        let diagnosis = diagnose(tree);
        let passed = diagnosis.outcomes.iter().filter(|outcome| outcome.status == Status::Passed);
        let passed: Vec<&str> = passed.map(|outcome| outcome.check.code).collect();
        assert!(passed.is_empty(), "cut at {cut} of {}: {passed:?} passed", packed.len());
    }
    let mut flipped = packed.clone();
    let checksum = packed.len() - 8;
    flipped[checksum] ^= 1;
    is_diagnosed_but(Tree::from_archive("x", &flipped).unwrap(), "damaged");
}

#[test]
fn members_of_gzip_make_one_archive_and_a_second_archive_is_told() {
    let whole = archive(&files(), |_| {});
    let (one, other) = whole.split_at(whole.len() / 3);
    is_the_same(Tree::from_archive("x", &[packed(one), packed(other)].concat()).unwrap());
    for tree in opened(&[whole.clone(), whole.clone()].concat()) {
        is_diagnosed_but(tree, "more behind the end");
    }
    let members = [packed(&whole), packed(&whole)].concat();
    is_diagnosed_but(Tree::from_archive("x", &members).unwrap(), "more behind the end");
}

#[test]
fn bombs_are_refused_and_named() {
    let mut others = files();
    others.remove(CLAIMS);
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(archive(&others, |_| {}).strip_suffix(&[0; 1024]).unwrap()).unwrap();
    let start = packer.finish().unwrap();

    let size = 257 << 20;
    let mut large = GzEncoder::new(start.clone(), Compression::fast());
    large.write_all(entry(EntryType::Regular, CLAIMS, size).as_bytes()).unwrap();
    io::copy(&mut io::repeat(0).take(size + 1024), &mut large).unwrap();
    is_diagnosed_but(Tree::from_archive("x", &large.finish().unwrap()).unwrap(), &format!("{CLAIMS}: larger than"));

    let mut many = GzEncoder::new(start, Compression::fast());
    let empty = entry(EntryType::Regular, "namespaces/apps/core/configmaps.yaml", 0);
    for _ in 0..200_000 {
        many.write_all(empty.as_bytes()).unwrap();
    }
    is_diagnosed_but(Tree::from_archive("x", &many.finish().unwrap()).unwrap(), "more files than are read");
}

#[test]
fn what_is_no_file_of_the_archive_is_refused_and_named() {
    let mut others = files();
    others.remove(CLAIMS);
    for kind in [EntryType::Symlink, EntryType::Link, EntryType::Fifo, EntryType::Char, EntryType::Block] {
        let bytes = archive(&others, |archive| {
            archive.append_link(&mut entry(kind, "", 0), CLAIMS, "/etc/passwd").unwrap();
        });
        is_diagnosed_but(Tree::from_archive("x", &bytes).unwrap(), &format!("{CLAIMS}: a link or a device"));
    }
    let sparse =
        archive(&others, |archive| archive.append(&entry(EntryType::GNUSparse, CLAIMS, 0), io::empty()).unwrap());
    is_diagnosed_but(Tree::from_archive("x", &sparse).unwrap(), &format!("{CLAIMS}: a sparse file"));
    let escapes = ["../namespaces/apps/core/x.yaml", "/namespaces/apps/core/x.yaml", "namespaces/apps\u{1b}[2J/x.yaml"];
    let bytes = archive(&files(), |archive| {
        for name in escapes {
            archive.append(&entry(EntryType::Regular, name, 1), &b"x"[..]).unwrap();
        }
    });
    for tree in opened(&bytes) {
        assert_eq!(tree.damage().len(), escapes.len());
        is_diagnosed_but(tree, "leads out of the archive");
    }
    let folder = archive(&files(), |archive| {
        archive.append_link(&mut entry(EntryType::Symlink, "", 0), "namespaces/other", "/etc").unwrap();
    });
    is_diagnosed_but(Tree::from_archive("x", &folder).unwrap(), "namespaces/other: a link");
}

#[cfg(unix)]
#[test]
fn what_is_no_file_of_the_folder_is_refused_and_named() {
    let folder = folder(&files());
    let claims = folder.path().join(CLAIMS);
    let open = || Tree::open(folder.path()).unwrap();
    fs::remove_file(&claims).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", &claims).unwrap();
    is_diagnosed_but(open(), &format!("{CLAIMS}: a link or a device"));
    fs::remove_file(&claims).unwrap();
    pipe(&claims);
    is_diagnosed_but(open(), &format!("{CLAIMS}: a link or a device"));
    fs::remove_file(&claims).unwrap();
    fs::write(&claims, &files()[CLAIMS]).unwrap();
    is_the_same(open());
    std::os::unix::fs::symlink("/etc", folder.path().join("namespaces/other")).unwrap();
    is_diagnosed_but(open(), "namespaces/other: a link");
}

#[cfg(unix)]
fn pipe(path: &Path) {
    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// Whoever may read everything, such as root, has nothing to see here.
#[cfg(unix)]
#[test]
fn a_file_without_permission_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder(&files());
    let claims = folder.path().join(CLAIMS);
    fs::set_permissions(&claims, fs::Permissions::from_mode(0o000)).unwrap();
    let tree = Tree::open(folder.path()).unwrap();
    if fs::File::open(&claims).is_ok() {
        is_the_same(tree);
    } else {
        is_diagnosed_but(tree, &format!("{CLAIMS}: Permission denied"));
    }
}

#[test]
fn ten_thousand_small_files_are_no_hindrance() {
    let mut files = files();
    for at in 0..10_000 {
        let path = format!("namespaces/apps/example.com/widgets/w-{at}.yaml");
        files.insert(path, format!("kind: Widget\nmetadata: {{name: w-{at}, namespace: apps}}\n").into_bytes());
    }
    is_the_same(Tree::open(folder(&files).path()).unwrap());
    is_the_same(Tree::from_archive("x", &packed(&archive(&files, |_| {}))).unwrap());
}

const HUGE: u64 = 2 << 30;

fn end_of_the_log(tree: &Tree) {
    let log = tree.file(LOG).unwrap();
    assert_eq!(log.size(), LOG_BYTES as u64 + 1);
    assert!(log.bytes().unwrap().ends_with(b"\nthe end\n"));
}

#[test]
fn of_a_huge_log_the_end_is_read() {
    let folder = folder(&files());
    let mut log = fs::File::create(folder.path().join(LOG)).unwrap();
    log.seek(SeekFrom::Start(HUGE)).unwrap();
    log.write_all(b"\nthe end\n").unwrap();
    let tree = Tree::open(folder.path()).unwrap();
    end_of_the_log(&tree);
    is_the_same(tree);
}

/// The archive comes through a pipe, as from `cat` or a download, and is nowhere stored.
#[cfg(unix)]
#[test]
fn of_a_huge_log_in_an_archive_the_end_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar");
    pipe(&path);
    let mut others = files();
    others.remove(LOG);
    let start = archive(&others, |_| {});
    let at = path.clone();
    let writer = std::thread::spawn(move || {
        let mut pipe = fs::File::create(at).unwrap();
        pipe.write_all(start.strip_suffix(&[0; 1024]).unwrap()).unwrap();
        let end = b"\nthe end\n";
        pipe.write_all(entry(EntryType::Regular, LOG, HUGE).as_bytes()).unwrap();
        let chunk = [b'x'; 1 << 20];
        let mut left = HUGE as usize - end.len();
        while left > 0 {
            pipe.write_all(&chunk[..left.min(chunk.len())]).unwrap();
            left -= left.min(chunk.len());
        }
        pipe.write_all(end).unwrap();
        pipe.write_all(&[0; 1024]).unwrap();
    });
    let tree = Tree::open(&path).unwrap();
    writer.join().unwrap();
    end_of_the_log(&tree);
    is_the_same(tree);
}

#[test]
fn a_broken_file_is_named() {
    let deep = "[".repeat(100_000);
    let laughs: String = std::iter::once("a0: &a0 [x, x]\n".to_owned())
        .chain((0..12).map(|at| format!("a{0}: &a{0} [{1}]\n", at + 1, format!("*a{at},").repeat(9))))
        .collect();
    let many =
        format!("kind: PersistentVolumeClaimList\nitems:\n{}- {{a: [\n", "- metadata: {name: x}\n".repeat(9_000));
    let cases: [&[u8]; 13] = [
        b"",
        b"\n \n",
        b"kind: PersistentVolumeClaimList\nitems: [}",
        b"{\"kind\": \"PersistentVolumeClaimList\", \"items\": [{]}",
        b"{\"kind\": \"PersistentVolumeClaimList\", \"items\": [7]}",
        b"kind: PersistentVolumeClaimList\nitems: 7\n",
        b"just a text",
        b"\xff\xfek\0i\0n\0d\0",
        b"kind: Pod\nmetadata: {name: x, namespace: apps}\n",
        b"kind: PersistentVolumeClaim\nmetadata: {name: x, namespace: elsewhere}\n",
        b"kind: PersistentVolumeClaim\n",
        deep.as_bytes(),
        laughs.as_bytes(),
    ];
    for broken in cases.into_iter().chain([many.as_bytes()]) {
        let mut tree = support::base(CLUSTER);
        tree.write(CLAIMS, broken.to_vec());
        is_diagnosed_but(tree, CLAIMS);
    }
}

#[test]
fn objects_that_are_there_twice_count_once() {
    let path = "namespaces/rook-ceph/core/pods.yaml";
    let mut tree = support::base(CLUSTER);
    let pods = tree.file(path).unwrap().objects().unwrap();
    for pod in &pods {
        let name = pod["metadata"]["name"].as_str().unwrap();
        tree.write(&format!("namespaces/rook-ceph/pods/{name}/{name}.yaml"), pod.to_string().into_bytes());
    }
    let twice = [pods.clone(), pods].concat();
    tree.write(path, json!({"kind": "PodList", "items": twice}).to_string().into_bytes());
    is_the_same(tree);
}

#[test]
fn kinds_that_nobody_knows_are_left_alone() {
    let mut tree = support::base(CLUSTER);
    tree.write("namespaces/apps/example.com/widgets.yaml", b"kind: WidgetList\nitems: [}".to_vec());
    tree.write("cluster-scoped-resources/example.com/gadgets/x.yaml", b"\xff".to_vec());
    tree.write("namespaces/apps/notes", b"x".to_vec());
    is_the_same(tree);
}

/// Every time stamp of the objects, and the capture's: nothing panics, and what is read is diagnosed.
#[test]
fn clocks_may_say_what_they_like() {
    for (capture, stamp) in [
        ("2025-09-03T20:08:12Z", "9999-12-30T21:59:59Z"),
        ("2025-09-03T20:08:12Z", "-009999-01-02T01:59:59Z"),
        ("1970-01-01T00:00:00Z", "2025-09-03T20:08:12Z"),
        ("9999-12-30T22:00:00Z", "2025-09-03T20:08:12Z"),
        ("9999-12-30T22:00:00Z", "-009999-01-02T01:59:59Z"),
        ("-009999-01-02T01:59:59Z", "9999-12-30T21:59:59Z"),
    ] {
        let mut files = files();
        for content in files.values_mut() {
            *content = restamped(&String::from_utf8_lossy(content), stamp).into_bytes();
        }
        files.insert(MANIFEST.to_owned(), format!("captureTime: '{capture}'\n").into_bytes());
        let diagnosis = diagnose(Tree::from_archive("x", &archive(&files, |_| {})).unwrap());
        // How bad it is, and what caused it, depends on times; that it is, does not.
        let found = diagnosis.findings.iter().any(|one| one.check.code == "MON002");
        assert!(found, "{capture} {stamp}: {}", support::outline(&diagnosis));
    }
}

/// Every time of this century replaced.
fn restamped(text: &str, stamp: &str) -> String {
    let mut out = String::new();
    let mut left = text;
    while let Some(at) = left.find("20") {
        let (before, from) = left.split_at(at);
        out.push_str(before);
        let is_stamp = from.get(..20).is_some_and(|time| time.ends_with('Z') && time.as_bytes()[10] == b'T');
        out.push_str(if is_stamp { stamp } else { "20" });
        left = &from[if is_stamp { 20 } else { 2 }..];
    }
    out + left
}

#[test]
fn a_clock_without_a_manifest_is_not_from_the_future() {
    let mut files = files();
    files.remove(MANIFEST);
    let now = |files: &Files| support::bundle(Tree::open(folder(files).path()).unwrap());
    let well = rookdoctor::facts::Source::now(&now(&files));
    files.insert(
        "namespaces/apps/core/events.yaml".into(),
        b"kind: EventList\nitems:\n- metadata: {name: x, creationTimestamp: '9999-12-31T23:59:59Z'}\n".to_vec(),
    );
    assert_eq!(rookdoctor::facts::Source::now(&now(&files)), well);
}

#[test]
fn names_that_no_server_takes_go_no_further() {
    let long = "x".repeat(100_000);
    for name in ["\u{1b}[2Jx", "../../etc/passwd", "a b; reboot", "", long.as_str(), "\u{202e}x", "$(reboot)"] {
        let mut tree = support::base(CLUSTER);
        let claim = json!({"kind": "PersistentVolumeClaim", "metadata": {"name": name, "namespace": "apps"},
            "spec": {"storageClassName": "ceph-block"}, "status": {"phase": "Pending"}});
        tree.write("namespaces/apps/core/persistentvolumeclaims/x.yaml", claim.to_string().into_bytes());
        let diagnosis = diagnose(tree);
        assert!(roots(&diagnosis).contains(&ROOT), "{name:.20}");
        assert!(!support::outline(&diagnosis).contains('\u{1b}'));
    }
}
