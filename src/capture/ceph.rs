//! The Ceph commands that a person wants to see of a broken cluster: each of them only reads, and none prints keys.
//!
//! Left out although they read: `auth` and `config-key dump`, which print keys, and the audit log, which quotes
//! commands with the keys they were given.

/// A Ceph command that only reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Command {
    /// The words after `ceph`.
    pub line: &'static str,
    /// Whether the active mgr answers it: without one such a command hangs for ever.
    pub mgr: bool,
    /// As text for people, not as JSON.
    pub plain: bool,
}

impl Command {
    pub fn words(&self) -> Vec<&'static str> {
        self.line.split(' ').collect()
    }
}

const fn mon(line: &'static str) -> Command {
    Command { line, mgr: false, plain: false }
}

const fn mgr(line: &'static str) -> Command {
    Command { line, mgr: true, plain: false }
}

const fn plain(line: &'static str, mgr: bool) -> Command {
    Command { line, mgr, plain: true }
}

/// What `--all` asks beside the commands of the checks.
pub static MORE: &[Command] = &[
    plain("status", false),
    plain("health detail", false),
    plain("osd tree", false),
    plain("osd df tree", true),
    mgr("balancer status"),
    mon("config dump"),
    mon("config-key ls"),
    mgr("crash stat"),
    mgr("device ls"),
    mon("df"),
    mon("df detail"),
    mon("features"),
    mon("fs ls"),
    mgr("fs status"),
    mgr("healthcheck history ls"),
    mon("log last 10000 debug cluster"),
    mon("mds metadata"),
    mon("mds stat"),
    mon("mgr dump"),
    mon("mgr metadata"),
    mon("mgr module ls"),
    mon("mgr services"),
    mon("mgr stat"),
    mon("mon dump"),
    mon("mon metadata"),
    mon("mon stat"),
    mon("node ls"),
    mgr("osd blocked-by"),
    mon("osd blocklist ls"),
    mon("osd crush class ls"),
    mon("osd crush dump"),
    mon("osd crush show-tunables"),
    mon("osd crush tree"),
    mon("osd crush weight-set dump"),
    mon("osd crush weight-set ls"),
    mgr("osd df tree"),
    mon("osd erasure-code-profile ls"),
    mon("osd getmaxosd"),
    mon("osd lspools"),
    mon("osd numa-status"),
    mgr("osd perf"),
    mgr("osd pool autoscale-status"),
    mgr("osd pool stats"),
    mon("osd stat"),
    mon("osd utilization"),
    mgr("pg dump"),
    mgr("pg dump_stuck"),
    mgr("pg stat"),
    mgr("progress json"),
    mgr("rbd task list"),
    mon("report"),
    mgr("service dump"),
];

/// What `--all` asks of the admin socket of each monitor, beside `mon_status`.
pub static SOCKETS: &[&str] = &["quorum_status", "sync_status", "ops", "perf dump", "version"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::CephCommand;

    /// Words of which one says that a command reads. A command is what its words say: none of these has a form that
    /// changes something.
    const READS: [&str; 31] = [
        "status",
        "detail",
        "tree",
        "dump",
        "ls",
        "stat",
        "df",
        "features",
        "last",
        "metadata",
        "services",
        "blocked-by",
        "show-tunables",
        "getmaxosd",
        "lspools",
        "numa-status",
        "perf",
        "autoscale-status",
        "stats",
        "utilization",
        "dump_stuck",
        "json",
        "list",
        "report",
        "versions",
        "quorum_status",
        "time-sync-status",
        "mon_status",
        "sync_status",
        "ops",
        "version",
    ];
    const WRITES: [&str; 21] = [
        "set", "unset", "rm", "rm-all", "create", "add", "new", "in", "out", "down", "fail", "import", "destroy",
        "purge", "reweight", "clear", "repair", "enable", "disable", "archive", "prune",
    ];
    const SAYS_KEYS: [&str; 4] = ["auth", "dump-keys", "get", "audit"];

    #[test]
    fn every_command_only_reads_and_prints_no_keys() {
        let asked = CephCommand::ALL.iter().map(|command| command.to_string());
        let lines = MORE.iter().map(|command| command.line.to_owned()).chain(SOCKETS.iter().map(|line| (*line).into()));
        for line in asked.chain(lines) {
            let words: Vec<&str> = line.split(' ').collect();
            assert!(words.iter().any(|word| READS.contains(word)), "{line} does not say that it reads");
            assert!(!words.iter().any(|word| WRITES.contains(word)), "{line} changes something");
            assert!(!words.iter().any(|word| SAYS_KEYS.contains(word)), "{line} may print keys");
            assert!(words[0] != "config-key" || words == ["config-key", "ls"], "{line} prints keys");
        }
    }

    #[test]
    fn no_command_is_asked_twice() {
        let mut seen: Vec<(&str, bool)> = MORE.iter().map(|command| (command.line, command.plain)).collect();
        let asked: Vec<String> = CephCommand::ALL.iter().map(|command| command.to_string()).collect();
        seen.extend(asked.iter().map(|line| (line.as_str(), false)));
        let all = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), all);
    }
}
