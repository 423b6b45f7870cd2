//! Commands that change Ceph: they change what was recorded of it, as far as that goes.

use rookdoctor::serve::exec::{KILLED_BY_TIMEOUT, Ran, file_name};
use serde_json::{Value, json};

use super::Doubled;
use super::controllers::array;
use super::state::Changed;

/// Flags of the OSD map that can be set, in the order in which Ceph names them, with their bits.
const FLAGS: [(&str, u32); 14] = [
    ("pauserd", 2),
    ("pausewr", 3),
    ("noup", 5),
    ("nodown", 6),
    ("noout", 7),
    ("noin", 8),
    ("nobackfill", 9),
    ("norebalance", 14),
    ("norecover", 10),
    ("noscrub", 11),
    ("nodeep-scrub", 12),
    ("notieragent", 13),
    ("nosnaptrim", 21),
    ("noautoscale", 23),
];
/// Flags that a single OSD, a CRUSH node or a device class can have.
const OF_ONE: [&str; 4] = ["noup", "nodown", "noin", "noout"];

const ENOENT: (i32, &str) = (2, "ENOENT");
const EINVAL: (i32, &str) = (22, "EINVAL");
const EPERM: (i32, &str) = (1, "EPERM");
const EBUSY: i32 = 16;

/// What a command says on stderr, or its exit status and why.
type Said = Result<String, (i32, String)>;

fn error((rc, name): (i32, &str), why: &str) -> Said {
    Err((rc, format!("Error {name}: {why}\n")))
}

impl Doubled {
    /// Runs a command that changes something or asks whether one may; nothing if it is no such command.
    pub(super) async fn ceph_change(&self, ns: &str, words: &[&str], sure: bool, limited: bool) -> Option<Ran> {
        let by_mgr = match words {
            ["osd", "ok-to-stop", ..] | ["crash", "archive", _] | ["crash", "archive-all"] => true,
            ["osd", "set" | "unset", _] | ["osd", "set-group" | "unset-group", _, _, ..] => false,
            ["osd", "pool", "application", "enable" | "disable", _, _] | ["mgr", "fail"] | ["mgr", "fail", _] => false,
            _ => return None,
        };
        // Without a quorum this hangs as everything else does.
        let status = self.server.ceph(ns, &["status"], true, limited).await?;
        if status.rc != 0 {
            return Some(status);
        }
        let status: Value = serde_json::from_slice(&status.stdout).unwrap_or_default();
        if by_mgr && status["mgrmap"]["available"] == false {
            return Some(Ran::hung(Vec::new(), KILLED_BY_TIMEOUT));
        }
        if let ["osd", "ok-to-stop", osds @ ..] = words {
            return Some(ok_to_stop(&status["pgmap"], osds));
        }
        let said = format!("CEPH {}", words.join(" "));
        self.pass().await;
        Some(match self.perform(&said, false, |changed| change(changed, ns, words, sure)) {
            Ok(said) => Ran { stderr: said.into_bytes(), ..Ran::default() },
            Err((rc, why)) => Ran { stderr: why.into_bytes(), rc, ..Ran::default() },
        })
    }
}

/// Where nothing was recorded of it, an OSD may be stopped if all PGs are well. Like every command that fails, a
/// refusal leaves stdout empty.
fn ok_to_stop(pgmap: &Value, osds: &[&str]) -> Ran {
    let count = |state: &Value| state["count"].as_u64().unwrap_or_default();
    let is_well = |state: &&Value| state["state_name"].as_str().unwrap_or_default().starts_with("active+clean");
    let all = pgmap["num_pgs"].as_u64().unwrap_or_default();
    let well: u64 = array(&pgmap["pgs_by_state"]).filter(is_well).map(count).sum();
    if well < all {
        let why = format!(
            "Error EBUSY: unsafe to stop osd(s) at this time ({} PGs are or would become offline)\n",
            all - well
        );
        return Ran { stderr: why.into_bytes(), rc: EBUSY, ..Ran::default() };
    }
    let osds: Vec<u64> = osds.iter().filter_map(|osd| osd.trim_start_matches("osd.").parse().ok()).collect();
    let answer = json!({"ok_to_stop": true, "osds": osds, "num_ok_pgs": well, "num_not_ok_pgs": 0,
        "ok_become_degraded": []});
    Ran { stdout: format!("\n{answer}\n").into_bytes(), ..Ran::default() }
}

