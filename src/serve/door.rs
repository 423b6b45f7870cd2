//! Who is let in: clients on this machine that know the key of the generated kubeconfig.
//!
//! A recording may hold what not every user of a shared machine may see, and any page in a browser can send
//! requests to the loopback. So the server's address ends in a random key, which only the kubeconfig tells: kubectl
//! sends a bearer token over TLS only, and a certificate would be more machinery than a path. Requests by another
//! name than this machine's (DNS rebinding) and requests of web pages, which say where they come from, are refused
//! even then, because WebSockets are not bound to a page's own server.

use axum::extract::Request;
use axum::http::{Uri, header};

use super::answer::Answer;

/// Takes the key off the path, or says why the request is refused.
pub fn enter(key: &str, mut request: Request) -> Result<Request, Answer> {
    let headers = request.headers();
    let named = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let addressed = request.uri().authority().map_or("", |authority| authority.as_str());
    let is_ours = |host: &str| ["127.0.0.1", "localhost", "[::1]"].contains(&without_port(host));
    if !named.is_some_and(is_ours) || !(addressed.is_empty() || is_ours(addressed)) {
        return Err(refused("this server answers to localhost and 127.0.0.1 only"));
    }
    if headers.contains_key(header::ORIGIN) {
        return Err(refused("web pages are not answered"));
    }
    let path = request.uri().path_and_query().map_or("", |path| path.as_str()).trim_start_matches('/');
    let (first, rest) = path.split_at(path.find(['/', '?']).unwrap_or(path.len()));
    if !is_same(first, key) {
        return Err(refused(
            "the path lacks the key: use the address in the kubeconfig that `serve` wrote, for `kubectl get --raw` all of \
             its path",
        ));
    }
    let rest = if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") };
    *request.uri_mut() = rest.parse::<Uri>().map_err(|error| Answer::bad_request(&error.to_string()))?;
    Ok(request)
}

fn refused(why: &str) -> Answer {
    Answer::failure(403, "Forbidden", why, serde_json::Value::Null)
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Takes the same time wherever they differ.
fn is_same(given: &str, key: &str) -> bool {
    let differs = given.bytes().zip(key.bytes()).fold(0, |differs, (a, b)| differs | (a ^ b));
    given.len() == key.len() && differs == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn asked(uri: &str, headers: &[(&str, &str)]) -> Result<String, u16> {
        let request = headers.iter().fold(Request::get(uri), |request, (name, value)| request.header(*name, *value));
        let entered = enter("c0ffee", request.body(Body::empty()).unwrap());
        entered.map(|request| request.uri().to_string()).map_err(|answer| answer.status)
    }

    #[test]
    fn only_clients_of_this_machine_that_know_the_key_are_let_in() {
        for (uri, headers, expected) in [
            ("/c0ffee/api/v1/pods?limit=5", &[("host", "127.0.0.1:8001")][..], Ok("/api/v1/pods?limit=5")),
            ("/c0ffee/api", &[("host", "localhost:8001")], Ok("/api")),
            ("/c0ffee/api", &[("host", "[::1]:8001")], Ok("/api")),
            ("/c0ffee", &[("host", "localhost")], Ok("/")),
            ("/c0ffee?a=b", &[("host", "localhost")], Ok("/?a=b")),
            ("/c0ffee/api", &[("host", "evil.example")], Err(403)),
            ("/c0ffee/api", &[("host", "127.0.0.1.evil.example:8001")], Err(403)),
            ("/c0ffee/api", &[], Err(403)),
            ("http://evil.example/c0ffee/api", &[("host", "localhost")], Err(403)),
            ("/c0ffee/api", &[("host", "localhost"), ("origin", "https://evil.example")], Err(403)),
            ("/c0ffee/api", &[("host", "localhost"), ("origin", "null")], Err(403)),
            ("/api", &[("host", "localhost")], Err(403)),
            ("/c0ffe/api", &[("host", "localhost")], Err(403)),
            ("/c0ffeee/api", &[("host", "localhost")], Err(403)),
            ("/", &[("host", "localhost")], Err(403)),
        ] {
            assert_eq!(asked(uri, headers), expected.map(str::to_owned), "{uri} {headers:?}");
        }
    }
}
