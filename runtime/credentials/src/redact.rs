//! Addresses without their passwords.

/// `address` with user, password and query values replaced by `***`; plain paths come back as they are.
///
/// `rtsp://admin:hunter2@10.0.0.7/stream?key=1` becomes `rtsp://***@10.0.0.7/stream?***`.
#[must_use]
pub fn redact(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_owned() };
    if scheme.eq_ignore_ascii_case("file") {
        return address.to_owned();
    }
    // A password may hold `/`, `?` or `#` unescaped, so the last `@` before the query's own `@` decides: the safe side is the last one of all.
    let (secret, place) = match rest.rsplit_once('@') {
        Some((_, place)) => ("***@", place),
        None => ("", rest),
    };
    let (path, query) = match place.split_once(['?', '#']) {
        Some((path, _)) => (path, "?***"),
        None => (place, ""),
    };
    format!("{scheme}://{secret}{path}{query}")
}

/// `text` (a message of a library) with every occurrence of `address` redacted.
#[must_use]
pub fn redact_in(text: &str, address: &str) -> String {
    if address.contains("://") { text.replace(address, &redact(address)) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removes_passwords_and_queries_and_leaves_paths() {
        let cases = [
            ("rtsp://admin:hunter2@10.0.0.7/stream?key=1", "rtsp://***@10.0.0.7/stream?***"),
            ("rtsp://admin:p@ss/w?rd@host:554/a", "rtsp://***@host:554/a"),
            ("http://host/a.m3u8?token=s3cret", "http://host/a.m3u8?***"),
            ("rtsps://host/a", "rtsps://host/a"),
            ("clips/a@b.mp4", "clips/a@b.mp4"),
            ("file:///a/b?c.mp4", "file:///a/b?c.mp4"),
        ];
        for (address, wanted) in cases {
            assert_eq!(redact(address), wanted);
        }
        let message = "Connection to rtsp://u:p@h/x failed";
        assert_eq!(redact_in(message, "rtsp://u:p@h/x"), "Connection to rtsp://***@h/x failed");
    }
}
