use folkmoot_core::dht::Snapshot;

/// The disk of a machine, as far as a shell keeps there whom its DHT node knows.
///
/// A shell writes the file whole, beside the old one, and then puts it in its place: so it is the new one or the old one, and never
/// half of each. What is damaged by other means is set aside, and the node starts as if there were nothing.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    file: Option<Vec<u8>>,
    /// What the last write replaced.
    before: Option<Vec<u8>>,
    /// Whether writes fail.
    is_full: bool,
}

impl Disk {
    /// Writes a snapshot. One that knows nobody does not replace one that does.
    pub fn write(&mut self, snapshot: &Snapshot) {
        if !self.is_full && !snapshot.is_empty() {
            self.before = self.file.replace(snapshot.encode());
        }
    }

    /// What is on it; `None` if nothing is, or nothing that can be read.
    pub fn read(&self) -> Option<Snapshot> {
        Snapshot::decode(self.file.as_deref()?).ok()
    }

    /// Nothing is on it any more.
    pub fn wipe(&mut self) {
        (self.file, self.before) = (None, None);
    }

    /// Whether nothing can be written from now on.
    pub fn fill(&mut self, is_full: bool) {
        self.is_full = is_full;
    }

    /// What was written last never reached the disk.
    pub fn lose_last(&mut self) {
        self.file = self.before.take();
    }

    /// What is on it is cut in half.
    pub fn damage(&mut self) {
        if let Some(file) = &mut self.file {
            file.truncate(file.len() / 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use super::*;
    use crate::engine::World;
    use crate::hosts::{DHT_PORT, DhtHost};
    use crate::net::{Law, LinkRules, RealmId};

    /// What one of two nodes keeps.
    fn snapshot(seed: u64) -> Snapshot {
        let mut world = World::new(seed);
        let link = LinkRules::both(Law::delay(10));
        let [one, other] = ["one", "other"].map(|name| world.add_host(name, RealmId::INTERNET, link));
        let entry = SocketAddr::new(world.addrs(one)[0], DHT_PORT);
        world.start(one, DhtHost::new(Vec::new()));
        world.start(other, DhtHost::new(vec![entry]));
        world.run_for(Duration::from_secs(60));
        world.program::<DhtHost>(other).unwrap().dht().unwrap().snapshot()
    }

    #[test]
    fn it_holds_what_was_written_unless_something_is_wrong() {
        let [first, second] = [1, 2].map(snapshot);
        assert!(first != second && !first.is_empty());
        let mut disk = Disk::default();
        assert_eq!(disk.read(), None);
        disk.write(&first);
        assert_eq!(disk.read().as_ref(), Some(&first));
        disk.write(&second);
        disk.lose_last();
        assert_eq!(disk.read().as_ref(), Some(&first), "the one before is back");
        disk.fill(true);
        disk.write(&second);
        assert_eq!(disk.read().as_ref(), Some(&first), "nothing can be written");
        disk.fill(false);
        disk.write(&second);
        assert_eq!(disk.read().as_ref(), Some(&second));
        disk.damage();
        assert_eq!(disk.read(), None, "half a file is none");
        disk.write(&second);
        disk.wipe();
        assert_eq!(disk.read(), None);
    }
}
