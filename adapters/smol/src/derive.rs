use argon2::{Algorithm, Argon2, Params, Version};
use folkmoot_core::meeting::{Code, Master};

/// Stretches a code. Takes 0.1 s and 64 MiB, so it belongs on a thread that may block.
pub(crate) fn stretch(code: &Code) -> Result<Master, argon2::Error> {
    code.stretch(|password, salt, memory_kib, passes, lanes| {
        let params = Params::new(memory_kib, passes, lanes, Some(32))?;
        let mut master = [0; 32];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into(
            password,
            salt,
            &mut master,
        )?;
        Ok(master)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with the C reference implementation (phc-winner-argon2).
    #[test]
    fn the_reference_implementation_agrees() {
        let code = Code::new("acid-tulip-seven-camel-proof").unwrap();
        let master = stretch(&code).unwrap();
        let hex: String = master.0.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "37660baee849d6d7b1a2508ffd28c18fec8ad3dba78c04dc838fd78f24983ff0");
    }
}
