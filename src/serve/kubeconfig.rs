//! The kubeconfig that leads to a served recording.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

/// How every file of ours begins, so that it may be replaced.
const MARK: &str = "# Written by `kubectl rookdoctor serve`";

/// A kubeconfig whose only context leads to this address.
pub fn kubeconfig(context: &str, url: &str, namespace: &str) -> String {
    format!(
        "{MARK}: a recorded cluster, for reading only, as long as that command runs.\n\
         # Whoever knows the address can read the recording.\n\
         apiVersion: v1\n\
         kind: Config\n\
         current-context: {context}\n\
         clusters:\n\
         - name: {context}\n  cluster:\n    server: {url}\n\
         contexts:\n\
         - name: {context}\n  context:\n    cluster: {context}\n    namespace: {namespace}\n    user: {context}\n\
         users:\n\
         - name: {context}\n  user: {{}}\n"
    )
}

/// Writes it for the user alone. Another file than an empty one or one of ours is not replaced.
pub fn write(path: &Path, content: &str) -> io::Result<()> {
    match fs::read(path) {
        Ok(there) if !there.is_empty() && !there.starts_with(MARK.as_bytes()) => {
            let why = "there is a file that `serve` did not write; it is not replaced. Name another";
            return Err(io::Error::new(ErrorKind::AlreadyExists, why));
        }
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Beside it and then in its place: whoever reads it meanwhile reads a whole one.
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let beside = path.with_file_name(name);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(&beside).and_then(|mut file| file.write_all(content.as_bytes()));
    let written = written.and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_file_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        let first = kubeconfig("recorded", "http://127.0.0.1:1/k", "rook-ceph");
        write(&path, &first).unwrap();
        let second = kubeconfig("recorded", "http://127.0.0.1:2/k", "rook-ceph");
        write(&path, &second).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), second);
        #[cfg(unix)]
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions()) & 0o777, 0o600);
        fs::write(&path, "").unwrap();
        write(&path, &first).unwrap();
        fs::write(&path, "apiVersion: v1\nkind: Config\n").unwrap();
        assert_eq!(write(&path, &first).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "apiVersion: v1\nkind: Config\n");
        assert!(write(&folder.path().join("nowhere/config"), &first).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn it_is_a_kubeconfig() {
        let text = kubeconfig("recorded", "http://127.0.0.1:1/k", "rook-ceph");
        let read = kube::config::Kubeconfig::from_yaml(&text).unwrap();
        assert_eq!(read.current_context.as_deref(), Some("recorded"));
        assert_eq!(read.clusters[0].cluster.as_ref().unwrap().server.as_deref(), Some("http://127.0.0.1:1/k"));
    }
}
