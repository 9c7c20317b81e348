//! Connections that the load balancer led to an instance, as the kernel's connection tracking tells them.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// States of a TCP connection over which something may still come (`nf_conntrack_proto_tcp.c`, `tcp_conntrack_names`).
/// In the others both sides have ended it, or one has reset it.
const OPEN: [&str; 5] = ["SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT", "CLOSE_WAIT"];

/// Counts a line of `/proc/net/nf_conntrack` for the instance that it leads to, when `counts` has it. Only what was led
/// there counts, and not who called the instance by its own address, such as a probe. Datagrams have no end that could be
/// waited for.
pub fn count(line: &str, counts: &mut BTreeMap<Ipv4Addr, u32>) {
    if let Some(count) = led_to(line).and_then(|instance| counts.get_mut(&instance)) {
        *count = count.saturating_add(1);
    }
}

/// The instance that a connection was led to, while it is open.
fn led_to(line: &str) -> Option<Ipv4Addr> {
    let mut words = line.split_ascii_whitespace();
    (words.next()? == "ipv4" && words.nth(1)? == "tcp").then_some(())?;
    let state = words.nth(2)?;
    OPEN.contains(&state).then_some(())?;
    let address = |word: &str, name: &str| word.strip_prefix(name)?.parse::<Ipv4Addr>().ok();
    let called = words.clone().find_map(|word| address(word, "dst="))?;
    // The second source is whose answers come back.
    let answers = words.filter_map(|word| address(word, "src=")).nth(1)?;
    (called != answers).then_some(answers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: u32) {
        let instance = Ipv4Addr::new(10, 177, 16, 2);
        let mut counts = BTreeMap::from([(instance, 0)]);
        count(line, &mut counts);
        assert_eq!(counts[&instance], expected, "{line}");
    }

    #[test]
    fn lines() {
        let line = "ipv4     2 tcp      6 431999 ESTABLISHED src=10.177.0.1 dst=10.177.240.1 sport=40000 dport=80 \
                    src=10.177.16.2 dst=10.177.0.1 sport=8080 dport=40000 [ASSURED] mark=0 zone=0 use=2";
        check(line, 1);
        for state in ["SYN_SENT", "SYN_RECV", "FIN_WAIT", "CLOSE_WAIT"] {
            check(&line.replace("ESTABLISHED", state), 1);
        }
        for state in ["LAST_ACK", "TIME_WAIT", "CLOSE", "NONE"] {
            check(&line.replace("ESTABLISHED", state), 0);
        }
        check(&line.replace("dst=10.177.240.1", "dst=10.177.16.2"), 0);
        check(&line.replace("src=10.177.16.2", "src=10.177.16.3"), 0);
        check(&line.replace(" [ASSURED]", ""), 1);
        check(&line.replace("ipv4     2", "ipv6     10"), 0);
        let datagrams = "ipv4     2 udp      17 119 src=10.177.0.1 dst=10.177.240.1 sport=1 dport=80 \
                         src=10.177.16.2 dst=10.177.0.1 sport=8080 dport=1 [ASSURED] mark=0 use=2";
        check(datagrams, 0);
        for length in 0..line.len() {
            let mut counts = BTreeMap::from([(Ipv4Addr::new(10, 177, 16, 2), 0)]);
            count(&line[..length], &mut counts);
        }
    }
}
