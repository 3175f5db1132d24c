//! Where the broker is.

use gantry_node::Fault;
use std::str::FromStr;

/// `mqtt://host[:port]` or `mqtts://host[:port]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub host: String,
    pub port: u16,
    pub tls: bool,
}

impl FromStr for Address {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        // A text that is no address may have a password anywhere; it is not repeated.
        let fault = |what: &str| Fault::new(format!("`BROKER` {what}")).hint("write `mqtt://host:1883` or `mqtts://host:8883`");
        let (tls, rest) = match text.split_once("://") {
            Some(("mqtt", rest)) => (false, rest),
            Some(("mqtts", rest)) => (true, rest),
            _ => return Err(fault("is no address of a broker")),
        };
        if rest.contains('@') {
            return Err(Fault::new("`BROKER` has a user name or password in it, and graph files are for everybody to read")
                .hint("name a file of mode 0600 with `user:password` in `CREDENTIALS_FILE`"));
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let port_of = |port: &str| port.parse::<u16>().ok().filter(|p| *p > 0).ok_or_else(|| fault("has no valid port"));
        let default = if tls { 8883 } else { 1883 };
        // An IPv6 address stands in brackets.
        let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, default),
            Some((host, port)) => (host, port_of(port.strip_prefix(':').unwrap_or_default())?),
            None => match rest.split_once(':') {
                Some((host, port)) => (host, port_of(port)?),
                None => (rest, default),
            },
        };
        if host.is_empty() || host.contains(['/', '?', ' ']) {
            return Err(fault("has no valid host"));
        }
        Ok(Self { host: host.to_owned(), port, tls })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_scheme_and_no_password() {
        let parsed = |text: &str| text.parse::<Address>().map(|a| (a.host, a.port, a.tls)).map_err(|f| f.to_string());
        assert_eq!(parsed("mqtt://broker"), Ok(("broker".into(), 1883, false)));
        assert_eq!(parsed("mqtts://10.0.0.2:9000/"), Ok(("10.0.0.2".into(), 9000, true)));
        assert_eq!(parsed("mqtts://[::1]"), Ok(("::1".into(), 8883, true)));
        for text in ["broker:1883", "tcp://broker", "mqtt://", "mqtt://h:x", "mqtt://h:0", "mqtt://u:s3cret@h", "mqtt://h/path"] {
            let fault = parsed(text).unwrap_err();
            assert!(fault.contains("`BROKER`") && fault.contains("hint: ") && !fault.contains("s3cret"), "{fault}");
        }
    }
}
