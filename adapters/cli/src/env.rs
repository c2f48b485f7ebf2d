/// What the environment says. A variable that is empty is as if it were not set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Env {
    pub(crate) meeting_code: Option<String>,
    pub(crate) stun_servers: Option<String>,
    pub(crate) node_id: Option<String>,
    pub(crate) debug: bool,
}

impl Env {
    pub(crate) fn read() -> Self {
        Self::from(|name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
    }

    fn from(var: impl Fn(&str) -> Option<String>) -> Self {
        let var = |name| var(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        Self {
            meeting_code: var("MEETING_CODE"),
            stun_servers: var("STUN_SERVERS"),
            node_id: var("NODE_ID"),
            debug: var("DEBUG").is_some_and(|value| is_on(&value)),
        }
    }
}

fn is_on(value: &str) -> bool {
    ["true", "1", "yes", "on"].iter().any(|on| value.eq_ignore_ascii_case(on))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_is_unset() {
        let env = Env::from(|name| match name {
            "MEETING_CODE" => Some(String::new()),
            "NODE_ID" => Some("  ".into()),
            "STUN_SERVERS" => Some(" a:1,b:2 ".into()),
            _ => None,
        });
        assert_eq!(env, Env { stun_servers: Some("a:1,b:2".into()), ..Env::default() });
    }

    #[test]
    fn debug() {
        let debug = |value: &str| Env::from(|name| (name == "DEBUG").then(|| value.into())).debug;
        assert!(["true", "1", "yes", "on", "ON", "True"].into_iter().all(debug));
        assert!(!["", "0", "false", "no", "off", "2", "*"].into_iter().any(debug));
    }
}
