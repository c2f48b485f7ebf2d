use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use folkmoot_core::base::{Backoff, Host, Incarnation};
use folkmoot_core::node::Config;
use folkmoot_core::trace::Extent;

use crate::clock::Clock;
use crate::code::parse_code;
use crate::defaults;
use crate::driver::{Driver, MAX_CALLS};
use crate::error::Error;
use crate::kept::{self, Kept};
use crate::lan;
use crate::meeting::{About, Folkmoot, Meeting};
use crate::profile::{self, Profile};
use crate::sockets::Sockets;
use crate::traced::{Traced, Wish};

/// How a node is to be set up; made by [`Folkmoot::builder`]. What is not said has a default that works.
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    name: String,
    bind: Vec<SocketAddr>,
    bootstrap: Vec<Host>,
    lan: Option<bool>,
    stun: Vec<Host>,
    state: State,
    profile: Option<String>,
    reconnect: Backoff,
    connect_timeout: Duration,
    weak_codes: bool,
    trace: Option<Wish>,
}

#[derive(Clone, Debug)]
enum State {
    Default,
    Dir(PathBuf),
    Nowhere,
}

/// The state directory that is taken if none is named: `folkmoot` in `XDG_STATE_HOME`, else in `~/.local/state` (on Windows, in
/// `LOCALAPPDATA`).
///
/// # Errors
///
/// If none of them is set.
pub fn default_state_dir() -> Result<PathBuf, Error> {
    Ok(profile::default_root()?)
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            name: String::new(),
            bind: Vec::new(),
            bootstrap: defaults::bootstrap(),
            lan: None,
            stun: defaults::stun(),
            state: State::Default,
            profile: None,
            reconnect: Backoff::default(),
            connect_timeout: Duration::from_secs(30),
            weak_codes: false,
            trace: None,
        }
    }

    /// The name that the others see; the core cuts it after 48 bytes. By default `guest-` and the beginning of the device's id.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// A UDP address to listen on; port 0 is any that is free. May be said more than once. If it is not said, the node listens on
    /// all addresses of both families, on the ports it had the last time if they are free.
    pub fn bind(mut self, addr: SocketAddr) -> Self {
        self.bind.push(addr);
        self
    }

    /// Where to enter the DHT, instead of [`defaults::BOOTSTRAP`].
    pub fn bootstrap(mut self, hosts: impl IntoIterator<Item = Host>) -> Self {
        self.bootstrap = hosts.into_iter().collect();
        self
    }

    /// Whether to enter the DHT also by nodes of the local network, and let others enter by this one (IPv4 only). By default it does
    /// unless it listens on loopback alone.
    pub fn lan(mut self, wanted: bool) -> Self {
        self.lan = Some(wanted);
        self
    }

    /// STUN servers, instead of [`defaults::STUN`]. It goes without any.
    pub fn stun(mut self, hosts: impl IntoIterator<Item = Host>) -> Self {
        self.stun = hosts.into_iter().collect();
        self
    }

    /// Where identities are kept, and the DHT nodes that were known. By default `folkmoot` in `XDG_STATE_HOME`, else in `~/.local/state`.
    pub fn state_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.state = State::Dir(dir.into());
        self
    }

    /// Keeps nothing: the node is a new device, and gone with the process.
    pub fn ephemeral(mut self) -> Self {
        self.state = State::Nowhere;
        self
    }

    /// Which identity of the state directory to be: a hexadecimal device or member id or at least four digits that begin
    /// it, or the name of a profile, made if there is none. By default the first profile that no process uses.
    pub fn profile(mut self, profile: impl Into<String>) -> Self {
        self.profile = Some(profile.into());
        self
    }

    /// What to do about a lost link; by default, three attempts five seconds apart.
    pub fn reconnect(mut self, policy: Backoff) -> Self {
        self.reconnect = policy;
        self
    }

    /// How long one attempt to connect to a device may take; by default, 30 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Takes codes that are shorter than [`folkmoot_core::meeting::Code::MIN_CHARS`] too.
    pub fn weak_codes(mut self, allowed: bool) -> Self {
        self.weak_codes = allowed;
        self
    }

    /// Writes all that the node gets and says into a file that must not be there yet: a [`folkmoot_core::trace`], which
    /// `moot-sim replay` runs again, byte for byte. **It holds the code and everything said**, and stops at
    /// [`folkmoot_core::trace::LIMIT`] bytes. So that it holds no key that lasts, the node is a new device for this run.
    pub fn trace(mut self, path: impl Into<PathBuf>) -> Self {
        self.trace = Some(Wish { path: path.into(), extent: Extent::Full });
        self
    }

    /// As [`Builder::trace`], but without codes, keys, texts and names, and with addresses replaced: it can be read, and not run
    /// again. The node is who it is.
    pub fn trace_redacted(mut self, path: impl Into<PathBuf>) -> Self {
        self.trace = Some(Wish { path: path.into(), extent: Extent::Redacted });
        self
    }

    /// Starts the node: takes an identity, opens the sockets, enters the DHT. It runs on a thread of its own until the
    /// [`Folkmoot`] and all its meetings are dropped.
    ///
    /// # Errors
    ///
    /// If the state directory cannot be used, a socket cannot be opened, a trace cannot be written, or the machine gives no randomness or thread.
    pub async fn start(self) -> Result<Folkmoot, Error> {
        smol::unblock(move || self.start_blocking()).await
    }

    /// Starts a node and joins one meeting with it.
    ///
    /// # Errors
    ///
    /// As [`Builder::start`] and [`Folkmoot::join`].
    pub async fn join(self, code: &str) -> Result<Meeting, Error> {
        // A code that is none is told before anything is touched.
        parse_code(code, self.weak_codes)?;
        self.start().await?.join(code).await
    }

    fn start_blocking(self) -> Result<Folkmoot, Error> {
        let clock = Clock::start();
        let profile = self.take_profile(&clock)?;
        let (identity, incarnation) = match &profile {
            // A trace that can be replayed holds the keys, and is there to be sent to somebody.
            Some(profile) if self.trace.as_ref().is_some_and(|it| it.extent == Extent::Full) => {
                (profile::fresh_identity()?, profile.incarnation)
            }
            Some(profile) => (profile.identity, profile.incarnation),
            None => (profile::fresh_identity()?, Incarnation(clock.unix().as_millis())),
        };
        let remembered = profile.as_ref().map_or_else(Vec::new, Profile::ports);
        let mut sockets = Sockets::open(&self.bind, &remembered)?;
        let lan = self.lan.unwrap_or_else(|| lan::by_default(&self.bind));
        if lan {
            sockets.join_lan();
        }
        let bound = sockets.bound();
        if let Some(profile) = &profile
            && self.bind.is_empty()
        {
            let mut ports: Vec<_> = bound.iter().map(SocketAddr::port).collect();
            ports.dedup();
            profile.remember_ports(&ports);
        }

        let (device, member) = profile::ids(&identity);
        let name = if self.name.is_empty() { format!("guest-{:.4}", device.to_string()) } else { self.name };
        let mut config = Config::new(identity, incarnation);
        config.name = name.clone();
        config.bootstrap = self.bootstrap;
        config.stun = self.stun;
        config.dht.lan = lan;
        config.reconnect = self.reconnect;
        config.connect_timeout = self.connect_timeout;
        let bound_ips: Vec<_> = self.bind.iter().map(SocketAddr::ip).collect();
        let kept = profile.as_ref().map(|profile| {
            let (kept, snapshot) = Kept::open(profile.dir(), &config.bootstrap, clock.unix());
            config.dht.saved = snapshot.map(|snapshot| kept::within_reach(&bound_ips, snapshot));
            kept
        });
        let node =
            Traced::start(self.trace.as_ref(), config, profile::entropy()?, clock.now(), clock.unix())?;

        let (calls, to_node) = async_channel::bounded(MAX_CALLS);
        let about = About {
            device,
            member,
            name,
            bound,
            clock: clock.clone(),
            profile: profile.as_ref().map(|profile| profile.name.clone()),
            instead_of: profile.as_ref().and_then(|profile| profile.instead_of.clone()),
            weak_codes: self.weak_codes,
        };
        let driver = Driver::new(node, clock, sockets, to_node, kept);
        let run = move || {
            async_io::block_on(driver.run());
            // The lock on the identity is held until the others have been told goodbye.
            drop(profile);
        };
        thread::Builder::new().name("folkmoot".into()).spawn(run).map_err(Error::Thread)?;
        Ok(Folkmoot::new(about, calls))
    }

    fn take_profile(&self, clock: &Clock) -> Result<Option<Profile>, Error> {
        let root = match &self.state {
            State::Nowhere => return Ok(None),
            State::Dir(dir) => dir.clone(),
            State::Default => profile::default_root()?,
        };
        Profile::take(&root, self.profile.as_deref(), clock.unix()).map(Some)
    }
}
