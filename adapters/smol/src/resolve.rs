use std::net::{SocketAddr, ToSocketAddrs as _};

/// Looks a host name up; none if it cannot be. May take as long as the system's resolver likes, so it belongs on
/// a thread that may block.
#[expect(clippy::disallowed_methods, reason = "its callers run it with smol::unblock")]
pub(crate) fn resolve(name: &str, port: u16) -> Vec<SocketAddr> {
    match (name, port).to_socket_addrs() {
        Ok(addrs) => addrs.take(MAX_ADDRS).collect(),
        Err(error) => {
            tracing::debug!(name, %error, "cannot resolve");
            Vec::new()
        }
    }
}

/// As many addresses of one name as are worth knowing.
const MAX_ADDRS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_resolves_to_itself() {
        assert_eq!(resolve("127.0.0.1", 80), [SocketAddr::from(([127, 0, 0, 1], 80))]);
        assert!(resolve("no host name", 80).is_empty());
    }
}
