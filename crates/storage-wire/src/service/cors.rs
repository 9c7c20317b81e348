//! Which CORS rule a request meets, and the headers that follow (STORAGE, section 0).
//!
//! Rules are tried in their order; the first that fits decides. Origins and methods are compared as they are, names
//! of headers without case.

use http::{HeaderMap, Method};

use super::CorsRule;
use crate::error::{ErrorCode, ProtocolError};

/// Names and values of headers.
pub type Headers = Vec<(&'static str, String)>;

/// The answer to a preflight: a browser asks what it may send.
///
/// # Errors
/// When it does not say what it asks for, or no rule fits.
pub fn preflight(rules: &[CorsRule], headers: &HeaderMap) -> Result<Headers, ProtocolError> {
    let header = |name: &'static str| {
        let text = headers.get(name).and_then(|value| value.to_str().ok());
        text.map(str::trim).filter(|text| !text.is_empty())
    };
    let required = |name: &'static str| {
        let why = "A required CORS header is not present.";
        header(name).ok_or_else(|| {
            ProtocolError::saying(ErrorCode::InvalidHeaderValue, why)
                .with_detail("MessageDetails", &format!("Invalid required CORS header {name}"))
        })
    };
    let origin = required("origin")?;
    let method = required("access-control-request-method")?;
    let asked = header("access-control-request-headers");
    let fits = |rule: &&CorsRule| {
        allows_origin(rule, origin)
            && rule.allowed_methods.iter().any(|allowed| allowed == method)
            && names(asked.unwrap_or("")).all(|name| is_among(&rule.allowed_headers, name))
    };
    let rule = rules.iter().find(fits).ok_or(ErrorCode::CorsPreflightFailure)?;
    let mut answer = origin_headers(rule, origin);
    answer.push(("access-control-allow-methods", method.to_owned()));
    if let Some(asked) = asked {
        answer.push(("access-control-allow-headers", asked.to_owned()));
    }
    answer.push(("access-control-max-age", rule.max_age_seconds.to_string()));
    Ok(answer)
}

/// What an answer has beside its own headers, whether it succeeded or not. `origin` is what the request says.
#[must_use]
pub fn actual(rules: &[CorsRule], method: &Method, origin: Option<&str>, answer: &HeaderMap) -> Headers {
    let fits = |rule: &&CorsRule| {
        let of_origin = origin.map_or_else(|| allows_all(rule), |origin| allows_origin(rule, origin));
        of_origin && rule.allowed_methods.iter().any(|allowed| allowed == method.as_str())
    };
    let Some(rule) = rules.iter().find(fits) else {
        // Another origin might be answered otherwise: caches must not mix the two.
        return if !rules.is_empty() && is_cached(method) { vec![vary()] } else { Vec::new() };
    };
    let mut headers = origin_headers(rule, origin.unwrap_or(""));
    if !allows_all(rule) && is_cached(method) {
        headers.push(vary());
    }
    let exposed = exposed(rule, answer);
    if !exposed.is_empty() {
        headers.push(("access-control-expose-headers", exposed.join(",")));
    }
    headers
}

fn origin_headers(rule: &CorsRule, origin: &str) -> Headers {
    match allows_all(rule) {
        true => vec![("access-control-allow-origin", "*".to_owned())],
        false => vec![
            ("access-control-allow-origin", origin.to_owned()),
            ("access-control-allow-credentials", "true".to_owned()),
        ],
    }
}

fn vary() -> (&'static str, String) {
    ("vary", "Origin".to_owned())
}

fn is_cached(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

fn allows_all(rule: &CorsRule) -> bool {
    rule.allowed_origins.iter().any(|allowed| allowed == "*")
}

fn allows_origin(rule: &CorsRule, origin: &str) -> bool {
    allows_all(rule) || rule.allowed_origins.iter().any(|allowed| allowed == origin)
}

fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|name| !name.is_empty())
}

fn is_among(allowed: &[String], name: &str) -> bool {
    allowed.iter().any(|allowed| match allowed.strip_suffix('*') {
        Some(prefix) => begins_with(name, prefix),
        None => allowed.eq_ignore_ascii_case(name),
    })
}