fn change(changed: &mut Changed<'_>, ns: &str, words: &[&str], sure: bool) -> Said {
    match *words {
        ["osd", verb @ ("set" | "unset"), flag] => set_flag(changed, ns, flag, verb == "set"),
        ["osd", verb, flags, ref who @ ..] if verb.ends_with("-group") => {
            set_group(changed, ns, flags, who, verb == "set-group")
        }
        ["osd", "pool", "application", "enable", pool, app] => enable(changed, ns, pool, app, sure),
        ["osd", "pool", "application", "disable", pool, app] => disable(changed, ns, pool, app, sure),
        ["mgr", "fail", ref who @ ..] => fail_mgr(changed, ns, who.first().copied()),
        ["crash", "archive", id] => archive(changed, ns, Some(id)),
        _ => archive(changed, ns, None),
    }
}

fn set_flag(changed: &mut Changed<'_>, ns: &str, flag: &str, on: bool) -> Said {
    let flags: &[&str] = if flag == "pause" { &["pauserd", "pausewr"] } else { &[flag] };
    if flags.iter().any(|flag| !FLAGS.iter().any(|(known, _)| known == flag)) {
        return error(EINVAL, &format!("invalid command: {flag} is no flag"));
    }
    let mut set = Vec::new();
    changed.edit_ceph(ns, "osd dump", |dump| {
        let named: Vec<String> = dump["flags"].as_str().unwrap_or_default().split(',').map(str::to_owned).collect();
        let is_set = |one: &str| if flags.contains(&one) { on } else { named.iter().any(|there| there == one) };
        set = FLAGS.iter().map(|(one, _)| *one).filter(|one| is_set(one)).collect();
        let others = named.iter().map(String::as_str).filter(|one| !FLAGS.iter().any(|(known, _)| known == one));
        let all: Vec<&str> = set.iter().copied().chain(others).collect();
        let mut sorted = all.clone();
        sorted.sort_unstable();
        dump["flags"] = all.join(",").into();
        dump["flags_set"] = json!(sorted);
        let bits = FLAGS.iter().fold(dump["flags_num"].as_u64().unwrap_or_default(), |bits, (one, bit)| {
            if set.contains(one) { bits | 1 << bit } else { bits & !(1 << bit) }
        });
        dump["flags_num"] = bits.into();
        next_epoch(dump);
    });
    let warned = set.iter().copied().filter(|one| *one != "noautoscale").collect::<Vec<_>>();
    let message = format!("{} flag(s) set", warned.join(","));
    let check = (!warned.is_empty()).then_some((message, warned.len(), Vec::new()));
    changed.set_health(ns, "OSDMAP_FLAGS", check);
    Ok(format!("{flag} is {}\n", if on { "set" } else { "unset" }))
}

