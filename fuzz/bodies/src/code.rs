use folkmoot_core::meeting::{Code, CodeError, words_starting};

/// Normalises what somebody typed: once is enough, and all spellings of a gap are one.
pub fn code(bytes: &[u8]) {
    let typed = String::from_utf8_lossy(bytes);
    let _ = words_starting(&typed).count();
    let Ok(code) = Code::new_weak(&typed) else { return };
    let text = code.as_str();
    assert!(!text.is_empty() && text.chars().count() <= Code::MAX_CHARS);
    assert!(!text.contains("--") && !text.starts_with('-') && !text.ends_with('-'));
    assert!(!text.contains(|c: char| c.is_whitespace() || c == '_'));
    assert_eq!(Code::new_weak(text).as_ref(), Ok(&code), "{text:?}");
    assert_eq!(Code::new_weak(&text.replace('-', " _ ")).as_ref(), Ok(&code), "{text:?}");
    match Code::new(&typed) {
        Ok(strong) => assert_eq!(strong, code),
        Err(error) => assert_eq!(error, CodeError::TooShort(text.chars().count())),
    }
    let strength = code.strength();
    let _ = (strength.bits(), strength.is_weak());
}
