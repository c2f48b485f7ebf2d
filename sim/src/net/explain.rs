use std::fmt::Write as _;

use folkmoot_core::base::Time;

use super::{Network, Outcome, Strategy};
use crate::engine::{Draws, HostId};

impl Network {
    /// Why two hosts can connect directly at this moment or not, in words: the verdict, what each address family has to do with it,
    /// where the two live, and what would help.
    pub fn explain(&self, now: Time, draws: &Draws, pair: [HostId; 2]) -> String {
        let [a, b] = pair;
        let mut text = format!("{a} and {b}: {}\n", self.can_connect(a, b));
        for (name, v4) in [("IPv4", true), ("IPv6", false)] {
            if let Some(verdict) = self.can_connect_over(v4, a, b) {
                let _ = writeln!(text, "  {name}: {verdict}");
            }
        }
        for host in pair {
            let Some(stand) = self.stand(host) else { continue };
            let addresses: Vec<_> = stand.addresses.iter().map(ToString::to_string).collect();
            let boxes: Vec<_> = stand.rules.iter().map(ToString::to_string).collect();
            let behind = if boxes.is_empty() {
                "on the internet".into()
            } else {
                format!("behind {}", boxes.join(", then "))
            };
            let _ = writeln!(text, "  {host} at {} is {behind}", addresses.join(", "));
        }
        let ordinary = self.try_pair(now, draws, pair, Strategy::Ordinary);
        let _ = writeln!(text, "  packets, from this moment on: {ordinary}");
        if ordinary != Outcome::Always {
            let knowing = self.try_pair(now, draws, pair, Strategy::Omniscient);
            let _ = writeln!(text, "  if each knew the other's endpoints at every moment: {knowing}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Gateway, LinkRules, RealmId, preset};

    #[test]
    fn an_explanation_says_it_all() {
        let mut network = Network::new();
        for (id, name) in [(1, "home-dual"), (2, "mobile-symmetric")] {
            let home = preset(name).unwrap();
            let boxes: Vec<Gateway> = home.boxes;
            let link = LinkRules::default;
            let realm = boxes
                .iter()
                .rev()
                .fold(RealmId::INTERNET, |realm, rules| network.add_box(realm, *rules, link()).1);
            network.add_host(HostId(id), realm, link(), (home.stack, 1));
        }
        let said = network.explain(Time::ZERO, &Draws::new(1), [HostId(1), HostId(2)]);
        assert_eq!(
            said,
            "h1 and h2: not directly: one changes its port, and the other admits only ports it has sent to\n  \
             IPv4: not directly: one changes its port, and the other admits only ports it has sent to\n  \
             h1 at 192.168.1.10, 2a00:db0::10 is behind eim+apdf v6 firewall\n  \
             h2 at 192.168.1.10 is behind apdm+apdf pool 4\n  \
             packets, from this moment on: never\n  \
             if each knew the other's endpoints at every moment: always\n"
        );
    }
}