fn set_group(changed: &mut Changed<'_>, ns: &str, flags: &str, who: &[&str], on: bool) -> Said {
    let flags: Vec<&str> = flags.split(',').collect();
    if let Some(unknown) = flags.iter().find(|flag| !OF_ONE.contains(flag)) {
        return error(EINVAL, &format!("invalid flag '{unknown}'"));
    }
    let tree = changed.ceph(ns, "osd tree").unwrap_or_default();
    let class = |name: &str| array(&tree["nodes"]).any(|node| node["device_class"] == name);
    let mut details = Vec::new();
    changed.edit_ceph(ns, "osd dump", |dump| {
        for name in who {
            let id = name.trim_start_matches("osd.").parse::<u64>();
            let osd = id.ok().and_then(|id| dump["osds"].as_array()?.iter().position(|osd| osd["osd"] == id));
            match osd {
                Some(at) => mark(&mut dump["osds"][at]["state"], &flags, on),
                None => {
                    let kind = if class(name) { "device_class_flags" } else { "crush_node_flags" };
                    mark(&mut dump[kind][*name], &flags, on);
                    if let Some(all) = dump[kind].as_object_mut() {
                        all.retain(|_, flags| *flags != json!([]));
                    }
                }
            }
        }
        next_epoch(dump);
        let join = |flags: &Value| {
            let flags = array(flags).filter_map(Value::as_str).filter(|flag| OF_ONE.contains(flag));
            flags.collect::<Vec<_>>().join(",")
        };
        let osds = array(&dump["osds"]).map(|osd| (format!("osd.{}", osd["osd"]), join(&osd["state"])));
        let kind = |name: &str| {
            let node = array(&tree["nodes"]).find(|node| node["name"] == name);
            node.and_then(|node| node["type"].as_str()).unwrap_or("host").to_owned()
        };
        let nodes = dump["crush_node_flags"].as_object().into_iter().flatten();
        let nodes = nodes.map(|(name, flags)| (format!("{} {name}", kind(name)), join(flags)));
        let classes = dump["device_class_flags"].as_object().into_iter().flatten();
        let classes = classes.map(|(name, flags)| (format!("device class '{name}'"), join(flags)));
        let all = osds.chain(nodes).chain(classes).filter(|(_, flags)| !flags.is_empty());
        details = all.map(|(who, flags)| format!("{who} has flags {flags}")).collect();
    });
    let message =
        format!("{} OSDs or CRUSH {{nodes, device-classes}} have {{NOUP,NODOWN,NOIN,NOOUT}} flags set", details.len());
    let check = (!details.is_empty()).then_some((message, details.len(), details));
    changed.set_health(ns, "OSD_FLAGS", check);
    Ok(String::new())
}

/// Puts flags among those that are there, or takes them out; Ceph sorts them.
fn mark(flags: &mut Value, these: &[&str], on: bool) {
    let mut all: Vec<String> = array(flags).filter_map(Value::as_str).map(str::to_owned).collect();
    all.retain(|flag| !these.contains(&flag.as_str()));
    all.extend(these.iter().filter(|_| on).map(|flag| (*flag).to_owned()));
    all.sort();
    *flags = json!(all);
}

fn next_epoch(map: &mut Value) {
    map["epoch"] = (map["epoch"].as_u64().unwrap_or_default() + 1).into();
}

/// What a pool is said to be for, if there is such a pool.
fn applications(changed: &Changed<'_>, ns: &str, pool: &str) -> Option<Value> {
    let detail = changed.ceph(ns, "osd pool ls detail").unwrap_or_default();
    let dump = changed.ceph(ns, "osd dump").unwrap_or_default();
    let mut pools = array(&detail).chain(array(&dump["pools"]));
    pools.find(|one| one["pool_name"] == pool).map(|one| one["application_metadata"].clone())
}

fn edit_pool(changed: &mut Changed<'_>, ns: &str, pool: &str, edit: impl Fn(&mut Value)) {
    let of = |pools: &mut Value| {
        let pools = pools.as_array_mut().into_iter().flatten();
        pools.filter(|one| one["pool_name"] == pool).for_each(|one| edit(&mut one["application_metadata"]));
    };
    changed.edit_ceph(ns, "osd pool ls detail", of);
    changed.edit_ceph(ns, "osd dump", |dump| {
        of(&mut dump["pools"]);
        next_epoch(dump);
    });
}

fn enable(changed: &mut Changed<'_>, ns: &str, pool: &str, app: &str, sure: bool) -> Said {
    let Some(there) = applications(changed, ns, pool) else {
        return error(ENOENT, &format!("unrecognized pool '{pool}'"));
    };
    let others = there.as_object().is_some_and(|there| !there.is_empty() && !there.contains_key(app));
    if others && !sure {
        let why = format!(
            "Are you SURE? Pool '{pool}' already has an enabled application; pass --yes-i-really-mean-it to proceed \
             anyway"
        );
        return error(EPERM, &why);
    }
    edit_pool(changed, ns, pool, |apps| {
        if apps[app].is_null() {
            apps[app] = json!({});
        }
    });
    let named = format!("application not enabled on pool '{pool}'");
    changed
        .drop_details(ns, "POOL_APP_NOT_ENABLED", "pool(s) do not have an application enabled", |line| line == named);
    Ok(format!("enabled application '{app}' on pool '{pool}'\n"))
}

