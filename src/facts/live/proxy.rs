//! Which proxy leads to the server, by the rules that kubectl follows (Go's `http.ProxyFromEnvironment`). The
//! library holds NO_PROXY against the proxy's own name instead of the server's, and proxies loopback addresses.

use std::net::IpAddr;

use http::Uri;
use ipnet::IpNet;

/// The proxy that the environment names for this server.
pub(super) fn from_environment(server: &Uri, variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let either = |upper: &str| {
        let found = [upper.to_owned(), upper.to_lowercase()].iter().find_map(|name| variable(name));
        found.filter(|value| !value.is_empty())
    };
    let https = server.scheme_str() == Some("https");
    let proxy = either(if https { "HTTPS_PROXY" } else { "HTTP_PROXY" })?;
    let host = server.host()?.trim_matches(['[', ']']).to_lowercase();
    let port = server.port_u16().unwrap_or(if https { 443 } else { 80 });
    let direct = is_loopback(&host) || either("NO_PROXY").is_some_and(|list| is_listed(&list, &host, port));
    let url = if proxy.contains("://") { proxy } else { format!("http://{proxy}") };
    (!direct).then_some(url)
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// `*`, an address, a network, a domain with all below it, or `.domain` for only what is below; each but the
/// network may name a port.
fn is_listed(list: &str, host: &str, port: u16) -> bool {
    let ip = host.parse::<IpAddr>().ok();
    list.split(',').map(|entry| entry.trim().to_lowercase()).filter(|entry| !entry.is_empty()).any(|entry| {
        if let Ok(network) = entry.parse::<IpNet>() {
            return ip.is_some_and(|ip| network.contains(&ip));
        }
        let (name, wanted) = split_port(&entry);
        if wanted.is_some_and(|wanted| wanted != port) {
            return false;
        }
        if let (Ok(listed), Some(ip)) = (name.parse::<IpAddr>(), ip) {
            return listed == ip;
        }
        let below = name.strip_prefix('*').unwrap_or(name);
        match below.strip_prefix('.') {
            Some(domain) => host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.')),
            None if below.is_empty() => true,
            None => host.strip_suffix(below).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')),
        }
    })
}

fn split_port(entry: &str) -> (&str, Option<u16>) {
    if let Some((name, port)) = entry.strip_prefix('[').and_then(|entry| entry.split_once(']')) {
        return (name, port.trim_start_matches(':').parse().ok());
    }
    match entry.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') => (name, port.parse().ok()),
        _ => (entry, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_read_as_kubectl_reads_it() {
        for (server, no_proxy, proxied) in [
            ("https://api.lab.example:6443", "", true),
            ("https://127.0.0.1:6443", "", false),
            ("https://localhost:6443", "", false),
            ("https://api.lab.example:6443", "lab.example", false),
            ("https://api.lab.example:6443", ".lab.example", false),
            ("https://lab.example:6443", ".lab.example", true),
            ("https://lab.example:6443", "*.lab.example", true),
            ("https://api.lab.example:6443", "other, API.lab.example:6443", false),
            ("https://api.lab.example:6443", "api.lab.example:443", true),
            ("https://notlab.example", "lab.example", true),
            ("https://10.1.2.3:6443", "10.0.0.0/8", false),
            ("https://10.1.2.3:6443", "10.1.2.3", false),
            ("https://10.1.2.3:6443", "10.1.2.4,192.168.0.0/16", true),
            ("https://[fd00::1]:6443", "fd00::/8", false),
            ("https://[fd00::1]:6443", "[fd00::1]:6443", false),
            ("https://api.lab.example:6443", "*", false),
            ("http://api.lab.example", "", false),
        ] {
            let variable = |name: &str| match name {
                "https_proxy" => Some("proxy:3128".to_owned()),
                "NO_PROXY" => Some(no_proxy.to_owned()),
                _ => None,
            };
            let found = from_environment(&server.parse().unwrap(), variable);
            assert_eq!(found, proxied.then(|| "http://proxy:3128".to_owned()), "{server} with NO_PROXY={no_proxy}");
        }
    }
}
