//! Who may see the page.

use super::answer::Answer;
use super::http::Request;
use super::pages;
use super::query::Pairs;
use gantry_node::Fault;
use sha2::{Digest, Sha256};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tracing::warn;

/// Name of the cookie.
const COOKIE: &str = "gantry_preview";
/// Wait after a wrong token.
const WRONG: Duration = Duration::from_secs(1);

/// Lets in who knows the token; everybody where there is none.
pub struct Door {
    /// Digest of the token, in hexadecimal: what the cookie holds.
    digest: Option<String>,
}

impl Door {
    /// A door for a page at `listen`.
    ///
    /// # Errors
    /// If others can reach that address and there is no token.
    pub fn new(listen: &SocketAddr, token: Option<&str>) -> Result<Self, Fault> {
        if token.is_none() && !listen.ip().is_loopback() {
            return Err(Fault::new(format!("parameter `listen`: others can reach `{listen}`, and no token keeps them out")).hint(
                "name a file of mode 0600 with a token in `CREDENTIALS_FILE` (or a variable of dora's daemon in `CREDENTIALS_ENV`), or listen on 127.0.0.1",
            ));
        }
        Ok(Self { digest: token.map(digest) })
    }

    /// Whether the page may be asked for under that name: without a token a foreign page must not get at it by having its own name lead here.
    pub fn knows_host(&self, request: &Request) -> bool {
        let Some(host) = request.headers("host").next() else { return false };
        let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((name, _)) => name,
            None => host.split(':').next().unwrap_or_default(),
        };
        self.digest.is_some() || name == "localhost" || name.parse::<IpAddr>().is_ok()
    }

    /// Whether the request has the token or its cookie.
    pub fn lets_in(&self, request: &Request) -> bool {
        let Some(wanted) = &self.digest else { return true };
        let by_cookie = request
            .headers("cookie")
            .flat_map(|cookies| cookies.split(';'))
            .filter_map(|cookie| cookie.trim().strip_prefix(COOKIE)?.strip_prefix('='))
            .any(|value| same(value, wanted));
        by_cookie
            || request.headers("authorization").filter_map(|value| value.strip_prefix("Bearer ")).any(|token| same(&digest(token), wanted))
    }

    /// The form was sent.
    pub fn login(&self, request: &Request) -> Answer {
        let form = Pairs::of(&String::from_utf8_lossy(&request.body));
        let given = digest(form.first("token").trim());
        match &self.digest {
            Some(wanted) if same(&given, wanted) => {
                let cookie = format!("{COOKIE}={wanted}; Path=/; HttpOnly; SameSite=Strict; Max-Age=7776000");
                Answer::to("/").with("set-cookie", cookie)
            }
            Some(_) => {
                warn!("somebody tried a wrong token");
                std::thread::sleep(WRONG);
                pages::login(true)
            }
            None => Answer::to("/"),
        }
    }
}

fn digest(token: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(b"gantry preview\0");
    hash.update(token.as_bytes());
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Takes the same time wherever the texts differ.
fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_this_machine_there_is_no_page_without_a_token() {
        let open = "0.0.0.0:8100".parse().unwrap();
        let fault = Door::new(&open, None).err().expect("refused");
        assert!(fault.message().contains("0.0.0.0:8100") && fault.hint_text().unwrap().contains("CREDENTIALS_FILE"), "{fault}");
        assert!(Door::new(&open, Some("t")).is_ok());
        assert!(Door::new(&"[::1]:8100".parse().unwrap(), None).is_ok());
    }

    #[test]
    fn the_token_opens_by_header_and_its_digest_by_cookie() {
        let door = Door::new(&"0.0.0.0:1".parse().unwrap(), Some("sesame")).unwrap();
        let lets_in = |name, value: &str| door.lets_in(&Request::default().with(name, value));
        assert!(!door.lets_in(&Request::default()));
        assert!(lets_in("authorization", "Bearer sesame"));
        assert!(!lets_in("authorization", "Bearer Sesame") && !lets_in("authorization", "sesame"));
        assert!(lets_in("cookie", &format!("other=1; {COOKIE}={}", digest("sesame"))));
        assert!(!lets_in("cookie", &format!("{COOKIE}=sesame")) && !lets_in("cookie", &format!("{COOKIE}=")));
    }

    #[test]
    fn without_a_token_only_this_machine_by_its_own_names_gets_the_page() {
        let door = Door::new(&"127.0.0.1:1".parse().unwrap(), None).unwrap();
        let knows = |host: &str| door.knows_host(&Request::default().with("host", host));
        assert!(knows("localhost:8100") && knows("127.0.0.1:8100") && knows("[::1]:8100") && knows("127.0.0.1"));
        assert!(!knows("evil.example:8100") && !knows("") && !door.knows_host(&Request::default()));
    }
}