fn disable(changed: &mut Changed<'_>, ns: &str, pool: &str, app: &str, sure: bool) -> Said {
    if applications(changed, ns, pool).is_none() {
        return error(ENOENT, &format!("unrecognized pool '{pool}'"));
    }
    if !sure {
        let why = "Are you SURE? Disabling an application within a pool might result in loss of application \
                   functionality; pass --yes-i-really-mean-it to proceed anyway";
        return error(EPERM, why);
    }
    edit_pool(changed, ns, pool, |apps| drop(apps.as_object_mut().map(|apps| apps.remove(app))));
    Ok(format!("disable application '{app}' on pool '{pool}'\n"))
}

/// The first standby takes over, and the one that failed comes back as a standby. Without one it comes back itself.
fn fail_mgr(changed: &mut Changed<'_>, ns: &str, who: Option<&str>) -> Said {
    let dump = changed.ceph(ns, "mgr dump").unwrap_or_default();
    let stat = changed.ceph(ns, "mgr stat").unwrap_or_default();
    let names = [&dump["active_name"], &stat["active_name"]];
    let active = names.iter().find_map(|name| name.as_str()).unwrap_or_default().to_owned();
    let standbys: Vec<Value> = array(&dump["standbys"]).cloned().collect();
    if let Some(who) = who.filter(|who| *who != active) {
        let is_standby = standbys.iter().any(|standby| standby["name"] == who);
        return Ok(if is_standby { String::new() } else { format!("Daemon not found '{who}', already failed?\n") });
    }
    let Some(next) = standbys.first().cloned() else { return Ok(String::new()) };
    changed.edit_ceph(ns, "mgr dump", |dump| {
        let mut before = next.clone();
        before["name"] = dump["active_name"].clone();
        before["gid"] = dump["active_gid"].clone();
        dump["active_name"] = next["name"].clone();
        dump["active_gid"] = next["gid"].clone();
        dump["standbys"] = standbys.iter().skip(1).cloned().chain([before]).collect();
        next_epoch(dump);
    });
    changed.edit_ceph(ns, "mgr stat", |stat| {
        stat["active_name"] = next["name"].clone();
        next_epoch(stat);
    });
    Ok(String::new())
}

/// One crash, or all.
fn archive(changed: &mut Changed<'_>, ns: &str, id: Option<&str>) -> Said {
    let crashes = changed.ceph(ns, "crash ls").unwrap_or_default();
    let ids: Vec<String> = array(&crashes).filter_map(|crash| crash["crash_id"].as_str()).map(str::to_owned).collect();
    if let Some(id) = id.filter(|id| !ids.iter().any(|there| there == id)) {
        return error(EINVAL, &format!("crash {id} not found"));
    }
    let now = changed.now().replace('T', " ").replace('Z', ".000000");
    changed.edit_ceph(ns, "crash ls", |crashes| {
        let crashes = crashes.as_array_mut().into_iter().flatten();
        for crash in crashes.filter(|crash| id.is_none_or(|id| crash["crash_id"] == id) && crash["archived"].is_null())
        {
            crash["archived"] = now.as_str().into();
        }
    });
    // An id begins with the time of the crash, which its line ends with.
    let time = id.and_then(|id| id.split('_').next());
    let is_it = |line: &str| time.is_none_or(|time| line.ends_with(&format!(" at {time}")));
    changed.drop_details(ns, "RECENT_CRASH", "daemons have recently crashed", is_it);
    changed.drop_details(ns, "RECENT_MGR_MODULE_CRASH", "mgr modules have recently crashed", is_it);
    Ok(String::new())
}