fn begins_with(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// Headers that are named in full, and those of the answer that a prefix stands for.
fn exposed<'a>(rule: &'a CorsRule, answer: &'a HeaderMap) -> Vec<&'a str> {
    let mut exposed: Vec<&str> = Vec::new();
    for name in &rule.exposed_headers {
        match name.strip_suffix('*') {
            None => exposed.push(name),
            Some(prefix) => {
                exposed.extend(
                    answer.keys().map(http::HeaderName::as_str).filter(|key| begins_with(key, prefix)),
                );
            }
        }
    }
    let mut seen: Vec<String> = Vec::new();
    exposed.retain(|name| {
        let name = name.to_ascii_lowercase();
        let new = !seen.contains(&name);
        seen.push(name);
        new
    });
    exposed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(origins: &str, methods: &str, headers: &str) -> CorsRule {
        let list = |text: &str| names(text).map(str::to_owned).collect::<Vec<_>>();
        CorsRule {
            allowed_origins: list(origins),
            allowed_methods: list(methods),
            allowed_headers: list(headers),
            exposed_headers: list("x-ms-meta-*,ETag"),
            max_age_seconds: 9,
        }
    }

    fn map(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn told(headers: &Headers) -> String {
        let line = |(name, value): &(&str, String)| {
            format!("{}={value}", name.trim_start_matches("access-control-"))
        };
        headers.iter().map(line).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn preflights() {
        let rules = [
            rule("http://a,http://b", "GET,PUT", "x-ms-meta-*,content-type"),
            rule("http://a", "DELETE", ""),
            rule("*", "HEAD", "*"),
        ];
        let exact = "allow-credentials=true";
        for (origin, method, headers, expected) in [
            ("http://a", "PUT", "", format!("allow-origin=http://a {exact} allow-methods=PUT max-age=9")),
            (
                "http://b",
                "GET",
                "X-MS-Meta-x, Content-Type",
                format!(
                    "allow-origin=http://b {exact} allow-methods=GET allow-headers=X-MS-Meta-x, Content-Type max-age=9"
                ),
            ),
            ("http://a", "PUT", "x-other", "CorsPreflightFailure".to_owned()),
            (
                "http://a",
                "DELETE",
                "",
                format!("allow-origin=http://a {exact} allow-methods=DELETE max-age=9"),
            ),
            ("http://b", "DELETE", "", "CorsPreflightFailure".to_owned()),
            ("HTTP://A", "PUT", "", "CorsPreflightFailure".to_owned()),
            (
                "http://z",
                "HEAD",
                "any",
                "allow-origin=* allow-methods=HEAD allow-headers=any max-age=9".to_owned(),
            ),
            ("http://a", "", "", "InvalidHeaderValue".to_owned()),
            ("", "GET", "", "InvalidHeaderValue".to_owned()),
        ] {
            let asked = map(&[
                ("origin", origin),
                ("access-control-request-method", method),
                ("access-control-request-headers", headers),
            ]);
            let answer = preflight(&rules, &asked);
            let answer = answer.map_or_else(|error| error.code().to_string(), |headers| told(&headers));
            assert_eq!(answer, expected, "{origin} {method} {headers}");
        }
        let asked = map(&[("origin", "http://a"), ("access-control-request-method", "GET")]);
        assert_eq!(preflight(&[], &asked).unwrap_err().status(), 403);
    }

    #[test]
    fn actual_requests() {
        let (exact, all) = ([rule("http://a", "GET,PUT", "")], [rule("*", "GET", "")]);
        let exposed = "expose-headers=x-ms-meta-k,ETag";
        let answer = map(&[("x-ms-meta-k", "v"), ("etag", "1")]);
        for (rules, method, origin, expected) in [
            (&[][..], Method::GET, None, String::new()),
            (&[][..], Method::GET, Some("http://a"), String::new()),
            (&exact[..], Method::GET, None, "vary=Origin".to_owned()),
            (
                &exact[..],
                Method::GET,
                Some("http://a"),
                format!("allow-origin=http://a allow-credentials=true vary=Origin {exposed}"),
            ),
            (
                &exact[..],
                Method::PUT,
                Some("http://a"),
                format!("allow-origin=http://a allow-credentials=true {exposed}"),
            ),
            (&exact[..], Method::GET, Some("http://b"), "vary=Origin".to_owned()),
            (&exact[..], Method::DELETE, Some("http://a"), String::new()),
            (&all[..], Method::GET, None, format!("allow-origin=* {exposed}")),
            (&all[..], Method::GET, Some("http://b"), format!("allow-origin=* {exposed}")),
        ] {
            let headers = actual(rules, &method, origin, &answer);
            assert_eq!(told(&headers), expected, "{method} {origin:?}");
        }
    }
}