impl Changed<'_> {
    /// What a Ceph command answers in JSON, if that was recorded.
    pub fn ceph(&self, ns: &str, command: &str) -> Option<Value> {
        answers(ns, command).iter().find_map(|path| self.json(path))
    }

    /// Changes what a Ceph command answers in JSON, if that was recorded.
    pub fn edit_ceph(&mut self, ns: &str, command: &str, mut edit: impl FnMut(&mut Value)) {
        for path in answers(ns, command) {
            if let Some(mut answer) = self.json(&path) {
                edit(&mut answer);
                self.write(&path, format!("\n{}\n", serde_json::to_string_pretty(&answer).unwrap()));
            }
        }
    }

    /// Makes Ceph warn of this: message, count and details; or no longer.
    pub fn set_health(&mut self, ns: &str, code: &str, check: Option<(String, usize, Vec<String>)>) {
        let edit = |health: &mut Value, detailed: bool| {
            let old = health["checks"].as_object_mut().and_then(|checks| checks.remove(code)).unwrap_or_default();
            if let Some((message, count, details)) = &check {
                let severity = old["severity"].as_str().unwrap_or("HEALTH_WARN");
                let mut check = json!({"severity": severity, "muted": old["muted"] == true,
                    "summary": {"message": message, "count": count}});
                if detailed {
                    check["detail"] = details.iter().map(|line| json!({"message": line})).collect();
                }
                health["checks"][code] = check;
            }
            let checks = health["checks"].as_object().into_iter().flatten().map(|(_, check)| check);
            let severities: Vec<&Value> =
                checks.filter(|check| check["muted"] != true).map(|check| &check["severity"]).collect();
            let worst = ["HEALTH_ERR", "HEALTH_WARN"].into_iter().find(|one| severities.iter().any(|it| *it == one));
            health["status"] = worst.unwrap_or("HEALTH_OK").into();
        };
        self.edit_ceph(ns, "status", |status| edit(&mut status["health"], false));
        self.edit_ceph(ns, "health detail", |health| edit(health, true));
        self.print_health(ns);
    }

    /// Takes lines out of a warning, which ends with the last that counts; hints do not.
    fn drop_details(&mut self, ns: &str, code: &str, what: &str, is_dropped: impl Fn(&str) -> bool) {
        let check = self.ceph(ns, "health detail").unwrap_or_default()["checks"][code].clone();
        if check.is_null() {
            return;
        }
        let lines = array(&check["detail"]).filter_map(|line| line["message"].as_str());
        let left: Vec<String> = lines.filter(|line| !is_dropped(line)).map(str::to_owned).collect();
        let count = left.iter().filter(|line| !line.starts_with("use 'ceph ")).count();
        self.set_health(ns, code, (count > 0).then(|| (format!("{count} {what}"), count, left)));
    }

    /// Writes the health anew where it was recorded for people to read.
    fn print_health(&mut self, ns: &str) {
        let Some(health) = self.ceph(ns, "health detail") else { return };
        let status = health["status"].as_str().unwrap_or_default();
        let checks: Vec<(&String, &Value)> =
            health["checks"].as_object().into_iter().flatten().filter(|(_, check)| check["muted"] != true).collect();
        let message = |check: &Value| check["summary"]["message"].as_str().unwrap_or_default().to_owned();
        let messages: Vec<String> = checks.iter().map(|(_, check)| message(check)).collect();
        let folder = format!("ceph/namespaces/{ns}/must_gather_commands");
        let path = format!("{folder}/ceph_health_detail");
        if self.tree().file(&path).is_some() {
            let mut text = format!("{status} {}\n", messages.join("; ")).replace(" \n", "\n");
            for (code, check) in &checks {
                let severity = if check["severity"] == "HEALTH_ERR" { "ERR" } else { "WRN" };
                text += &format!("[{severity}] {code}: {}\n", message(check));
                for line in array(&check["detail"]).filter_map(|line| line["message"].as_str()) {
                    text += &format!("    {line}\n");
                }
            }
            self.write(&path, text);
        }
        let path = format!("{folder}/ceph_status");
        let Some(text) = self.text(&path) else { return };
        if let Some((head, tail)) = text.split_once("    health: ")
            && let Some((_, rest)) = tail.split_once("\n \n")
        {
            let lines: String = messages.iter().map(|message| format!("\n            {message}")).collect();
            self.write(&path, format!("{head}    health: {status}{lines}\n \n{rest}"));
        }
    }

    fn json(&self, path: &str) -> Option<Value> {
        serde_json::from_str(&self.text(path)?).ok()
    }

    fn text(&self, path: &str) -> Option<String> {
        Some(String::from_utf8_lossy(&self.tree().file(path)?.bytes().ok()?).into_owned())
    }
}

/// Where the answer to a command lies.
fn answers(ns: &str, command: &str) -> [String; 2] {
    let name = file_name(&format!("ceph {command}"));
    ["json-pretty", "json"]
        .map(|format| format!("ceph/namespaces/{ns}/must_gather_commands_json_output/{name}_--format_{format}"))
}
